"""The second claim: subtle movements. Intensity, frame rate and resolution of the clips vary, in training and in testing.

Synthetic subjects only: the flow release contains one 28x28 image per clip, so none of the three can be varied. Clips last 0.25 s.
A slower camera records every n-th frame from a random one on, and the frame nearest to the peak is used as the apex. A smaller
image is the mean over its pixels, enlarged again before the flow is computed, as in the preparation.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.claims.contenders import CONTENDERS
from experiments.claims.subjects import Camera, Image, StudyData, onset_and_apex, synthetic_subjects
from experiments.claims.sweep import Row, Study, sweep
from lightman_jax.data.synthetic.faces import SyntheticClip
from lightman_jax.data.vision.images import resize_image
from lightman_jax.networks.dual_branch import NetworkConfig

INTENSITIES = (0.06, 0.125, 0.25, 0.5, 1.0)
VIDEO_LENGTH, SECONDS = 25, 0.25
STRIDES, SIDES = (1, 2, 4, 8, 12), (96, 64, 48, 32, 24)


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows."""
    del data_dir
    intensities = [(f"{value:g}", synthetic_subjects(intensity=value)) for value in INTENSITIES]
    yield from sweep("peak movement, pixels of a 96-pixel face", intensities, CONTENDERS, network)
    strides = {f"{VIDEO_LENGTH / SECONDS / stride:.0f}": every(stride) for stride in STRIDES}
    videos = synthetic_subjects(frames=VIDEO_LENGTH, cameras=strides)
    yield from sweep("frames per second", _by_camera(videos), CONTENDERS, network)
    images = synthetic_subjects(cameras={str(side): resized(side) for side in SIDES})
    yield from sweep("face width, pixels", _by_camera(images), CONTENDERS, network)


def every(stride: int) -> Camera:
    """A camera that records every `stride`-th frame, from a random one on."""

    def camera(rng: np.random.Generator, clip: SyntheticClip) -> tuple[Image, Image]:
        recorded = np.arange(rng.integers(stride), len(clip.frames), stride)
        nearest = recorded[np.abs(recorded - clip.apex).argmin()]
        # The first recorded frame is the onset; if it is also the nearest to the apex, the last one is used as the apex.
        return clip.frames[recorded[0]], clip.frames[nearest if nearest != recorded[0] else recorded[-1]]

    return camera


def resized(side: int) -> Camera:
    """A camera whose image of the face is `side` pixels wide, enlarged again."""

    def camera(rng: np.random.Generator, clip: SyntheticClip) -> tuple[Image, Image]:
        pair, whole = onset_and_apex(rng, clip), clip.frames[0].shape[0]
        onset, apex = (resize_image(resize_image(frame, side, side), whole, whole) for frame in pair)
        return onset, apex

    return camera


def _by_camera(data: StudyData) -> list[tuple[str, StudyData]]:
    """The data with the images of each camera, for training and testing, last camera first."""
    seen = {name: dataclasses.replace(data.micro, image=image) for name, image in data.views.items()}
    return [(name, data._replace(micro=micro, views={})) for name, micro in seen.items()][::-1]


STUDY = Study("How subtle may the movement be, and how good must the camera be?", run, data="synthetic")

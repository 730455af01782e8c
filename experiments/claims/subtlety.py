"""The second claim: subtle movements. Intensity, frame rate and resolution of the clips that are trained and tested on.

    python -m experiments.claims subtlety

Invented people: the flow release holds one 28x28 picture a clip, of which neither can be varied. Clips last a quarter of a
second; a slower camera sees every n-th picture from a random one on, and the picture nearest to the peak is taken for the apex.
A smaller picture is the mean over its pixels, enlarged again before the flow is computed, as the preparation does.

Wall time on 2 cores: 5 minutes. To be expected: half a pixel is easy, an eighth is hard, a sixteenth little above chance; 12
pictures a second suffice and 8 do not; a face of 48 pixels costs .04, one of 24 .13.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.claims.learners import USUAL
from experiments.claims.people import Camera, People, Stage, invent_people
from experiments.claims.sweep import Row, print_rows, save_curves, sweep
from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.synthetic.faces import InventedClip
from lightman_jax.data.vision.images import resize_image
from lightman_jax.networks.dual_branch import NetworkConfig

TITLE = "How subtle may the movement be, and how good must the camera be?"
INTENSITIES = (0.06, 0.125, 0.25, 0.5, 1.0)
VIDEO_LENGTH, SECONDS = 25, 0.25
STRIDES, SIDES = (1, 2, 4, 8, 12), (96, 64, 48, 32, 24)


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Every row, as it is done.

    Raises:
      DataError: a flow release is given.
    """
    if data_dir is not None:
        raise DataError("subtlety needs the pictures of the clips, the flow release has none; leave --data_dir out")
    intensities = [(f"{value:g}", invent_people(People(intensity=value))) for value in INTENSITIES]
    yield from sweep("peak movement, pixels of a face of 96", intensities, USUAL, network)
    cameras = {f"{VIDEO_LENGTH / SECONDS / stride:.0f}": every(stride) for stride in STRIDES}
    filmed = invent_people(People(frames=VIDEO_LENGTH), cameras=cameras)
    yield from sweep("pictures a second", [(name, _through(filmed, name)) for name in cameras][::-1], USUAL, network)
    sizes = {str(side): sized(side) for side in SIDES}
    seen = invent_people(People(), cameras=sizes)
    yield from sweep("pixels across the face", [(name, _through(seen, name)) for name in sizes][::-1], USUAL, network)


def show(console: Console, rows: list[Row]) -> None:
    """The tables."""
    print_rows(console, rows, TITLE)


def draw(path: Path, rows: list[Row], data: str) -> None:
    """The picture."""
    save_curves(path, rows, TITLE, data)


def every(stride: int) -> Camera:
    """A camera that sees every `stride`-th picture, from a random one on."""

    def camera(rng: np.random.Generator, clip: InventedClip) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        seen = np.arange(rng.integers(stride), len(clip.frames), stride)
        nearest = seen[np.abs(seen - clip.apex).argmin()]
        # With two pictures the first may be the nearest; the onset then is all there is, and the last is taken.
        return clip.frames[seen[0]], clip.frames[nearest if nearest != seen[0] else seen[-1]]

    return camera


def sized(side: int) -> Camera:
    """A camera whose picture of the face is `side` pixels wide, enlarged again."""

    def camera(rng: np.random.Generator, clip: InventedClip) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        del rng
        whole = clip.frames[0].shape[0]
        onset, apex = (
            resize_image(resize_image(frame, side, side), whole, whole)
            for frame in (clip.frames[0], clip.frames[clip.apex])
        )
        return onset, apex

    return camera


def _through(stage: Stage, camera: str) -> Stage:
    """The stage with the pictures of one camera, for training and testing."""
    micro = stage.micro
    return stage._replace(micro=dataclasses.replace(micro, image=stage.views[camera]), views={})

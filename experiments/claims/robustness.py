"""The third claim: robustness. Trained on unchanged clips, tested on disturbed ones; or trained with wrong labels.

With synthetic subjects the images are disturbed before the flow is computed: Gaussian and impulse noise, blur, an occluding square,
a change of brightness between onset and apex, an apex error in frames of 25, dropped frames. The flow release has no face images:
there the 28x28 flow itself is disturbed by noise, impulses, blur, an occlusion without movement, and a shift of the face.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.claims.contenders import CONTENDERS, evaluate
from experiments.claims.subjects import Image, Images, flow_subjects, synthetic_subjects, wrong_labels
from experiments.claims.sweep import Row, Study, compare, sweep
from lightman_jax.data.synthetic.faces import SyntheticClip
from lightman_jax.networks.dual_branch import NetworkConfig

CLEAN, WRONG = "none", "wrong training labels"
WRONG_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
VIDEO_LENGTH = 25

Changes = dict[str, tuple[Callable[..., Any], Sequence[float]]]
"""By kind of disturbance: its function, and the strengths that are tested."""


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows."""
    image_changes = {kind: (_on_pair(change), strengths) for kind, (change, strengths) in IMAGE_CHANGES.items()}
    table = FLOW_CHANGES if data_dir else image_changes | FRAME_CHANGES
    views = {f"{kind} {x:g}": _at(change, x) for kind, (change, strengths) in table.items() for x in strengths}
    if data_dir:
        data = flow_subjects(data_dir, views)
    else:
        data = synthetic_subjects(frames=VIDEO_LENGTH, cameras=views, test_views_only=True)
    predicted = {contender: evaluate(contender, data, network) for contender in CONTENDERS}
    for kind, (_, strengths) in table.items():
        yield from compare(kind, data, ((CLEAN, one, found.counts) for one, found in predicted.items()))
        for level in (f"{strength:g}" for strength in strengths):
            results = [(level, one, found.views[f"{kind} {level}"]) for one, found in predicted.items()]
            yield from compare(kind, data, results)
    levels = [(f"{part:.0%}", wrong_labels(data, part)) for part in WRONG_SHARES]
    yield from sweep(WRONG, levels, CONTENDERS, network)


def _gaussian(rng: np.random.Generator, pair: Image, sd: float) -> Image:
    return np.clip(np.rint(pair + rng.normal(0, sd, pair.shape)), 0, 255).astype(np.uint8)


def _impulse(rng: np.random.Generator, pair: Image, part: float) -> Image:
    changed = pair.copy()
    for image in changed:
        hit = rng.uniform(size=image.shape[:2]) < part
        image[hit] = 255 * rng.integers(0, 2, image.shape[:2])[hit, None]
    return changed


def _blur(rng: np.random.Generator, images: NDArray[Any], sd: float) -> NDArray[Any]:
    del rng
    return np.stack([cv2.GaussianBlur(image, (0, 0), sd) for image in images])


def _occlude(rng: np.random.Generator, pair: Image, part: float) -> Image:
    rows, columns = _square(rng, pair.shape[1], part)
    covered = pair.copy()
    covered[:, rows, columns] = 128
    return covered


def _brighten(rng: np.random.Generator, pair: Image, levels: float) -> Image:
    return np.stack([pair[0], np.clip(pair[1] + rng.choice([-1, 1]) * levels, 0, 255).astype(np.uint8)])


IMAGE_CHANGES: Changes = {
    "Gaussian noise, grey levels": (_gaussian, (2, 4, 8, 16, 32)),
    "impulse noise, fraction of pixels": (_impulse, (0.01, 0.02, 0.05, 0.1, 0.2)),
    "blur, sd in pixels of 96": (_blur, (0.5, 1, 2, 3, 4)),
    "occlusion, fraction of the face's width": (_occlude, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "brightness onset to apex, grey levels": (_brighten, (5, 10, 20, 40, 60)),
}
"""Disturbances of the onset and apex image, stacked."""


def _misplace_apex(rng: np.random.Generator, clip: SyntheticClip, off: float) -> tuple[Image, Image]:
    place = clip.apex + int(rng.choice([-1, 1]) * off)
    return clip.frames[0], clip.frames[int(np.clip(place, 1, len(clip.frames) - 1))]


def _drop_frames(rng: np.random.Generator, clip: SyntheticClip, part: float) -> tuple[Image, Image]:
    """Of the remaining frames, the first is used as the onset and the one nearest to the true apex as the apex."""
    count = len(clip.frames)
    left = np.sort(rng.permutation(count)[: max(2, round((1 - part) * count))])
    nearest = left[1:][np.abs(left[1:] - clip.apex).argmin()]
    return clip.frames[left[0]], clip.frames[nearest]


FRAME_CHANGES: Changes = {
    "apex error, frames of 25": (_misplace_apex, (2, 4, 6, 8, 10)),
    "dropped frames, fraction of 25": (_drop_frames, (0.1, 0.3, 0.5, 0.7, 0.9)),
}
"""Disturbances of the choice of onset and apex frame."""


def _flow_gaussian(rng: np.random.Generator, images: Images, sd: float) -> Images:
    return (images + rng.normal(0, sd, images.shape)).astype(np.float32)


def _flow_impulse(rng: np.random.Generator, images: Images, part: float) -> Images:
    hit = rng.uniform(size=images.shape[:3]) < part
    values = 255 * rng.integers(0, 2, images.shape)
    return np.where(hit[..., None], values, images).astype(np.float32)


def _flow_occlude(rng: np.random.Generator, images: Images, part: float) -> Images:
    """Occlude without movement: in a square, each channel is set to its median over the clip."""
    covered = images.copy()
    for image in covered:
        rows, columns = _square(rng, image.shape[0], part)
        image[rows, columns] = np.median(image, axis=(0, 1))
    return covered


def _flow_shift(rng: np.random.Generator, images: Images, pixels: float) -> Images:
    moved = np.empty_like(images)
    for row, image in enumerate(images):
        angle = rng.uniform(0, 2 * np.pi)
        matrix = np.array([[1, 0, pixels * np.cos(angle)], [0, 1, pixels * np.sin(angle)]])
        moved[row] = cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return moved


FLOW_CHANGES: Changes = {
    "Gaussian noise, of 255 levels": (_flow_gaussian, (4, 8, 16, 32, 64)),
    "impulse noise, fraction of pixels": (_flow_impulse, (0.01, 0.02, 0.05, 0.1, 0.2)),
    "blur, sd in pixels of 28": (_blur, (0.5, 1, 1.5, 2, 3)),
    "occlusion, fraction of the face's width": (_flow_occlude, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "shift of the face, pixels of 28": (_flow_shift, (1, 2, 3, 4, 6)),
}
"""Disturbances of the flow images of the release."""


def _on_pair(change: Callable[..., Image]) -> Callable[..., Image]:
    """A change of a clip from a change of its stacked onset and apex image."""
    return lambda rng, clip, x: change(rng, np.stack([clip.frames[0], clip.frames[clip.apex]]), x)


def _at(change: Callable[..., Any], strength: float) -> Callable[..., Any]:
    return lambda rng, clips: change(rng, clips, strength)


def _square(rng: np.random.Generator, side: int, part: float) -> tuple[slice, slice]:
    wide = max(1, round(part * side))
    top, left = rng.integers(0, side - wide + 1, 2)
    return slice(top, top + wide), slice(left, left + wide)


STUDY = Study("Trained on clean clips: how much do disturbed clips cost?", run)

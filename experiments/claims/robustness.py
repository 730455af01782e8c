"""The third claim: robustness. Trained on clips as they are, tested on disturbed ones; wrong labels disturb the training instead.

    python -m experiments.claims robustness
    python -m experiments.claims robustness --data_dir=FLOW

On invented people the pictures are disturbed before the flow is computed: Gaussian and impulse noise, blur, an occluding
square, brightness that changes between onset and apex, an apex that is some of 25 pictures off, dropped pictures. The flow
release has no pictures of faces: there the 28x28 flow itself gets noise, impulses, blur, an occlusion without movement, and a
face out of place.

Wall time on 2 cores: 6 minutes; on the flow release 9. To be expected: light, slight blur and lost pictures cost little, single
wrong pixels nearly everything, an apex 4 of 25 pictures off .04, a tenth of wrong labels .04; no method is more robust than
another.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.claims.learners import USUAL, evaluate
from experiments.claims.people import Camera, People, Stage, invent_people, real_people, wrong_labels
from experiments.claims.sweep import Row, make_row, print_rows, save_curves, sweep
from lightman_jax.data.synthetic.faces import InventedClip
from lightman_jax.networks.dual_branch import NetworkConfig

TITLE = "Trained on clean clips: what do disturbed ones cost?"
CLEAN, WRONG = "none", "wrong training labels"
WRONG_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
VIDEO_LENGTH = 25

Picture = NDArray[np.uint8]
Disturb = Callable[[np.random.Generator, Picture, Picture, float], tuple[Picture, Picture]]
FlowDisturb = Callable[[np.random.Generator, NDArray[np.float32], float], NDArray[np.float32]]


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Every row, as it is done."""
    table: Mapping[str, tuple[object, Sequence[float]]]
    if data_dir is None:
        table = PICTURES | VIDEOS
        cameras = {f"{kind} {x:g}": _camera(kind, x) for kind, (_, strengths) in table.items() for x in strengths}
        stage = invent_people(People(frames=VIDEO_LENGTH), cameras=cameras, tested_only=True)
    else:
        table = FLOWS
        disturbed = {
            f"{kind} {x:g}": _flow_camera(kind, x) for kind, (_, strengths) in table.items() for x in strengths
        }
        stage = real_people(data_dir, disturbed)
    predicted = {learner: evaluate(learner, stage, network) for learner in USUAL}
    for kind, (_, strengths) in table.items():
        for level in (None, *strengths):
            first = None
            for learner, found in predicted.items():
                counts = found.counts if level is None else found.views[f"{kind} {level:g}"]
                yield make_row(kind, CLEAN if level is None else f"{level:g}", learner, stage, counts, first)
                first = counts if first is None else first
    plain: Stage = stage._replace(views={})
    yield from sweep(WRONG, [(f"{part:.0%}", wrong_labels(plain, part)) for part in WRONG_SHARES], USUAL, network)


def show(console: Console, rows: list[Row]) -> None:
    """The tables."""
    print_rows(console, rows, TITLE)


def draw(path: Path, rows: list[Row], data: str) -> None:
    """The picture."""
    save_curves(path, rows, TITLE, data)


def _gaussian(rng: np.random.Generator, onset: Picture, apex: Picture, sd: float) -> tuple[Picture, Picture]:
    noisy = [np.clip(np.rint(p + rng.normal(0, sd, p.shape)), 0, 255).astype(np.uint8) for p in (onset, apex)]
    return noisy[0], noisy[1]


def _impulse(rng: np.random.Generator, onset: Picture, apex: Picture, part: float) -> tuple[Picture, Picture]:
    found = []
    for picture in (onset, apex):
        hit = rng.uniform(size=picture.shape[:2]) < part
        found.append(np.where(hit[..., None], 255 * rng.integers(0, 2, picture.shape[:2])[..., None], picture))
    return found[0].astype(np.uint8), found[1].astype(np.uint8)


def _blur(rng: np.random.Generator, onset: Picture, apex: Picture, sd: float) -> tuple[Picture, Picture]:
    del rng
    return np.asarray(cv2.GaussianBlur(onset, (0, 0), sd)), np.asarray(cv2.GaussianBlur(apex, (0, 0), sd))


def _occlude(rng: np.random.Generator, onset: Picture, apex: Picture, part: float) -> tuple[Picture, Picture]:
    rows, columns = _square(rng, onset.shape[0], part)
    covered = onset.copy(), apex.copy()
    for picture in covered:
        picture[rows, columns] = 128
    return covered


def _brighten(rng: np.random.Generator, onset: Picture, apex: Picture, levels: float) -> tuple[Picture, Picture]:
    return onset, np.clip(apex + rng.choice([-1, 1]) * levels, 0, 255).astype(np.uint8)


PICTURES: dict[str, tuple[Disturb, tuple[float, ...]]] = {
    "Gaussian noise, grey levels": (_gaussian, (2, 4, 8, 16, 32)),
    "impulse noise, share of pixels": (_impulse, (0.01, 0.02, 0.05, 0.1, 0.2)),
    "blur, sd in pixels of 96": (_blur, (0.5, 1, 2, 3, 4)),
    "occlusion, share of the face's width": (_occlude, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "brightness onset to apex, grey levels": (_brighten, (5, 10, 20, 40, 60)),
}
"""What is done to the onset and apex pictures, and how strongly."""


def _late_apex(rng: np.random.Generator, clip: InventedClip, off: float) -> tuple[Picture, Picture]:
    place = clip.apex + int(rng.choice([-1, 1]) * off)
    return clip.frames[0], clip.frames[int(np.clip(place, 1, len(clip.frames) - 1))]


def _drop(rng: np.random.Generator, clip: InventedClip, part: float) -> tuple[Picture, Picture]:
    """The pictures that are left stand in for those that are named: the first for the onset, the nearest for the apex."""
    count = len(clip.frames)
    left = np.sort(rng.permutation(count)[: max(2, round((1 - part) * count))])
    nearest = left[1:][np.abs(left[1:] - clip.apex).argmin()]
    return clip.frames[left[0]], clip.frames[nearest]


VIDEOS: dict[str, tuple[Callable[..., tuple[Picture, Picture]], tuple[float, ...]]] = {
    "apex error, pictures of 25": (_late_apex, (2, 4, 6, 8, 10)),
    "dropped pictures, share of 25": (_drop, (0.1, 0.3, 0.5, 0.7, 0.9)),
}
"""What is done to the choice of the pictures."""


def _flow_gaussian(rng: np.random.Generator, images: NDArray[np.float32], sd: float) -> NDArray[np.float32]:
    return (images + rng.normal(0, sd, images.shape)).astype(np.float32)


def _flow_impulse(rng: np.random.Generator, images: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    hit = rng.uniform(size=images.shape[:3]) < part
    values = 255 * rng.integers(0, 2, images.shape)
    return np.where(hit[..., None], values, images).astype(np.float32)


def _flow_blur(rng: np.random.Generator, images: NDArray[np.float32], sd: float) -> NDArray[np.float32]:
    del rng
    return np.stack([cv2.GaussianBlur(image, (0, 0), sd) for image in images]).astype(np.float32)


def _flow_occlude(rng: np.random.Generator, images: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    """Nothing moves where the face is covered: each channel takes the clip's median there."""
    covered = images.copy()
    for image in covered:
        rows, columns = _square(rng, image.shape[0], part)
        image[rows, columns] = np.median(image, axis=(0, 1))
    return covered


def _flow_shift(rng: np.random.Generator, images: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    moved = np.empty_like(images)
    for row, image in enumerate(images):
        angle = rng.uniform(0, 2 * np.pi)
        matrix = np.array([[1, 0, pixels * np.cos(angle)], [0, 1, pixels * np.sin(angle)]])
        size = image.shape[1], image.shape[0]
        moved[row] = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved


FLOWS: dict[str, tuple[FlowDisturb, tuple[float, ...]]] = {
    "Gaussian noise, of 255 levels": (_flow_gaussian, (4, 8, 16, 32, 64)),
    "impulse noise, share of pixels": (_flow_impulse, (0.01, 0.02, 0.05, 0.1, 0.2)),
    "blur, sd in pixels of 28": (_flow_blur, (0.5, 1, 1.5, 2, 3)),
    "occlusion, share of the face's width": (_flow_occlude, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "face out of place, pixels of 28": (_flow_shift, (1, 2, 3, 4, 6)),
}
"""What is done to the flow pictures of the release."""


def _camera(kind: str, strength: float) -> Camera:
    if kind in VIDEOS:
        return lambda rng, clip: VIDEOS[kind][0](rng, clip, strength)
    return lambda rng, clip: PICTURES[kind][0](rng, clip.frames[0], clip.frames[clip.apex], strength)


def _flow_camera(
    kind: str, strength: float
) -> Callable[[np.random.Generator, NDArray[np.float32]], NDArray[np.float32]]:
    return lambda rng, images: FLOWS[kind][0](rng, images, strength)


def _square(rng: np.random.Generator, side: int, part: float) -> tuple[slice, slice]:
    wide = max(1, round(part * side))
    top, left = rng.integers(0, side - wide + 1, 2)
    return slice(top, top + wide), slice(left, left + wide)

"""Near-copies: clips of two subjects that agree more closely than two subjects move, such as one video encoded twice."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.types import ClipSet

SIMILARITY = 0.96
"""Cosine similarity above which two clips are near-copies, of flow at 14x14 with zero mean and unit sd in every channel.

Choice: the most alike clips of two subjects have 0.87 among 309 clips of SMIC and CASME II as released flow (0.78 in a second
extraction of the same flow), 0.83 among synthetic stand-ins and 0.57 among 1,800 simulated clips. Their distance shrinks by a sixth
with every doubling of the number of clips, which leads to 0.95 at 7,500 clips. Copies of stand-in clips that are saved as JPEG of
quality 95, enlarged by half, brightened or have noise of one grey level reach 0.98 to 1.00 in the median. Copies that begin a frame
later (0.92 to 0.97) or are saved as JPEG of quality 75 (0.74 to 0.86) reach it in some of their clips or in none.
"""

_FLOW_CHANNELS = 3
_SIDE = 14
_BLOCK = 512
_COSINES = 5
_TINY = 1e-6
_ROUNDING = 1e-3


class NearCopy(NamedTuple):
    """A micro clip and a clip of another subject in `pool` (`micro` or `macro`), by their rows."""

    row: int
    pool: str
    other: int
    similarity: float


def near_copies(micro: ClipSet, macro: ClipSet | None) -> list[NearCopy]:
    """Every micro clip with its nearest clip of each other subject, as far as the two are near-copies, mirrored or not.

    A clip that resembles clips of more than half of the other subjects has a movement that many share, and is left out; so is
    a clip without a movement. Images other than flow (u, v, strain) are not compared: aligned faces are alike.
    """
    if micro.image.shape[-1] != _FLOW_CHANNELS:
        return []
    forms = [_features(form) for form in _forms(micro.image)]
    found = []
    for pool, clips in (("micro", micro), ("macro", macro)):
        if clips is not None and len(clips) and clips.image.shape[1:] == micro.image.shape[1:]:
            found += [NearCopy(row, pool, other, value) for row, other, value in _search(forms, micro.subject, clips)]
    return found


def _search(
    forms: list[NDArray[np.float32]], subject: tuple[str, ...], clips: ClipSet
) -> Iterator[tuple[int, int, float]]:
    """Rows of near-copies and their similarity."""
    own_names = np.array(subject)
    names, code = np.unique(np.array(clips.subject), return_inverse=True)
    order = np.argsort(code, kind="stable")
    code = code[order]
    starts = np.searchsorted(code, np.arange(len(names)))
    target = _features(clips.image)[order]
    axes = _coarse(clips.image.shape, target.shape[1])
    for begin in range(0, len(own_names), _BLOCK):
        query = [form[begin : begin + _BLOCK] for form in forms]
        other_subject = own_names[begin : begin + _BLOCK, None] != names
        # A projection shortens distances: pairs that are too far apart in it need no exact comparison.
        nearest = np.maximum.reduce(
            [np.maximum.reduceat(_closeness(q @ axes, target @ axes), starts, axis=1) for q in query]
        )
        rows = np.flatnonzero(((nearest >= 2 * (SIMILARITY - 1) - _ROUNDING) & other_subject).any(axis=1))
        if not len(rows):
            continue
        similarity = np.maximum.reduce([q[rows] @ target.T for q in query])
        is_copy = (np.maximum.reduceat(similarity, starts, axis=1) >= SIMILARITY) & other_subject[rows]
        is_copy &= is_copy.sum(axis=1, keepdims=True) <= (len(names) - 1) // 2
        for row, name in np.argwhere(is_copy):
            place = np.flatnonzero(code == name)
            other = place[similarity[row, place].argmax()]
            yield begin + int(rows[row]), int(order[other]), float(similarity[row, other])


def _coarse(shape: tuple[int, ...], size: int) -> NDArray[np.float32]:
    """`[d, k]` orthonormal axes: the lowest cosines of rows and columns in every channel, means over the frames."""
    channels = shape[-1]
    rows, columns = (side // max(1, min(shape[-3:-1]) // _SIDE) for side in shape[-3:-1])
    waves = []
    for side in (rows, columns):
        wave = np.cos(np.pi * (np.arange(side)[:, None] + 0.5) * np.arange(min(side, _COSINES)) / side)
        waves.append(wave / np.linalg.norm(wave, axis=0))
    frames = size // (rows * columns * channels)
    axes = np.kron(np.full((frames, 1), frames**-0.5), np.kron(np.kron(*waves), np.eye(channels)))
    return axes.astype(np.float32)


def _closeness(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance of every pair of rows, negative."""
    lengths = [np.square(one).sum(axis=1, keepdims=True) for one in (first, second)]
    ones = [np.ones_like(length) for length in lengths]
    return np.hstack([2 * first, -lengths[0], -ones[0]]) @ np.hstack([second, ones[1], lengths[1]]).T


def _forms(image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Images, their mirror images, and their mirror images as flow, whose first channel changes sign."""
    mirrored = image[..., ::-1, :]
    opposite = mirrored.copy()
    opposite[..., 0] *= -1
    return [image, mirrored, opposite]


def _features(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[n, d]` rows of unit length: small images with zero mean and unit sd in every channel.

    A row is zero if the clip has no movement or a value that is not finite.
    """
    height, width, channels = image.shape[-3:]
    size = max(1, min(height, width) // _SIDE)
    rows, columns = height // size, width // size
    small = np.asarray(image[..., : rows * size, : columns * size, :], np.float32)
    small = small.reshape(len(image), -1, rows, size, columns, size, channels).mean(axis=(3, 5))
    small = small.reshape(len(image), -1, channels)
    small = np.where(np.isfinite(small).all(axis=(1, 2), keepdims=True), small, 0)
    largest = np.abs(small).max(axis=(1, 2), keepdims=True)
    small = small - small.mean(axis=1, keepdims=True)
    spread = small.std(axis=1, keepdims=True)
    visible = spread > _TINY * largest
    scaled = np.where(visible, small / np.where(visible, spread, 1), 0).reshape(len(image), -1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.where(length > 0, length, 1)).astype(np.float32)

"""Near-copies: clips of two subjects that agree more closely than two subjects move, such as one video encoded twice."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.types import ClipSet, image_blocks, remembered

SIMILARITY = 0.96
"""Cosine similarity above which two clips are near-copies, of flow at 14x14 with zero mean and unit sd in every channel.

Choice: the most alike clips of two subjects have 0.87 among 309 clips of SMIC and CASME II as released flow (0.78 in a second
extraction of the same flow, 0.75 between two views), 0.83 among synthetic stand-ins and 0.57 among 1,800 simulated clips. Their
distance shrinks by a sixth with every doubling of the number of clips, which leads to 0.95 at 7,500 clips. Copies of stand-in clips
that are saved as JPEG of quality 95, enlarged by half, brightened or have noise of one grey level reach 0.98 to 1.00 in the median.
Copies that begin a frame later (0.92 to 0.97) or are saved as JPEG of quality 75 (0.74 to 0.86) reach it in some of their clips or
in none.
"""

_FLOW_CHANNELS = 3
_SIDE = 14
_BLOCK = 512
_TINY = 1e-6


class NearCopy(NamedTuple):
    """A micro clip and a clip of another subject in `pool` (`micro` or `macro`), by their rows."""

    row: int
    pool: str
    other: int
    similarity: float


def near_copies(micro: ClipSet, macro: ClipSet | None) -> list[NearCopy]:
    """Every micro clip with its nearest clip of each other subject, as far as the two are near-copies, mirrored or not.

    A clip that resembles clips of several subjects and more than half of them all has a movement that many share, and is left
    out; so is a clip without a movement. Every view of a clip is compared with every view of the other. Images other than flow
    (u, v, strain) are not compared: aligned faces are alike.
    """
    if micro.image.shape[-1] != _FLOW_CHANNELS:
        return []
    # In a mirror image of flow, the first channel changes its sign.
    signs = np.array([-1, 1, 1], np.float32)
    changes = (lambda x: x, lambda x: x[..., ::-1, :], lambda x: x[..., ::-1, :] * signs)
    forms = _features_of_views(micro, changes)
    found = []
    for pool, clips in (("micro", micro), ("macro", macro)):
        if clips is not None and len(clips) and _image_shape(clips) == _image_shape(micro):
            found += [NearCopy(row, pool, other, value) for row, other, value in _search(forms, micro.subject, clips)]
    return found


def _image_shape(clips: ClipSet) -> tuple[int, ...]:
    """Shape of the image of one view."""
    return tuple(clips.image.shape[2 if clips.views else 1 :])


def _features_of_views(clips: ClipSet, changes: Sequence[Callable[[Any], Any]]) -> Sequence[NDArray[np.float32]]:
    """Features `[n, d]` of each view, or of the one image, after each of several changes."""

    def compute() -> Sequence[NDArray[np.float32]]:
        parts = []
        for _, block in image_blocks(clips.image):
            views = [block[:, place] for place in range(len(clips.views))] or [block]
            parts.append([_features(change(view)) for view in views for change in changes])
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    return remembered(clips.image, ("features", len(changes)), compute)


def _search(
    forms: Sequence[NDArray[np.float32]], subject: tuple[str, ...], clips: ClipSet
) -> Iterator[tuple[int, int, float]]:
    """Rows of near-copies and their similarity."""
    own_names = np.array(subject)
    names, code = np.unique(np.array(clips.subject), return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(names) + 1))
    targets = [features[order] for features in _features_of_views(clips, [lambda x: x])]
    for begin in range(0, len(own_names), _BLOCK):
        products = (form[begin : begin + _BLOCK] @ target.T for form in forms for target in targets)
        similarity = functools.reduce(np.maximum, products)
        is_copy = np.maximum.reduceat(similarity, starts[:-1], axis=1) >= SIMILARITY
        is_copy &= own_names[begin : begin + _BLOCK, None] != names
        is_copy &= is_copy.sum(axis=1, keepdims=True) <= max(1, (len(names) - 1) // 2)
        for row, name in np.argwhere(is_copy):
            other = starts[name] + similarity[row, starts[name] : starts[name + 1]].argmax()
            yield begin + int(row), int(order[other]), float(similarity[row, other])


def _features(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[n, d]` rows of unit length: small images with zero mean and unit sd in every channel.

    A row is zero if the clip has no movement or a value that is not finite, as in a view that it lacks.
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

"""The strongest frame of a movement: as the corpus says, the middle one, or spotted in the pictures."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.images import resize_image
from lightman_jax.data.optics import optical_flow

ApexPolicy = Literal["given", "middle", "spot"]
APEX_POLICIES: tuple[ApexPolicy, ...] = ("given", "middle", "spot")

_SIDE = 96
_MOST_FRAMES = 64


def middle_apex(frames: int) -> int:
    """The frame halfway from onset to offset. Choice: what most work does where a corpus names no apex."""
    return (frames - 1) // 2


def spot_apex(faces: Sequence[NDArray[np.uint8]]) -> int:
    """The frame whose displacement from the onset is largest where faces move, head motion taken off.

    The flow from onset to each frame loses its best affine fit (head motion), its magnitude is averaged over the
    strongest tenth of the pixels, the course over time is smoothed by a quadratic over its neighbours, and the
    largest inner value is taken.

    Args:
      faces: grey `[side, side]` uint8 of every frame from onset to offset; more than 64 are thinned evenly.

    Returns:
      Position in `faces`.

    Choice: argmax of flow magnitude, as much of the field does, made robust to head motion and noise.
    """
    picked = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _MOST_FRAMES)).round().astype(int))
    if len(picked) < 3:
        return len(faces) - 1
    small = [resize_image(faces[position], _SIDE, _SIDE) for position in picked]
    course = np.array([0.0] + [_strength(small[0], later) for later in small[1:]])
    return int(picked[1 + int(_smooth(course)[1:].argmax())])


def _strength(onset: NDArray[np.uint8], later: NDArray[np.uint8]) -> float:
    flow = optical_flow(onset, later).astype(np.float64)
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]] / flow.shape[0] - 0.5
    plane = np.stack([np.ones_like(rows), rows, columns], axis=-1).reshape(-1, 3)
    flat = flow.reshape(-1, 2)
    still = flat - plane @ np.linalg.lstsq(plane, flat, rcond=None)[0]
    magnitude = np.sort(np.hypot(still[:, 0], still[:, 1]))
    return float(magnitude[-len(magnitude) // 10 :].mean())


def _smooth(course: NDArray[np.float64]) -> NDArray[np.float64]:
    """Local quadratic fit over a window of a third of the course: noise goes, the place of a peak stays."""
    half = max(1, len(course) // 6)
    time = np.arange(len(course))
    smooth = np.empty_like(course)
    for t in time:
        near = np.abs(time - t) <= half + (half == 1)
        degree = min(2, int(near.sum()) - 1)
        smooth[t] = np.polyval(np.polyfit(time[near] - t, course[near], degree), 0)
    return smooth

"""The strongest frame of a movement: as the corpus says, the middle one, or spotted in the pictures."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.optical_flow import optical_flow

ApexPolicy = Literal["given", "middle", "spot"]
APEX_POLICIES: tuple[ApexPolicy, ...] = ("given", "middle", "spot")

FLOW_SIDE = 96
"""Pixels of the face on which the course of a movement is taken."""

_GRID = 24
_MOST_FRAMES = 64


def middle_apex(frames: int) -> int:
    """The frame halfway from onset to offset. Choice: what most work does where a corpus names no apex."""
    return (frames - 1) // 2


def spot_apex(faces: Sequence[NDArray[np.uint8]]) -> int:
    """The frame in which the movement that comes and goes between onset and offset is strongest.

    Flow f_t from the onset to each frame loses its best affine fit (head motion), then the line from onset to
    offset, `r_t = f_t - (t / T) f_T`: what drifts steadily goes, what rises and falls stays. The first principal
    component of r over time is the movement; its course, smoothed by a local quadratic, has its largest magnitude
    at the apex.

    Args:
      faces: grey `[side, side]` uint8 of every frame from onset to offset; more than 64 are thinned evenly.

    Returns:
      Position in `faces`.

    Choice: flow magnitude since the onset, as much of the field takes, peaks late wherever head or light drift.
    """
    picked = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _MOST_FRAMES)).round().astype(int))
    if len(picked) < 3:
        return len(faces) - 1
    curve = np.abs(np.linalg.svd(risen_and_fallen(displacements(faces, picked), picked), full_matrices=False)[0][:, 0])
    return int(picked[1 + int(smooth_curve(curve)[1:-1].argmax())])


def displacements(faces: Sequence[NDArray[np.uint8]], picked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Flow f_t from the first to each of some faces on a grid of 24x24 places, without its best affine fit.

    Args:
      faces: grey `[side, side]` uint8.
      picked: positions of some of them, ascending, at least two.

    Returns:
      `[len(picked), 2 * 24 * 24]` pixels of a face 96 wide, (u, v) of each place in turn.
    """
    small = [resize_image(faces[position], FLOW_SIDE, FLOW_SIDE) for position in picked]
    return np.stack([np.zeros(2 * _GRID**2), *(_still_flow(small[0], later) for later in small[1:])])


def risen_and_fallen(moved: NDArray[np.float64], picked: NDArray[np.int64]) -> NDArray[np.float64]:
    """What comes and goes of displacements, `r_t = f_t - (t / T) f_T`, with t from the positions `picked`."""
    share = (picked - picked[0]) / (picked[-1] - picked[0])
    return moved - share[:, None] * moved[-1]


def _still_flow(onset: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Flow between two faces on a coarse grid, without its affine part."""
    flow = resize_image(optical_flow(onset, later), _GRID, _GRID).reshape(-1, 2).astype(np.float64)
    rows, columns = np.mgrid[:_GRID, :_GRID].reshape(2, -1) / _GRID - 0.5
    plane = np.stack([np.ones_like(rows), rows, columns], axis=-1)
    return (flow - plane @ np.linalg.lstsq(plane, flow, rcond=None)[0]).ravel()


def smooth_curve(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Local quadratic fit over a third of the course: noise goes, the place of a peak stays."""
    half = max(2, len(curve) // 6)
    time = np.arange(len(curve))
    smooth = np.empty_like(curve)
    for t in time:
        near = np.abs(time - t) <= half
        smooth[t] = np.polyval(np.polyfit(time[near] - t, curve[near], min(2, int(near.sum()) - 1)), 0)
    return smooth

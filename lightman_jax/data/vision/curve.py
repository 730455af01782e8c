"""The course of a movement over the frames of a face: when it begins, peaks and ends, how far it goes, how plain it is."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.apex import FLOW_SIDE, displacements, risen_and_fallen, smooth_curve

REFERENCE_SIDE = 128
"""Displacements are told in pixels of a face of this width."""

_REST, _STRONGEST_PLACES = 0.15, 12
_FEWEST_FOR_SMOOTHNESS = 16


class DisplacementCurve(NamedTuple):
    """How a movement comes and goes.

    Attributes:
      onset: position of its first frame.
      apex: of its strongest frame.
      offset: of its last frame.
      pixels: peak displacement, pixels of a face 128 wide.
      clearness: peak of the course over its roughness; infinite where the frames are too few to have one.
      rests: whether there is rest before and after it.
      returns: whether the face is back in the end, so that it has not merely begun or ended a movement.
    """

    onset: int
    apex: int
    offset: int
    pixels: float
    snr: float
    rests: bool
    returns: bool


def displacement_curve(faces: Iterable[NDArray[np.uint8]], most_frames: int = 64) -> DisplacementCurve:
    """The strongest movement that comes and goes within some frames.

    Of the displacement that comes and goes (`apex.spot_apex`) the first principal component is followed over time.
    Onset and offset are the frames next to the apex in which its smoothed course is below 15% of its peak; the first and the last
    frame where it never is.

    Args:
      faces: grey `[side, side]` uint8, three or more.
      most_frames: more are thinned evenly.

    Choice: 15%, since a course that is smoothed over a third of the frames is never quite at rest.
    """
    stack = list(faces)
    picked = np.unique(np.linspace(0, len(stack) - 1, min(len(stack), most_frames)).round().astype(int))
    moved = displacements(stack, picked)
    times, sizes, places = np.linalg.svd(risen_and_fallen(moved, picked), full_matrices=False)
    curve = times[:, 0] * sizes[0]
    smooth = smooth_curve(curve)
    if -smooth.min() > smooth.max():
        curve, smooth = -curve, -smooth
    apex = 1 + int(smooth[1:-1].argmax())
    peak = max(float(smooth[apex]), 0.0)
    before = np.flatnonzero(smooth[:apex] < _REST * peak)
    after = apex + np.flatnonzero(smooth[apex:] < _REST * peak)
    displaced = np.sort(np.hypot(*places[0].reshape(-1, 2).T))[-_STRONGEST_PLACES:].mean()
    roughness = float(np.sqrt(np.mean(np.square((curve - smooth)[1:]))))
    return DisplacementCurve(
        int(picked[before[-1]]) if len(before) else 0,
        int(picked[apex]),
        int(picked[after[0]]) if len(after) else len(stack) - 1,
        float(peak * displaced * REFERENCE_SIDE / FLOW_SIDE),
        # A few frames have no roughness to speak of.
        peak / max(roughness, 1e-9) if len(picked) >= _FEWEST_FOR_SMOOTHNESS else np.inf,
        bool(len(before) and len(after)),
        abs(float(moved[-1] @ places[0])) < peak,
    )

"""Spans of a video in which landmarks show a blink, motion of the head, or an object before the face."""

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.movement_kinds import COVERED_SHARE

BLINK_CLOSURE, BLINK_SECONDS = 0.3, 0.7
"""Least closure of the lids as a share of their opening at rest, and longest time.

Choice: blinks last 0.1 to 0.4 s; smiles narrow the eyes by up to a quarter, and for longer.
"""

HEAD_SPEED, HEAD_RANGE = 10.0, 6.0
"""Least speed of a motion of the head in degrees per second, and least angle that it covers.

Choice: landmarks of a resting head vary by up to 0.8 degrees.
"""

_REST_SECONDS, _HEAD_PAUSE, _COVER_PAUSE, _SMOOTHING = 2.0, 0.3, 0.5, 0.1
_SMALLEST_OPENING = 0.2

Spans = list[tuple[float, float]]
"""First and last time of each span, in seconds."""


def blink_spans(times: NDArray[np.floating], openness: NDArray[np.floating]) -> Spans:
    """Spans in which the lids close and open again.

    Args:
      times: `[T]` in seconds.
      openness: `eye_openness` `[T, 2]`.
    """
    mean = openness.mean(axis=1)
    rest = np.array([np.median(mean[np.abs(times - time) <= _REST_SECONDS]) for time in times])
    closed = (rest - mean) / np.maximum(rest, _SMALLEST_OPENING) > BLINK_CLOSURE
    # Eyes that are closed in the first frame may have been closed for long.
    return [span for span in _runs(times, closed, 0.0) if times[0] < span[0] and span[1] - span[0] <= BLINK_SECONDS]


def head_spans(times: NDArray[np.floating], angles: NDArray[np.floating]) -> Spans:
    """Spans in which the head turns, nods or tilts.

    Args:
      times: `[T]` in seconds.
      angles: degrees `[T, 3]`.
    """
    first = np.searchsorted(times, times - _SMOOTHING)
    last = np.minimum(np.searchsorted(times, times + _SMOOTHING), len(times) - 1)
    speed = np.abs(angles[last] - angles[first]).max(axis=1) / np.maximum(times[last] - times[first], 1e-6)
    return [
        span
        for span in _runs(times, speed > HEAD_SPEED, _HEAD_PAUSE)
        if np.ptp(angles[(times >= span[0]) & (times <= span[1])], axis=0).max() >= HEAD_RANGE
    ]


def covered_spans(times: NDArray[np.floating], covered: NDArray[np.floating]) -> Spans:
    """Spans in which something comes before the face or leaves it; `covered` `[T]` is `covered_share`."""
    return _runs(times, covered >= COVERED_SHARE, _COVER_PAUSE)


def _runs(times: NDArray[np.floating], inside: NDArray[np.bool_], pause: float) -> Spans:
    """Spans of consecutive times inside, joined across pauses, and wider by one time on each side."""
    spans: Spans = []
    for place in np.flatnonzero(inside):
        first, last = float(times[np.maximum(place - 1, 0)]), float(times[np.minimum(place + 1, len(times) - 1)])
        if spans and first - spans[-1][1] <= pause:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans

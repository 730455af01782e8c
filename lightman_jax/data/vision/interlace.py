"""Interlaced video, whose odd lines are taken half a frame later than its even ones: moving edges look like combs."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_FRAMES, _MOVING_FRAMES = 750, 50
_COLUMN_STEP = 4
_MOVED = 12.0
_MOVING_SHARE, _STILL_SHARE = 0.002, 0.01
_COMBED_RATIO, _COMBED_FRAMES = 1.5, 3


def is_interlaced(frames: Iterable[NDArray[np.uint8]]) -> bool:
    """Whether 3 of the first 50 frames in which something moves are combed; 750 frames are read at most.

    In pixels that changed since the frame before, each line is compared with the mean of the lines next to it, and with that of
    the lines two away, which belong to its own field. A frame is combed if the first difference has 1.5 times the energy of the
    second, and 1.5 times what their ratio is in pixels that did not change.

    Args:
      frames: `[H, W, 3]` uint8, upright in the file.

    Choice: in 904 frames with movement of 12 progressive videos of faces the ratio reaches 0.62; in 540 pans over photographs and
      textures, half of them with noise of 8 grey levels, 1.05. In videos of five scenes made interlaced, or converted from 24 to 30
      frames per second, and compressed, 6 to 54% of the frames with movement exceed 1.5, except where a head is nearly still:
      such a video has no visible combs and may be taken as progressive.
    """
    before, moving, combed = None, 0, 0
    for frame in itertools.islice(frames, _FRAMES):
        lines = frame[:, ::_COLUMN_STEP, 1].astype(np.float32)
        ratio = _comb_ratio(before, lines) if before is not None else np.nan
        moving += not np.isnan(ratio)
        combed += ratio > _COMBED_RATIO
        if combed == _COMBED_FRAMES or moving == _MOVING_FRAMES:
            break
        before = lines
    return combed == _COMBED_FRAMES


def first_field(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace the odd lines of `[H, W, 3]` by the mean of the even lines around them."""
    result = frame.copy()
    even = frame[::2].astype(np.uint16)
    between = (even[:-1] + even[1:] + 1) // 2
    result[1 : 2 * len(between) : 2] = between
    if len(frame) % 2 == 0:
        result[-1] = frame[-2]
    return result


def _comb_ratio(before: NDArray[np.float32], lines: NDArray[np.float32]) -> float:
    """Energy of the difference to the other field over that to the own field, where pixels moved; NaN if few did."""
    own = lines[2:-2]
    moved = np.abs(own - before[2:-2]) > _MOVED
    if moved.sum() <= _MOVING_SHARE * lines.size:
        return np.nan
    other_field = np.square(own - (lines[1:-3] + lines[3:-1]) / 2)
    own_field = np.square(own - (lines[:-4] + lines[4:]) / 2)
    still = ~moved
    has_still = still.sum() > _STILL_SHARE * lines.size
    usual = _ratio(other_field[still], own_field[still]) if has_still else 1.0
    return _ratio(other_field[moved], own_field[moved]) / max(usual, 1.0)


def _ratio(above: NDArray[np.float32], below: NDArray[np.float32]) -> float:
    return float(above.sum() / max(float(below.sum()), 1.0))

"""The displacement curve of a movement over the frames of a face: onset, apex and offset, size and signal-to-noise ratio."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.one_thread import one_thread
from lightman_jax.data.vision.optical_flow import optical_flow

ApexPolicy = Literal["given", "middle", "spot"]
APEX_POLICIES: tuple[ApexPolicy, ...] = ("given", "middle", "spot")

_FLOW_SIDE, _GRID = 96, 24
_MAX_FRAMES = 64
_REST, _STRONGEST_POINTS = 0.15, 12
_MIN_FRAMES_FOR_SHARE, _MIN_FRAMES_FOR_SNR = 5, 16
_SHARE_ABOVE_NOISE, _ENDS = 0.4, 3


class DisplacementCurve(NamedTuple):
    """A movement that rises and falls.

    Attributes:
      onset, apex, offset: indices of its first, strongest and last frame.
      pixels: peak displacement in pixels of a face 128 wide.
      snr: peak of the curve over the RMS of its residual from the smoothed curve; infinite below 16 frames.
      rests: whether the face rests before and after the movement: the curve is below 15% of its peak on both sides, and below a
        half in the first and the last three frames.
      returns: whether the face returns towards its first position, so that this is more than the beginning or end of a movement.
      duration: time between onset and offset, but at most twice the time above half of the peak, in the unit of the times.
      is_one: whether one movement explains the frames: its share of all displacement exceeds that of noise. True below 5
        frames, where it is unknown, and from 16 frames on, which have an `snr`.
    """

    onset: int
    apex: int
    offset: int
    pixels: float
    snr: float
    rests: bool
    returns: bool
    duration: float
    is_one: bool = True


def middle_apex(frames: int) -> int:
    """Index of the frame halfway from onset to offset; of two frames, the second.

    Choice: the usual substitute where a corpus annotates no apex.
    """
    return min(max(1, (frames - 1) // 2), frames - 1)


def spot_apex(faces: Sequence[NDArray[np.uint8]]) -> int:
    """Index of the frame in which the movement that rises and falls between onset and offset is strongest.

    The flow f_t from the onset to each frame loses its best affine fit (head motion), then the line from onset to offset,
    `r_t = f_t - (t / T) f_T`, which removes steady drift. The first principal component of r over time is the movement; the
    apex is the largest magnitude of its curve, smoothed by a local quadratic.

    The faces are grey `[side, side]`, of every frame from onset to offset; more than 64 are subsampled evenly.

    Choice: the magnitude of the flow since the onset, the common criterion, peaks late if head or light drift.
    """
    if len(faces) < 3:
        return len(faces) - 1
    sampled, fields = _fields(faces)
    times, _, _ = _without_drift(fields.reshape(len(fields), -1), sampled)
    return int(sampled[1 + int(_smooth(np.abs(times[:, 0]), max(2, len(times) // 6))[1:-1].argmax())])


@one_thread
def field_curve(fields: NDArray[np.floating], times: NDArray[np.floating], half: int) -> DisplacementCurve:
    """Measure the strongest movement that rises and falls within displacement fields.

    The curve is the first principal component over time as in `spot_apex`. Onset and offset are the frames next to the apex in
    which the smoothed curve is below 15% of its peak; the first and the last frame if there is none.

    Args:
      fields: `[T, points, 2]` since the first frame, in pixels of a face 128 wide; three frames or more.
      times: `[T]` in any unit.
      half: frames on each side of one that smooth the curve there, by a local quadratic.

    Choice: 15%, since a smoothed curve never rests completely, and smoothing makes a movement of 0.3 s half as long again. Half of
      the peak is passed at a quarter and three quarters of a movement that rises and falls as a sine. The first of `T - 2`
      components has a share of 0.4 or more above an even one: still faces with noise of up to 8 grey levels and JPEG artefacts that
      show 0.25 pixels reach 0.70 of 5 frames and 0.52 of 9, movements of 0.5 pixels with noise of 2 levels 0.79 and 0.77.
    """
    displacements = fields.reshape(len(fields), -1).astype(np.float64)
    times_of, sizes, points = _without_drift(displacements, times)
    curve = times_of[:, 0] * sizes[0]
    smooth = _smooth(curve, half)
    if -smooth.min() > smooth.max():
        curve, smooth = -curve, -smooth
    apex = 1 + int(smooth[1:-1].argmax())
    peak = max(float(smooth[apex]), 0.0)
    before = np.flatnonzero(smooth[:apex] < _REST * peak)
    after = apex + np.flatnonzero(smooth[apex:] < _REST * peak)
    onset, offset = int(before[-1]) if len(before) else 0, int(after[0]) if len(after) else len(fields) - 1
    high = np.flatnonzero(smooth[onset : offset + 1] >= peak / 2) + onset
    duration = min(times[offset] - times[onset], 2 * (times[high[-1]] - times[high[0]])) if len(high) else 0.0
    displaced = np.sort(np.hypot(*points[0].reshape(-1, 2).T))[-_STRONGEST_POINTS:].mean()
    noise = float(np.sqrt(np.mean(np.square((curve - smooth)[1:]))))
    return DisplacementCurve(
        onset,
        apex,
        offset,
        float(peak * displaced),
        peak / max(noise, 1e-9) if len(fields) >= _MIN_FRAMES_FOR_SNR else np.inf,
        bool(len(before) and len(after))
        and _is_low(smooth[1 : 1 + _ENDS], peak)
        and _is_low(smooth[-1 - _ENDS : -1], peak),
        abs(float(displacements[-1] @ points[0])) < peak,
        float(duration),
        _is_one(sizes, len(fields)),
    )


def _is_low(curve: NDArray[np.float64], peak: float) -> bool:
    """Whether one end of a curve is low; its very first and last value are 0 by definition."""
    return bool(np.abs(curve).mean() < peak / 2)


def _is_one(sizes: NDArray[np.float64], frames: int) -> bool:
    energy = np.square(sizes)
    is_known = _MIN_FRAMES_FOR_SHARE <= frames < _MIN_FRAMES_FOR_SNR
    return not is_known or bool(energy[0] >= (_SHARE_ABOVE_NOISE + 1 / (frames - 2)) * energy.sum())


def _fields(faces: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices of sampled faces, and their flow `[T, 24^2, 2]` from the first one without its affine part."""
    sampled = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), _MAX_FRAMES)).round().astype(int))
    small = [resize_image(faces[index], _FLOW_SIDE, _FLOW_SIDE) for index in sampled]
    return sampled, np.stack([np.zeros((_GRID**2, 2)), *(_non_affine_flow(small[0], later) for later in small[1:])])


def _without_drift(
    displacements: NDArray[np.floating], times: NDArray[np.floating] | NDArray[np.integer]
) -> tuple[NDArray, NDArray, NDArray]:
    """Singular value decomposition of displacements `[T, n]` without the line from the first to the last.

    Choice: by the eigenvectors of `[T, T]`, in 0.6 ms for 64 frames where that of `[T, n]` takes 4 ms on one core, and hundreds
      where its threads compete with other processes.
    """
    share = (times - times[0]) / (times[-1] - times[0])
    free = displacements - share[:, None] * displacements[-1]
    squares, over_time = np.linalg.eigh(free @ free.T)
    sizes, over_time = np.sqrt(np.maximum(squares[::-1], 0)), over_time[:, ::-1]
    return over_time, sizes, over_time.T @ free / np.maximum(sizes, 1e-12)[:, None]


def _non_affine_flow(onset: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float64]:
    flow = resize_image(optical_flow(onset, later), _GRID, _GRID).reshape(-1, 2).astype(np.float64)
    rows, columns = np.mgrid[:_GRID, :_GRID].reshape(2, -1) / _GRID - 0.5
    plane = np.stack([np.ones_like(rows), rows, columns], axis=-1)
    return flow - plane @ np.linalg.lstsq(plane, flow, rcond=None)[0]


def _smooth(curve: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Local quadratic fit over `half` points on each side, which keeps the positions of peaks."""
    time = np.arange(len(curve))
    smooth = np.empty_like(curve)
    for t in time:
        near = np.abs(time - t) <= half
        smooth[t] = np.polyval(np.polyfit(time[near] - t, curve[near], min(2, int(near.sum()) - 1)), 0)
    return smooth

"""Movements of one face: windows of several lengths slide over its samples, and each movement found in them gets a kind.

In a window, the displacement that follows the pose of the head is removed first: what the alignment of the frames leaves is
proportional to it. Blinks, speech, motion of the head and covered parts are also found by the landmarks alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.apex import DisplacementCurve, field_curve
from lightman_jax.data.vision.face_segments import GRID, FaceSegment, Sample
from lightman_jax.data.vision.face_signals import field_size, gaze_shift, lid_closure
from lightman_jax.data.vision.faces import FaceBox
from lightman_jax.data.vision.head_motion import HeadMotion
from lightman_jax.data.vision.movement_kinds import (
    MICRO_SECONDS,
    WITH_CLASS,
    Evidence,
    Kind,
    movement_kind,
    speech_spans,
)
from lightman_jax.data.vision.movement_spans import blink_spans, covered_spans, head_spans
from lightman_jax.data.vision.pose_regression import fields_without_pose, running_mean
from lightman_jax.data.vision.spotted import CurvePoint, SpotConfig, Spotted

_MIN_SAMPLES, _MAX_SAMPLES, _MIN_SECONDS = 8, 64, 0.3
_STRIDE = 0.25
_SMOOTHING, _LONG = 0.08, 4.0
_NEAR_APEX, _SHARED = 1, 0.3
# Root mean square distance of a face's pixels from its middle, in pixels of a face 128 wide.
_FACE_RADIUS = 45.0


class Found(NamedTuple):
    """A movement as places of its onset, apex and offset in the samples of a window, its size, and its duration in seconds."""

    onset: int
    apex: int
    offset: int
    pixels: float
    seconds: float = np.nan


class FaceSearch:
    """Search of one segment of one face.

    Args:
      segment: the segment; its samples are dropped when no window needs them.
      config: thresholds.
      place: box, rotation and name of the face, for `Spotted`.
      timed: whether the samples have times; otherwise all of them are one window.
      curve: gets a point for each window.
    """

    def __init__(
        self,
        segment: FaceSegment,
        config: SpotConfig,
        place: tuple[FaceBox | None, int, str],
        timed: bool,
        curve: list[CurvePoint],
    ) -> None:
        self.segment, self._config, self._place, self._timed = segment, config, place, timed
        self._curve = curve
        self._found: list[Spotted] = []
        self._next = dict.fromkeys(config.window_seconds, -np.inf)
        self._first, self._reported, self._next_report = np.nan, -np.inf, -np.inf
        self._newest, self._without_pose = 0, np.zeros((0, GRID, GRID, 2))

    def update(self) -> list[Spotted]:
        """Analyse the windows that end with the newest sample; returns the movements that no later window can change."""
        samples, now = self.segment.samples, self.segment.samples[-1].seconds
        if not self._timed:
            return []
        self._first = now if np.isnan(self._first) else self._first
        for length in self._config.window_seconds:
            if now - self._first >= length and now >= self._next[length]:
                self._next[length] = now + _STRIDE * length
                self._analyse(length)
        if now < self._next_report:
            return []
        self._next_report = now + _STRIDE * min(self._config.window_seconds)
        longest = max(self._config.window_seconds)
        done = self._report_until(now - longest)
        while samples and samples[0].seconds < now - 2 * longest:
            samples.popleft()
        return done

    def finish(self, is_clip: bool) -> list[Spotted]:
        """Analyse the end of the segment; `is_clip` is whether it is the whole of a video."""
        samples = list(self.segment.samples)
        if not samples:
            return []
        seconds = samples[-1].seconds - samples[0].seconds if self._timed else 0.0
        is_short = seconds <= self._config.clip_seconds
        for length in self._config.window_seconds if self._timed else ():
            self._analyse(length)
        if is_clip and is_short:
            self._analyse()
        return self._report_until(np.inf)

    def _report_until(self, seconds: float) -> list[Spotted]:
        """Movements that end up to a time, in temporal order, with those that the landmarks show.

        Of overlapping movements the strongest is kept, with those that get a class before others.
        """
        chosen: list[Spotted] = []
        for one in sorted(self._found, key=lambda one: (one.kind in WITH_CLASS, one.pixels), reverse=True):
            if not any(_overlap(one, other) for other in chosen):
                chosen.append(one)
        done = [one for one in chosen if not one.times[2] > seconds]
        self._found = [one for one in self._found if one.times[2] > seconds and not any(_overlap(one, d) for d in done)]
        if self._timed:
            done += self._landmark_movements(seconds, chosen)
        return sorted(done, key=lambda one: one.onset)

    def _analyse(self, length: float = 0.0) -> None:
        """Keep the strongest movement of the newest window, and below a movement of the eyes that of the rest of the face.

        `length` is that of the window in seconds; 0 is a whole clip, in which the face need not rest at the ends.
        """
        every = list(self.segment.samples)
        first = 0 if not length else next(i for i, one in enumerate(every) if one.seconds > every[-1].seconds - length)
        if len(every) - first < (_MIN_SAMPLES if length else 3):
            return
        places = first + _spread(len(every) - first, _MAX_SAMPLES)
        samples, fields = [every[place] for place in places], self._fields()[places]
        fields = fields - fields[0]
        half = max(2, round(_SMOOTHING * len(samples)))
        regions = self.segment.regions
        for number, mask in enumerate((regions.face, regions.face & ~regions.eyes)):
            curve = field_curve(fields[:, mask], _clock(samples), half)
            if number == 0 and length in (0.0, self._config.window_seconds[0]):
                begin, end = samples[0].seconds, samples[-1].seconds
                self._curve.append(CurvePoint((begin + end) / 2, end - begin, curve.pixels, self._place[2]))
            if not self._is_movement(curve, length):
                return
            found = Found(*curve[:4], curve.duration if self._timed else np.nan)
            kind = self._kind(samples, fields, found)
            self._found.append(self._spotted(samples, found, kind))
            if kind != "blink or gaze":
                return

    def _fields(self) -> NDArray[np.float64]:
        """Fields of all samples without the pose of the head, computed once per newest sample."""
        newest = self.segment.samples[-1].number
        if self._newest != newest:
            self._newest, self._without_pose = newest, fields_without_pose(self.segment.samples)
        return self._without_pose

    def _is_movement(self, curve: DisplacementCurve, length: float) -> bool:
        is_long = self._timed and curve.duration > MICRO_SECONDS
        least = self._config.min_pixels * (_LONG if is_long else 1)
        strong = curve.pixels >= least and curve.snr >= self._config.min_snr
        return strong and curve.is_one and curve.returns and (curve.rests or not length)

    def _kind(self, samples: Sequence[Sample], fields: NDArray[np.floating], found: Found) -> Kind:
        span = samples[found.onset : found.offset + 1]
        size = field_size(_mean_near(fields, found.apex) - _mean_near(fields, found.onset), self.segment.regions)
        turned, moved = _head_range([one.motion for one in span])
        known = self.segment.samples if self._timed else ()
        speech = speech_spans([one.seconds for one in known], [one.mouth for one in known])
        return movement_kind(
            Evidence(
                seconds=found.seconds,
                pixels=min(size.pixels, found.pixels),
                eye_pixels=size.eye_pixels,
                mouth_share=size.mouth_share,
                head_degrees=turned,
                head_pixels=moved,
                covered=max(one.covered for one in span),
                lid_closure=lid_closure(np.array([one.openness for one in span])),
                gaze_shift=gaze_shift(np.array([one.gaze for one in span])),
                mouth_opening=float(np.ptp(running_mean(np.array([[one.mouth] for one in span]), 1))),
                in_speech=any(first <= span[-1].seconds and span[0].seconds <= last for first, last in speech),
            )
        )

    def _spotted(self, samples: Sequence[Sample], found: Found, kind: Kind) -> Spotted:
        ends = [samples[place] for place in (found.onset, found.apex, found.offset)]
        kept = [one for one in self.segment.samples if ends[0].number <= one.number <= ends[2].number]
        box, rotation, name = self._place
        onset, apex, offset = (one.number for one in ends)
        faces = tuple(one.face for one in kept) if kind in WITH_CLASS else ()
        return Spotted(
            *(onset, apex, offset, found.pixels, faces, box, rotation, kind),
            times=(ends[0].seconds, ends[1].seconds, ends[2].seconds),
            face_name=name,
            numbers=tuple(one.number for one in kept),
            remove_head=self.segment.remove_head,
            per_depth=tuple(one.per_depth for one in kept),
        )

    def _landmark_movements(self, until: float, chosen: Sequence[Spotted]) -> list[Spotted]:
        """Blinks, speech, motion of the head and covered parts that end up to a time and are not among the chosen movements."""
        samples = [one for one in self.segment.samples if not np.isnan(one.mouth)]
        # What is taken for a face for a moment is often none.
        if not samples or samples[-1].seconds - self._first < _MIN_SECONDS:
            return []
        times = np.array([one.seconds for one in samples])
        spans: list[tuple[Kind, tuple[float, float]]] = [
            *(("blink or gaze", span) for span in blink_spans(times, np.array([one.openness for one in samples]))),
            *(("speech", span) for span in speech_spans(list(times), [one.mouth for one in samples])),
            *(("head motion", span) for span in head_spans(times, np.array([one.motion[:3] for one in samples]))),
            *(("face covered", span) for span in covered_spans(times, np.array([one.covered for one in samples]))),
        ]
        found = []
        for kind, (first, last) in spans:
            known = any(one.kind == kind and one.times[0] <= last and first <= one.times[2] for one in chosen)
            if self._reported < last <= until and not known:
                onset, apex, offset = (int(np.searchsorted(times, time)) for time in (first, (first + last) / 2, last))
                found.append(self._spotted(samples, Found(onset, apex, offset, np.nan), kind))
        self._reported = until
        return found


def _overlap(first: Spotted, second: Spotted) -> bool:
    """Whether two movements share more than 30% of the shorter one."""
    shared = min(first.offset, second.offset) - max(first.onset, second.onset)
    return shared > _SHARED * min(first.offset - first.onset, second.offset - second.onset)


def _head_range(motions: Sequence[HeadMotion]) -> tuple[float, float]:
    """Largest rotation since the first frame in degrees, and largest displacement in pixels of a face 128 wide."""
    values = np.array(motions) - np.array(motions[0])
    turned = np.linalg.norm(values[:, :3], axis=1)
    moved = np.hypot(values[:, 4], values[:, 5]) + _FACE_RADIUS * np.abs(values[:, 3])
    return float(turned.max()), float(moved.max())


def _clock(samples: Sequence[Sample]) -> NDArray[np.float64]:
    times = np.array([one.seconds for one in samples])
    return np.arange(len(samples), dtype=np.float64) if np.isnan(times).any() else times


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _mean_near(fields: NDArray[np.floating], place: int) -> NDArray[np.float64]:
    return fields[max(0, place - _NEAR_APEX) : place + _NEAR_APEX + 1].mean(axis=0)

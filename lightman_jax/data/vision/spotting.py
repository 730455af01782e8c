"""Movement spotting in a video of any length, in one pass: onset, apex, offset and kind of each movement of each face.

Every face is followed by its landmarks. A segment of a face ends where it is lost or the head has moved far; its frames are aligned
to the first one and searched in windows of several lengths, and only the frames of the longest window stay in memory.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_search import FaceSearch
from lightman_jax.data.vision.face_segments import absolute_angles
from lightman_jax.data.vision.face_tracking import TrackedFace
from lightman_jax.data.vision.movement_kinds import refused_pose
from lightman_jax.data.vision.spotted import CurvePoint, SpotConfig, Spotted
from lightman_jax.data.vision.video import TimedFrame
from lightman_jax.data.vision.visible_faces import NO_FACE, GivenFace, VisibleFaces

__all__ = ["CurvePoint", "Gap", "MovementSearch", "Search", "SpotConfig", "Spotted", "cut_movement", "search_movements"]

_MAX_FRAMES_WITHOUT_FPS, _MAX_SPAN = 300, 3000
_CLIP_SECONDS, _MISSING_SECONDS = 3.0, 0.15


class Gap(NamedTuple):
    """First and last number of frames without a usable face, the reason, and their times in seconds; NaN if unknown."""

    first: int
    last: int
    reason: str
    begin: float = np.nan
    end: float = np.nan


class Search(NamedTuple):
    """Result of a search.

    Attributes:
      movements: in temporal order.
      curve: peak displacement of each window.
      gaps: frames that could not be analysed.
      frames: number of frames of the video.
      whole: whether the video has the length of a clip, 3 s or less.
      seconds: time of the last frame; NaN if unknown.
      notes: what is unusual in the frames.
    """

    movements: tuple[Spotted, ...]
    curve: tuple[CurvePoint, ...]
    gaps: tuple[Gap, ...]
    frames: int
    whole: bool
    seconds: float = np.nan
    notes: tuple[str, ...] = ()


class Followed(NamedTuple):
    """A face in the newest frame: its name, and its points `[478, 3]` in pixels of the upright frame."""

    name: str
    points: NDArray[np.float32]


def search_movements(
    frames: Iterable[TimedFrame],
    fps: float,
    config: SpotConfig,
    *,
    box: GivenFace | None = None,
    on_frame: Callable[[int], None] | None = None,
    on_movement: Callable[[Spotted], None] | None = None,
) -> Search:
    """Find all movements of a video.

    Args:
      frames: all of one size; read once.
      fps: frames per second, of which the times of the frames may differ; 0 is unknown, and a video of up to 300 frames without
        times is then one clip.
      config: thresholds.
      box: box of the face in every frame, `whole`, or landmarks `[68, 2]` by the number of the frame; None follows all faces.
      on_frame: called with the number of each frame.
      on_movement: called with each movement as soon as no stronger one can replace it; the result then holds no faces. None keeps
        all faces, so memory grows with the number of movements.

    Raises:
      ValueError: fewer than `min_fps` frames per second, or more than 300 frames at an unknown number.
    """
    search = MovementSearch(fps, config, box=box, on_movement=on_movement)
    number = 0
    for number, frame in enumerate(frames, start=1):
        search.add(number, frame.image, frame.seconds)
        if on_frame is not None:
            on_frame(number)
    return search.finish()


class MovementSearch:
    """A search that is given one frame after the other.

    Args: as in `search_movements`.

    Attributes:
      movements: found so far.
      curve: as of `Search`.
      gaps: as of `Search`.

    Raises:
      ValueError: as in `search_movements`.
    """

    def __init__(
        self,
        fps: float,
        config: SpotConfig,
        *,
        box: GivenFace | None = None,
        on_movement: Callable[[Spotted], None] | None = None,
    ) -> None:
        if 0 < fps < config.min_fps:
            raise ValueError(
                f"{fps:g} frames per second are too few: a micro-expression lasts 1/25 to 1/2 s; record "
                f"{np.ceil(config.min_fps):g} or more, or give --fps=FPS if the file states it wrongly"
            )
        self._config, self._on_movement = config, on_movement
        self._stride = max(1, int(np.ceil(fps / config.max_rate)))
        self._visible = VisibleFaces(config.face, box)
        self._searches: dict[int, FaceSearch] = {}
        self._segments, self._number, self._seconds = 0, 0, np.nan
        self._gap_start, self._gap_reason, self._gap_begin = 1, "", np.nan
        self._refusal, self._named, self._lost = "", set[int](), tuple[int, ...]()
        self.movements: list[Spotted] = []
        self.curve: list[CurvePoint] = []
        self.gaps: list[Gap] = []

    @property
    def faces(self) -> tuple[Followed, ...]:
        """Faces in the newest frame."""
        return tuple(Followed(self._name(face.number), face.landmarks.points) for face in self._visible.faces)

    def add(self, number: int, image: NDArray[np.uint8], seconds: float) -> None:
        """Process the next frame: its number from 1, `[H, W, 3]` uint8 RGB, and its time, NaN if unknown.

        Raises:
          ValueError: more than 300 frames without times.
        """
        self._number = number
        if np.isnan(seconds) and number > _MAX_FRAMES_WITHOUT_FPS:
            raise ValueError(
                f"more than {_MAX_FRAMES_WITHOUT_FPS} frames, and the number per second is unknown; give --fps=FPS"
            )
        if (number - 1) % self._stride:
            return
        self._seconds = seconds
        upright, reason = self._visible.update(image, number, seconds)
        usable = 0
        for face in self._visible.faces:
            refused = refused_pose(*absolute_angles(face.landmarks))
            reason = reason or refused
            if not refused:
                usable += self._measure(face, number, seconds, upright)
        if self._visible.fixed is not None and not self._visible.faces:
            usable += self._measure(None, number, seconds, upright)
        self._end_missing(seconds)
        self._note_gap(number, "" if usable else reason or self._refusal)

    def finish(self) -> Search:
        """Process the end of the video."""
        is_clip = self._segments == 1 and not self.gaps and not self._gap_reason
        for search in self._searches.values():
            self._report(search.finish(is_clip))
        self._searches.clear()
        self._note_gap(self._number + 1, "")
        self.movements.sort(key=lambda one: (one.onset, one.face_name))
        whole = not self._seconds > _CLIP_SECONDS
        found = (tuple(self.movements), tuple(self.curve), tuple(self.gaps))
        return Search(*found, self._number, whole, self._seconds)

    def _measure(self, face: TrackedFace | None, number: int, seconds: float, upright: NDArray[np.uint8]) -> bool:
        """Add a frame to the segment of a face, and begin one if needed; False if the face cannot be used."""
        key = face.number if face else 0
        landmarks = face.landmarks if face else None
        search = self._searches.get(key)
        if search is not None and not search.segment.add(number, seconds, upright, landmarks):
            self._report(self._searches.pop(key).finish(is_clip=False))
            search = None
        if search is None:
            segment, box, self._refusal = self._visible.begin(upright, landmarks)
            if self._refusal:
                return False
            segment.add(number, seconds, upright, landmarks)
            place = (box, self._visible.rotation, self._name(key))
            search = FaceSearch(segment, self._config, place, not np.isnan(seconds), self.curve)
            self._searches[key] = search
            self._segments += 1
            self._named.add(key)
        self._report(search.update())
        return True

    def _end_missing(self, seconds: float) -> None:
        """End the segments whose face has not been seen for a while."""
        for key, search in list(self._searches.items()):
            if seconds - search.segment.samples[-1].seconds > _MISSING_SECONDS:
                self._report(self._searches.pop(key).finish(is_clip=False))

    def _report(self, movements: list[Spotted]) -> None:
        for movement in movements:
            if self._on_movement is not None:
                self._on_movement(movement)
                movement = movement._replace(faces=(), per_depth=())
            self.movements.append(movement)

    def _note_gap(self, number: int, reason: str) -> None:
        """Continue, begin or end a gap at a frame."""
        if _kind(reason) == _kind(self._gap_reason):
            return
        if self._gap_reason:
            gap = Gap(self._gap_start, number - 1, self._gap_reason, self._gap_begin, self._seconds)
            self.gaps.append(gap)
            if self._lost:
                self._report([_face_lost(gap, self._name(*self._lost) if len(self._lost) == 1 else "")])
        self._gap_start, self._gap_reason, self._gap_begin = number, reason, self._seconds
        self._lost = tuple(self._named)

    def _name(self, number: int) -> str:
        return f"face {number}" if number else ""


def cut_movement(
    frames: Iterable[TimedFrame],
    onset: int,
    apex: int,
    offset: int,
    config: SpotConfig,
    *,
    box: GivenFace | None = None,
) -> Spotted:
    """Align the faces of a movement with known frame numbers, from 1, without measuring it: `pixels` is NaN.

    Args: as in `search_movements`. Of several faces the largest is taken.

    Raises:
      ValueError: the frames do not exist or are out of order, or the face cannot be used.
    """
    if not 1 <= onset < apex <= offset:
        order = f"onset {onset}, apex {apex}, offset {offset}"
        raise ValueError(f"{order}: frames count from 1, and onset < apex <= offset")
    count = offset - onset + 1
    if count > _MAX_SPAN:
        raise ValueError(f"{count} frames from onset to offset; give at most {_MAX_SPAN}, or search the video")
    visible = VisibleFaces(config.face, box)
    segment, found, own, times, number = None, None, 0, [], 0
    for number, frame in enumerate(frames, start=1):
        if number < onset:
            continue
        upright, reason = visible.update(frame.image, number, np.nan)
        if segment is None:
            own = visible.faces[0].number if visible.faces else 0
        landmarks = next((face.landmarks for face in visible.faces if face.number == own), None)
        if landmarks is None and (visible.fixed is None or own):
            raise ValueError(f"frame {number}: {reason or 'the face is lost; ' + NO_FACE}")
        if segment is None:
            segment, found, reason = visible.begin(upright, landmarks)
            if reason:
                raise ValueError(f"frame {number}: {reason}")
        if not segment.add(number, frame.seconds, upright, landmarks):
            raise ValueError(f"frame {number}: the head has moved far from its pose at the onset")
        times.append(frame.seconds)
        if number == offset:
            break
    if segment is None or number < offset:
        raise ValueError(f"frame {offset} does not exist; the video has {number} frames")
    return Spotted(
        *(onset, apex, offset, np.nan, tuple(one.face for one in segment.samples), found, visible.rotation),
        times=(times[0], times[apex - onset], times[-1]),
        numbers=tuple(one.number for one in segment.samples),
        remove_head=segment.remove_head,
        per_depth=tuple(one.per_depth for one in segment.samples),
    )


def _face_lost(gap: Gap, name: str) -> Spotted:
    """A gap after a face was seen, as a movement without class; `name` is that of the only face."""
    middle = (gap.first + gap.last) // 2
    times = (gap.begin, (gap.begin + gap.end) / 2, gap.end)
    return Spotted(gap.first, middle, gap.last, np.nan, (), None, 0, "face lost", times, name)


def _kind(reason: str) -> str:
    """A reason without its numbers, which differ between frames."""
    return reason.split("(")[0]

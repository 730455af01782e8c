"""Find movements of a face in a recording of any length, in one pass: onset, apex and offset of each, or why there is none.

The face is searched for, upright or turned by quarters, and its square kept while it stays where it is; where it moves away or is
lost a stretch ends. A stretch no longer than a clip is looked at as a whole, a longer one through a window that slides by a quarter
of its length. Only the faces of one window are kept in memory.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.apex import FLOW_SIDE, displacements, risen_and_fallen, smooth_course
from lightman_jax.data.faces import FaceBox, crop_face, find_faces
from lightman_jax.data.images import grey_image

_REFERENCE_SIDE = 128
_REST, _STRONGEST_PLACES = 0.15, 12
_LONGEST_UNKNOWN = 300
_FEWEST_FOR_SMOOTHNESS = 16
_FEWEST_OF_WINDOW, _FEWEST_OF_COURSE = 8, 3
_SECOND_FACE, _MOST_SHIFT = 0.6, 0.25

Whole = Literal["whole"]
WHOLE: Whole = "whole"
"""In place of a face's square: every frame shows the face alone."""


@dataclasses.dataclass(frozen=True)
class SpotConfig:
    """What counts as a movement, and what is too poor to be looked at.

    Attributes:
      least_pixels: smallest peak displacement, pixels of a face 128 wide.
      least_clearness: smallest ratio of the peak of the movement's course to the roughness of that course.
      clip_seconds: recordings up to this length are one clip; longer ones are searched.
      window_seconds: of the search; a movement must begin and end within it.
      face_side: pixels of the square that is cut out.
      least_face: smallest face, pixels of the recording.
      least_light: smallest mean grey level of the face, of 255.
      least_contrast: smallest sd of its grey levels.
      least_rate: fewest frames a second.

    Choice of the first two: the portrait of `experiments.demo` held still, with sensor noise of 0.5 to 8 grey levels and a head
      swaying by up to 5 pixels, has up to 0.21 pixels where the clearness is 10; movements of 0.5 pixels have 0.28 and 20.
      The rate: a micro-expression lasts 1/25 to 1/2 s; the slowest corpora are filmed at 25.
    """

    least_pixels: float = 0.25
    least_clearness: float = 10.0
    clip_seconds: float = 3.0
    window_seconds: float = 1.0
    face_side: int = 128
    least_face: int = 48
    least_light: float = 20.0
    least_contrast: float = 6.0
    least_rate: float = 24.0


class Spotted(NamedTuple):
    """A movement.

    Attributes:
      onset: its first frame, counted from 1.
      apex: its strongest frame.
      offset: its last frame.
      pixels: peak displacement, pixels of a face 128 wide; head motion is taken out.
      faces: `[face_side, face_side, 3]` uint8 of every frame from onset to offset.
      box: where the face is in the (turned) frame; None is the whole of it.
      turned: quarter turns to the left by which frames were set upright.
    """

    onset: int
    apex: int
    offset: int
    pixels: float
    faces: tuple[NDArray[np.uint8], ...]
    box: FaceBox | None
    turned: int


class Stretch(NamedTuple):
    """Frames of which nothing can be said, from 1, and why."""

    first: int
    last: int
    reason: str


class Search(NamedTuple):
    """What was found in a recording.

    Attributes:
      movements: in the order of time.
      course: last frame and peak displacement of each window that was looked at.
      stretches: what could not be looked at.
      frames: how many there were.
      whole: whether the recording was looked at as one clip.
    """

    movements: tuple[Spotted, ...]
    course: tuple[tuple[int, float], ...]
    stretches: tuple[Stretch, ...]
    frames: int
    whole: bool


class Course(NamedTuple):
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
    clearness: float
    rests: bool
    returns: bool


def movement_course(faces: Iterable[NDArray[np.uint8]], most_frames: int = 64) -> Course:
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
    course = times[:, 0] * sizes[0]
    smooth = smooth_course(course)
    if -smooth.min() > smooth.max():
        course, smooth = -course, -smooth
    apex = 1 + int(smooth[1:-1].argmax())
    peak = max(float(smooth[apex]), 0.0)
    before = np.flatnonzero(smooth[:apex] < _REST * peak)
    after = apex + np.flatnonzero(smooth[apex:] < _REST * peak)
    displaced = np.sort(np.hypot(*places[0].reshape(-1, 2).T))[-_STRONGEST_PLACES:].mean()
    roughness = float(np.sqrt(np.mean(np.square((course - smooth)[1:]))))
    return Course(
        int(picked[before[-1]]) if len(before) else 0,
        int(picked[apex]),
        int(picked[after[0]]) if len(after) else len(stack) - 1,
        float(peak * displaced * _REFERENCE_SIDE / FLOW_SIDE),
        # A few frames have no roughness to speak of.
        peak / max(roughness, 1e-9) if len(picked) >= _FEWEST_FOR_SMOOTHNESS else np.inf,
        bool(len(before) and len(after)),
        abs(float(moved[-1] @ places[0])) < peak,
    )


def search_movements(
    frames: Iterable[NDArray[np.uint8]],
    rate: float,
    config: SpotConfig,
    *,
    box: FaceBox | Whole | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Search:
    """Look at every frame once, and find the movements.

    Args:
      frames: `[H, W, 3]` uint8, all of one size.
      rate: frames a second; 0 is unknown, and then up to 300 frames are taken for one clip.
      config: what counts.
      box: where the face is in every frame, or `whole`; None searches for it.
      on_frame: called with the number of each frame.

    Raises:
      ValueError: more than 300 frames whose rate is unknown, or too low a rate.
    """
    if 0 < rate < config.least_rate:
        raise ValueError(
            f"{rate:g} frames a second are too few: a micro-expression lasts 1/25 to 1/2 s; film at {config.least_rate:g} or "
            "more, or type --rate=FPS if the file states it wrongly"
        )
    watch = _Watch(rate, config, box)
    number = 0
    for number, frame in enumerate(frames, start=1):
        watch.see(number, frame)
        if on_frame is not None:
            on_frame(number)
    watch.finish(number)
    return Search(tuple(watch.movements), tuple(watch.course), tuple(watch.stretches), number, watch.whole)


def cut_movement(
    frames: Iterable[NDArray[np.uint8]],
    onset: int,
    apex: int,
    offset: int,
    config: SpotConfig,
    *,
    box: FaceBox | Whole | None = None,
) -> Spotted:
    """The faces of a movement whose frames are known; nothing is measured, and `pixels` is not a number.

    Args:
      frames: as `search_movements`.
      onset: number of its first frame, from 1.
      apex: of the strongest one.
      offset: of the last one.
      config: what is too poor to be looked at.
      box: as `search_movements`.

    Raises:
      ValueError: frames that are not there or not in this order, or a face that cannot be used.
    """
    if not 1 <= onset < apex <= offset:
        raise ValueError(
            f"onset {onset}, apex {apex}, offset {offset}: frames count from 1, and onset < apex <= offset"
        )
    watch, faces, found, number = _Watch(0.0, config, box), [], None, 0
    for number, frame in enumerate(frames, start=1):
        if number == onset:
            found = watch.find(frame)
            if not found.visible:
                raise ValueError(f"frame {onset}: {found.why}")
        if found is not None:
            faces.append(crop_face(np.rot90(frame, found.turned), found.box, config.face_side))
        if number == offset:
            break
    if found is None or number < offset:
        raise ValueError(f"there are {number} frames; frame {offset} is not one of them")
    return Spotted(onset, apex, offset, np.nan, tuple(faces), found.box, found.turned)


class _Watch:
    """The one pass over a recording."""

    def __init__(self, rate: float, config: SpotConfig, given: FaceBox | Whole | None) -> None:
        self._config, self._given, self._rate = config, given, rate
        self._clip = round(rate * config.clip_seconds) if rate else _LONGEST_UNKNOWN
        self._window = max(_FEWEST_OF_WINDOW, round((rate or _LONGEST_UNKNOWN) * config.window_seconds))
        self._stride = max(1, self._window // 4)
        self._sees = False
        self._box: FaceBox | None = None
        self._turned = 0
        self._faces: list[NDArray[np.uint8]] = []
        self._checked = self._looked = 0
        self._lost_since, self._why = 1, ""
        self.whole = True
        self.movements: list[Spotted] = []
        self.course: list[tuple[int, float]] = []
        self.stretches: list[Stretch] = []

    def see(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Take the next frame."""
        if self.whole and number > self._clip:
            if not self._rate:
                raise ValueError(
                    f"more than {_LONGEST_UNKNOWN} frames, and nothing says how many a second; type --rate=FPS"
                )
            self.whole = False
            self._slide(number - 1)
        if self._sees and self._given is None and number - self._checked >= self._window:
            self._check(number, frame)
        elif not self._sees and (number - self._lost_since) % self._stride == 0:
            self._begin(number, self.find(frame))
        if not self._sees:
            return
        self._faces.append(crop_face(np.rot90(frame, self._turned), self._box, self._config.face_side))
        if not self.whole and len(self._faces) >= self._window and number - self._looked >= self._stride:
            self._look(number, self._faces[-self._window :])
            del self._faces[: -self._window]

    def finish(self, last: int) -> None:
        """There are no more frames."""
        if self._sees:
            self._end(last)
        else:
            self._leave_out(last + 1)

    def _begin(self, number: int, found: "_Found") -> None:
        """Start a stretch if there is one face, well visible; say of the frames before why there was none."""
        if self._why and (found.visible or found.why != self._why):
            self._leave_out(number)
        self._why = found.why
        if found.visible:
            self._sees, self._box, self._turned = True, found.box, found.turned
            self._faces, self._checked, self._looked = [], number, number

    def _check(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Keep the square while the face is where it was; else end the stretch and begin another one."""
        self._checked = number
        found = self.find(frame)
        kept = self._box
        if found.box is not None and kept is not None and found.visible and found.turned == self._turned:
            shift = np.hypot(found.box.top - kept.top, found.box.left - kept.left) + abs(found.box.side - kept.side)
            if shift <= _MOST_SHIFT * kept.side:
                return
        self._end(number - 1)
        self._sees, self._lost_since, self._why = False, number, ""
        self._begin(number, found)

    def _end(self, last: int) -> None:
        """What is left of a stretch is looked at."""
        if len(self._faces) >= _FEWEST_OF_COURSE and (self.whole or self._looked < last):
            self._look(last, self._faces if self.whole else self._faces[-self._window :])

    def _slide(self, number: int) -> None:
        """The recording is longer than a clip: what was kept until now, up to this frame, is looked at through the window."""
        for end in range(self._window, len(self._faces) + 1, self._stride):
            self._look(number - len(self._faces) + end, self._faces[end - self._window : end])

    def _leave_out(self, number: int) -> None:
        """Say of the frames up to this one why nothing can be said."""
        if number > self._lost_since:
            self.stretches.append(Stretch(self._lost_since, number - 1, self._why))
            self._lost_since = number

    def find(self, frame: NDArray[np.uint8]) -> "_Found":
        """The one face of a frame, and the quarter turns that set it upright, or why there is none."""
        height, width = frame.shape[:2]
        if self._given == WHOLE:
            return _Found(None, 0, self._poor(frame, None))
        if self._given is not None:
            side = max(2, min(self._given.side, height, width))
            top, left = (max(0, min(p, m - side)) for p, m in zip(self._given[:2], (height, width), strict=True))
            box = FaceBox(top, left, side, "given")
            return _Found(box, 0, self._poor(frame, box))
        for turned in sorted(range(4), key=lambda turn: turn != self._turned):
            upright = np.ascontiguousarray(np.rot90(frame, turned))
            faces = find_faces(upright)
            if faces:
                break
        else:
            light = grey_image(frame).mean()
            if light < self._config.least_light:
                return _Found(None, 0, f"too dark to find a face (mean grey level {light:.0f} of 255); light it")
            return _Found(
                None, 0, "no face was found; show it from the front, or type --face=TOP,LEFT,SIDE or --face=whole"
            )
        if len(faces) > 1 and faces[1].side >= _SECOND_FACE * faces[0].side:
            places = " or ".join(f"--face={face.top},{face.left},{face.side}" for face in faces)
            return _Found(None, turned, f"{len(faces)} faces; choose one of them: {places}")
        return _Found(faces[0], turned, self._poor(upright, faces[0]))

    def _poor(self, frame: NDArray[np.uint8], box: FaceBox | None) -> str:
        """Why a face is too poor to be looked at; empty if it is not."""
        side = min(frame.shape[:2]) if box is None else box.side
        if side < self._config.least_face:
            return f"the face is {side} pixels wide; film it at {self._config.least_face} or more"
        grey = grey_image(crop_face(frame, box, self._config.face_side))
        if grey.mean() < self._config.least_light:
            return f"the face is too dark (mean grey level {grey.mean():.0f} of 255); light it"
        if grey.std() < self._config.least_contrast:
            return f"the face has no contrast (sd {grey.std():.1f} grey levels); light and focus it"
        return ""

    def _look(self, number: int, faces: list[NDArray[np.uint8]]) -> None:
        """Take the course of some faces, of which `number` is the last frame, and note a movement."""
        self._looked = number
        course = movement_course([grey_image(face) for face in faces], 64 if self.whole else 32)
        self.course.append((number, course.pixels))
        clear = course.pixels >= self._config.least_pixels and course.clearness >= self._config.least_clearness
        if clear and course.returns and (self.whole or course.rests):
            self._note(number - len(faces) + 1, course, faces)

    def _note(self, first: int, course: Course, faces: list[NDArray[np.uint8]]) -> None:
        """Keep a movement; of those that overlap, which windows make of the flanks of one, the strongest."""
        numbers = (first + course.onset, first + course.apex, first + course.offset)
        kept = tuple(faces[course.onset : course.offset + 1])
        one = Spotted(*numbers, course.pixels, kept, self._box, self._turned)
        overlaps = [before.offset > one.onset and one.offset > before.onset for before in self.movements]
        rivals = [before for before, does in zip(self.movements, overlaps, strict=True) if does]
        if all(one.pixels > before.pixels for before in rivals):
            self.movements = [b for b, does in zip(self.movements, overlaps, strict=True) if not does] + [one]


class _Found(NamedTuple):
    box: FaceBox | None
    turned: int
    why: str

    @property
    def visible(self) -> bool:
        return not self.why

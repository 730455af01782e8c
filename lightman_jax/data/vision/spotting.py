"""Find movements of a face in a recording of any length, in one pass: onset, apex and offset of each, or why there is none.

The face is searched for, upright or turned by quarters, and its square kept while it stays where it is; where it moves away or is
lost a stretch ends. A stretch no longer than a clip is looked at as a whole, a longer one through a window that slides by a quarter
of its length. Only the faces of one window are kept in memory.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.curve import DisplacementCurve, displacement_curve
from lightman_jax.data.vision.faces import FaceBox, crop_face, find_faces
from lightman_jax.data.vision.images import grey_image
from lightman_jax.data.vision.visibility import Visibility, VisibleFace, Whole, visible_face

_LONGEST_UNKNOWN, _LONGEST_SPAN = 300, 3000
_FEWEST_OF_WINDOW, _FEWEST_OF_CURVE = 8, 3
_MOST_SHIFT = 0.25


@dataclasses.dataclass(frozen=True)
class SpotConfig:
    """What counts as a movement, and what is too poor to be looked at.

    Attributes:
      least_pixels: smallest peak displacement, pixels of a face 128 wide.
      least_clearness: smallest ratio of the peak of the movement's course to the roughness of that course.
      clip_seconds: recordings up to this length are one clip; longer ones are searched.
      window_seconds: of the search; a movement must begin and end within it.
      face: what the face must have, and how large it is cut out.
      least_rate: fewest frames a second.

    Choice of the first two: the portrait of `experiments.demo` held still, with sensor noise of 0.5 to 8 grey levels and a head
      swaying by up to 5 pixels, has up to 0.21 pixels where the clearness is 10; movements of 0.5 pixels have 0.28 and 20.
      The rate: a micro-expression lasts 1/25 to 1/2 s; the slowest corpora are filmed at 25.
    """

    least_pixels: float = 0.25
    least_snr: float = 10.0
    clip_seconds: float = 3.0
    window_seconds: float = 1.0
    face: Visibility = dataclasses.field(default_factory=Visibility)
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
    curve: tuple[tuple[int, float], ...]
    stretches: tuple[Stretch, ...]
    frames: int
    whole: bool


def search_movements(
    frames: Iterable[NDArray[np.uint8]],
    rate: float,
    config: SpotConfig,
    *,
    box: FaceBox | Whole | None = None,
    on_frame: Callable[[int], None] | None = None,
    on_movement: Callable[[Spotted], None] | None = None,
) -> Search:
    """Look at every frame once, and find the movements.

    Args:
      frames: `[H, W, 3]` uint8, all of one size.
      rate: frames a second; 0 is unknown, and then up to 300 frames are taken for one clip.
      config: what counts.
      box: where the face is in every frame, or `whole`; None searches for it.
      on_frame: called with the number of each frame.
      on_movement: called with each movement once no stronger one can take its place; its faces are then let go, and
        missing in what is returned. None keeps all faces, and memory grows with the number of movements.

    Raises:
      ValueError: more than 300 frames whose rate is unknown, or too low a rate.
    """
    if 0 < rate < config.least_rate:
        raise ValueError(
            f"{rate:g} frames a second are too few: a micro-expression lasts 1/25 to 1/2 s; film at {config.least_rate:g} or "
            "more, or type --rate=FPS if the file states it wrongly"
        )
    watch = _Window(rate, config, box, on_movement)
    number = 0
    for number, frame in enumerate(frames, start=1):
        watch.see(number, frame)
        if on_frame is not None:
            on_frame(number)
    watch.finish(number)
    return Search(tuple(watch.movements), tuple(watch.curve), tuple(watch.stretches), number, watch.whole)


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
    if offset - onset >= _LONGEST_SPAN:
        raise ValueError(
            f"{offset - onset + 1} frames from onset to offset; name at most {_LONGEST_SPAN}, or search the recording"
        )
    faces, found, number = [], None, 0
    for number, frame in enumerate(frames, start=1):
        if number == onset:
            found = visible_face(frame, config.face, given=box)
            if not found.visible:
                raise ValueError(f"frame {onset}: {found.why}")
        if found is not None:
            faces.append(crop_face(np.rot90(frame, found.turned), found.box, config.face.side))
        if number == offset:
            break
    if found is None or number < offset:
        raise ValueError(f"there are {number} frames; frame {offset} is not one of them")
    return Spotted(onset, apex, offset, np.nan, tuple(faces), found.box, found.turned)


class _Window:
    """The one pass over a recording."""

    def __init__(
        self,
        rate: float,
        config: SpotConfig,
        given: FaceBox | Whole | None,
        on_movement: Callable[[Spotted], None] | None = None,
    ) -> None:
        self._config, self._given, self._rate, self._on_movement = config, given, rate, on_movement
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
        self.curve: list[tuple[int, float]] = []
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
            self._begin(number, visible_face(frame, self._config.face, given=self._given, turned=self._turned))
        if not self._sees:
            return
        self._faces.append(crop_face(np.rot90(frame, self._turned), self._box, self._config.face.side))
        if not self.whole and len(self._faces) >= self._window and number - self._looked >= self._stride:
            self._look(number, self._faces[-self._window :])
            del self._faces[: -self._window]
            self._settle(number - self._window)

    def finish(self, last: int) -> None:
        """There are no more frames."""
        if self._sees:
            self._end(last)
        else:
            self._leave_out(last + 1)
        self._settle(last)

    def _begin(self, number: int, found: VisibleFace) -> None:
        """Start a stretch if there is one face, well visible; say of the frames before why there was none."""
        if self._why and (found.visible or _kind(found.why) != _kind(self._why)):
            self._leave_out(number)
        self._why = found.why
        if found.visible:
            self._sees, self._box, self._turned = True, found.box, found.turned
            self._faces, self._checked, self._looked = [], number, number

    def _check(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Keep the square while the face is where it was; else end the stretch and begin another one."""
        self._checked = number
        kept = self._box
        assert kept is not None
        faces = find_faces(np.ascontiguousarray(np.rot90(frame, self._turned)))
        # Whoever else has come into the picture since does not matter.
        if any(_shift(face, kept) <= _MOST_SHIFT * kept.side for face in faces):
            return
        self._end(number - 1)
        self._sees, self._lost_since, self._why = False, number, ""
        self._begin(number, visible_face(frame, self._config.face, turned=self._turned))

    def _end(self, last: int) -> None:
        """What is left of a stretch is looked at."""
        if len(self._faces) >= _FEWEST_OF_CURVE and (self.whole or self._looked < last):
            self._look(last, self._faces if self.whole else self._faces[-self._window :])

    def _slide(self, number: int) -> None:
        """The recording is longer than a clip: what was kept until now, up to this frame, is looked at through the window."""
        for end in range(self._window, len(self._faces) + 1, self._stride):
            self._look(number - len(self._faces) + end, self._faces[end - self._window : end])

    def _settle(self, before: int) -> None:
        """Hand on the movements that end until a frame: no later window reaches them."""
        if self._on_movement is None:
            return
        for place, one in enumerate(self.movements):
            if one.faces and one.offset <= before:
                self._on_movement(one)
                self.movements[place] = one._replace(faces=())

    def _leave_out(self, number: int) -> None:
        """Say of the frames up to this one why nothing can be said."""
        if number > self._lost_since:
            self.stretches.append(Stretch(self._lost_since, number - 1, self._why))
            self._lost_since = number

    def _look(self, number: int, faces: list[NDArray[np.uint8]]) -> None:
        """Take the course of some faces, of which `number` is the last frame, and note a movement."""
        self._looked = number
        curve = displacement_curve([grey_image(face) for face in faces], 64 if self.whole else 32)
        self.curve.append((number, curve.pixels))
        clear = curve.pixels >= self._config.least_pixels and curve.snr >= self._config.least_snr
        if clear and curve.returns and (self.whole or curve.rests):
            self._note(number - len(faces) + 1, curve, faces)

    def _note(self, first: int, curve: DisplacementCurve, faces: list[NDArray[np.uint8]]) -> None:
        """Keep a movement; of those that overlap, which windows make of the flanks of one, the strongest."""
        numbers = (first + curve.onset, first + curve.apex, first + curve.offset)
        kept = tuple(faces[curve.onset : curve.offset + 1])
        one = Spotted(*numbers, curve.pixels, kept, self._box, self._turned)
        overlaps = [before.offset > one.onset and one.offset > before.onset for before in self.movements]
        rivals = [before for before, does in zip(self.movements, overlaps, strict=True) if does]
        if all(one.pixels > before.pixels for before in rivals):
            self.movements = [b for b, does in zip(self.movements, overlaps, strict=True) if not does] + [one]


def _shift(one: FaceBox, other: FaceBox) -> float:
    """How far a square has moved and grown, pixels."""
    return float(np.hypot(one.top - other.top, one.left - other.left)) + abs(one.side - other.side)


def _kind(reason: str) -> str:
    """A reason without its numbers, which change from frame to frame."""
    return reason.split("(")[0]

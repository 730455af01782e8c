"""Movement spotting in a video of any length, in one pass: onset, apex and offset of each movement, or why there is none.

The face is searched for at four rotations, and its box is kept while the face stays there. A visible segment ends where the face
moves away or is lost. A segment of a short video is analysed as a whole; in a longer video a window slides over it by a quarter
of its length, and only the faces of one window stay in memory.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.apex import DisplacementCurve, displacement_curve
from lightman_jax.data.vision.faces import FaceBox, FaceLimits, VisibleFace, Whole, crop_face, find_faces, visible_face
from lightman_jax.data.vision.images import grey_image

_MAX_FRAMES_WITHOUT_FPS, _MAX_SPAN = 300, 3000
_MIN_WINDOW, _MIN_SEGMENT = 8, 3
_WINDOW_SAMPLES, _CLIP_SAMPLES = 32, 64
_MAX_SHIFT = 0.25


@dataclasses.dataclass(frozen=True)
class SpotConfig:
    """Thresholds of a movement and of its video.

    Attributes:
      min_pixels: smallest peak displacement, in pixels of a face 128 wide.
      min_snr: smallest signal-to-noise ratio of the displacement curve.
      clip_seconds: videos up to this length are one clip; longer ones are searched in windows.
      window_seconds: length of a window; a movement must begin and end within it.
      face: what the face needs, and the side of its crop.
      min_fps: fewest frames per second.

    Choice: the portrait of `experiments.demo` at rest, with sensor noise of 0.5 to 8 grey levels and head sway of up to 5 pixels,
      reaches 0.21 pixels at a signal-to-noise ratio of 10; movements of 0.5 pixels reach 0.28 at 20. A micro-expression lasts
      1/25 to 1/2 s, and the slowest corpora have 25 frames per second.
    """

    min_pixels: float = 0.25
    min_snr: float = 10.0
    clip_seconds: float = 3.0
    window_seconds: float = 1.0
    face: FaceLimits = dataclasses.field(default_factory=FaceLimits)
    min_fps: float = 24.0


class Spotted(NamedTuple):
    """A movement.

    Attributes:
      onset, apex, offset: numbers of its first, strongest and last frame, from 1.
      pixels: peak displacement without head motion, in pixels of a face 128 wide.
      faces: `[face_side, face_side, 3]` uint8 of every frame from onset to offset.
      box: box of the face in the rotated frame; None is the whole frame.
      rotation: counter-clockwise quarter turns that make the frames upright.
    """

    onset: int
    apex: int
    offset: int
    pixels: float
    faces: tuple[NDArray[np.uint8], ...]
    box: FaceBox | None
    rotation: int


class Gap(NamedTuple):
    """First and last number of frames without a usable face, and the reason."""

    first: int
    last: int
    reason: str


class Search(NamedTuple):
    """Result of a search.

    Attributes:
      movements: in temporal order.
      curve: number of the last frame and peak displacement, per window.
      gaps: frames that could not be analysed.
      frames: number of frames of the video.
      whole: whether the video was analysed as one clip.
    """

    movements: tuple[Spotted, ...]
    curve: tuple[tuple[int, float], ...]
    gaps: tuple[Gap, ...]
    frames: int
    whole: bool


def search_movements(
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    config: SpotConfig,
    *,
    box: FaceBox | Whole | None = None,
    on_frame: Callable[[int], None] | None = None,
    on_movement: Callable[[Spotted], None] | None = None,
) -> Search:
    """Find all movements of a video.

    Args:
      frames: `[H, W, 3]` uint8, all of one size; read once.
      fps: frames per second; 0 is unknown, and a video of up to 300 frames is then one clip.
      config: thresholds.
      box: box of the face in every frame, or `whole`; None searches for the face.
      on_frame: called with the number of each frame.
      on_movement: called with each movement as soon as no stronger one can replace it; the result then holds no faces. None keeps
        all faces, so memory grows with the number of movements.

    Raises:
      ValueError: fewer than `min_fps` frames per second, or more than 300 frames at an unknown number.
    """
    if 0 < fps < config.min_fps:
        raise ValueError(
            f"{fps:g} frames per second are too few: a micro-expression lasts 1/25 to 1/2 s; record {config.min_fps:g} or more, "
            "or give --fps=FPS if the file states it wrongly"
        )
    search = _Search(fps, config, box, on_movement)
    number = 0
    for number, frame in enumerate(frames, start=1):
        search.add(number, frame)
        if on_frame is not None:
            on_frame(number)
    search.finish(number)
    return Search(tuple(search.movements), tuple(search.curve), tuple(search.gaps), number, search.whole)


def cut_movement(
    frames: Iterable[NDArray[np.uint8]],
    onset: int,
    apex: int,
    offset: int,
    config: SpotConfig,
    *,
    box: FaceBox | Whole | None = None,
) -> Spotted:
    """Crop the faces of a movement with known frame numbers, from 1, without measuring it: `pixels` is NaN.

    Args: as in `search_movements`.

    Raises:
      ValueError: the frames do not exist or are out of order, or the face cannot be used.
    """
    if not 1 <= onset < apex <= offset:
        order = f"onset {onset}, apex {apex}, offset {offset}"
        raise ValueError(f"{order}: frames count from 1, and onset < apex <= offset")
    count = offset - onset + 1
    if count > _MAX_SPAN:
        raise ValueError(f"{count} frames from onset to offset; give at most {_MAX_SPAN}, or search the video")
    faces, found, number = [], None, 0
    for number, frame in enumerate(frames, start=1):
        if number == onset:
            found = visible_face(frame, config.face, given=box)
            if found.reason:
                raise ValueError(f"frame {onset}: {found.reason}")
        if found is not None:
            faces.append(crop_face(np.rot90(frame, found.rotation), found.box, config.face.side))
        if number == offset:
            break
    if found is None or number < offset:
        raise ValueError(f"frame {offset} does not exist; the video has {number} frames")
    return Spotted(onset, apex, offset, np.nan, tuple(faces), found.box, found.rotation)


class _Search:
    """State of `search_movements` after some frames."""

    def __init__(
        self,
        fps: float,
        config: SpotConfig,
        given: FaceBox | Whole | None,
        on_movement: Callable[[Spotted], None] | None,
    ) -> None:
        self._fps, self._config, self._given, self._on_movement = fps, config, given, on_movement
        self._clip = round(fps * config.clip_seconds) if fps else _MAX_FRAMES_WITHOUT_FPS
        self._window = max(_MIN_WINDOW, round((fps or _MAX_FRAMES_WITHOUT_FPS) * config.window_seconds))
        self._stride = max(1, self._window // 4)
        self._visible = False
        self._box: FaceBox | None = None
        self._rotation = 0
        self._faces: list[NDArray[np.uint8]] = []
        self._checked = self._analysed = 0
        self._gap_start, self._gap_reason = 1, ""
        self.whole = True
        self.movements: list[Spotted] = []
        self.curve: list[tuple[int, float]] = []
        self.gaps: list[Gap] = []

    def add(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Process the next frame."""
        if self.whole and number > self._clip:
            if not self._fps:
                raise ValueError(
                    f"more than {_MAX_FRAMES_WITHOUT_FPS} frames, and the number per second is unknown; give --fps=FPS"
                )
            self.whole = False
            # The video is longer than a clip: analyse the frames so far in windows.
            for end in range(self._window, len(self._faces) + 1, self._stride):
                self._analyse(number - 1 - len(self._faces) + end, self._faces[end - self._window : end])
        if self._visible and self._given is None and number - self._checked >= self._window:
            self._check_box(number, frame)
        elif not self._visible and (number - self._gap_start) % self._stride == 0:
            self._begin(number, visible_face(frame, self._config.face, given=self._given, rotation=self._rotation))
        if not self._visible:
            return
        self._faces.append(crop_face(np.rot90(frame, self._rotation), self._box, self._config.face.side))
        if not self.whole and len(self._faces) >= self._window and number - self._analysed >= self._stride:
            self._analyse(number, self._faces[-self._window :])
            del self._faces[: -self._window]
            self._report_until(number - self._window)

    def finish(self, last: int) -> None:
        """Process the end of the video."""
        if self._visible:
            self._end(last)
        else:
            self._close_gap(last + 1)
        self._report_until(last)

    def _begin(self, number: int, found: VisibleFace) -> None:
        """Begin a visible segment if the face is visible, or a gap if the reason has changed."""
        if self._gap_reason and (not found.reason or _kind(found.reason) != _kind(self._gap_reason)):
            self._close_gap(number)
        self._gap_reason = found.reason
        if not found.reason:
            self._visible, self._box, self._rotation = True, found.box, found.rotation
            self._faces, self._checked, self._analysed = [], number, number

    def _check_box(self, number: int, frame: NDArray[np.uint8]) -> None:
        """Keep the box while the face is near it, whatever other faces there are; else begin another segment."""
        self._checked = number
        box = self._box
        assert box is not None
        for face in find_faces(np.ascontiguousarray(np.rot90(frame, self._rotation))):
            shift = float(np.hypot(face.top - box.top, face.left - box.left)) + abs(face.side - box.side)
            if shift <= _MAX_SHIFT * box.side:
                return
        self._end(number - 1)
        self._visible, self._gap_start, self._gap_reason = False, number, ""
        self._begin(number, visible_face(frame, self._config.face, rotation=self._rotation))

    def _end(self, last: int) -> None:
        """Analyse the rest of a visible segment."""
        if len(self._faces) >= _MIN_SEGMENT and (self.whole or self._analysed < last):
            self._analyse(last, self._faces if self.whole else self._faces[-self._window :])

    def _report_until(self, number: int) -> None:
        """Report the movements that end up to a frame: later windows do not overlap them."""
        if self._on_movement is None:
            return
        for index, movement in enumerate(self.movements):
            if movement.faces and movement.offset <= number:
                self._on_movement(movement)
                self.movements[index] = movement._replace(faces=())

    def _close_gap(self, number: int) -> None:
        if number > self._gap_start:
            self.gaps.append(Gap(self._gap_start, number - 1, self._gap_reason))
            self._gap_start = number

    def _analyse(self, last: int, faces: list[NDArray[np.uint8]]) -> None:
        """Measure the displacement curve of consecutive faces up to frame `last`, and keep a movement that meets the thresholds."""
        self._analysed = last
        samples = _CLIP_SAMPLES if self.whole else _WINDOW_SAMPLES
        curve = displacement_curve([grey_image(face) for face in faces], samples)
        self.curve.append((last, curve.pixels))
        strong = curve.pixels >= self._config.min_pixels and curve.snr >= self._config.min_snr
        if strong and curve.is_one and curve.returns and (self.whole or curve.rests):
            self._keep_strongest(last - len(faces) + 1, curve, faces)

    def _keep_strongest(self, first: int, curve: DisplacementCurve, faces: list[NDArray[np.uint8]]) -> None:
        """Keep the strongest of overlapping movements; windows over the flanks of a movement find weaker copies of it."""
        span = (first + curve.onset, first + curve.apex, first + curve.offset)
        kept = tuple(faces[curve.onset : curve.offset + 1])
        new = Spotted(*span, curve.pixels, kept, self._box, self._rotation)
        rivals = [old for old in self.movements if old.offset > new.onset and new.offset > old.onset]
        if all(new.pixels > old.pixels for old in rivals):
            self.movements = [old for old in self.movements if not any(old is rival for rival in rivals)] + [new]


def _kind(reason: str) -> str:
    """A reason without its numbers, which differ between frames."""
    return reason.split("(")[0]

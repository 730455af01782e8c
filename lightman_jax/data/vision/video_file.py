"""Decode the frames of one video file, in one pass from its start: seeking stops at key frames in many videos."""

from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.folders.trees import MAX_IMAGE_PIXELS
from lightman_jax.data.vision.frame_times import FrameTimes
from lightman_jax.data.vision.images import resize_image

_MAX_FPS = 5000.0
_LEAST_STRETCH = 0.01
_SHORTER, _SHORTER_SECONDS = 0.1, 0.25


class VideoFile:
    """A video file open at its start; use it as a context.

    Frames are rotated as the file's metadata specify, and resized to square pixels. Their number in the header is not used,
    since it is missing or wrong in many files.

    Args:
      path: the file. The type is that of the name, also of a link to a file of another name.

    Attributes:
      position: number of frames passed.
      times: of the frames passed.

    Raises:
      ValueError: OpenCV cannot open it, or its frames exceed `MAX_IMAGE_PIXELS`.
    """

    def __init__(self, path: Path) -> None:
        self._name, self._video, self.position = path.name, cv2.VideoCapture(str(path)), 0
        if not self._video.isOpened():
            self._video.release()
            raise ValueError(f"{path.name} is no video that OpenCV can open ({path.stat().st_size} bytes)")
        self._check_size(self.stretch)
        self.times = FrameTimes(self.fps)

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._video.release()

    @property
    def fps(self) -> float:
        """Frames per second; 0 if unknown."""
        fps = self._video.get(cv2.CAP_PROP_FPS)
        return fps if 0 < fps <= _MAX_FPS else 0.0

    @property
    def stretch(self) -> float:
        """Width of a pixel over its height; 1 if square or unknown."""
        wide, high = self._video.get(cv2.CAP_PROP_SAR_NUM), self._video.get(cv2.CAP_PROP_SAR_DEN)
        stretch = wide / high if wide > 0 and high > 0 else 1.0
        # Encoders round the aspect of frames whose size they change.
        return 1.0 if abs(stretch - 1) < _LEAST_STRETCH else stretch

    @property
    def notes(self) -> tuple[str, ...]:
        """What is changed in every frame, in words."""
        changed = self.stretch != 1
        return (f"pixels {self.stretch:.3g} times as wide as high are made square",) if changed else ()

    @property
    def is_sideways(self) -> bool:
        """Whether the metadata turn the lines of the file into columns."""
        return self._video.get(cv2.CAP_PROP_ORIENTATION_META) % 180 != 0

    @property
    def shortfall(self) -> tuple[str, ...]:
        """How much of its stated length the file lacks after the last frame, in words, if the header states more.

        Choice: headers round the length, and some state that of the sound, so a tenth or a quarter of a second may lack.
        """
        fps, count = self.fps, self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        if fps == 0 or count <= 0:
            return ()
        stated, passed = count / fps, self.times.seconds + 1 / fps
        if stated - passed <= max(_SHORTER * stated, _SHORTER_SECONDS):
            return ()
        return (
            f"{passed:.3g} of {stated:.3g} s can be decoded: the file is damaged, cut off, or states a wrong length",
        )

    def frames(self, wanted: Collection[int] | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Go on to the end, or to the last wanted frame.

        Args:
          wanted: numbers, counted from 1, of the frames to decode; None decodes all.

        Yields:
          Number of a frame, and the frame, `[H, W, 3]` uint8 RGB.

        Raises:
          ValueError: the file is damaged.
        """
        last = None if wanted is None else max(wanted, default=0)
        try:
            while last is None or self.position < last:
                if not self._video.grab():
                    return
                self.position += 1
                self.times.add(self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
                if wanted is None or self.position in wanted:
                    decoded, image = self._video.retrieve()
                    if not decoded:
                        self.position -= 1
                        return
                    yield self.position, self._square(image)
        except cv2.error as error:
            raise ValueError(f"{self._name} is damaged ({error.err or error})") from error

    def _square(self, image: NDArray) -> NDArray[np.uint8]:
        """An image of OpenCV in RGB and with square pixels."""
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        stretch = self.stretch
        if stretch == 1:
            return image
        self._check_size(stretch)
        height, width = image.shape[:2]
        if self.is_sideways:
            return resize_image(image, max(1, round(height * stretch)), width)
        return resize_image(image, height, max(1, round(width * stretch)))

    def _check_size(self, stretch: float) -> None:
        pixels = self._video.get(cv2.CAP_PROP_FRAME_WIDTH) * self._video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if pixels * max(1.0, stretch) > MAX_IMAGE_PIXELS:
            text = f"{self._name} has {pixels * stretch:.0f} pixels per frame"
            raise ValueError(f"{text}; at most {MAX_IMAGE_PIXELS} are allowed")


class ShortVideoError(ValueError):
    """A video ends before a frame that is needed.

    Attributes:
      frames: number of its frames.
    """

    def __init__(self, name: str, missing: int, frames: int) -> None:
        super().__init__(f"{name} has no frame {missing} that OpenCV can decode; it has {frames}")
        self.frames = frames


class SharedFrames:
    """Frames of one video for several clips, decoded in one pass.

    A frame stays in memory until every clip that needs it has taken it.

    Args:
      path: the video.
      needed: numbers of the frames of each clip, in the order in which the clips take them: best by their last frame.

    Attributes:
      notes: as of `VideoFile`.
    """

    def __init__(self, path: Path, needed: Iterable[Collection[int]]) -> None:
        self._path = path
        self._uses = Counter(number for numbers in needed for number in set(numbers))
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._frames = self._decode()
        self._length: int | None = None
        self._error: ValueError | None = None
        self.notes: tuple[str, ...] = ()

    def take(self, numbers: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The frames of the next clip.

        Raises:
          ValueError: the video is damaged or has no such frame.
        """
        wanted = set(numbers)
        try:
            while self._length is None and not wanted <= self._kept.keys():
                self._advance()
            missing = wanted - self._kept.keys()
            if missing:
                raise self._error or ShortVideoError(self._path.name, min(missing), self._length or 0)
            return [self._kept[number] for number in numbers]
        finally:
            self._uses.subtract(wanted)
            for number in [number for number in wanted if self._uses[number] <= 0]:
                self._kept.pop(number, None)

    def _advance(self) -> None:
        """Keep the next needed frame, or the length of the video and, if it is damaged, the error."""
        try:
            number, frame = next(self._frames)
            self._kept[number] = frame
        except StopIteration as end:
            self._length = end.value
        except ValueError as error:
            self._length, self._error = 0, error

    def _decode(self) -> Generator[tuple[int, NDArray[np.uint8]], None, int]:
        with VideoFile(self._path) as video:
            for number, frame in video.frames(self._uses.keys()):
                self.notes = video.notes
                yield number, frame
            return video.position

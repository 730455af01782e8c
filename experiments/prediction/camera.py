"""Frames of a webcam, the newest at a time, and the video that is saved of them."""

import contextlib
import errno
import itertools
import queue
import struct
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError

INSTEAD = "or save a video by another program and give its file"

_FPS_BEFORE_KNOWN = 30.0
# Sizes in AVI files have 32 bits.
_MAX_BYTES = 4_000_000_000


class LiveFrame(NamedTuple):
    """A frame of a webcam.

    Attributes:
      number: of the frames that arrived, from 1.
      image: `[H, W, 3]` uint8 RGB.
      seconds: when it arrived.
    """

    number: int
    image: NDArray[np.uint8]
    seconds: float


@contextlib.contextmanager
def open_webcam(number: int, fps: float = 0.0) -> Iterator[Iterator[LiveFrame]]:
    """Context with the newest frames of a webcam; `fps` frames per second are requested from it, 0 takes its default.

    Raises:
      ConfigError: the webcam cannot be opened.
    """
    on_linux, place = sys.platform == "linux", Path(f"/dev/video{number}")
    # Asked for a device that is missing, OpenCV prints the failure of each of its libraries.
    camera = cv2.VideoCapture() if on_linux and not place.exists() else cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            found = ", ".join(sorted(map(str, place.parent.glob("video*")))) or "none"
            known = f" (found in {place.parent}: {found})" if on_linux else ""
            remedy = f"Connect one, close programs that use it, give another number, {INSTEAD}"
            raise ConfigError(f"no webcam can be opened under the number {number}{known}. {remedy}")
        if fps:
            camera.set(cv2.CAP_PROP_FPS, fps)
        with contextlib.closing(newest(_read_webcam(camera, number))) as frames:
            yield frames
    finally:
        camera.release()


def _read_webcam(camera: cv2.VideoCapture, number: int) -> Iterator[LiveFrame]:
    for count in itertools.count(1):
        is_read, image = camera.read()
        if not is_read:
            if count == 1:
                raise ConfigError(f"webcam {number} gives no image; close programs that use it, or give another number")
            return
        yield LiveFrame(count, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), time.monotonic())


def newest(frames: Iterable[Any]) -> Generator[Any]:
    """The newest of the items at each time, read by a thread; those that arrive while another is processed are skipped.

    An error of the items is raised here.
    """
    waiting: queue.Queue[Any] = queue.Queue(maxsize=1)
    stopped, end = threading.Event(), object()

    def deliver(item: Any) -> None:
        with contextlib.suppress(queue.Empty):
            waiting.get_nowait()
        waiting.put(item)

    def read() -> None:
        try:
            for frame in frames:
                deliver(frame)
                if stopped.is_set():
                    return
        except Exception as error:
            deliver(error)
        waiting.put(end)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not end:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
        with contextlib.suppress(queue.Empty):
            waiting.get_nowait()
        thread.join()


class Record:
    """A video file of the frames that are searched, with the number of frames per second that was reached.

    Args:
      path: the file, `.avi`. It is opened with the first frame.

    Attributes:
      frames: number of frames.

    Raises:
      ConfigError: the name does not end in `.avi`, or there is such a file.

    Choice: Motion JPEG by OpenCV itself keeps each frame at 45 dB of a webcam's image, in 34 KB at 640x480; by FFmpeg it keeps
      42 dB in 13 KB.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() != ".avi":
            raise ConfigError(f"--record={path}: the video is an AVI file; give a name that ends in .avi")
        if path.exists():
            raise ConfigError(f"--record={path}: the file exists; give another name")
        self.path, self.frames = path, 0
        self._writer, self._begin, self._end = cv2.VideoWriter(), 0.0, 0.0

    @property
    def fps(self) -> float:
        """Frames per second; 0 if there are fewer than two frames."""
        return (self.frames - 1) / (self._end - self._begin) if self._end > self._begin else 0.0

    @property
    def is_full(self) -> bool:
        """Whether the file has nearly the greatest size that its format allows."""
        return self.frames > 0 and self.path.stat().st_size > _MAX_BYTES

    def add(self, frame: LiveFrame) -> None:
        """Append a frame; an `OSError` if the file cannot be written."""
        if not self.frames:
            height, width = frame.image.shape[:2]
            coding = cv2.VideoWriter.fourcc(*"MJPG")
            size = (width, height)
            if not self._writer.open(str(self.path), cv2.CAP_OPENCV_MJPEG, coding, _FPS_BEFORE_KNOWN, size):
                raise OSError(errno.EACCES, "cannot be written", str(self.path))
            self._begin = frame.seconds
        self._writer.write(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        self.frames, self._end = self.frames + 1, frame.seconds

    def close(self) -> None:
        """Finish the file, and correct its number of frames per second, which OpenCV writes first."""
        self._writer.release()
        if not self.fps:
            return
        with self.path.open("r+b") as file:
            head = file.read(4096)
            file.seek(head.index(b"avih") + 8)
            file.write(struct.pack("<I", round(1e6 / self.fps)))
            file.seek(head.index(b"strh") + 28)
            file.write(struct.pack("<II", 1000, round(1000 * self.fps)))

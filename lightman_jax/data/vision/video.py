"""Read videos and image folders: single frames of a clip of a corpus, or all frames of any path."""

import contextlib
import csv
import difflib
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.folders.frame_order import order_frames
from lightman_jax.data.folders.trees import IMAGE_SUFFIXES, VIDEO_SUFFIXES, entries, list_frames
from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.frame_times import FrameTimes
from lightman_jax.data.vision.images import StoredImage, eight_bits, load_image
from lightman_jax.data.vision.interlace import first_field, is_interlaced
from lightman_jax.data.vision.video_file import SharedFrames, VideoFile
from lightman_jax.types import natural_order

CONVERT = "convert it, for example with ffmpeg -i FILE -c:v libx264 -crf 10 NEW.mp4"
DEINTERLACE = "convert it, for example with ffmpeg -i FILE -vf bwdif -c:v libx264 -crf 10 NEW.mp4"

_CELL_SIDE, _PAIR = 48, 2
_USUAL_FPS, _RATE_FRAMES = 120.0, 60
# Versions 4.13 to 5.0 return one image, of whatever was in memory, for every frame that is marked as interlaced.
_FROZEN_FRAMES, _FROZEN_REASON = 10, "4.13 and later cannot decode interlaced video; if this is one"


class Video(NamedTuple):
    """A video file or a sequence of images.

    Attributes:
      name: the path as it was given, or the path found below a given folder.
      paths: the video file, or the images in order.
      is_file: True for one video file, False for a sequence of images.
      fps: frames per second; 0 if unknown.
      notes: how the order of the images was decided, where their names leave it open.
    """

    name: str
    paths: tuple[Path, ...]
    is_file: bool
    fps: float = 0.0
    notes: tuple[str, ...] = ()


class TimedFrame(NamedTuple):
    """A frame of a video.

    Attributes:
      image: `[H, W, 3]` uint8 RGB.
      seconds: from the first frame on; NaN if unknown.
    """

    image: NDArray[np.uint8]
    seconds: float


class Unreadable(NamedTuple):
    """A path that cannot be read, and the reason."""

    name: str
    reason: str


def find_videos(names: Sequence[str]) -> list[Video | Unreadable]:
    """Resolve paths of videos, folders and images to videos, in their order.

    A video file and a folder of images are one video each. Other folders are searched at any depth. Single images form one
    video together, ordered as in a folder; two whose names show no order are an onset and an apex as given. `IMAGE_SUFFIXES` and
    `VIDEO_SUFFIXES` decide what is read, as for the clips of a corpus.
    """
    found: list[Video | Unreadable] = []
    listed = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(name)]
    images = [Path(name) for name in dict.fromkeys(listed)]
    for name in names:
        if name not in listed:
            found += _resolve(name)
        elif images:
            place = name if len(images) == 1 else str(images[0].parent)
            video = _sequence(place, images)
            is_pair = isinstance(video, Unreadable) and len(images) == _PAIR
            found.append(Video(place, tuple(images), is_file=False) if is_pair else video)
            images = []
    return found


def read_frames(video: Video, fps: float = 0.0) -> "VideoFrames":
    """Decode the frames one after the other, rotated as the files' metadata specify, with square pixels and without combs.

    Args:
      video: a video file or images.
      fps: frames per second that replace the times in the file; 0 takes those, and images then have none.

    Raises:
      ValueError: while reading: the first frame of a file is damaged or all its frames are equal, the images differ in size, or a
        frame exceeds `MAX_IMAGE_PIXELS`.
    """
    return VideoFrames(video, fps)


class VideoFrames(Iterator[TimedFrame]):
    """The frames of one video, each once; the result of `read_frames`."""

    def __init__(self, video: Video, fps: float) -> None:
        self._notes: list[str] = []
        self._times: FrameTimes | None = None
        self._frames = self._decode(video.paths[0], fps) if video.is_file else _timed_images(video.paths, fps)

    def __next__(self) -> TimedFrame:
        return next(self._frames)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual in the frames read so far, in words."""
        return (*self._notes, *(self._times.notes if self._times else ()))

    def _decode(self, path: Path, fps: float) -> Iterator[TimedFrame]:
        has_fields = _has_fields(path)
        if has_fields:
            self._notes.append(
                f"interlaced: every second line is interpolated; for twice the frame rate, {DEINTERLACE}"
            )
        with VideoFile(path) as file:
            self._times = None if fps else file.times
            first, is_frozen = None, True
            try:
                for number, image in file.frames():
                    first = image if first is None else first
                    is_frozen = is_frozen and np.array_equal(image, first)
                    seconds = (number - 1) / fps if fps else file.times.seconds
                    yield TimedFrame(first_field(image) if has_fields else image, seconds)
            except ValueError as error:
                if first is None:
                    raise
                self._notes.append(f"{error} from frame {file.position} on")
            if is_frozen and file.position >= _FROZEN_FRAMES:
                raise ValueError(f"all {file.position} frames are equal; OpenCV {_FROZEN_REASON}, {DEINTERLACE}")
            self._notes += file.shortfall


def _has_fields(path: Path) -> bool:
    """Whether a video file is interlaced."""
    with VideoFile(path) as file, contextlib.suppress(ValueError):
        return not file.is_sideways and is_interlaced(image for _, image in file.frames())
    return False


def _timed_images(paths: Sequence[Path], fps: float) -> Iterator[TimedFrame]:
    for index, image in enumerate(_read_images(paths, paths)):
        yield TimedFrame(image, index / fps if fps else np.nan)


def read_clip_images(
    clip: RawClip, positions: Sequence[int], shared: SharedFrames | None = None
) -> list[NDArray[np.uint8]]:
    """Decode the frames of a clip at some positions in `clip.numbers`, each `[H, W, 3]` uint8 RGB, all of one size.

    Images deeper than 8 bits are scaled by the greatest `white_value` of all images of the clip, so that the result does not
    depend on the positions, and brightness does not flicker.

    Args:
      clip: the clip.
      positions: of the frames.
      shared: the frames of its video, if several clips share them; None decodes it from its start.

    Raises:
      ValueError: a frame cannot be decoded, or the frames differ in size.
    """
    if clip.kind == "pixels":
        return [_read_cell(clip)] * len(positions)
    if clip.kind != "video":
        return list(_read_images([clip.paths[position] for position in positions], clip.paths))
    numbers = [clip.numbers[position] for position in positions]
    return (shared or SharedFrames(clip.paths[0], [numbers])).take(numbers)


def _read_images(paths: Sequence[Path], clip_paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    size, white = None, functools.cache(functools.partial(_clip_white, clip_paths))
    for path in paths:
        image = _load(path)
        height, width = image.values.shape[:2]
        size = size or (height, width)
        if (height, width) != size:
            text = f"{path.name} has {(height, width)} pixels, {paths[0].name} {size}"
            raise ValueError(f"{text}; give all images of a video the same size")
        yield eight_bits(image, white(image.values.dtype) if image.values.dtype != np.uint8 else image.white)


def _clip_white(paths: Sequence[Path], dtype: np.dtype) -> float:
    """The greatest `white_value` of the images of a clip that are stored as `dtype`."""
    return max(image.white for image in map(_load, paths) if image.values.dtype == dtype)


def _load(path: Path) -> StoredImage:
    try:
        return load_image(path)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error


def _read_cell(clip: RawClip) -> NDArray[np.uint8]:
    """Decode a grey image that is stored as text in a row of a table."""
    path = clip.paths[0]
    starts = _line_starts(path, path.stat().st_mtime_ns)
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig")
        file.seek(int(starts[clip.numbers[0] + 1]))
        line = file.readline().decode(errors="replace")
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    pixels = next(csv.DictReader([header, line]))["pixels"]
    grey = np.array(pixels.split(), np.uint8).reshape(_CELL_SIDE, _CELL_SIDE)
    return np.repeat(grey[..., None], 3, axis=2)


@functools.lru_cache(maxsize=2)
def _line_starts(path: Path, modified: int) -> NDArray[np.int64]:
    """Byte offset of each line, cached because one table holds tens of thousands of images."""
    return np.concatenate([[0], np.flatnonzero(np.fromfile(path, np.uint8) == ord("\n")) + 1])


def _resolve(name: str) -> list[Video | Unreadable]:
    # os.path takes every name: of a name that no file can have it answers False.
    path = Path(name)
    if os.path.isdir(name):
        refusal = list_frames(path).refusal
        return list(_find_below(path)) or [
            Unreadable(name, refusal[1] if refusal else "a folder without videos or images")
        ]
    if os.path.isfile(name) and path.suffix.lower() in VIDEO_SUFFIXES:
        return [_open_video(name, path)]
    if os.path.isfile(name):
        allowed = ", ".join((*sorted(VIDEO_SUFFIXES), *sorted(IMAGE_SUFFIXES)))
        return [Unreadable(name, f"neither a video nor an image by its name; names end in {allowed}")]
    if os.path.exists(name):
        return [Unreadable(name, "neither a file nor a folder")]
    close = difflib.get_close_matches(path.name, [entry.name for entry in entries(path.parent)], n=1, cutoff=0.75)
    return [Unreadable(name, "no such file or folder" + (f". Did you mean {path.parent / close[0]}?" if close else ""))]


def _find_below(folder: Path) -> Iterator[Video | Unreadable]:
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        is_new = (real := os.path.realpath(place)) not in seen
        seen.add(real)
        folders[:] = _listed(folders) if is_new else []
        paths = [Path(place, name) for name in _listed(files) if is_new]
        images = tuple(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)
        if images:
            yield _sequence(place, images)
        yield from (_open_video(str(path), path) for path in paths if path.suffix.lower() in VIDEO_SUFFIXES)


def _listed(names: Sequence[str]) -> list[str]:
    """Names in order, without hidden ones, such as those of content stores."""
    return sorted((name for name in names if not name.startswith(".")), key=natural_order)


def _sequence(name: str, images: Sequence[Path]) -> Video | Unreadable:
    """Images as one video."""
    frames = order_frames(images)
    if frames.refusal is None:
        notes = tuple(f"{rule}: {example}" for rule, example in frames.choices)
        return Video(name, frames.paths, is_file=False, notes=notes)
    expected, found, _ = frames.refusal
    return Unreadable(name, f"{found}; give {expected}")


def _open_video(name: str, path: Path) -> Video | Unreadable:
    try:
        with VideoFile(path) as video:
            fps, notes = _frame_rate(video)
            return Video(name, (path,), is_file=True, fps=fps, notes=(*video.notes, *notes))
    except ValueError as error:
        return Unreadable(
            name, f"{error}; {CONVERT}, or name a folder of its frames" if path.stat().st_size else "an empty file"
        )


def _frame_rate(video: VideoFile) -> tuple[float, tuple[str, ...]]:
    """Frames per second, and a note if those in the header contradict the times of the first frames.

    Choice: browsers write WebM without a frame rate, and OpenCV then states the 1,000 ticks per second of its clock. Other headers
      state the mean, so only more than 120 frames per second, and none, are checked.
    """
    stated = video.fps
    if 0 < stated <= _USUAL_FPS:
        return stated, ()
    with contextlib.suppress(ValueError):
        list(video.frames({_RATE_FRAMES}))
    steps, seconds = video.position - 1, video.times.seconds
    measured = steps / seconds if seconds > 0 else 0.0
    if measured == 0 or abs(measured - stated) < stated / 2:
        return stated, ()
    text = f"frames per second by the times of {video.position} frames: {measured:.4g}; the header states"
    return measured, (f"{text} {stated:.6g}" if stated else f"{text} none",)

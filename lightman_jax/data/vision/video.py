"""Read videos and image folders: single frames of a clip of a corpus, or all frames of any path."""

import csv
import difflib
import functools
import itertools
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.records import RawClip
from lightman_jax.data.corpora.trees import IMAGE_SUFFIXES, MAX_IMAGE_PIXELS, VIDEO_SUFFIXES, entries
from lightman_jax.data.vision.images import read_image
from lightman_jax.types import natural_order

CONVERT = "convert it, for example with ffmpeg -i FILE -c:v libx264 -crf 10 NEW.mp4"

_MAX_FPS = 5000.0
_CELL_SIDE = 48


class Video(NamedTuple):
    """A video file or a sequence of images.

    Attributes:
      name: the path as it was given, or the path found below a given folder.
      paths: the video file, or the images in order.
      is_file: True for one video file, False for a sequence of images.
      fps: frames per second; 0 if unknown.
    """

    name: str
    paths: tuple[Path, ...]
    is_file: bool
    fps: float = 0.0


class Unreadable(NamedTuple):
    """A path that cannot be read, and the reason."""

    name: str
    reason: str


def find_videos(names: Sequence[str]) -> list[Video | Unreadable]:
    """Resolve paths of videos, folders and images to videos, in their order.

    A video file and a folder of images are one video each. Other folders are searched at any depth. Single images form one
    video together. `IMAGE_SUFFIXES` and `VIDEO_SUFFIXES` decide what is read, as for the clips of a corpus.
    """
    found: list[Video | Unreadable] = []
    listed = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(name)]
    images = tuple(map(Path, listed))
    for name in names:
        if name not in listed:
            found += _resolve(name)
        elif images:
            found.append(Video(name if len(images) == 1 else str(images[0].parent), images, is_file=False))
            images = ()
    return found


def read_frames(video: Video) -> Iterator[NDArray[np.uint8]]:
    """Decode the frames one after the other, `[H, W, 3]` uint8 RGB, rotated as the file's metadata specifies.

    Raises:
      ValueError: a file is damaged, the images differ in size, or a frame exceeds `MAX_IMAGE_PIXELS`.
    """
    return (frame for _, frame in _decode(video.paths[0])) if video.is_file else _read_images(video.paths)


def read_clip_images(clip: RawClip, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Decode the frames of a clip at some positions in `clip.numbers`, each `[H, W, 3]` uint8 RGB, all of one size.

    Raises:
      ValueError: a frame cannot be decoded, or the frames differ in size.
    """
    if clip.kind == "pixels":
        return [_read_cell(clip)] * len(positions)
    if clip.kind != "video":
        return list(_read_images([clip.paths[position] for position in positions]))
    numbers = [clip.numbers[position] for position in positions]
    found = dict(_decode(clip.paths[0], set(numbers)))
    missing = sorted(set(numbers) - found.keys())
    if missing:
        raise ValueError(f"{clip.paths[0].name} has no frame {missing[0]} that OpenCV can decode")
    return [found[number] for number in numbers]


def _read_images(paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    size = None
    for path in paths:
        try:
            image = read_image(path)
        except OSError as error:
            raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error
        size = size or image.shape[:2]
        if image.shape[:2] != size:
            text = f"{path.name} has {image.shape[:2]} pixels, {paths[0].name} {size}"
            raise ValueError(f"{text}; give all images of a video the same size")
        yield image


def _decode(path: Path, wanted: Collection[int] | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode the frames of a video file with the given numbers, counted from 1; None decodes all."""
    video = cv2.VideoCapture(str(path))
    try:
        pixels = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if pixels > MAX_IMAGE_PIXELS:
            raise ValueError(f"{path.name} has {pixels:.0f} pixels per frame; at most {MAX_IMAGE_PIXELS} are allowed")
        # Sequentially from the start: seeking stops at key frames in many videos.
        for number in itertools.count(1) if wanted is None else range(1, max(wanted) + 1):
            if not video.grab():
                return
            if wanted is None or number in wanted:
                decoded, image = video.retrieve()
                if not decoded:
                    return
                yield number, np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8, copy=False)
    except cv2.error as error:
        raise ValueError(f"{path.name} is damaged ({error.err or error})") from error
    finally:
        video.release()


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
        return list(_find_below(path)) or [Unreadable(name, "a folder without videos or images")]
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
    for place, folders, files in os.walk(folder):
        folders.sort(key=natural_order)
        paths = [Path(place, name) for name in sorted(files, key=natural_order) if not name.startswith(".")]
        images = tuple(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)
        if images:
            yield Video(place, images, is_file=False)
        yield from (_open_video(str(path), path) for path in paths if path.suffix.lower() in VIDEO_SUFFIXES)


def _open_video(name: str, path: Path) -> Video | Unreadable:
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            size = path.stat().st_size
            reason = f"not a video that OpenCV can decode ({size} bytes); {CONVERT}, or name a folder of its frames"
            return Unreadable(name, reason if size else "an empty file")
        fps = video.get(cv2.CAP_PROP_FPS)
    finally:
        video.release()
    return Video(name, (path,), is_file=True, fps=fps if 0 < fps <= _MAX_FPS else 0.0)

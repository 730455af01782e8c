"""Read videos and image folders: single frames of a clip of a corpus, or all frames of any path."""

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
from lightman_jax.data.vision.images import StoredImage, eight_bits, load_image
from lightman_jax.data.vision.video_file import SharedFrames, VideoFile
from lightman_jax.types import natural_order

CONVERT = "convert it, for example with ffmpeg -i FILE -c:v libx264 -crf 10 NEW.mp4"

_CELL_SIDE, _PAIR = 48, 2


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


def read_frames(video: Video) -> Iterator[NDArray[np.uint8]]:
    """Decode the frames one after the other, `[H, W, 3]` uint8 RGB, rotated as the files' metadata specify, with square pixels.

    Raises:
      ValueError: a file is damaged, the images differ in size, or a frame exceeds `MAX_IMAGE_PIXELS`.
    """
    return _read_video(video.paths[0]) if video.is_file else _read_images(video.paths, video.paths)


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


def _read_video(path: Path) -> Iterator[NDArray[np.uint8]]:
    with VideoFile(path) as video:
        yield from (frame for _, frame in video.frames())


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
            return Video(name, (path,), is_file=True, fps=video.fps, notes=video.notes)
    except ValueError as error:
        return Unreadable(
            name, f"{error}; {CONVERT}, or name a folder of its frames" if path.stat().st_size else "an empty file"
        )

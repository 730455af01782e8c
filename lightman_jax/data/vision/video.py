"""What a person points at: a film, a folder of pictures, or a few pictures; read frame by frame, however long it is."""

import contextlib
import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data import LARGEST_PICTURE
from lightman_jax.data.vision.images import read_image
from lightman_jax.training.folds import natural_order

PICTURES = frozenset([".bmp", ".jpeg", ".jpg", ".jp2", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
"""Suffixes of single pictures; whatever else is a file is tried as a film."""

_VIDEOS = frozenset(
    [".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"]
)
_FASTEST = 5000.0


class Video(NamedTuple):
    """Something to be read.

    Attributes:
      name: as it was typed, or the path below it.
      paths: the film, or the pictures in order.
      is_film: whether it is one film.
      rate: frames a second; 0 is unknown.
    """

    name: str
    paths: tuple[Path, ...]
    is_video: bool
    rate: float = 0.0


class Unreadable(NamedTuple):
    """Something that cannot be read, and why."""

    name: str
    reason: str


def find_videos(words: Sequence[str]) -> list[Video | Unreadable]:
    """What words on a command line stand for, one entry each and in their order.

    A film is one recording; a folder with pictures is one; a folder of films and such folders is all of them; pictures named one by
    one are together one recording.

    Args:
      words: paths.
    """
    found: list[Video | Unreadable] = []
    pictures = [Path(word) for word in words if _is_picture(Path(word))]
    for word in words:
        path = Path(word)
        if _is_picture(path):
            if path == pictures[0]:
                found.append(Video(word if len(pictures) == 1 else str(path.parent), tuple(pictures), is_video=False))
            continue
        try:
            is_folder, is_file = bool(word) and path.is_dir(), path.is_file()
        except (OSError, ValueError) as error:
            found.append(Unreadable(word, f"no such path ({error})"))
            continue
        if is_folder:
            below = list(_below(path))
            found += below or [Unreadable(word, "a folder without film or picture; name one that holds some")]
        elif is_file:
            found.append(_video(word, path))
        else:
            there = bool(word) and path.exists()
            reason = "neither a file nor a folder" if there else f"there is no such file or folder{_nearby(path)}"
            found.append(Unreadable(word, reason))
    return found


def read_frames(video: Video) -> Iterator[NDArray[np.uint8]]:
    """Decode one frame after the other, `[H, W, 3]` uint8, red-green-blue, upright as its file says.

    Raises:
      ValueError: nothing can be decoded, pictures differ in size, or a frame is absurdly large.
    """
    if video.is_video:
        yield from _video_frames(video.paths[0])
        return
    first = None
    for path in video.paths:
        try:
            picture = read_image(path)
        except OSError as error:
            raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error
        first = picture.shape if first is None else first
        if picture.shape != first:
            raise ValueError(
                f"{path.name} has {picture.shape[:2]} pixels, {video.paths[0].name} {first[:2]}; make them alike"
            )
        yield picture


def _video_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    video = cv2.VideoCapture(str(path))
    try:
        pixels = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if pixels > LARGEST_PICTURE:
            raise ValueError(f"{path.name} claims {pixels:.0f} pixels a frame; at most {LARGEST_PICTURE} are read")
        while True:
            with _told(path):
                there, picture = video.read()
            if not there:
                return
            yield np.ascontiguousarray(picture[:, :, ::-1]).astype(np.uint8, copy=False)
    finally:
        video.release()


def _video(name: str, path: Path) -> Video | Unreadable:
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            size = path.stat().st_size
            convert = "convert it, for example by ffmpeg -i FILE -c:v libx264 -crf 10 NEW.mp4, or name a folder of its pictures"
            return Unreadable(
                name, f"no film that OpenCV can decode ({size} bytes); {convert}" if size else "an empty file"
            )
        rate = video.get(cv2.CAP_PROP_FPS)
    finally:
        video.release()
    return Video(name, (path,), is_video=True, rate=rate if 0 < rate <= _FASTEST else 0.0)


def _below(folder: Path) -> Iterator[Video | Unreadable]:
    for place, folders, files in os.walk(folder):
        folders.sort(key=natural_order)
        own = sorted((name for name in files if not name.startswith(".")), key=natural_order)
        pictures = tuple(Path(place, name) for name in own if Path(name).suffix.lower() in PICTURES)
        if pictures:
            yield Video(place, pictures, is_video=False)
        for name in own:
            if Path(name).suffix.lower() in _VIDEOS:
                yield _video(str(Path(place, name)), Path(place, name))


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except cv2.error as error:
        raise ValueError(f"{path.name} is damaged ({error.err or error})") from error


def _is_picture(path: Path) -> bool:
    try:
        return path.suffix.lower() in PICTURES and path.is_file()
    except (OSError, ValueError):
        return False


def _nearby(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f". Did you mean {path.parent / close[0]}?" if close else ""

"""Pictures of a clip by position, whichever way it is stored: files, a film, or a cell of a table."""

import csv
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data import LARGEST_PICTURE
from lightman_jax.data.corpora.records import RawClip
from lightman_jax.data.vision.images import read_image

_STILL_SIDE = 48


def read_pictures(clip: RawClip, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Decode some pictures of a clip, each `[H, W, 3]` uint8, red-green-blue, all of one size.

    Args:
      clip: from a layout.
      positions: places in `clip.numbers`, in any order.

    Raises:
      ValueError: a picture cannot be decoded, or their sizes differ.
    """
    if clip.kind == "video":
        return _read_video(clip, positions)
    if clip.kind == "pixels":
        return [_read_cell(clip)] * len(positions)
    pictures = [read_image(clip.paths[position]) for position in positions]
    for position, picture in zip(positions, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise ValueError(
                f"{clip.paths[position].name} has {picture.shape[:2]} pixels, "
                f"{clip.paths[positions[0]].name} {pictures[0].shape[:2]}"
            )
    return pictures


def _read_video(clip: RawClip, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
    video = cv2.VideoCapture(str(clip.paths[0]))
    pixels = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if pixels > LARGEST_PICTURE:
        video.release()
        raise ValueError(f"{clip.paths[0].name} claims {pixels:.0f} pixels a frame; at most {LARGEST_PICTURE} are read")
    wanted = {clip.numbers[position] for position in positions}
    found: dict[int, NDArray[np.uint8]] = {}
    try:
        # Frame by frame from the start: seeking lands on key frames in many films.
        for number in range(1, max(wanted) + 1):
            if not video.grab():
                break
            if number in wanted:
                decoded, picture = video.retrieve()
                if decoded:
                    found[number] = np.ascontiguousarray(picture[:, :, ::-1]).astype(np.uint8, copy=False)
    finally:
        video.release()
    missing = sorted(wanted - set(found))
    if missing:
        raise ValueError(f"{clip.paths[0].name} has no frame {missing[0]} that OpenCV can decode")
    return [found[clip.numbers[position]] for position in positions]


def _read_cell(clip: RawClip) -> NDArray[np.uint8]:
    path = clip.paths[0]
    starts = _line_starts(path, path.stat().st_mtime_ns)
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig")
        file.seek(int(starts[clip.numbers[0] + 1]))
        line = file.readline().decode(errors="replace")
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    pixels = next(csv.DictReader([header, line]))["pixels"]
    grey = np.array(pixels.split(), np.uint8).reshape(_STILL_SIDE, _STILL_SIDE)
    return np.repeat(grey[..., None], 3, axis=2)


@functools.lru_cache(maxsize=2)
def _line_starts(path: Path, changed: int) -> NDArray[np.int64]:
    """Where each line of a table begins, found once a process: tens of thousands of stills lie in one table."""
    return np.concatenate([[0], np.flatnonzero(np.fromfile(path, np.uint8) == ord("\n")) + 1])

"""Pictures of a clip by position, whichever way it is stored: files, a film, or a cell of a table."""

import csv
import sys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.clips import RawClip
from lightman_jax.data.images import read_image

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
        return _read_film(clip, positions)
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


def _read_film(clip: RawClip, positions: Sequence[int]) -> list[NDArray[np.uint8]]:
    film = cv2.VideoCapture(str(clip.paths[0]))
    wanted = {clip.numbers[position] for position in positions}
    found: dict[int, NDArray[np.uint8]] = {}
    try:
        # Frame by frame from the start: seeking lands on key frames in many films.
        for number in range(1, max(wanted) + 1):
            if not film.grab():
                break
            if number in wanted:
                decoded, picture = film.retrieve()
                if decoded:
                    found[number] = np.ascontiguousarray(picture[:, :, ::-1]).astype(np.uint8, copy=False)
    finally:
        film.release()
    missing = sorted(wanted - set(found))
    if missing:
        raise ValueError(f"{clip.paths[0].name} has no frame {missing[0]} that OpenCV can decode")
    return [found[clip.numbers[position]] for position in positions]


def _read_cell(clip: RawClip) -> NDArray[np.uint8]:
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    with clip.paths[0].open(newline="", encoding="utf-8-sig", errors="replace") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number == clip.numbers[0]:
                grey = np.array(row["pixels"].split(), np.uint8).reshape(_STILL_SIDE, _STILL_SIDE)
                return np.repeat(grey[..., None], 3, axis=2)
    raise ValueError(f"{clip.paths[0].name} has no row {clip.numbers[0]}")

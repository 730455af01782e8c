"""Numbered frames and spreadsheets, as every stand-in layout writes them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.faces import SyntheticClip
from lightman_jax.data.vision.images import grey_image, write_image


class SyntheticSubject(NamedTuple):
    """A subject's number and clips of both pools."""

    number: int
    clips: list[SyntheticClip]

    def of_pool(self, pool: str) -> list[SyntheticClip]:
        """The clips of one pool."""
        return [clip for clip in self.clips if clip.pool == pool]


Writer = Callable[[Path, Iterable[SyntheticSubject]], None]
"""Writes frames and tables of all subjects below a root folder."""


def joined(clips: Iterable[SyntheticClip]) -> tuple[list[NDArray[np.uint8]], list[tuple[SyntheticClip, list[int]]]]:
    """Frames of one long video of some clips, and each clip with its onset, apex and offset in it, counted from 1."""
    frames: list[NDArray[np.uint8]] = []
    placed = []
    for clip in clips:
        placed.append((clip, span(clip, len(frames) + 1)))
        frames += clip.frames
    return frames, placed


def span(clip: SyntheticClip, start: int) -> list[int]:
    """Numbers of onset, apex and offset of a clip whose first frame has the number `start`."""
    return [start, start + clip.apex, start + len(clip.frames) - 1]


def units_text(clip: SyntheticClip, side: str = "") -> str:
    """Action units joined by plus signs, with `side` (L or R) before the first."""
    return side * bool(clip.units) + "+".join(map(str, clip.units))


def grey_frames(frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Luminance of each frame, repeated in three channels."""
    return [np.repeat(grey_image(frame)[..., None], 3, axis=2) for frame in frames]


def write_frames(folder: Path, frames: Sequence[NDArray[np.uint8]], pattern: str, start: int) -> None:
    """Write frames under numbered names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=start):
        write_image(folder / pattern.format(number), frame)


def write_xlsx(path: Path, worksheets: dict[str, list[list[Any]]]) -> None:
    """Write worksheets of rows; an empty text is an empty cell."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in worksheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append([None if cell == "" else cell for cell in row])
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def write_xls(path: Path, worksheets: dict[str, list[list[Any]]]) -> None:
    """Write worksheets of rows in the format of Excel 97."""
    import xlwt

    book = xlwt.Workbook()
    for name, rows in worksheets.items():
        sheet = book.add_sheet(name)
        for line, row in enumerate(rows):
            for column, cell in enumerate(row):
                if cell != "":
                    sheet.write(line, column, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(str(path))

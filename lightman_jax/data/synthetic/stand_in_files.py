"""What every stand-in writer needs: the people handed to it, numbered pictures, spreadsheets old and new."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.faces import InventedClip
from lightman_jax.data.vision.images import grey_image, write_image


class InventedPerson(NamedTuple):
    """A person's number and all clips of both pools."""

    number: int
    clips: list[InventedClip]


class Tree(Protocol):
    """Writes one corpus: people one after another, then the tables."""

    def add(self, person: InventedPerson) -> None:
        """Write a person's pictures and remember the rows of the table."""

    def finish(self) -> None:
        """Write the tables."""


TreeMaker = Callable[[Path], Tree]
"""Makes the writer of one corpus for a root folder."""


def pool_of(person: InventedPerson, pool: str) -> list[InventedClip]:
    """A person's clips of one pool."""
    return [clip for clip in person.clips if clip.pool == pool]


def units_text(clip: InventedClip, side: str = "") -> str:
    """Action units as annotators write them, the first one with a side if asked for."""
    return "+".join(f"{side if index == 0 else ''}{unit}" for index, unit in enumerate(clip.units))


def grey_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in grey, still with three channels."""
    return np.repeat(grey_image(frame)[..., None], 3, axis=2)


def write_frames(folder: Path, frames: Sequence[NDArray[np.uint8]], pattern: str, start: int) -> None:
    """Write pictures under numbered names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=start):
        write_image(folder / pattern.format(number), frame)


def write_xlsx(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """Write sheets of rows; an empty text is an empty cell."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append([None if cell == "" else cell for cell in row])
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def write_xls(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """The same in the old format."""
    import xlwt

    book = xlwt.Workbook()
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for line, row in enumerate(rows):
            for column, cell in enumerate(row):
                if cell != "":
                    sheet.write(line, column, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(str(path))

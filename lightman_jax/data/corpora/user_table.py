"""Any other corpus, such as MMI: a table (csv, xls, xlsx) with the columns `clip, subject, label, onset, apex, offset, path`.

`clip, subject, label, path` are required. `path`, relative to the table, is a folder of images, one image, or a video. Frame
numbers are those in the names of the images; without them a clip consists of all its images. In a video they count from 1, and
onset and offset are required. Further columns: `pool` (micro or macro; default micro), `action_units`, `fps`, and `box` (`top left
side` of the face in the onset frame, in pixels).
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lightman_jax.data.corpora.action_units import parse_action_units
from lightman_jax.data.corpora.base import Corpus, normal_emotion
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.records import POOLS, LostClipError, Pool, RawClip
from lightman_jax.data.corpora.tables import COLUMNS as ALL_COLUMNS
from lightman_jax.data.corpora.tables import Row, Table, cell_text, column_key, read_table
from lightman_jax.data.corpora.trees import IMAGE_SUFFIXES, TABLE_SUFFIXES, VIDEO_SUFFIXES, entries, walk

T = TypeVar("T")

REQUIRED = ("clip", "subject", "label", "path")
COLUMNS: dict[str, tuple[str, ...]] = {
    "clip": ("clip", "filename"),
    "subject": ALL_COLUMNS["subject"],
    "label": ("label", "emotion"),
    "path": ALL_COLUMNS["path"],
    **{name: ALL_COLUMNS[name] for name in ("onset", "apex", "offset", "pool", "action_units", "fps", "box")},
}
"""Columns of a user table and the spellings accepted for each: lower case, letters and digits only, the preferred one first."""

_MAX_PATH, _MAX_PATH_PART, _MAX_BOX_DIGITS = 1000, 255, 5
# Names enter file names, reports, and table cells that a spreadsheet could interpret as formulas.
_PLAIN = re.compile(r"\w[\w .+()-]*")


def read_rows(path: Path, required: Sequence[str] = REQUIRED) -> Table:
    """Read a user table: the clips of a corpus, or the labelled clips that adapt a model.

    Columns other than the `required` ones are read if they are there. The rows have the columns by their name in `COLUMNS`:
    `row.text("label")`, `row.number("onset")`, `row_path(row)`; `row.where` is the place for messages.

    Raises:
      DataError: the file cannot be read, or lacks a required column.
    """
    return read_table(path, tuple(required), optional=tuple(set(COLUMNS) - {*required}), **COLUMNS)


def row_path(row: Row) -> str:
    """Path of a row, with `/` between folders; empty if missing."""
    return cell_text(row.cells.get("path"), _MAX_PATH + 1).replace("\\", "/")


def row_fps(row: Row) -> float | None:
    """Frames per second of a row; None if missing, a `ValueError` if the cell is not a number."""
    text = row.text("fps")
    if text and not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise ValueError(f"fps is {text!r}, not a number of frames per second")
    return float(text) if text else None


def row_box(row: Row) -> tuple[int, int, int] | None:
    """`(top, left, side)` of the face in a row; None if missing, a `ValueError` if the cell is not three numbers."""
    text = row.text("box")
    numbers = re.findall(r"-?\d+", text)
    if text and (len(numbers) != 3 or max(map(len, numbers)) > _MAX_BOX_DIGITS):
        raise ValueError(f"box is {text!r}, not the top, left and side of a square in pixels")
    return (int(numbers[0]), int(numbers[1]), int(numbers[2])) if text else None


def _find(data_dir: Path) -> list[Path]:
    return [path for folder in walk(data_dir, 1) for path in entries(folder) if path.suffix.lower() in TABLE_SUFFIXES]


def _read(collector: Collector) -> None:
    table = read_rows(collector.tree)
    known = {spelling for spellings in COLUMNS.values() for spelling in spellings}
    for column in table.header:
        if column_key(column) not in known:
            expected = f"columns of {', '.join(COLUMNS)}"
            collector.problem(collector.tree.name, expected, column, "rename it; it is not read", lost=False)
    for row in table.rows:
        with collector.reporting():
            _add(collector, row, _checked_path(row, collector.tree.parent.resolve()))


def _checked_path(row: Row, folder: Path) -> Path:
    """Path of a row whose names are complete and safe."""
    names = [row.text(field) for field in ("clip", "subject", "label")]
    place, pool = row_path(row), row.text("pool").lower()
    if not all(names):
        raise LostClipError(row.where, "a clip, a subject and a label", ", ".join(map(repr, names)), "fill the cells")
    for name in names:
        if not _PLAIN.fullmatch(name):
            remedy = "rename it: letters, digits, blanks and .-+() after a first letter or digit"
            raise LostClipError(row.where, "a plain name", repr(name), remedy)
    is_short = len(place) <= _MAX_PATH and all(len(part.encode()) <= _MAX_PATH_PART for part in place.split("/"))
    if not place.isprintable() or not is_short:
        raise LostClipError(row.where, "a path", repr(place[:60]), "correct the cell")
    path = (folder / place).resolve()
    if not path.is_relative_to(folder):
        remedy = "move the clips or the table, so that the clips lie below the folder of the table"
        raise LostClipError(row.where, f"a path below {folder}", str(path), remedy)
    if pool not in ("", *POOLS):
        raise LostClipError(row.where, "pool micro or macro", repr(pool), "correct the cell; the clip is left out")
    return path


def _add(collector: Collector, row: Row, path: Path) -> None:
    subject, label = row.text("subject"), row.text("label")
    pool: Pool = "macro" if row.text("pool").lower() == "macro" else "micro"
    fps = _or_report(collector, row, row_fps, "a number of frames per second", "it is treated as unknown")
    box = _or_report(collector, row, row_box, "box as top left side", "the face is searched for")
    if path.is_dir() or not path.exists():
        folder = path if path.is_dir() else None
        return collector.add_row(row, folder, emotion=label, pool=pool, fps=fps, box=box, expected_folder=str(path))
    onset, apex, offset = collector.numbers(row).values()
    if path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        allowed = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        raise LostClipError(row.where, f"a folder, or a file of {allowed}", str(path), "correct the path")
    video: dict[str, Any] = {}
    if path.suffix.lower() in VIDEO_SUFFIXES:
        if onset is None or offset is None or not 1 <= onset < offset or not (apex is None or onset <= apex <= offset):
            found = f"onset {onset}, apex {apex}, offset {offset}"
            raise LostClipError(row.where, "1 <= onset <= apex <= offset for a video", found, "correct the cells")
        position = None if apex is None else apex - onset
        video = {"kind": "video", "numbers": tuple(range(onset, offset + 1)), "apex": position}
    clip = RawClip(
        clip=f"table/{subject}/{row.text('clip')}",
        subject=f"table/{subject}",
        pool=pool,
        kind="frames",
        paths=(path,),
        fps=fps or 0.0,
        emotion=normal_emotion(label),
        action_units=parse_action_units(row.text("action_units")),
        box=box,
    )
    return collector.add(dataclasses.replace(clip, **video), row.where)


def _or_report(
    collector: Collector, row: Row, parse: Callable[[Row], T | None], expected: str, remedy: str
) -> T | None:
    try:
        return parse(row)
    except ValueError as error:
        collector.problem(row.where, expected, str(error), f"correct the cell; {remedy}", lost=False)
        return None


USER_TABLE = Corpus(
    name="table",
    title="own table",
    obtain="write a table with the columns clip, subject, label, path",
    looked_for="a user table (csv, xls or xlsx: clip, subject, label, path and, if known, onset, apex, offset)",
    find=_find,
    read=_read,
    pools=("micro", "macro"),
)

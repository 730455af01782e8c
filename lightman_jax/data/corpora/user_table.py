"""Any other corpus, such as MMI: a table (csv, tsv, xlsx, xls, ods) with the columns `clip, subject, label, path`.

`path`, relative to the table, is a folder of images, one image, a video, or a csv file of OpenFace alone. `onset`, `apex` and
`offset` are frame numbers, those in the names of the images; without them a clip consists of all its images. In a video they count
from 1, and onset and offset are required. In a file of OpenFace they are those of its column `frame`, and missing ones are found
from its points. Further columns: `pool` (micro or macro; default micro), `action_units`, `fps`, `box` (`top left side` of the face
in the onset frame, in pixels), and `landmarks` (a csv file of OpenFace).
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lightman_jax.data.corpora.action_units import parse_action_units
from lightman_jax.data.corpora.base import Corpus, normal_emotion, parse_pool
from lightman_jax.data.corpora.coding_tables import with_pools
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.spans import completed, landmark_span
from lightman_jax.data.corpora.table_paths import checked_path, located
from lightman_jax.data.folders.trees import IMAGE_SUFFIXES, TABLE_SUFFIXES, VIDEO_SUFFIXES, below, entries, walk
from lightman_jax.data.records import DataError, GivenLandmarks, LostClipError, Movement, Pool, RawClip
from lightman_jax.data.tables.cells import MAX_PATH, cell_text, is_missing, looks_like_date
from lightman_jax.data.tables.sheets import TEXT_SUFFIXES
from lightman_jax.data.tables.table import COLUMNS as ALL_COLUMNS
from lightman_jax.data.tables.table import Row, Table, column_key, read_table

T = TypeVar("T")

REQUIRED = ("clip", "subject", "label", "path")
COLUMNS: dict[str, tuple[str, ...]] = {
    "clip": ("clip", "filename"),
    "subject": ALL_COLUMNS["subject"],
    "label": ("label", "emotion"),
    "path": ALL_COLUMNS["path"],
    **{
        name: ALL_COLUMNS[name]
        for name in ("onset", "apex", "offset", "pool", "action_units", "fps", "box", "landmarks")
    },
}
"""Columns of a user table and the spellings accepted for each: lower case, letters and digits only, the preferred one first."""

_TABLE_NAME = "clips"
_HEAD_BYTES = 1 << 16
_MAX_BOX_DIGITS = 5
_LANDMARKS = ".csv"


def read_rows(path: Path, required: Sequence[str] = REQUIRED) -> Table:
    """Read a user table: the clips of a corpus, or the labelled clips that adapt a model.

    Columns other than the `required` ones are read if they are there. The rows have the columns by their name in `COLUMNS`:
    `row.text("label")`, `row.number("onset")`, `row_path(row)`; `row.where` is the place for messages.

    Raises:
      DataError: the file cannot be read, or lacks a required column.
    """
    return read_table(path, tuple(required), optional=tuple(set(COLUMNS) - {*required}), **COLUMNS)


def row_path(row: Row, field: str = "path") -> str:
    """Path in a cell of a row, with `/` between folders; empty if missing. A dot is the folder of the table."""
    text = cell_text(row.cells.get(field), MAX_PATH)
    return "" if text != "." and is_missing(text) else text.replace("\\", "/")


def row_fps(row: Row) -> float | None:
    """Frames per second of a row; None if missing, a `ValueError` if the cell is not a number."""
    text = row.text("fps").replace(",", ".")
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


def row_landmarks(row: Row, folder: Path) -> GivenLandmarks | None:
    """File of landmarks of a row, relative to the folder; None if missing, a `ValueError` if there is no such file below it."""
    place = row_path(row, "landmarks")
    if not place:
        return None
    path = located(folder.resolve(), place, row.where)
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"landmarks is {place!r}, which is no file below {folder.name}")
    return GivenLandmarks(path)


def _find(data_dir: Path) -> list[Path]:
    read, _ = _tables(data_dir)
    return [table.path for table in read[:1]] or [
        path for path in _candidates(data_dir) if path.suffix.lower() in TABLE_SUFFIXES
    ][:1]


def _candidates(data_dir: Path) -> list[Path]:
    """Tables in the folder and those below it; of each folder, the one named `clips` comes first."""
    return [
        path
        for folder in walk(data_dir, 1)
        for path in sorted(entries(folder), key=lambda path: path.stem.lower() != _TABLE_NAME)
        if path.suffix.lower() in {*TABLE_SUFFIXES, ".txt"} and path.is_file()
    ]


def _names_paths(path: Path) -> bool:
    """Whether a table may have the column `path`: a folder can hold thousands of text tables of other contents."""
    if path.suffix.lower() not in TEXT_SUFFIXES or path.stem.lower() == _TABLE_NAME:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD_BYTES).replace(b"\0", b"").lower()
    except OSError:
        return True
    return any(name.encode() in start for name in COLUMNS["path"])


def _tables(data_dir: Path) -> tuple[list[Table], list[Table]]:
    """Tables of clips that are used together, and others that are not.

    Choice: only the given folder counts if it has one, and in a folder only the one named `clips`. Without that name, all tables
    with the header of the first are read: parts of one corpus.
    """
    tables: dict[Path, list[Table]] = {}
    for path in filter(_names_paths, _candidates(data_dir)):
        try:
            table = read_rows(path)
            tables.setdefault(path.parent, []).append(table)
        except DataError:
            if path.stem.lower() == _TABLE_NAME and data_dir not in tables:
                raise
    chosen = tables if data_dir not in tables else {data_dir: tables[data_dir]}
    named = [found[:1] if found[0].path.stem.lower() == _TABLE_NAME else found for found in chosen.values()]
    read = [table for found in named for table in found if _keys(table) == _keys(named[0][0])]
    return read, [table for found in tables.values() for table in found if all(table is not one for one in read)]


def _keys(table: Table) -> list[str]:
    return sorted(map(column_key, table.header))


def _read(collector: Collector) -> None:
    read, others = _tables(collector.data_dir)
    tables = read or [read_rows(collector.tree)]
    for table in tables:
        _read_one(collector, table)
    names = [", ".join(below(table.path, collector.data_dir) for table in group) for group in (tables, others)]
    if len(tables) > 1 or others:
        collector.note(f"read {names[0]}" + (f"; other tables of clips are not read: {names[1]}" if others else ""))


def _read_one(collector: Collector, table: Table) -> None:
    path = table.path
    collector.report_table(table)
    fields = {spelling: field for field, spellings in COLUMNS.items() for spelling in spellings}
    for column in table.header:
        field = fields.get(column_key(column))
        if field is None or column_key(column) != column_key(table.columns[field]):
            expected = f"columns of {', '.join(COLUMNS)}"
            remedy = f"{table.columns[field]} is read, this one is not" if field else "rename it; it is not read"
            collector.problem(path.name, expected, column, remedy, lost=False)
    # A column of another name, such as `type`, may hold something else.
    if column_key(table.columns.get("pool", "pool")) != "pool":
        table = with_pools(table, "pool", collector.note)
    other_spelling: list[str] = []
    for row in table.rows:
        for date in filter(looks_like_date, (row.text(field) for field in ("clip", "subject", "label"))):
            remedy = "enter it again in a column of text if it was 1-2 or the like; it is used as it is"
            collector.problem(
                row.where, "a name", f"{date!r}, as a spreadsheet program writes a date", remedy, lost=False
            )
        with collector.reporting():
            _add(collector, row, checked_path(row, row_path(row), path.parent.resolve(), other_spelling), path.parent)
    if other_spelling:
        collector.note(
            f"{len(other_spelling)} paths of {path.name} are spelt unlike the files, in case or Unicode form: {other_spelling[0]}"
        )


def _add(collector: Collector, row: Row, path: Path, table: Path) -> None:
    subject, label = row.text("subject"), row.text("label")
    pool: Pool = parse_pool(row.text("pool")) or "micro"
    fps = _or_report(collector, row, row_fps, "a number of frames per second", "it is treated as unknown")
    box = _or_report(collector, row, row_box, "box as top left side", "the face is searched for")
    expected = "landmarks as the path of a csv file of OpenFace"
    landmarks = _or_report(collector, row, lambda row: row_landmarks(row, table), expected, "the face is searched for")
    if path.is_symlink() and not path.exists():
        remedy = "fetch the content of its store, for example by dvc pull or git annex get"
        raise LostClipError(
            row.where, f"a file or folder {path}", f"a link to {path.readlink()}, which is missing", remedy
        )
    if path.is_dir() or not path.exists():
        folder = path if path.is_dir() else None
        fields: dict[str, Any] = {"emotion": label, "pool": pool, "fps": fps, "expected_folder": str(path)}
        fields |= {"box": box, "landmarks": landmarks}
        if not any(row.text(field) for field in ("onset", "apex", "offset")):
            fields["has_span"] = False
        return collector.add_row(row, folder, **fields)
    name = f"table/{subject}/{row.text('clip')}"
    values: dict[str, Any] = {
        **collector.numbers(row),
        "emotion": label,
        "action_units": row.text("action_units"),
        "objective": "",
    }
    values |= collector.correct(name, values)
    numbers, suffix = (values["onset"], values["apex"], values["offset"]), path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES | VIDEO_SUFFIXES | {_LANDMARKS}:
        allowed = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES | {_LANDMARKS}))
        raise LostClipError(row.where, f"a folder, or a file of {allowed}", str(path), "correct the path")
    frames: dict[str, Any] = {}
    if suffix in VIDEO_SUFFIXES:
        frames = _video_frames(row, *_completed(collector, f"{row.where} ({name})", *numbers))
    elif suffix == _LANDMARKS:
        frames = {"kind": "landmarks", **landmark_span(row.where, *numbers)}
    clip = RawClip(
        clip=name,
        subject=f"table/{subject}",
        pool=pool,
        kind="frames",
        paths=(path,),
        fps=fps or 0.0,
        emotion=normal_emotion(values["emotion"]),
        written=values["emotion"],
        action_units=parse_action_units(values["action_units"]),
        box=box,
        landmarks=landmarks and landmarks._replace(frame=frames["numbers"][0] if suffix in VIDEO_SUFFIXES else 1),
    )
    return collector.add(dataclasses.replace(clip, **frames), row.where)


def _video_frames(row: Row, onset: int | None, apex: int | None, offset: int | None) -> dict[str, Any]:
    """The frames of a video from onset to offset, as fields of a clip."""
    if onset is None or offset is None or not 1 <= onset < offset or not (apex is None or onset <= apex <= offset):
        found = f"onset {onset}, apex {apex}, offset {offset}"
        raise LostClipError(row.where, "1 <= onset <= apex <= offset for a video", found, "correct the cells")
    return {"kind": "video", "numbers": tuple(range(onset, offset + 1)), "apex": None if apex is None else apex - onset}


def _completed(collector: Collector, where: str, *numbers: int | None) -> tuple[int | None, int | None, int | None]:
    """Onset, apex and offset in a video; with some of them, the missing ones as `spans.completed`."""
    onset, apex, offset = numbers
    if onset is apex is offset is None:
        return None, None, None
    movement = Movement(where, "", "", None, onset=onset, apex=apex or None, offset=offset or None, has_span=True)
    movement = completed(movement, None, keep=collector.keep_incomplete, report=collector.problem)
    return movement.onset, movement.apex, movement.offset


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
    looked_for="a user table (csv, tsv, xlsx, xls or ods: clip, subject, label, path and, if known, onset, apex, offset)",
    find=_find,
    read=_read,
    pools=("micro", "macro"),
    counts_from=0,
)

"""Annotation tables: columns by name below any notes, ids as text, and the marks in use for missing values."""

import contextlib
import csv
import dataclasses
import io
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.records import DataError

COLUMNS: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "sub", "subid", "participant", "subjectid"),
    "clip": ("filename", "clip", "foldname", "material", "seq", "count", "video"),
    "onset": ("onsetframe", "onsetf", "onset"),
    "apex": ("apexframe", "apexf", "apexf1", "apex", "apexframe1"),
    "offset": ("offsetframe", "offsetf", "offset"),
    "first": ("firstf", "firstframe"),
    "emotion": ("estimatedemotion", "emotion", "label", "emotions"),
    "action_units": ("actionunits", "actionunit", "au", "aus"),
    "objective": ("objectiveclasses", "objectiveclass"),
    "fps": ("fps", "framerate", "rate"),
    "type": ("micro", "type", "expressiontype"),
    "total": ("total", "totalms"),
    "path": ("path", "folder"),
    "pool": ("pool",),
    "box": ("box", "facebox"),
}
"""Spellings of each column in the tables of all corpora, as `column_key`; the preferred one first."""

_HEADER_ROWS = 60
_MAX_CELL = 200
# About three hours at 1,000 frames per second.
_MAX_NUMBER = 10_000_000
_MAX_BYTES, _MAX_UNPACKED_BYTES = 64 << 20, 512 << 20
_TOO_LARGE = "far more than any annotation table; take it from the release again, or delete formatted empty rows in it"
_MISSING = {"", "/", "\\", "-", "nan", "none", "n/a", "na", "null", "?", "#n/a"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table: its file, sheet and line, for messages, and its raw cells by field of `COLUMNS`."""

    where: str
    cells: Mapping[str, Any]

    def text(self, field: str) -> str:
        """The cell as text, whole numbers without `.0`; empty if missing."""
        return cell_text(self.cells.get(field))

    def number(self, field: str) -> int | None:
        """The cell, a number or text, as a whole number; None if missing.

        Raises:
          ValueError: the cell is neither a whole number up to ten million nor a mark for a missing value.
        """
        text = self.text(field)
        if text.lower() in _MISSING:
            return None
        try:
            value = float(text.replace(",", ".")) if re.fullmatch(r"\d+,\d+", text) else float(text)
        except ValueError:
            raise ValueError(f"{field} is {text!r}, not a number") from None
        if not abs(value) <= _MAX_NUMBER or value != int(value):
            raise ValueError(f"{field} is {text!r}, not a whole number up to {_MAX_NUMBER:,}")
        return int(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table read by column names; `absent` are the wanted fields without a column."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    absent: tuple[str, ...]


def column_key(name: str) -> str:
    """A column name in lower case, letters and digits only.

    >>> column_key("Onset Frame")
    'onsetframe'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def cell_text(cell: Any, longest: int = _MAX_CELL) -> str:
    """A cell as stripped text of at most `longest` letters, whole numbers without `.0`.

    >>> cell_text(6.0), cell_text(" 006 "), cell_text(None)
    ('6', '006', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell == cell and abs(cell) < 1e15 and cell == int(cell):
        return str(int(cell))
    return str(cell).strip()[:longest]


def read_sheets(path: Path) -> dict[str, list[list[Any]]]:
    """Rows of cells of a `.csv`, `.xlsx` or `.xls` file, by sheet.

    Raises:
      DataError: the file is locked, damaged, not a table, or larger than 64 MiB.
    """
    readers = dict.fromkeys((".csv", ".txt", ".tsv"), _read_text_table) | {".xls": _read_old_workbook}
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); give the path of a table that you may read") from error
    if size > _MAX_BYTES:
        raise DataError(f"{path} has {size >> 20} MiB, {_TOO_LARGE}")
    try:
        # A workbook is a zip archive: its stated size is checked before it is unpacked.
        with (
            contextlib.suppress(zipfile.BadZipFile, NotImplementedError),
            zipfile.ZipFile(io.BytesIO(content)) as archive,
        ):
            size = sum(member.file_size for member in archive.infolist())
            if size > _MAX_UNPACKED_BYTES:
                raise DataError(f"{path} unpacks to {size >> 20} MiB, {_TOO_LARGE}")
        return readers.get(path.suffix.lower(), _read_workbook)(content)
    except DataError:
        raise
    except BaseException as error:  # xlrd raises many types; a panic of calamine's Rust core is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        locked = type(error).__name__ == "PasswordError" or "ncrypted" in str(error)
        remedy = "open it and save it without its password" if locked else "take it from the release again"
        raise DataError(f"{path} is not a readable table ({error}); {remedy}") from error


def _read_workbook(content: bytes) -> dict[str, list[list[Any]]]:
    from python_calamine import CalamineWorkbook

    with _silent():
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


def _read_old_workbook(content: bytes) -> dict[str, list[list[Any]]]:
    """Read by a Python library: the Rust one aborts the process on some damaged files of the old format."""
    import xlrd

    def value(cell: Any) -> Any:
        # The value of an error cell, such as #N/A, is the number of the error.
        return None if cell.ctype == xlrd.XL_CELL_ERROR else cell.value

    book = xlrd.open_workbook(file_contents=content, logfile=io.StringIO())
    return {sheet.name: [list(map(value, row)) for row in sheet.get_rows()] for sheet in book.sheets()}


def _read_text_table(content: bytes) -> dict[str, list[list[Any]]]:
    try:
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig").read()
    except UnicodeDecodeError:
        # Saved by a spreadsheet program on a Chinese system.
        text = io.TextIOWrapper(io.BytesIO(content), "gb18030", "replace").read()
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    return {"": list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silence standard error, to which the Rust core of the reader writes its panics; the error raised is enough."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def read_table(
    path: Path,
    /,
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    optional: Sequence[str] = (),
    **aliases: tuple[str, ...],
) -> Table:
    """Find the header with every needed column, in any sheet and below any notes, and read the rows below it.

    Args:
      path: the file.
      needed: required fields of `COLUMNS`.
      wanted: fields that are read if they are there, and listed in `absent` otherwise.
      optional: fields that are read if they are there.
      **aliases: spellings of a field that replace those of `COLUMNS`.

    Raises:
      DataError: the file cannot be read, or no row has the needed columns.
    """
    names = {field: aliases[field] if field in aliases else COLUMNS[field] for field in (*needed, *wanted, *optional)}
    best: tuple[str, ...] = ()
    for sheet, cells in read_sheets(path).items():
        for line, row in enumerate(cells[:_HEADER_ROWS]):
            found = _columns(row, names)
            header = tuple(text for text in (cell_text(cell) for cell in row) if text)
            if all(field in found for field in needed):
                rows = tuple(_rows(path, sheet, cells, line + 1, found))
                return Table(path, header, rows, tuple(field for field in wanted if field not in found))
            if found and len(header) > len(best):
                best = header
    asked = ", ".join(names[field][0] for field in needed)
    raise DataError(
        f"{path} has no row that names the columns {asked}; found {', '.join(best) or 'no header'}. "
        "Name the columns as in the release"
    )


def read_bare_table(path: Path, fields: Sequence[str], *, numeric: str) -> Table:
    """Read the first sheet, which has no header, by its `fields` from the left; rows without a `numeric` one are notes.

    Raises:
      DataError: the file cannot be read, or no row has a number in that column.
    """
    columns = {field: index for index, field in enumerate(fields)}
    rows = []
    for name, cells in list(read_sheets(path).items())[:1]:
        for row in _rows(path, name, cells, 0, columns):
            with contextlib.suppress(ValueError):
                rows += [row] if row.number(numeric) is not None else []
    if not rows:
        raise DataError(f"{path} has no row with a number as {numeric} in column {columns[numeric] + 1}")
    return Table(path, tuple(fields), tuple(rows), ())


def _rows(path: Path, sheet: str, cells: list[list[Any]], first: int, columns: Mapping[str, int]) -> Iterator[Row]:
    place = f"{path.name}, sheet {sheet}," if sheet else path.name
    for index, row in enumerate(cells[first:], start=first):
        own = {field: row[column] if column < len(row) else None for field, column in columns.items()}
        if any(cell_text(cell) for cell in own.values()):
            yield Row(f"{place} line {index + 1}", own)


def _columns(row: Sequence[Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    keys = [column_key(cell_text(cell)) for cell in row]
    found = {field: [keys.index(spelling) for spelling in names[field] if spelling in keys] for field in names}
    return {field: places[0] for field, places in found.items() if places}

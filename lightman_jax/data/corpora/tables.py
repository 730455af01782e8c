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
_ERROR_CELL = 5
# About three hours at 1,000 frames per second.
_MAX_NUMBER = 10_000_000
_MAX_BYTES, _MAX_UNPACKED_BYTES = 64 << 20, 512 << 20
_TOO_LARGE = "far more than any annotation table; take it from the release again, or delete formatted empty rows in it"
_MISSING = {"", "/", "\\", "-", "nan", "none", "n/a", "na", "null", "?", "#n/a"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
      where: file, sheet and line, for messages.
      cells: raw cells by field of `COLUMNS`.
    """

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
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); give the path of a table that you may read") from error
    if size > _MAX_BYTES:
        raise DataError(f"{path} has {size >> 20} MiB, {_TOO_LARGE}")
    if path.suffix.lower() in {".csv", ".txt", ".tsv"}:
        return {"": _read_text_table(path)}
    return _read_old_workbook(path) if path.suffix.lower() == ".xls" else _read_workbook(path)


def _read_workbook(path: Path) -> dict[str, list[list[Any]]]:
    from python_calamine import CalamineWorkbook

    try:
        _check_unpacked_size(path)
        with _silent():
            book = CalamineWorkbook.from_filelike(io.BytesIO(path.read_bytes()))
            return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except BaseException as error:  # The Rust core panics on some damaged files; its panic is not an Exception.
        if isinstance(error, DataError) or (
            not isinstance(error, Exception) and type(error).__name__ != "PanicException"
        ):
            raise
        raise _unreadable(path, error, locked=type(error).__name__ == "PasswordError") from error


def _read_old_workbook(path: Path) -> dict[str, list[list[Any]]]:
    """Read by a Python library: the Rust one aborts the process on some damaged files of the old format."""
    import xlrd

    try:
        book = xlrd.open_workbook(file_contents=path.read_bytes(), logfile=io.StringIO())
        # The value of an error cell, such as #N/A, is the number of the error.
        return {
            sheet.name: [
                [None if cell.ctype == _ERROR_CELL else cell.value for cell in row] for row in sheet.get_rows()
            ]
            for sheet in book.sheets()
        }
    except Exception as error:  # xlrd raises many types on damaged files.
        raise _unreadable(path, error, locked="ncrypted" in str(error)) from error


def _unreadable(path: Path, error: BaseException, *, locked: bool) -> DataError:
    remedy = "open it and save it without its password" if locked else "take it from the release again"
    return DataError(f"{path} is not a readable spreadsheet ({error}); {remedy}")


def _check_unpacked_size(path: Path) -> None:
    """Refuse a workbook, a zip archive, by its stated size before it is unpacked."""
    with contextlib.suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_UNPACKED_BYTES:
            raise DataError(f"{path} unpacks to {size >> 20} MiB, {_TOO_LARGE}")


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
    """Read the first sheet, which has no header, by the positions of its columns; notes are skipped.

    Args:
      path: the file.
      fields: field of each column, from the left.
      numeric: a field with a number; rows without it are notes.

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


def _read_text_table(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        # Saved by a spreadsheet program on a Chinese system.
        text = path.read_text(encoding="gb18030", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path} is not a readable csv table ({error}); save it as csv again") from error

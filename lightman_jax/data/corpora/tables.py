"""Annotation tables: columns by name wherever the header stands, ids as text, the field's many marks for "missing"."""

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
    "rate": ("fps", "framerate", "rate"),
    "type": ("micro", "type", "expressiontype"),
    "total": ("total", "totalms"),
    "path": ("path", "folder"),
    "pool": ("pool",),
    "face": ("box", "facebox"),
}
"""Names a column has in one corpus or another, letters and digits alone in lower case, the likeliest first."""

_HEADER_WITHIN = 60
_LONGEST_CELL = 200
_ERROR_CELL = 5
# Of frames at 1,000 pictures a second: some three hours.
_LARGEST_NUMBER = 10_000_000
_LARGEST, _LARGEST_INSIDE = 64 << 20, 512 << 20
_MISSING = {"", "/", "\\", "-", "nan", "none", "n/a", "na", "null", "?", "#n/a"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table, its cells by field of `COLUMNS`.

    Attributes:
      where: file, sheet and line, for messages.
      line: line in the sheet, from 1.
      cells: raw cells.
    """

    where: str
    line: int
    cells: Mapping[str, Any]

    def text(self, field: str) -> str:
        """The cell as text; an id that the sheet holds as a number comes without its `.0`; empty if missing."""
        return cell_text(self.cells.get(field))

    def number(self, field: str) -> int | None:
        """The cell as a whole number, also where the sheet holds text; None for the marks of a missing one.

        Raises:
          ValueError: the cell is neither a number of ten million or less nor a mark.
        """
        text = self.text(field)
        if text.lower() in _MISSING:
            return None
        try:
            value = float(text.replace(",", ".")) if re.fullmatch(r"\d+,\d+", text) else float(text)
        except ValueError:
            raise ValueError(f"{field} is {text!r}, no number") from None
        if not abs(value) <= _LARGEST_NUMBER or value != int(value):
            raise ValueError(f"{field} is {text!r}, no whole number up to {_LARGEST_NUMBER:,}")
        return int(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table read by column names: `rows`, and of the wanted fields those no column was found for."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    absent: tuple[str, ...]


def cell_text(cell: Any) -> str:
    """A cell as stripped text of at most 200 letters, whole numbers without their `.0`.

    >>> cell_text(6.0), cell_text(" 006 "), cell_text(None)
    ('6', '006', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell == cell and abs(cell) < 1e15 and cell == int(cell):
        return str(int(cell))
    return str(cell).strip()[:_LONGEST_CELL]


def read_sheets(path: Path) -> dict[str, list[list[Any]]]:
    """All cells of a `.csv`, `.xlsx` or `.xls` file, by sheet; lists of rows.

    Raises:
      DataError: the file is locked, damaged, no table, or larger than 64 MiB.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error}); give the path of a table that is there and that you may read"
        ) from error
    if size > _LARGEST:
        raise DataError(
            f"{path} has {size >> 20} MiB, far more than any annotation table; take it from the release again, or delete "
            "the formatted empty rows in it"
        )
    if path.suffix.lower() in {".csv", ".txt", ".tsv"}:
        return {"": _read_text_table(path)}
    return _read_old_workbook(path) if path.suffix.lower() == ".xls" else _read_workbook(path)


def _read_workbook(path: Path) -> dict[str, list[list[Any]]]:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    _refuse_inflated(path)
    try:
        with _silent():
            book = CalamineWorkbook.from_filelike(io.BytesIO(path.read_bytes()))
            return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except PasswordError as error:
        raise DataError(f"{path} is locked by a password; open it and save it without one") from error
    except (CalamineError, OSError, ValueError) as error:
        raise DataError(f"{path} is no readable spreadsheet ({error}); take it from the release again") from error
    except BaseException as error:  # The reader's Rust core panics on some damaged files; its panic is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{path} is no readable spreadsheet; take it from the release again") from error


def _read_old_workbook(path: Path) -> dict[str, list[list[Any]]]:
    """By a reader in Python: the Rust one ends the process at some damaged files of the old format."""
    import xlrd

    try:
        book = xlrd.open_workbook(file_contents=path.read_bytes(), logfile=io.StringIO())
        return {sheet.name: [_values(row) for row in sheet.get_rows()] for sheet in book.sheets()}
    except Exception as error:  # A damaged file makes it fail in any way.
        hint = "; open it and save it without its password" if "ncrypted" in str(error) else ""
        raise DataError(
            f"{path} is no readable spreadsheet ({error}){hint or '; take it from the release again'}"
        ) from error


def _values(row: Sequence[Any]) -> list[Any]:
    # The value of an error cell, such as #N/A, is the error's number.
    return [None if cell.ctype == _ERROR_CELL else cell.value for cell in row]


def _refuse_inflated(path: Path) -> None:
    """A workbook is a zip archive: what it claims to hold is asked before it is unpacked."""
    with contextlib.suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST_INSIDE:
            raise DataError(
                f"{path} unpacks to {size >> 20} MiB, far more than any annotation table; take it from the release again"
            )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The reader's Rust core writes its panics to standard error by itself; the error that is raised says what to do."""
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
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    optional: Sequence[str] = (),
    **aliases: tuple[str, ...],
) -> Table:
    """Find the header that names every needed column, in any sheet and below any notes, and read the rows under it.

    Args:
      path: the file.
      needed: fields of `COLUMNS` without which the table is of no use.
      wanted: fields that are read where they are, and named in `absent` where they are not.
      optional: fields that are read where they are.
      **aliases: other column names for a field, in this table alone.

    Raises:
      DataError: the file cannot be read, or no row names the needed columns.
    """
    names = {field: aliases[field] if field in aliases else COLUMNS[field] for field in (*needed, *wanted, *optional)}
    best: tuple[str, ...] = ()
    for sheet, cells in read_sheets(path).items():
        for line, row in enumerate(cells[:_HEADER_WITHIN]):
            found = _columns(row, names)
            header = tuple(text for text in (cell_text(cell) for cell in row) if text)
            if all(field in found for field in needed):
                rows = tuple(_rows(path, sheet, cells, line + 1, found))
                return Table(path, header, rows, tuple(field for field in wanted if field not in found))
            if len(found) > 0 and len(header) > len(best):
                best = header
    asked = ", ".join(names[field][0] for field in needed)
    raise DataError(
        f"{path} has no row that names the columns {asked}; found {', '.join(best) or 'no row like a header'}. "
        f"Name the columns as the release does"
    )


def read_bare_table(path: Path, fields: Sequence[str], *, sheet: int = 0, numeric: str) -> Table:
    """Read a sheet without a header by the positions of its columns; rows without a number in one field are notes.

    Args:
      path: the file.
      fields: field of each column, from the left.
      sheet: number of the sheet.
      numeric: the field that holds a number in every row that is no note.

    Raises:
      DataError: the file cannot be read, has no such sheet, or no row with a number there.
    """
    sheets = list(read_sheets(path).items())
    if sheet >= len(sheets):
        raise DataError(f"{path} has {len(sheets)} sheets; sheet {sheet + 1} is needed. Take it from the release again")
    name, cells = sheets[sheet]
    columns = {field: index for index, field in enumerate(fields)}
    rows = []
    for row in _rows(path, name, cells, 0, columns):
        try:
            if row.number(numeric) is not None:
                rows.append(row)
        except ValueError:
            continue
    if not rows:
        raise DataError(f"{path} has no row with a number as {numeric} in column {columns[numeric] + 1}")
    return Table(path, tuple(fields), tuple(rows), ())


def _rows(path: Path, sheet: str, cells: list[list[Any]], first: int, columns: Mapping[str, int]) -> Iterator[Row]:
    place = f"{path.name}, sheet {sheet}," if sheet else f"{path.name}"
    for index in range(first, len(cells)):
        row = cells[index]
        own = {field: row[column] if column < len(row) else None for field, column in columns.items()}
        if any(cell_text(cell) for cell in own.values()):
            yield Row(f"{place} line {index + 1}", index + 1, own)


def _columns(row: Sequence[Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    plain = [re.sub(r"[^a-z0-9]", "", cell_text(cell).lower()) for cell in row]
    found = {}
    for field, choices in names.items():
        place = next((plain.index(choice) for choice in choices if choice in plain), None)
        if place is not None:
            found[field] = place
    return found


def _read_text_table(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        # Tables saved by spreadsheet programs on Chinese systems.
        text = path.read_text(encoding="gb18030", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path} is no readable csv table ({error}); save it as csv again") from error

"""Cells of table files: workbooks of spreadsheet programs, and text tables; values that a file lacks are marked `Unread`."""

import contextlib
import io
import os
import re
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightman_jax.data.records import DataError
from lightman_jax.data.tables.cells import Unread
from lightman_jax.data.tables.text_tables import read_text_table

Cells = list[list[Any]]

_MAX_BYTES, _MAX_UNPACKED_BYTES = 64 << 20, 512 << 20
_TOO_LARGE = "far more than any annotation table; take it from the release again, or delete formatted empty rows in it"
TEXT_SUFFIXES = frozenset([".csv", ".txt", ".tsv"])
_ARCHIVE = b"PK\x03\x04"
# A formula without a stored value, as libraries write it, or a spreadsheet error such as #REF!.
_UNREAD = re.compile(rb"</f><v ?/>|</f><v></v>|</f></c>|<f>[^<]*</f>\s*</c>|t=\"e\"")


def read_file(path: Path) -> tuple[dict[str, Cells], tuple[str, ...]]:
    """Rows of cells of a table file by sheet, and sentences on the choices made in reading it.

    Raises:
      DataError: the file is locked, damaged, not a table, or larger than 64 MiB.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MAX_BYTES else b""
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); give the path of a table that you may read") from error
    if size > _MAX_BYTES:
        raise DataError(f"{path} has {size >> 20} MiB, {_TOO_LARGE}")
    try:
        return _read_content(path, content)
    except DataError as error:
        raise error if str(error).startswith(str(path)) else DataError(f"{path} has {error}") from error
    except BaseException as error:  # xlrd raises many types; a panic of calamine's Rust core is not an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        locked = type(error).__name__ == "PasswordError" or "ncrypted" in str(error)
        remedy = "open it and save it without its password" if locked else "take it from the release again"
        raise DataError(f"{path} is not a readable table ({error}); {remedy}") from error


def fullest_column(sheets: Mapping[str, Cells], matches: Callable[[Any], bool]) -> tuple[str, int]:
    """Sheet and number of the column with the most matching cells; `("", -1)` if none matches."""
    counts = Counter(
        (name, column)
        for name, cells in sheets.items()
        for row in cells
        for column, cell in enumerate(row)
        if matches(cell)
    )
    return max(counts, key=counts.__getitem__, default=("", -1))


def _read_content(path: Path, content: bytes) -> tuple[dict[str, Cells], tuple[str, ...]]:
    # A workbook is a zip archive: its stated size is checked before it is unpacked.
    with (
        contextlib.suppress(zipfile.BadZipFile, NotImplementedError),
        zipfile.ZipFile(io.BytesIO(content)) as archive,
    ):
        size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_UNPACKED_BYTES:
            raise DataError(f"{path} unpacks to {size >> 20} MiB, {_TOO_LARGE}")
    suffix = path.suffix.lower()
    if content.startswith(_ARCHIVE):
        return _read_workbook(content)
    is_text = content.startswith((b"\xff\xfe", b"\xfe\xff")) or (content and b"\0" not in content[:1024])
    if suffix in TEXT_SUFFIXES or is_text:
        rows, notes = read_text_table(content)
        return {"": rows}, (*notes, *(() if suffix in TEXT_SUFFIXES else (f"is a text table, not {suffix}",)))
    return (_read_old_workbook(content), ()) if suffix == ".xls" else _read_workbook(content)


def _read_workbook(content: bytes) -> tuple[dict[str, Cells], tuple[str, ...]]:
    from python_calamine import CalamineWorkbook

    sheets, notes = {}, []
    with _silent():
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        for name in book.sheet_names:
            sheet = book.get_sheet_by_name(name)
            sheets[name] = sheet.to_python(skip_empty_area=False)
            if _fill_merged(sheets[name], sheet.merged_cell_ranges or ()):
                notes.append(f"sheet {name}: a cell merged over several rows counts for each of them")
    for name, row, column, text in _unread_cells(content):
        with contextlib.suppress(LookupError):
            if sheets[name][row][column] == "":
                sheets[name][row][column] = Unread(text)
    return sheets, tuple(notes)


def _fill_merged(cells: Cells, ranges: Any) -> bool:
    """Repeat cells that are merged over several rows; whether there are any."""
    filled = False
    for (first, column), (last, last_column) in ranges:
        if last > first and column == last_column and first < len(cells) and cells[first][column] != "":
            for row in cells[first + 1 : last + 1]:
                row[column], filled = cells[first][column], True
    return filled


def _unread_cells(content: bytes) -> Iterator[tuple[str, int, int, str]]:
    """Sheet, row, column and text of the formulas and errors, if a workbook has any without a value."""
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = (name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name))
            if not any(_UNREAD.search(archive.read(name)) for name in parts):
                return
        with warnings.catch_warnings(action="ignore"):
            book = openpyxl.load_workbook(io.BytesIO(content))
    except Exception:  # The workbook has been read already; openpyxl refuses some that calamine reads.
        return
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type in "fe":
                    yield sheet.title, cell.row - 1, cell.column - 1, str(cell.value)


def _read_old_workbook(content: bytes) -> dict[str, Cells]:
    """Read by a Python library: the Rust one aborts the process on some damaged files of the old format."""
    import xlrd

    def value(book: Any, cell: Any) -> Any:
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return Unread(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
        if cell.ctype == xlrd.XL_CELL_DATE:
            with contextlib.suppress(xlrd.xldate.XLDateError):
                return xlrd.xldate_as_datetime(cell.value, book.datemode)
        return bool(cell.value) if cell.ctype == xlrd.XL_CELL_BOOLEAN else cell.value

    book = xlrd.open_workbook(file_contents=content, logfile=io.StringIO())
    return {sheet.name: [[value(book, cell) for cell in row] for row in sheet.get_rows()] for sheet in book.sheets()}


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

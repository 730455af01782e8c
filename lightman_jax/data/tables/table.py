"""Annotation tables: columns by name below any notes, ids as text, and the marks in use for missing values."""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.records import DataError, Problem
from lightman_jax.data.tables.cells import MAX_CELL, MAX_PATH, cell_fault, cell_text, is_missing, whole_number
from lightman_jax.data.tables.sheets import Cells, fullest_column, read_file

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
    "type": ("micro", "type", "expressiontype", "typeofexpression", "microormacro", "micromacro"),
    "total": ("total", "totalms"),
    "path": ("path", "folder"),
    "pool": ("pool", "expressiontype", "typeofexpression", "microormacro", "micromacro", "type"),
    "box": ("box", "facebox"),
    "landmarks": ("landmarks", "landmarkfile", "openface"),
}
"""Spellings of each column in the tables of all corpora, as `column_key`; the preferred one first."""

_HEADER_ROWS = 60
# Fields without which a clip can still be used.
_SPARE = frozenset(["action_units", "objective", "fps", "box", "landmarks", "total", "source"])


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table: its file, sheet and line, for messages, and its raw cells by field of `COLUMNS`."""

    where: str
    cells: Mapping[str, Any]

    def text(self, field: str) -> str:
        """The cell as text, whole numbers without `.0`; empty if missing."""
        text = cell_text(self.cells.get(field))
        return "" if is_missing(text) else text

    def number(self, field: str) -> int | None:
        """The cell, a number or text, as a whole number; None if missing.

        Raises:
          ValueError: as `whole_number`.
        """
        try:
            return whole_number(self.cells.get(field))
        except ValueError as error:
            raise ValueError(f"{field} is {error}") from None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table read by column names.

    Attributes:
      path: the file.
      header: names of all columns.
      rows: rows whose cells can be used.
      absent: the wanted fields without a column.
      columns: name of the column of each field.
      notes: one sentence for each choice that was made in reading it.
      problems: rows that are left out, and cells that count as missing.
      left_out: names of the clips of rows that are left out.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    absent: tuple[str, ...]
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    left_out: tuple[str, ...] = ()

    def complete(self) -> "Table":
        """The table, for uses that need all its rows.

        Raises:
          DataError: a cell cannot be used.
        """
        for problem in self.problems:
            raise DataError(f"{problem.where}: {problem.reason}")
        return self


class _Part(NamedTuple):
    """Header of one sheet: its line, the column of each field, and the names of all columns."""

    sheet: str
    line: int
    columns: dict[str, int]
    header: tuple[str, ...]
    width: int


def column_key(name: str) -> str:
    """A column name in lower case, letters and digits only.

    >>> column_key("Onset Frame")
    'onsetframe'
    """
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", name).lower())


def read_sheets(path: Path) -> dict[str, Cells]:
    """Rows of cells of a table file by sheet; errors as `read_file`."""
    return read_file(path)[0]


def read_table(
    path: Path,
    /,
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    optional: Sequence[str] = (),
    **aliases: tuple[str, ...],
) -> Table:
    """Find the header with every needed column, in any sheet and below any notes, and read the rows below it.

    Sheets with the same header are read together.

    Args:
      path: the file.
      needed: required fields of `COLUMNS`.
      wanted: fields that are read if they are there, and listed in `absent` otherwise.
      optional: fields that are read if they are there.
      **aliases: spellings of a field that replace those of `COLUMNS`.

    Raises:
      DataError: the file cannot be read, no row has the needed columns, or two columns of one name differ.
    """
    names = {field: aliases[field] if field in aliases else COLUMNS[field] for field in (*needed, *wanted, *optional)}
    sheets, remarks = read_file(path)
    parts, best = [], tuple[str, ...]()
    for sheet, cells in sheets.items():
        part, header = _find_header(sheet, cells, names, needed)
        parts += [part] if part else []
        best = max(best, header, key=len)
    if not parts:
        asked = ", ".join(field if column_key(field) in names[field] else names[field][0] for field in needed)
        raise DataError(
            f"{path} has no row that names the columns {asked}; found {', '.join(best) or 'no header'}. "
            "Name the columns as in the release"
        )
    first, *others = parts
    same = [part for part in others if _keys(part.header) == _keys(first.header)]
    rows: list[Row] = []
    problems: list[Problem] = []
    repeated = 0
    for part in (first, *same):
        cells = sheets[part.sheet]
        _refuse_two_columns(path, part, cells)
        shifted = {problem.where: problem for problem in _shifted_rows(path, part, cells)}
        listed = {repr(row.cells) for row in rows}
        found = [row for row in _rows(path, part.sheet, cells, part.line + 1, part.columns) if row.where not in shifted]
        new = [row for row in found if repr(row.cells) not in listed]
        rows, problems, repeated = rows + new, problems + list(shifted.values()), repeated + len(found) - len(new)
    usable, faults = _usable(rows)
    notes = (*(f"{path.name}: {remark}" for remark in remarks), *_sheet_notes(path, first, same, others, repeated))
    columns = {field: cell_text(sheets[first.sheet][first.line][column]) for field, column in first.columns.items()}
    absent = tuple(field for field in wanted if field not in first.columns)
    return Table(path, first.header, usable, absent, columns, notes, (*problems, *faults), _left_out(rows, usable))


def read_bare_table(
    path: Path, fields: Sequence[str], *, numeric: str, anchor: str, is_anchor: Callable[[str], object]
) -> Table:
    """Read a table without a header by its `fields` from the left.

    The column `anchor`, whose cells `is_anchor` recognises, shows the sheet and the place of the other columns: a copy may have its
    sheets in another order, or an index as first column. Rows with neither a `numeric` field nor an anchor are notes.

    Raises:
      DataError: the file cannot be read, or has no such column.
    """
    sheets, remarks = read_file(path)
    sheet, column = fullest_column(sheets, lambda cell: bool(is_anchor(cell_text(cell))))
    first = column - fields.index(anchor)
    if first < 0:
        raise DataError(
            f"{path} has no sheet with {anchor} in column {fields.index(anchor) + 1}; take it from the release again"
        )
    found = _rows(path, sheet, sheets[sheet], 0, {field: first + index for index, field in enumerate(fields)})
    rows = [row for row in found if is_anchor(row.text(anchor)) or re.fullmatch(r"[\d.]+", row.text(numeric))]
    usable, problems = _usable(rows)
    if sheet != next(iter(sheets)) or first:
        remarks = (*remarks, f"read the sheet {sheet} from column {first + 1}")
    notes = tuple(f"{path.name}: {remark}" for remark in remarks)
    return Table(path, tuple(fields), usable, (), notes=notes, problems=problems, left_out=_left_out(rows, usable))


def _find_header(
    sheet: str, cells: Cells, names: Mapping[str, tuple[str, ...]], needed: Sequence[str]
) -> tuple[_Part | None, tuple[str, ...]]:
    """The header with every needed column; without one, the row of a sheet that comes nearest to it."""
    best: tuple[str, ...] = ()
    for line, row in enumerate(cells[:_HEADER_ROWS]):
        found = _columns(row, names)
        texts = [cell_text(cell) for cell in row]
        header = tuple(filter(None, texts))
        if all(field in found for field in needed):
            return _Part(sheet, line, found, header, len(row)), header
        if found and len(header) > len(best):
            best = header
    return None, best


def _keys(header: Sequence[str]) -> list[str]:
    return sorted(map(column_key, header))


def _sheet_notes(
    path: Path, first: _Part, same: Sequence[_Part], others: Sequence[_Part], repeated: int
) -> Iterator[str]:
    if same:
        once = f"; {repeated} rows of the first stand in another as well and count once" if repeated else ""
        names = ", ".join(part.sheet for part in (first, *same))
        yield f"{path.name}: read the sheets {names}, which have the same header{once}"
    if unread := [part.sheet for part in others if part not in same]:
        yield f"{path.name}: read the sheet {first.sheet}; not read, for their header differs: {', '.join(unread)}"


def _refuse_two_columns(path: Path, part: _Part, cells: Cells) -> None:
    """Raise a `DataError` if a column that is read has a namesake with other cells."""
    keys = [column_key(cell_text(cell)) for cell in cells[part.line]]
    for column in part.columns.values():
        twins = [index for index, key in enumerate(keys) if key == keys[column] and index != column]
        for twin in twins:
            for row in cells[part.line + 1 :]:
                texts = [cell_text(row[index]) if index < len(row) else "" for index in (column, twin)]
                if texts[0] != texts[1]:
                    raise DataError(
                        f"{path} has two columns {cell_text(cells[part.line][column])} (numbers {column + 1} and {twin + 1}) "
                        f"that differ, for example {texts[0]!r} and {texts[1]!r}; rename or remove one of the two"
                    )


def _shifted_rows(path: Path, part: _Part, cells: Cells) -> Iterator[Problem]:
    """Rows with more cells than the header, as after a delimiter inside a name: their cells may be under a wrong name."""
    for index, row in enumerate(cells[part.line + 1 :], start=part.line + 1):
        if any(cell_text(cell) for cell in row[part.width :]):
            remedy = "put the cell that holds a delimiter in quotation marks; the row is left out"
            expected = f"{part.width} cells, as in the header"
            yield Problem(f"{_place(path, part.sheet)} line {index + 1}", expected, f"{len(row)} cells", remedy)


def _usable(rows: Sequence[Row]) -> tuple[tuple[Row, ...], tuple[Problem, ...]]:
    """Rows without cells that a spreadsheet program has changed, and these cells as problems."""
    usable, problems = [], []
    for row in rows:
        faults = {
            field: fault
            for field, cell in row.cells.items()
            if (fault := cell_fault(cell, MAX_PATH if field == "path" else MAX_CELL))
        }
        for field, (found, remedy) in faults.items():
            lost = field not in _SPARE
            end = "the row is left out" if lost else "the cell counts as missing"
            expected = f"{field.replace('_', ' ')} as text or a number"
            problems.append(Problem(row.where, expected, found, f"{remedy}; {end}", lost))
        if faults.keys() <= _SPARE:
            usable.append(Row(row.where, {**row.cells, **dict.fromkeys(faults)}) if faults else row)
    return tuple(usable), tuple(problems)


def _left_out(rows: Sequence[Row], usable: Sequence[Row]) -> tuple[str, ...]:
    kept = {row.where for row in usable}
    return tuple(cell_text(row.cells.get("clip")) for row in rows if row.where not in kept)


def _place(path: Path, sheet: str) -> str:
    return f"{path.name}, sheet {sheet}," if sheet else path.name


def _rows(path: Path, sheet: str, cells: Cells, first: int, columns: Mapping[str, int]) -> Iterator[Row]:
    for index, row in enumerate(cells[first:], start=first):
        own = {field: row[column] if column < len(row) else None for field, column in columns.items()}
        if any(cell_text(cell) for cell in own.values()):
            yield Row(f"{_place(path, sheet)} line {index + 1}", own)


def _columns(row: Sequence[Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    keys = [column_key(cell_text(cell)) for cell in row]
    found = {field: [keys.index(spelling) for spelling in names[field] if spelling in keys] for field in names}
    return {field: places[0] for field, places in found.items() if places}

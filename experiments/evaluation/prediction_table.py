"""The table of predictions, one row per clip and seed: as this package writes it, and as other programs may write it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightman_jax.data.corpora.cells import Unread, cell_text
from lightman_jax.data.corpora.sheets import read_file
from lightman_jax.data.corpora.tables import column_key
from lightman_jax.files import write_csv
from lightman_jax.types import natural_order

_COLUMNS = ("clip", "dataset", "subject", "fold", "seed", "label", "prediction")
_NEEDED = ("clip", "subject", "label", "prediction")
_ASSUMED = {
    "dataset": "the data set is the part of the clip before the first /",
    "fold": "every subject is a fold",
    "seed": "every row has seed 0",
}
_PROBABILITY, _VERSION = "p_", "format_version"
_HEADER_ROWS, _MAX_CELL = 60, 1 << 20
FORMAT_VERSION = 1
"""Of the table; a table of another program may omit that column."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One row of `predictions.csv`: one clip, tested under one seed in the fold that holds out its subject.

    `probabilities` are empty if a table of another program has none.
    """

    clip: str
    dataset: str
    subject: str
    fold: str
    seed: int
    label: str
    prediction: str
    probabilities: tuple[float, ...]


class PredictionTable(NamedTuple):
    """A table of predictions as read.

    Attributes:
      rows: predictions of one or more seeds.
      classes: their names, in the order of the probability columns.
      own: whether this package has written the table, which then names every class of its protocol.
      notes: one sentence for each choice that was made in reading it.
    """

    rows: list[Prediction]
    classes: list[str]
    own: bool = True
    notes: tuple[str, ...] = ()


class _Line(NamedTuple):
    """One row as read: its place for messages, its known columns as text, and all its cells."""

    where: str
    texts: dict[str, str]
    cells: list[Any]


def write_predictions(path: Path, rows: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write the table, with probabilities in full float32 precision."""
    lines: list[list[object]] = [[*_COLUMNS, *(_PROBABILITY + name for name in classes), _VERSION]]
    for row in rows:
        numbers = [f"{value:.9g}" for value in row.probabilities]
        lines.append([*(getattr(row, name) for name in _COLUMNS), *numbers, FORMAT_VERSION])
    write_csv(path, lines)


def read_predictions(path: Path) -> tuple[list[Prediction], list[str]]:
    """Rows and class names of a table of predictions; errors as `read_prediction_table`."""
    table = read_prediction_table(path)
    return table.rows, table.classes


def read_prediction_table(path: Path) -> PredictionTable:
    """Read a text table or workbook with the columns clip, subject, label and prediction, in any order and among others.

    Classes are all labels and predictions, and in a table of this package also those of its probability columns without a clip.

    Raises:
      ValueError: the file is not such a table, a column or cell is missing, a number cannot be read, or the format version differs;
        names the line.
      OSError: the file cannot be read.
    """
    with path.open("rb"):
        sheets, remarks = read_file(path)
    first: list[str] = []
    for sheet, lines in sheets.items():
        for index, cells in enumerate(lines[:_HEADER_ROWS]):
            header = [cell_text(cell, _MAX_CELL) for cell in cells]
            first = first or [name for name in header if name]
            if {*_NEEDED} <= {column_key(name) for name in header}:
                place = f"{path}, sheet {sheet}" if sheet else str(path)
                table = _read_rows(place, header, lines[index + 1 :], index + 2)
                more = () if len(sheets) == 1 else (f"sheet {sheet} of {len(sheets)} is read",)
                return table._replace(notes=tuple(f"{path}: {note}" for note in (*remarks, *more, *table.notes)))
    missing = [name for name in _NEEDED if name not in map(column_key, first)]
    raise ValueError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(first) or 'none'}")


def _read_rows(place: str, header: list[str], lines: Sequence[list[Any]], number: int) -> PredictionTable:
    """The rows below a header; `number` is that of the first line."""
    keys = [column_key(name) for name in header]
    double = [name for name, key in zip(header, keys, strict=True) if name and keys.count(key) > 1]
    if double:
        raise ValueError(f"{place} has the columns {' and '.join(double)}; rename or remove all but one")
    columns = {name: keys.index(column_key(name)) for name in (*_COLUMNS, _VERSION) if column_key(name) in keys}
    found = []
    for count, cells in enumerate(lines, start=number):
        texts = {name: cell_text(cells[k], _MAX_CELL) if k < len(cells) else "" for name, k in columns.items()}
        if any(map(cell_text, cells)):
            found.append(_checked(_Line(f"{place}, line {count}", texts, cells), len(header)))
    if not found:
        raise ValueError(f"{place} has no row below the names of its columns")
    classes = _class_columns(header, columns, found)
    used = {line.texts[name] for line in found for name in ("label", "prediction")}
    others = sorted(used - classes.keys(), key=natural_order)
    left = [name for name in header if _is_probability(name) and header.index(name) not in classes.values()]
    notes = [f"it has no column {name}: {text}" for name, text in _ASSUMED.items() if name not in columns]
    notes += [f"column {name} is left out: no clip has that class, and none is predicted as it" for name in left]
    notes += [f"the probabilities are left out: {', '.join(others)} has no column" for _ in others[:1] if classes]
    own = () if others else tuple(classes.values())
    rows = [_read_row(line, own) for line in found]
    return PredictionTable(rows, [*classes, *others], _VERSION in columns, tuple(notes))


def _class_columns(header: list[str], columns: dict[str, int], found: Sequence[_Line]) -> dict[str, int]:
    """The column of each class that has one: of those in use and, in a table of this package, of the others."""
    used = {line.texts[name] for line in found for name in ("label", "prediction")}
    spelled = {name.casefold(): name for name in used}
    own = range(columns["prediction"], columns.get(_VERSION, 0))
    classes: dict[str, int] = {}
    for index, name in enumerate(header):
        written = name[len(_PROBABILITY) :]
        known = written if written in used or index in own else spelled.get(written.casefold())
        if _is_probability(name) and known is not None:
            classes[known] = index
    return classes


def _is_probability(name: str) -> bool:
    return name.casefold().startswith(_PROBABILITY)


def _checked(line: _Line, width: int) -> _Line:
    """The line, if it has a cell in every column and the format version of this package."""
    empty = [name for name, text in line.texts.items() if not text]
    if any(map(cell_text, line.cells[width:])):
        raise ValueError(f"{line.where} has more cells than the table has columns")
    if empty:
        raise ValueError(f"{line.where} has no {empty[0]}")
    if any(isinstance(cell, Unread) for cell in line.cells):
        raise ValueError(
            f"{line.where} has a formula without a value; save the file in a spreadsheet program, or as CSV"
        )
    version = line.texts.get(_VERSION, str(FORMAT_VERSION))
    if version != str(FORMAT_VERSION):
        raise ValueError(
            f"{line.where} has format version {version}, this package reads {FORMAT_VERSION}; run the experiment again"
        )
    return line


def _read_row(line: _Line, columns: Sequence[int]) -> Prediction:
    texts = line.texts
    cells = [cell_text(line.cells[column]) if column < len(line.cells) else "" for column in columns]
    try:
        seed = int(texts.get("seed", "0").removesuffix(".0"))
        # Spreadsheet programs of many countries write a comma before decimals.
        probabilities = tuple(float(cell.replace(",", ".")) for cell in cells)
    except ValueError as error:
        raise ValueError(f"{line.where}: {error}") from error
    if not np.isfinite(probabilities).all():
        raise ValueError(f"{line.where} has a non-finite probability")
    dataset, slash, _ = texts["clip"].partition("/")
    return Prediction(
        texts["clip"],
        texts.get("dataset", dataset if slash else ""),
        texts["subject"],
        texts.get("fold", texts["subject"]),
        seed,
        texts["label"],
        texts["prediction"],
        probabilities,
    )

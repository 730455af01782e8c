"""The table of predictions, one row per clip and seed: as this package writes it, and as other programs may write it."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lightman_jax.data.tables.cells import Unread, cell_text, is_missing
from lightman_jax.data.tables.sheets import read_file
from lightman_jax.data.tables.table import column_key
from lightman_jax.files import write_csv
from lightman_jax.types import natural_order

_COLUMNS = ("clip", "dataset", "subject", "fold", "seed", "label", "prediction")
_NEEDED = ("clip", "subject", "label", "prediction")
_NAMED = ("label", "prediction")
_WHOLE = re.compile(r"(-?\d+)[.,]0+")
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

    `probabilities` are empty in a table of another program.
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

    Classes are all labels and predictions, and in a table of this package also those of its probability columns without a clip. The
    probabilities of other programs are not read.

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
            line = _Line(f"{place}, line {count}", texts, cells)
            _check_line(line, len(header))
            found.append(line)
    if not found:
        raise ValueError(f"{place} has no row below the names of its columns")
    own = _VERSION in columns
    probability = {name: k for k, name in enumerate(header) if name.casefold().startswith(_PROBABILITY)}
    between = range(columns["prediction"], columns.get(_VERSION, 0))
    classes = {name[len(_PROBABILITY) :]: k for name, k in probability.items() if k in between}
    notes = [f"it has no column {name}: {text}" for name, text in _ASSUMED.items() if name not in columns]
    if not own:
        notes += _unify_numbers([line.texts for line in found])
    others = sorted({line.texts[name] for line in found for name in _NAMED} - classes.keys(), key=natural_order)
    unused = [name for name, k in probability.items() if k not in between]
    notes += [f"not used: {', '.join(unused)}; classes are the labels and predictions"] if unused else []
    notes += [f"the probabilities are left out: {', '.join(others)} has no column"] if others and own else []
    rows = [_read_row(line, () if others else tuple(classes.values())) for line in found]
    return PredictionTable(rows, [*classes, *others], own, tuple(notes))


def _unify_numbers(rows: Sequence[dict[str, str]]) -> list[str]:
    """Write the label or prediction `1.0`, into which other programs turn 1, as 1; one note if there is any."""
    written = {row[name]: match[1] for row in rows for name in _NAMED if (match := _WHOLE.fullmatch(row[name]))}
    for row in rows:
        row |= {name: written.get(row[name], row[name]) for name in _NAMED}
    return [f"the classes {', '.join(sorted(written))} are read as whole numbers"] if written else []


def _check_line(line: _Line, width: int) -> None:
    """Raise a `ValueError` unless a line has a cell in every column and the format version of this package."""
    empty = [name for name, text in line.texts.items() if not text or (name in _NAMED and is_missing(text))]
    version = line.texts.get(_VERSION, str(FORMAT_VERSION))
    fault = ""
    if any(map(cell_text, line.cells[width:])):
        fault = "more cells than the table has columns"
    elif empty:
        text = line.texts[empty[0]]
        fault = f"no {empty[0]}{text and f' ({text} marks a missing one)'}; fill it in, or remove the line"
    elif any(isinstance(cell, Unread) for cell in line.cells):
        fault = "a formula without a value; save the file in a spreadsheet program, or as CSV"
    elif version != str(FORMAT_VERSION):
        fault = f"format version {version}, this package reads {FORMAT_VERSION}; run the experiment again"
    if fault:
        raise ValueError(f"{line.where} has {fault}")


def _read_row(line: _Line, columns: Sequence[int]) -> Prediction:
    texts = line.texts
    cells = [cell_text(line.cells[column]) if column < len(line.cells) else "" for column in columns]
    seed = texts.get("seed", "0").removesuffix(".0")
    if not re.fullmatch(r"\d{1,18}", seed):
        raise ValueError(
            f"{line.where} has the seed {seed}; write a whole number, or remove the column of a single seed"
        )
    try:
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
        int(seed),
        texts["label"],
        texts["prediction"],
        probabilities,
    )

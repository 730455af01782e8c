"""What was predicted of recordings, one row each and one more for each further movement: on the terminal and as a table."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lightman_jax.files import write_whole
from lightman_jax.model.saved_model import Model

FORMAT_VERSION = 1
"""Of the table."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Row(NamedTuple):
    """A movement and what the networks say of it, or why there is nothing to say.

    Attributes:
      name: of the recording.
      reason: why nothing is predicted; empty if something is.
      frames: of the recording; 0 if it cannot be read.
      rate: frames a second; 0 is unknown.
      span: numbers of onset, apex and offset frame, from 1.
      pixels: peak displacement, pixels of a face 128 wide; not a number where frames were given by hand.
      face: how and where the face was found.
      probabilities: `[networks, classes]`.
      notes: what a reader must know.
      sheet: the picture's name.
    """

    name: str
    reason: str = ""
    frames: int = 0
    rate: float = 0.0
    span: tuple[int, int, int] | None = None
    pixels: float = np.nan
    face: str = ""
    probabilities: NDArray[np.floating] | None = None
    notes: tuple[str, ...] = ()
    sheet: str = ""


class Told(NamedTuple):
    """Mean and sd of the networks' probabilities, the class with the largest mean, and the share of networks that choose it."""

    mean: NDArray[np.floating]
    sd: NDArray[np.floating]
    best: int
    agreement: float


def told(probabilities: NDArray[np.floating]) -> Told:
    """Sum up what networks say, `[networks, classes]`."""
    mean = probabilities.mean(axis=0)
    best = int(mean.argmax())
    return Told(mean, probabilities.std(axis=0), best, float((probabilities.argmax(axis=1) == best).mean()))


def trained_on(model: Model) -> str:
    """One line on the clips that the networks have learned from."""
    return str(model.about["data"]["origin"])


def write_table(path: Path, rows: Sequence[Row], model: Model, adapted: int) -> None:
    """Write the rows as CSV; a cell that a spreadsheet would take for a formula gets an apostrophe; errors as `write_whole`.

    Args:
      path: of the table.
      rows: in their order.
      model: what has predicted.
      adapted: labelled clips of the person that the networks were adapted to.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    spread = [f"{part}_{name}" for part in ("p", "sd") for name in model.classes]
    writer.writerow(
        [
            *("input", "status", "reason", "onset", "apex", "offset", "frames", "rate", "pixels", "face", "prediction"),
            *spread,
            *("agreement", "networks", "adapted", "notes", "sheet", "stand_in", "trained_on", "format_version"),
        ]
    )
    for row in rows:
        numbers: list[object] = [""] * (len(spread) + 1)
        best = ""
        if row.probabilities is not None:
            said = told(row.probabilities)
            best = model.classes[said.best]
            numbers = [*(f"{value:.6g}" for value in (*said.mean, *said.sd)), f"{said.agreement:.3f}"]
        cells = [
            *(row.name, "not predicted" if row.reason else "predicted", row.reason),
            *(row.span or ("", "", "")),
            *(row.frames or "", f"{row.rate:g}" if row.rate else "", f"{row.pixels:.3f}" if row.pixels > 0 else ""),
            *(row.face, best, *numbers, model.about["networks"], adapted, "; ".join(row.notes), row.sheet),
            *(str(model.about["data"]["stand_in"]).lower(), trained_on(model), FORMAT_VERSION),
        ]
        writer.writerow([_plain(cell) for cell in cells])
    write_whole(path, table.getvalue())


def print_table(console: Console, rows: Sequence[Row], model: Model) -> None:
    """Print each row: what the networks say and how far they differ, or why there is nothing."""
    heads = (*("frames (apex)", "moves", "prediction"), *model.classes, "agree")
    table = Table(Column("input", overflow="fold"), *heads)
    silent = []
    for row in rows:
        if row.probabilities is None or row.span is None:
            silent.append((row.name, row.reason))
            continue
        said = told(row.probabilities)
        cells = [f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(said.mean, said.sd, strict=True)]
        seconds = f" ({row.span[1] / row.rate:.2f} s)" if row.rate else ""
        pixels = f"{row.pixels:.2f} px" if row.pixels > 0 else "-"
        table.add_row(
            *(
                escape(row.name),
                "-".join(map(str, row.span)) + seconds,
                pixels,
                f"[bold]{escape(model.classes[said.best])}[/]",
            ),
            *(*cells, f"{100 * said.agreement:.0f}%"),
        )
    if table.row_count:
        console.print(table)
    for name, reason in silent:
        console.print(f"[yellow]nothing predicted[/] of {escape(name)}: {escape(reason)}")
    notes = Counter(note for row in rows for note in row.notes)
    for note, count in notes.items():
        where = next(row.name for row in rows if note in row.notes)
        more = f" and {count - 1} more" if count > 1 else ""
        console.print(escape(f"{where}{more}: {note}"), style="dim")


def _plain(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(_FORMULA) else text

"""Predictions of videos, one row per movement: printed on the terminal and written as a table."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.cli.terminal import text_table
from experiments.prediction.origin import scores_text
from lightman_jax.data.vision.movement_kinds import WITH_CLASS, Kind
from lightman_jax.files import write_csv
from lightman_jax.model.saved_model import Model

FORMAT_VERSION = 5
"""Version of the table; since 4 it has `face_name`, `kind`, `onset_s`, `apex_s` and `offset_s`, since 5 the scores `measured`."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LISTED = 5


class Row(NamedTuple):
    """A movement and its prediction, or the reason why a movement or a whole video has none.

    Attributes:
      reason: why there is no prediction; empty if there is one.
      kind: what moves; empty in the row of a video without movements. Only `WITH_CLASS` are predicted.
      face_name: `face 1`, `face 2` among several faces; empty for one.
      times: seconds of the onset, apex and offset from the first frame on; NaN if unknown.
      frames: number of frames of the video; 0 if it cannot be read.
      fps: frames per second; 0 if unknown.
      span: numbers of the onset, apex and offset frame, from 1.
      pixels: peak displacement in pixels of a face 128 wide; NaN if the frames were given.
      face: how and where the face was found.
      views: names of the views that the prediction used; empty for a model without views.
      probabilities: `[networks, classes]`.
      notes: doubts about the movement.
      figure: path of the figure, relative to the table.
    """

    name: str
    reason: str = ""
    kind: Kind | Literal[""] = ""
    face_name: str = ""
    times: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    frames: int = 0
    fps: float = 0.0
    span: tuple[int, int, int] | None = None
    pixels: float = np.nan
    face: str = ""
    views: tuple[str, ...] = ()
    probabilities: NDArray[np.floating] | None = None
    notes: tuple[str, ...] = ()
    figure: str = ""


class Summary(NamedTuple):
    """Mean and sd of the networks' probabilities, index of the largest mean, and share of the networks that predict this class."""

    mean: NDArray[np.floating]
    sd: NDArray[np.floating]
    best: int
    agreement: float


def summarize(probabilities: NDArray[np.floating]) -> Summary:
    """Summarise the predictions `[networks, classes]` of all networks."""
    mean = probabilities.mean(axis=0)
    best = int(mean.argmax())
    return Summary(mean, probabilities.std(axis=0), best, float((probabilities.argmax(axis=1) == best).mean()))


def write_table(path: Path, rows: Sequence[Row], model: Model, adapted: int) -> None:
    """Write the rows as CSV; text that a spreadsheet would evaluate as a formula gets an apostrophe.

    `adapted` is the number of labelled clips of the subject that the networks were adapted to; errors as in `write_atomic`.
    """
    place = ("input", "face_name", "kind", "status", "reason")
    times = ("onset", "apex", "offset", "onset_s", "apex_s", "offset_s", "frames", "fps")
    found = ("pixels", "face", "views", "prediction")
    spread = [f"{part}_{name}" for part in ("p", "sd") for name in model.classes]
    last = ("agreement", "networks", "adapted", "notes", "figure")
    origin = ("stand_in", "trained_on", "measured", "format_version")
    lines: list[list[object]] = [[*place, *times, *found, *spread, *last, *origin]]
    about = model.about
    for row in rows:
        prediction, numbers = "", [""] * (len(spread) + 1)
        if row.probabilities is not None:
            mean, sd, best, agreement = summarize(row.probabilities)
            prediction, numbers = model.classes[best], [*(f"{value:.6g}" for value in (*mean, *sd)), f"{agreement:.3f}"]
        cells = [
            *(row.name, row.face_name, row.kind, "not predicted" if row.reason else "predicted", row.reason),
            *(row.span or ("", "", "")),
            *("" if np.isnan(time) else f"{time:.3f}" for time in row.times),
            *(row.frames or "", f"{row.fps:g}" if row.fps else "", f"{row.pixels:.3f}" if row.pixels > 0 else ""),
            *(row.face, " ".join(row.views), prediction, *numbers),
            *(about["networks"], adapted, "; ".join(row.notes), row.figure),
            *(str(about["stand_in"]).lower(), about["origin"], scores_text(model), FORMAT_VERSION),
        ]
        lines.append([_escape_formula(cell) for cell in cells])
    write_csv(path, lines)


def print_table(console: Console, rows: Sequence[Row], model: Model) -> None:
    """Print the prediction of each movement with the spread over the networks; other kinds in one line per input and face."""
    views = ("views",) if model.views else ()
    shown = _short_names(rows)
    heads = ("kind", "frames", "apex", "px", *views, "class", *model.classes, "agree")
    table = text_table("input", *heads)
    for row in rows:
        if row.probabilities is None or row.span is None:
            continue
        mean, sd, best, agreement = summarize(row.probabilities)
        table.add_row(
            _place(row, shown),
            row.kind.removesuffix("-expression"),
            "-".join(map(str, row.span)),
            "-" if np.isnan(row.times[1]) else f"{row.times[1]:.2f} s",
            f"{row.pixels:.2f}" if row.pixels > 0 else "-",
            *(f"{len(row.views)} of {len(model.views)}" for _ in views),
            console.render_str(model.classes[best], style="bold"),
            *(f"{one:.2f} ± {spread:.2f}" for one, spread in zip(mean, sd, strict=True)),
            f"{100 * agreement:.0f}%",
        )
    if table.row_count:
        console.print(table)
    for line in _lines_of_kinds(rows, shown):
        console.print(line)
    for row in rows:
        if row.reason and not row.kind:
            console.print(f"not predicted: {row.name}: {row.reason}", style="yellow")
    for note, count in Counter(note for row in rows for note in row.notes).items():
        name = next(row.name for row in rows if note in row.notes)
        more = f" and {count - 1} more" if count > 1 else ""
        console.print(f"{name}{more}: {note}", style="dim")


def _lines_of_kinds(rows: Sequence[Row], shown: dict[str, str]) -> Iterator[str]:
    """A line per input and face: each kind without class, the number of its movements, and when the first ones begin."""
    places: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.kind and row.kind not in WITH_CLASS:
            places.setdefault(_place(row, shown), {}).setdefault(row.kind, []).append(row)
    for place, kinds in places.items():
        parts = []
        for kind, found in kinds.items():
            begins = [f"{row.times[0]:.1f}" for row in found if not np.isnan(row.times[0])]
            more = " ..." if len(begins) > _LISTED else ""
            at = f", at {', '.join(begins[:_LISTED])} s{more}" if begins else ""
            parts.append(f"{kind}: {len(found)}{at}")
        yield f"no class: {place}: {'; '.join(parts)}"


def _short_names(rows: Sequence[Row]) -> dict[str, str]:
    """The inputs without their folders, if they remain distinct."""
    short = {row.name: Path(row.name).name or row.name for row in rows}
    return short if len(set(short.values())) == len(short) else {name: name for name in short}


def _place(row: Row, shown: dict[str, str]) -> str:
    return f"{shown[row.name]}, {row.face_name}" if row.face_name else shown[row.name]


def _escape_formula(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(_FORMULA) else text

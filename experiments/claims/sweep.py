"""What the studies share: rows with paired differences, tables, and figures with one panel per question."""

import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.claims.contenders import Contender, Counts, evaluate
from experiments.claims.subjects import StudyData
from experiments.reporting.figures import save_figure
from lightman_jax.metrics import accuracy, chance_band, paired_difference, uf1
from lightman_jax.networks.dual_branch import NetworkConfig

_COLUMNS, _CHARACTERS_PER_INCH, _LEVELS_SIDE_BY_SIDE = 4, 11, 6


class Row(NamedTuple):
    """Result of one contender at one level of a varied quantity.

    Attributes:
      panel: the varied quantity, with its unit.
      level: its value.
      clips: labelled clips per training.
      uf1: UF1 of each round, test subjects pooled.
      chance: 95% range of UF1 for predictions that are independent of the labels.
      subject_sd: sd of the accuracy over test subjects, mean over rounds.
      difference: UF1 of the reference minus this one, mean over rounds.
      difference_sd: sd of the difference over rounds.
      interval: 95% bootstrap interval of the difference over subjects.
    """

    panel: str
    level: str
    contender: str
    clips: float
    uf1: list[float]
    chance: tuple[float, float]
    subject_sd: float
    difference: float | None = None
    difference_sd: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        """Mean UF1 over rounds."""
        return float(np.mean(self.uf1))

    @property
    def sd(self) -> float:
        """Standard deviation of UF1 over rounds; 0 for one round."""
        return float(np.std(self.uf1, ddof=1)) if len(self.uf1) > 1 else 0.0


def make_row(
    panel: str, level: str, contender: Contender, data: StudyData, counts: Counts, reference: Counts | None = None
) -> Row:
    """The row of `[rounds, subjects, N, N]` counts, compared with the counts of `reference` if given."""
    # Different rounds have different subjects unless the data specify otherwise: one pool of subjects is resampled.
    pooled = counts if data.same_subjects else counts.reshape(1, -1, *counts.shape[2:])
    per_round = np.asarray(uf1(counts.sum(axis=1)))
    spread = float(np.nanmean(np.nanstd(accuracy(counts), axis=1, ddof=1)))
    row = Row(panel, level, contender.name, data.train_clips, per_round.tolist(), chance_band(pooled), spread)
    if reference is None:
        return row
    other = reference.reshape(pooled.shape)
    _, low, high = paired_difference(other, pooled)
    differences = np.asarray(uf1(reference.sum(axis=1))) - per_round
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return row._replace(difference=float(differences.mean()), difference_sd=sd, interval=(low, high))


def compare(panel: str, data: StudyData, results: Iterable[tuple[str, Contender, Counts]]) -> Iterator[Row]:
    """Rows of `(level, contender, counts)`, each compared with the first."""
    first: Counts | None = None
    for level, contender, counts in results:
        yield make_row(panel, level, contender, data, counts, first)
        first = counts if first is None else first


def sweep(
    panel: str, levels: Iterable[tuple[str, StudyData]], contenders: Sequence[Contender], network: NetworkConfig
) -> Iterator[Row]:
    """Train every contender at every level and compare it with the first contender at the same level."""
    for level, data in levels:
        yield from compare(panel, data, ((level, one, evaluate(one, data, network).counts) for one in contenders))


def print_rows(console: Console, rows: Sequence[Row], title: str) -> None:
    """Print one table per panel."""
    for panel, group in itertools.groupby(rows, key=lambda row: row.panel):
        own = list(group)
        columns = ("", "labelled clips", "contender", "UF1 ± sd", "reference minus it [95%]")
        low, high = own[0].chance
        table = Table(*columns, title=f"{title}: {panel}", caption=f"by chance {low:.2f} to {high:.2f}")
        for row in own:
            cell = ""
            if row.difference is not None and row.interval is not None:
                cell = f"{row.difference:+.3f} ± {row.difference_sd:.3f} \\[{row.interval[0]:+.3f}, {row.interval[1]:+.3f}]"
            table.add_row(row.level, f"{row.clips:.0f}", row.contender, f"{row.mean:.3f} ± {row.sd:.3f}", cell)
        console.print(table)


def save_curves(path: Path, rows: Sequence[Row], title: str, data: str) -> None:
    """Draw UF1 over the levels of each panel: one line per contender, mean and sd over rounds, chance in grey."""
    panels = list(dict.fromkeys(row.panel for row in rows))
    names = list(dict.fromkeys(row.contender for row in rows))
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.2 * columns, 6.5), 3.3 * lines + 0.9), layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw_panel(axes, [row for row in rows if row.panel == panel], names)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("UF1 of unseen subjects")
    finish_figure(figure, grid.flat[0], path, title, data)


def draw_panel(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Draw UF1 over the levels of one panel; the index of a contender in `names` is its colour in every panel."""
    levels = list(dict.fromkeys(row.level for row in rows))
    low, high = (float(np.mean([row.chance[end] for row in rows])) for end in (0, 1))
    axes.axhspan(low, high, color="0.88", label="by chance", zorder=0)
    for number, name in enumerate(names):
        own = [row for row in rows if row.contender == name]
        # Shifted, so that no bar hides another.
        places = [levels.index(row.level) + 0.06 * (number - (len(names) - 1) / 2) for row in own]
        means, sds = [row.mean for row in own], [row.sd for row in own]
        colour, width = f"C{number}", 1.2 if number else 2.0
        axes.errorbar(places, means, sds, color=colour, lw=width, marker="o", markersize=4, capsize=2, label=name)
    if len(levels) > _LEVELS_SIDE_BY_SIDE:
        axes.set_xticks(range(len(levels)), levels, fontsize=8, rotation=45, ha="right")
    else:
        axes.set_xticks(range(len(levels)), [level.replace(", ", ",\n") for level in levels], fontsize=8)
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.set_title(rows[0].panel, fontsize=10)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)


def finish_figure(figure: Figure, axes: Axes | None, path: Path, title: str, data: str) -> None:
    """Add title, source of the data and the legend of `axes`, and write the file."""
    if axes is not None:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    width = int(_CHARACTERS_PER_INCH * figure.get_figwidth())
    figure.suptitle(f"{title}\n{textwrap.fill(data, width)}", fontsize=11)
    save_figure(path, figure)


class Study(NamedTuple):
    """One experiment of `python -m experiments.claims`.

    The title is the question. `run` yields the rows, given the folder of the flow release (None: synthetic subjects) and the
    network; `show` prints tables of them, and `draw` writes the figure. `data` is what it can run on: `flow` tests on the flow
    release, `groups` on groups of its subjects in turn, `views` on these if the clips have several views, `either` on these or on
    synthetic subjects, `random` on random clips, `heads` on rendered heads. With `geometry`, `run` also takes the neutral mesh of
    measured heads, or None for the built-in patches.
    """

    title: str
    run: Callable[..., Iterator[Any]]
    data: Literal["synthetic", "flow", "groups", "views", "either", "random", "heads"] = "either"
    network: NetworkConfig = NetworkConfig()
    show: Callable[[Console, list[Any], str], None] = print_rows
    draw: Callable[[Path, list[Any], str, str], None] = save_curves
    geometry: bool = False

"""From counts to what is shown: rows with paired differences, tables, and a picture with a panel a question."""

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.claims.learners import Counts, Learner, evaluate
from experiments.claims.people import Stage
from experiments.reporting.pictures import save_figure
from lightman_jax.metrics import accuracy, chance_band, paired_difference, uf1
from lightman_jax.networks.dual_branch import NetworkConfig

_COLUMNS = 4
_LETTERS_AN_INCH = 11


class Row(NamedTuple):
    """What one learner makes of one case.

    Attributes:
      panel: what is varied, with its unit.
      level: its value.
      learner: who learnt.
      clips: labelled clips of one training.
      uf1: of each round, all test people pooled.
      chance: 95% of UF1 where predictions have nothing to do with the labels.
      people_sd: sd over test people of their share of right clips, mean over rounds.
      difference: the first learner's UF1 minus this one's, or the first level's minus this one's of the same learner.
      difference_sd: of it over rounds.
      interval: of it, 95% under resampling of people.
    """

    panel: str
    level: str
    learner: str
    clips: float
    uf1: list[float]
    chance: tuple[float, float]
    people_sd: float
    difference: float | None = None
    difference_sd: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        """UF1, mean over rounds."""
        return float(np.mean(self.uf1))

    @property
    def sd(self) -> float:
        """Of UF1 over rounds."""
        return float(np.std(self.uf1, ddof=1)) if len(self.uf1) > 1 else 0.0


def make_row(
    panel: str, level: str, learner: Learner, stage: Stage, counts: Counts, reference: Counts | None = None
) -> Row:
    """The row of `[rounds, people, N, N]` counts; `reference` are those that it is compared with."""
    # People of different rounds are different people unless the stage says otherwise: one pool of them is resampled.
    pooled = counts if stage.same_people else counts.reshape(1, -1, *counts.shape[2:])
    per_round = np.asarray(uf1(counts.sum(axis=1)))
    people = float(np.nanmean(np.nanstd(accuracy(counts), axis=1, ddof=1)))
    row = Row(panel, level, learner.name, stage.train_clips, per_round.tolist(), chance_band(pooled), people)
    if reference is None:
        return row
    other = reference.reshape(pooled.shape)
    _, low, high = paired_difference(other, pooled)
    differences = np.asarray(uf1(reference.sum(axis=1))) - per_round
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return row._replace(difference=float(differences.mean()), difference_sd=spread, interval=(low, high))


def sweep(
    panel: str, stages: Sequence[tuple[str, Stage]], learners: Sequence[Learner], network: NetworkConfig
) -> Iterator[Row]:
    """Every learner at every level, trained there; compared with the first learner at the same level."""
    for level, stage in stages:
        first: Counts | None = None
        for learner in learners:
            counts = evaluate(learner, stage, network).counts
            yield make_row(panel, level, learner, stage, counts, first)
            first = counts if first is None else first


def print_rows(console: Console, rows: Sequence[Row], title: str) -> None:
    """A table a panel."""
    for panel, group in itertools.groupby(rows, key=lambda row: row.panel):
        own = list(group)
        table = Table("", "labelled clips", "learner", "UF1 ± sd", "first minus it [95%]", title=f"{title}: {panel}")
        low, high = own[0].chance
        table.caption = f"by chance {low:.2f} to {high:.2f}"
        for row in own:
            cell = ""
            if row.difference is not None and row.interval is not None:
                cell = f"{row.difference:+.3f} ± {row.difference_sd:.3f} \\[{row.interval[0]:+.3f}, {row.interval[1]:+.3f}]"
            table.add_row(row.level, f"{row.clips:.0f}", escape(row.learner), f"{row.mean:.3f} ± {row.sd:.3f}", cell)
        console.print(table)


def save_curves(path: Path, rows: Sequence[Row], title: str, data: str) -> None:
    """Draw UF1 over the levels of each panel, a line a learner, mean and sd over rounds, chance in grey."""
    panels = list(dict.fromkeys(row.panel for row in rows))
    names = list(dict.fromkeys(row.learner for row in rows))
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    size = (max(4.2 * columns, 6.5), 3.3 * lines + 0.9)
    figure, grid = plt.subplots(lines, columns, figsize=size, layout="constrained", sharey=True, squeeze=False)
    for axes, panel in itertools.zip_longest(grid.flat, panels):
        if panel is None:
            axes.set_visible(False)
        else:
            draw_panel(axes, [row for row in rows if row.panel == panel], names)
    for axes in grid[:, 0]:
        axes.set_ylabel("UF1 of unseen people")
    finish_figure(figure, grid.flat[0], path, title, data)


def save_differences(path: Path, rows: Sequence[Row], title: str, data: str) -> None:
    """Draw for each changed setting the UF1 it gains or loses, with its interval; dark where the interval leaves out 0."""
    shown = [row for row in rows if row.difference is not None and row.interval is not None]
    panels = list(dict.fromkeys(row.panel for row in shown))
    most = max(sum(row.panel == panel for row in shown) for panel in panels)
    size = (max(5.2 * len(panels), 7.0), 0.28 * most + 1.7)
    figure, grid = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False, sharex=True)
    for axes, panel in zip(grid.flat, panels, strict=True):
        own = [row for row in shown if row.panel == panel]
        for place, row in enumerate(own):
            low, high = row.interval or (0.0, 0.0)
            colour = "#1a365d" if low > 0 or high < 0 else "#90a4b8"
            axes.plot([-high, -low], [place, place], color=colour, linewidth=2.2)
            axes.plot(-(row.difference or 0.0), place, "o", color=colour, markersize=5)
        axes.set_yticks(range(len(own)), [row.learner for row in own], fontsize=8)
        axes.invert_yaxis()
        axes.axvline(0, color="black", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
        first = next(row for row in rows if row.panel == panel and row.difference is None)
        axes.set_title(f"{panel} ({first.learner}: {first.mean:.3f})", fontsize=10)
        axes.set_xlabel("worse  ◂  change of UF1  ▸  better")
    finish_figure(figure, None, path, title, data)


def draw_panel(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Draw UF1 over the levels of one panel; the place of a learner in `names` is its colour in every panel."""
    levels = list(dict.fromkeys(row.level for row in rows))
    low, high = (float(np.mean([row.chance[end] for row in rows])) for end in (0, 1))
    axes.axhspan(low, high, color="0.88", label="by chance", zorder=0)
    for number, name in enumerate(names):
        own = [row for row in rows if row.learner == name]
        # Side by side, so that no bar hides another.
        places = [levels.index(row.level) + 0.06 * (number - (len(names) - 1) / 2) for row in own]
        axes.errorbar(
            places,
            [row.mean for row in own],
            [row.sd for row in own],
            color=f"C{number}",
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=2.0 if number == 0 else 1.2,
            label=name,
        )
    axes.set_xticks(range(len(levels)), levels, fontsize=8)
    axes.set_title(rows[0].panel, fontsize=10)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)


def finish_figure(figure: Figure, axes: Axes | None, path: Path, title: str, data: str) -> None:
    """Write what is asked and of whom above, the legend of `axes` below, and the file."""
    if axes is not None:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    figure.suptitle(f"{title}\n{textwrap.fill(data, int(_LETTERS_AN_INCH * figure.get_figwidth()))}", fontsize=11)
    save_figure(path, figure)

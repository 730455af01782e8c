"""`python -m experiments.compare RUN RUN ...`: paired differences of UF1 between runs on the same clips and seeds.

A RUN is a workdir or a `predictions.csv` (columns clip, dataset, subject, fold, seed, label, prediction, p_CLASS
...); other people's tables work as well. Every run is compared with every other.
"""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, as_config_error
from experiments.evaluation.inventory import refuse_changed
from experiments.evaluation.scores import Prediction, check_seeds, count_predictions, read_predictions
from experiments.reporting.console import make_console
from experiments.reporting.pictures import save_figure
from lightman_jax.metrics import accuracy, chance_band, holm, paired_difference, sign_flip_p_value, uf1
from lightman_jax.training.folds import natural_order


class Run(NamedTuple):
    """One run's pooled UF1: mean and sd over seeds."""

    name: str
    uf1: float
    sd: float | None


class Pair(NamedTuple):
    """First minus second on the same clips, folds and seeds.

    Attributes:
      first: name of a run.
      second: name of another.
      difference: of UF1, mean over seeds.
      sd: of the difference over seeds.
      interval: 95%, subjects resampled in pairs.
      p: of a sign-flip test over subjects, two-sided.
      p_holm: corrected for all pairs of the comparison.
      effect: mean over subjects of the difference in accuracy, over its sd (Cohen's d for pairs); None if it is constant.
    """

    first: str
    second: str
    difference: float
    sd: float | None
    interval: tuple[float, float]
    p: float
    p_holm: float
    effect: float | None


class Comparison(NamedTuple):
    """Runs, every pair of them, and where UF1 falls by chance alone."""

    runs: list[Run]
    pairs: list[Pair]
    chance: tuple[float, float]


def compare_runs(runs: Sequence[Path], names: Sequence[str] | None = None, *, with_first: bool = False) -> Comparison:
    """Compare runs in pairs.

    Args:
      runs: workdirs or tables of predictions, two or more.
      names: what they are called; None takes their paths.
      with_first: only the pairs of the first run with another.

    Raises:
      ValueError: fewer than two runs, a table changed after its run, or runs whose clips, labels, subjects or seeds differ.
      OSError: a table cannot be read.
    """
    if len(runs) < 2:
        raise ValueError("give two runs or more: python -m experiments.compare runs/smic-lightman runs/smic-joint")
    for run in runs:
        if run.is_dir():
            refuse_changed(run, "predictions.csv")
    tables = [read_predictions(run / "predictions.csv" if run.is_dir() else run) for run in runs]
    (first, classes), *others = tables
    for run, (rows, own) in zip(runs[1:], others, strict=True):
        _check_same(runs[0], first, classes, run, rows, own)
    seeds = sorted({row.seed for row in first})
    subjects = sorted({row.subject for row in first}, key=natural_order)
    called = [str(run) for run in runs] if names is None else list(names)
    counts = [count_predictions(rows, classes, seeds, subjects) for rows, _ in tables]
    rates = [np.asarray(uf1(c.sum(axis=1))) for c in counts]
    found = [Run(name, float(rate.mean()), _sd(rate)) for name, rate in zip(called, rates, strict=True)]
    pairs = [(a, b) for a, b in itertools.combinations(range(len(runs)), 2) if a == 0 or not with_first]
    p_values = [sign_flip_p_value(counts[a], counts[b]) for a, b in pairs]
    compared = []
    for (a, b), p, corrected in zip(pairs, p_values, holm(p_values), strict=True):
        difference, low, high = paired_difference(counts[a], counts[b])
        spread, effect = _sd(rates[a] - rates[b]), _effect(counts[a], counts[b])
        compared.append(Pair(called[a], called[b], difference, spread, (low, high), p, float(corrected), effect))
    return Comparison(found, compared, chance_band(counts[0]))


def print_comparison(console: Console, found: Comparison) -> None:
    """Print the runs and every pair as tables."""
    runs = Table("run", "UF1", title="UF1, mean ± sd over seeds")
    for run in found.runs:
        runs.add_row(escape(run.name), f"{run.uf1:.3f}" + (f" ± {run.sd:.3f}" if run.sd is not None else ""))
    runs.caption = f"by chance alone 95% fall within {found.chance[0]:.3f} to {found.chance[1]:.3f}"
    console.print(runs)
    table = Table(
        title="First minus second", caption="p: sign flips over subjects, two-sided; Holm: for all pairs here"
    )
    for column in ("first", "second", "difference", "p", "p, Holm", "effect"):
        table.add_column(column, overflow="fold")
    for pair in found.pairs:
        own = f" ± {pair.sd:.3f}" if pair.sd is not None else ""
        cell = f"{pair.difference:+.3f}{own} \\[{pair.interval[0]:+.3f}, {pair.interval[1]:+.3f}]"
        effect = "" if pair.effect is None else f"{pair.effect:+.2f}"
        table.add_row(escape(pair.first), escape(pair.second), cell, f"{pair.p:.4f}", f"{pair.p_holm:.4f}", effect)
    console.print(table)


def save_pairs_figure(path: Path, found: Comparison, title: str) -> None:
    """Draw each difference with its interval; what leaves out 0 after correction is drawn dark."""
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.34 * len(found.pairs)), layout="constrained")
    for row, pair in enumerate(found.pairs):
        colour = "#1a365d" if pair.p_holm < 0.05 else "#90a4b8"
        axes.plot(pair.interval, [row, row], color=colour, linewidth=2.2)
        axes.plot(pair.difference, row, "o", color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(found.pairs)), [f"{pair.first} - {pair.second}" for pair in found.pairs])
    axes.invert_yaxis()
    axes.set_xlabel("difference of UF1, 95% over subjects; dark: p < 0.05 by Holm")
    axes.set_title(title, fontsize=10)
    save_figure(path, figure)


def _effect(first: NDArray[np.int64], second: NDArray[np.int64]) -> float | None:
    by_subject = (accuracy(first) - accuracy(second)).mean(axis=0)
    spread = float(by_subject.std(ddof=1)) if len(by_subject) > 1 else 0.0
    return float(by_subject.mean()) / spread if spread > 0 else None


def _check_same(
    a: Path, first: Sequence[Prediction], classes: list[str], b: Path, other: Sequence[Prediction], names: list[str]
) -> None:
    if classes != names:
        raise ValueError(
            f"{a} has the classes {', '.join(classes)}, {b} has {', '.join(names)}; compare like with like"
        )
    one, two = ({row.seed for row in rows} for rows in (first, other))
    if one != two:
        raise ValueError(f"{a} has the seeds {sorted(one)}, {b} has {sorted(two)}; run both with the same --seeds")
    kept = [{clip: (row.label, row.subject) for clip, row in check_seeds(rows).items()} for rows in (first, other)]
    differing = sorted(clip for clip in kept[0].keys() | kept[1].keys() if kept[0].get(clip) != kept[1].get(clip))
    if differing:
        raise ValueError(
            f"{a} and {b} differ in {len(differing)} clips or their labels or subjects, for example {differing[0]}; "
            "only runs on the same data can be paired"
        )


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one paragraph on standard error when the runs cannot be compared."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = CommandParser("compare", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="workdirs, the one to be compared first")

    def work() -> int:
        with as_config_error():
            compared = compare_runs(parser.parse_args(words).runs)
        print_comparison(make_console(), compared)
        return 0

    return run_command("experiments.compare", words, work, remedy=RUN_NEEDED)


if __name__ == "__main__":
    sys.exit(main())

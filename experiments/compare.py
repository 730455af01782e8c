"""`python -m experiments.compare RUN RUN ...`: paired differences of UF1 between runs on the same clips and seeds.

A RUN is a workdir or a `predictions.csv` (columns clip, dataset, subject, fold, seed, label, prediction, p_CLASS
...); other people's tables work as well. The first run is compared with each of the others.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.report import make_console
from experiments.scores import Prediction, check_seeds, count_predictions, read_predictions
from lightman_jax.metrics import paired_difference, uf1
from lightman_jax.tasks import natural_order


def compare_runs(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Compare the first run with each other one.

    Args:
      runs: workdirs or tables of predictions, two or more.

    Returns:
      One dict a run: `run`, `uf1` and `sd` over seeds, and for all but the first `difference` (first minus this),
      `sd_difference` over seeds, and `interval`, 95% by resampling subjects.

    Raises:
      ValueError: fewer than two runs, or runs whose clips, labels, subjects or seeds differ.
      OSError: a table cannot be read.
    """
    if len(runs) < 2:
        raise ValueError("give two runs or more: python -m experiments.compare runs/smic-lightman runs/smic-joint")
    tables = [read_predictions(run / "predictions.csv" if run.is_dir() else run) for run in runs]
    (first, classes), *others = tables
    for run, (rows, names) in zip(runs[1:], others, strict=True):
        _check_same(runs[0], first, classes, run, rows, names)
    seeds = sorted({row.seed for row in first})
    subjects = sorted({row.subject for row in first}, key=natural_order)
    counts = [count_predictions(rows, classes, seeds, subjects) for rows, _ in tables]
    rates = [np.asarray(uf1(c.sum(axis=1))) for c in counts]
    results = []
    for index, run in enumerate(runs):
        row: dict[str, Any] = {"run": str(run), "uf1": float(rates[index].mean()), "sd": _sd(rates[index])}
        if index:
            difference, low, high = paired_difference(counts[0], counts[index])
            row |= {
                "difference": difference,
                "sd_difference": _sd(rates[0] - rates[index]),
                "interval": [low, high],
            }
        results.append(row)
    return results


def print_comparison(console: Console, results: Sequence[dict[str, Any]], seeds_text: str = "") -> None:
    """Print the comparison as a table."""
    title = f"UF1, and {escape(results[0]['run'])} minus each other run{seeds_text}"
    table = Table(title=title, caption="± sd over seeds; [95% interval, subjects resampled in pairs]")
    for column in ("run", "UF1", "difference"):
        table.add_column(column, overflow="fold")
    for row in results:
        spread = f" ± {row['sd']:.3f}" if row["sd"] is not None else ""
        cell = ""
        if "difference" in row:
            own = f" ± {row['sd_difference']:.3f}" if row["sd_difference"] is not None else ""
            cell = f"{row['difference']:+.3f}{own} \\[{row['interval'][0]:+.3f}, {row['interval'][1]:+.3f}]"
        table.add_row(escape(row["run"]), f"{row['uf1']:.3f}{spread}", cell)
    console.print(table)


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
    if not words or words[0] in {"-h", "--help"}:
        print(__doc__)
        return 0 if words else 2
    try:
        print_comparison(make_console(), compare_runs([Path(word) for word in words]))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

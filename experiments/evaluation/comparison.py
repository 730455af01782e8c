"""Paired comparison of runs that tested the same clips under the same seeds."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.scores import Prediction, check_seeds, count_predictions, read_predictions
from experiments.evaluation.workdir import refuse_changed
from lightman_jax.metrics import accuracy, chance_band, holm, paired_difference, sign_flip_p_value, uf1
from lightman_jax.types import natural_order


class Run(NamedTuple):
    """Pooled UF1 of one run: mean and standard deviation over seeds."""

    name: str
    uf1: float
    sd: float | None


class Pair(NamedTuple):
    """First run minus second run, on the same clips, folds and seeds.

    Attributes:
      first: name of a run.
      second: name of another run.
      difference: of UF1, mean over seeds.
      sd: of the difference over seeds; None for one seed.
      interval: 95%, paired bootstrap over subjects.
      p: of a two-sided sign-flip test over subjects.
      p_holm: Holm-corrected for all pairs of the comparison.
      effect: mean over subjects of the difference in accuracy, divided by its standard deviation (Cohen's d for paired samples);
        None if the difference is constant.
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
    """Runs, their pairs, and the interval that contains 95% of the UF1 scores of random predictions."""

    runs: list[Run]
    pairs: list[Pair]
    chance: tuple[float, float]


def compare_runs(runs: Sequence[Path], names: Sequence[str] | None = None, *, with_first: bool = False) -> Comparison:
    """Compare runs in pairs.

    Args:
      runs: workdirs or tables of predictions, at least two.
      names: labels of the runs; None uses their paths.
      with_first: compare only the first run with each other run.

    Raises:
      ValueError: fewer than two runs, a table changed after its run, or runs with different clips, labels, subjects or seeds.
      OSError: a table cannot be read.
    """
    if len(runs) < 2:
        raise ValueError("give at least two runs: python -m experiments.compare runs/smic-lightman runs/smic-joint")
    for run in runs:
        if run.is_dir():
            refuse_changed(run, "predictions.csv")
    tables = [read_predictions(run / "predictions.csv" if run.is_dir() else run) for run in runs]
    (first, classes), *others = tables
    for run, other in zip(runs[1:], others, strict=True):
        _require_same_clips(runs[0], tables[0], run, other)
    seeds = sorted({row.seed for row in first})
    subjects = sorted({row.subject for row in first}, key=natural_order)
    labels = [str(run) for run in runs] if names is None else list(names)
    counts = [count_predictions(rows, classes, seeds, subjects) for rows, _ in tables]
    scores = [np.asarray(uf1(c.sum(axis=1))) for c in counts]
    compared = [Run(name, float(score.mean()), _sd(score)) for name, score in zip(labels, scores, strict=True)]
    pairs = [(a, b) for a, b in itertools.combinations(range(len(runs)), 2) if a == 0 or not with_first]
    p_values = [sign_flip_p_value(counts[a], counts[b]) for a, b in pairs]
    found = []
    for (a, b), p, corrected in zip(pairs, p_values, holm(p_values), strict=True):
        difference, low, high = paired_difference(counts[a], counts[b])
        sd, effect = _sd(scores[a] - scores[b]), _effect(counts[a], counts[b])
        found.append(Pair(labels[a], labels[b], difference, sd, (low, high), p, float(corrected), effect))
    return Comparison(compared, found, chance_band(counts[0]))


def _effect(first: NDArray[np.int64], second: NDArray[np.int64]) -> float | None:
    by_subject = (accuracy(first) - accuracy(second)).mean(axis=0)
    sd = float(by_subject.std(ddof=1)) if len(by_subject) > 1 else 0.0
    return float(by_subject.mean()) / sd if sd > 0 else None


def _require_same_clips(
    a: Path, first: tuple[list[Prediction], list[str]], b: Path, second: tuple[list[Prediction], list[str]]
) -> None:
    """Raise a ValueError unless both tables have the same classes, seeds, clips, labels and subjects."""
    if first[1] != second[1]:
        raise ValueError(
            f"{a} has the classes {', '.join(first[1])}, {b} has {', '.join(second[1])}; compare runs with the same classes"
        )
    seeds = [sorted({row.seed for row in rows}) for rows, _ in (first, second)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"{a} has the seeds {seeds[0]}, {b} has {seeds[1]}; run both with the same --seeds")
    one, two = (
        {clip: (row.label, row.subject) for clip, row in check_seeds(rows).items()} for rows, _ in (first, second)
    )
    differing = sorted(clip for clip in one.keys() | two.keys() if one.get(clip) != two.get(clip))
    if differing:
        raise ValueError(
            f"{a} and {b} differ in {len(differing)} clips or their labels or subjects, for example {differing[0]}; "
            "only runs on the same data can be compared"
        )


def _sd(values: NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None

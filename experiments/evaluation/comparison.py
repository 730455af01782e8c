"""Paired comparison of runs that tested the same clips under the same seeds."""

import dataclasses
import itertools
import unicodedata
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.prediction_table import Prediction, read_prediction_table
from experiments.evaluation.scores import check_seeds, count_predictions
from experiments.evaluation.workdir import refuse_changed
from lightman_jax.metrics import accuracy, chance_band, holm, paired_difference, sign_flip_p_value, uf1
from lightman_jax.types import natural_order

_MAX_LISTED = 3


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


def compare_runs(
    runs: Sequence[Path],
    names: Sequence[str] | None = None,
    *,
    with_first: bool = False,
    report: Callable[[str], None] = lambda note: None,
) -> Comparison:
    """Compare runs in pairs.

    Args:
      runs: workdirs or tables of predictions, at least two.
      names: labels of the runs; None uses their paths.
      with_first: compare only the first run with each other run.
      report: called with a sentence for each choice that was made in reading a table of another program.

    Raises:
      ValueError: fewer than two runs, a table changed after its run, labels of one class alone, or runs with different classes,
        clips, labels, subjects or seeds.
      OSError: a table cannot be read.
    """
    if len(runs) < 2:
        raise ValueError("give at least two runs: python -m experiments.compare runs/smic-lightman runs/smic-joint")
    tables, classes = read_runs(runs, report)
    seeds = sorted({row.seed for row in tables[0]})
    subjects = sorted({row.subject for row in tables[0]}, key=natural_order)
    labels = [str(run) for run in runs] if names is None else list(names)
    counts = [count_predictions(rows, classes, seeds, subjects) for rows in tables]
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


def read_runs(runs: Sequence[Path], report: Callable[[str], None]) -> tuple[list[list[Prediction]], list[str]]:
    """Rows of every run with names as in the first one, and the classes of all; arguments and errors as in `compare_runs`."""
    for run in runs:
        if run.is_dir():
            refuse_changed(run, "predictions.csv")
    tables = [read_prediction_table(run / "predictions.csv" if run.is_dir() else run) for run in runs]
    classes = list(dict.fromkeys(_normal(name) for table in tables for name in table.classes))
    for table in tables:
        for note in table.notes:
            report(note)
    # A run of this package fixes the classes; without one, every table must have those of the others.
    fixed = any(table.own for table in tables)
    for run, table in zip(runs, tables, strict=True):
        absent = [name for name in classes if name not in map(_normal, table.classes)]
        if absent and (table.own or not fixed):
            raise ValueError(
                f"the classes of {run} are {', '.join(table.classes)}, and those of all tables {', '.join(classes)}; compare runs "
                "with the same classes, or correct labels and predictions that one table alone has"
            )
        if absent:
            report(f"{run} has no clip and no prediction of the class {', '.join(absent)}, which counts as 0")
    if not all(table.own for table in tables):
        report(
            f"UF1 is the mean over the classes {', '.join(classes)}{'' if fixed else ': all labels and predictions'}"
        )
    first, *others = ([_normalized(row) for row in table.rows] for table in tables)
    labels = {row.label for row in first}
    # The few folds of a dry run may have one label, but they know all classes.
    if len(classes if tables[0].own else labels) < 2:
        raise ValueError(
            f"all clips of {runs[0]} have the label {', '.join(labels)}; UF1 needs clips of two classes or more"
        )
    same = [_with_subjects_of(runs[0], first, run, other, report) for run, other in zip(runs[1:], others, strict=True)]
    return [first, *same], classes


def _with_subjects_of(
    a: Path, first: list[Prediction], b: Path, second: list[Prediction], report: Callable[[str], None]
) -> list[Prediction]:
    """The second rows with the first's spelling of subjects; a ValueError unless seeds, clips, labels and subjects agree."""
    seeds = [sorted({row.seed for row in rows}) for rows in (first, second)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"{a} has the seeds {seeds[0]}, {b} has {seeds[1]}; run both with the same --seeds")
    one, two = _by_clip(a, first), _by_clip(b, second)
    missing = {a: two.keys() - one.keys(), b: one.keys() - two.keys()}
    lacks = [f"{run} lacks {_listed(clips)}" for run, clips in missing.items() if clips]
    if lacks:
        raise ValueError(f"{' and '.join(lacks)} of the other table; only runs on the same clips can be compared")
    differing = {clip for clip in one if one[clip].label != two[clip].label}
    if differing:
        clip = min(differing)
        raise ValueError(
            f"{a} and {b} give other labels to {_listed(differing)} the first of which is {one[clip].label} in one and "
            f"{two[clip].label} in the other; only runs with the same labels can be compared"
        )
    pairs = {(one[clip].subject, two[clip].subject) for clip in one}
    spelled = {theirs: ours for ours, theirs in pairs}
    if not len(pairs) == len(spelled) == len({ours for ours, _ in pairs}):
        raise ValueError(f"{a} and {b} group the clips by other subjects; give both tables the same column subject")
    changed = {theirs: ours for theirs, ours in spelled.items() if theirs != ours}
    if changed:
        theirs = min(changed)
        report(f"{b}: {len(changed)} subjects have another spelling there, such as {theirs} for {changed[theirs]}")
    return [dataclasses.replace(row, subject=spelled[row.subject]) for row in second]


def _by_clip(run: Path, rows: list[Prediction]) -> dict[str, Prediction]:
    try:
        return check_seeds(rows)
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from error


def _listed(clips: Collection[str]) -> str:
    return f"{len(clips)} clips, for example {', '.join(sorted(clips)[:_MAX_LISTED])},"


def _normalized(row: Prediction) -> Prediction:
    """The row with composed letters, so that names of different systems are equal."""
    return dataclasses.replace(
        row,
        clip=_normal(row.clip),
        subject=_normal(row.subject),
        label=_normal(row.label),
        prediction=_normal(row.prediction),
    )


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _sd(values: NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None

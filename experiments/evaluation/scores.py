"""Scores of a table of predictions: pooled over folds, per seed, class, subject and corpus."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.prediction_table import Prediction
from experiments.evaluation.run_result import ClassScore, CorpusScore, Estimate, Scores, SubjectScore
from lightman_jax import metrics
from lightman_jax.types import natural_order


def score_predictions(rows: Sequence[Prediction], classes: Sequence[str], folds_expected: int) -> Scores:
    """Score a table of predictions: confusion matrices are pooled over folds, scores averaged over seeds.

    Args:
      rows: predictions of one or more seeds.
      classes: names of the label space, in the order of the matrices.
      folds_expected: folds of the complete protocol; missing folds are reported, not filled in.

    Raises:
      ValueError: no row, a clip predicted twice under one seed, seeds with different clips, or an unknown class.
    """
    if not rows:
        raise ValueError("the table has no prediction, so nothing can be scored")
    seeds = sorted({row.seed for row in rows})
    clips = check_seeds(rows)
    subjects = sorted({row.subject for row in rows}, key=natural_order)
    counts = count_predictions(rows, classes, seeds, subjects)
    pooled = counts.sum(axis=1)
    sizes = pooled[0].sum(axis=1).tolist()
    f1, recall = metrics.f1_per_class(pooled), metrics.recall_per_class(pooled)
    return Scores(
        folds=len({row.fold for row in rows}),
        folds_expected=folds_expected,
        seeds=tuple(seeds),
        clips=len(clips),
        subjects=len(subjects),
        classes=tuple(classes),
        class_counts=dict(zip(classes, sizes, strict=True)),
        absent_classes=tuple(classes[index] for index in metrics.absent_classes(pooled[0])),
        **_estimates(counts),
        per_class={
            name: ClassScore(sizes[k], float(f1[:, k].mean()), _number(recall[:, k].mean()))
            for k, name in enumerate(classes)
        },
        per_subject={
            name: SubjectScore(
                clips=int(counts[0, index].sum()),
                class_counts=tuple(counts[0, index].sum(axis=1).tolist()),
                accuracy=float(metrics.accuracy(counts[:, index]).mean()),
            )
            for index, name in enumerate(subjects)
        },
        confusion_per_seed=tuple(tuple(map(tuple, matrix)) for matrix in pooled.tolist()),
        per_corpus=_score_corpora(rows, classes, seeds),
    )


def _score_corpora(rows: Sequence[Prediction], classes: Sequence[str], seeds: list[int]) -> dict[str, CorpusScore]:
    """Scores of the clips of each corpus, if there are several; a subject may have clips in more than one."""
    found = {}
    corpora = sorted({row.dataset for row in rows})
    for corpus in corpora if len(corpora) > 1 else ():
        own = [row for row in rows if row.dataset == corpus]
        part = count_predictions(own, classes, seeds, sorted({row.subject for row in own}, key=natural_order))
        found[corpus] = CorpusScore(int(part[0].sum()), part.shape[1], **_estimates(part))
    return found


def check_seeds(rows: Sequence[Prediction]) -> dict[str, Prediction]:
    """Rows of the first seed by clip, after checking that every seed predicts the same clips, each once.

    Raises:
      ValueError: a clip predicted twice under one seed, or seeds with different clips.
    """
    by_seed: dict[int, dict[str, Prediction]] = {seed: {} for seed in sorted({row.seed for row in rows})}
    for row in rows:
        own = by_seed[row.seed]
        if row.clip in own:
            folds = f"folds {own[row.clip].fold} and {row.fold}"
            raise ValueError(
                f"clip {row.clip} is predicted twice under seed {row.seed} ({folds}); several trainings need a column seed"
            )
        own[row.clip] = row
    (first_seed, first), *others = by_seed.items()
    for seed, own in others:
        differing = sorted(first.keys() ^ own.keys())
        if differing:
            raise ValueError(f"seeds {first_seed} and {seed} tested different clips, for example {differing[0]}")
    return first


def count_predictions(
    rows: Sequence[Prediction], classes: Sequence[str], seeds: list[int], subjects: list[str]
) -> NDArray[np.int64]:
    """`[seeds, subjects, N, N]` confusion counts.

    Raises:
      ValueError: a label or prediction is not among `classes`.
    """
    number = {name: index for index, name in enumerate(classes)}
    unknown = sorted({name for row in rows for name in (row.label, row.prediction)} - set(number))
    if unknown:
        raise ValueError(f"class {', '.join(unknown)} is not a class of the table; it has {', '.join(classes)}")
    counts = np.zeros((len(seeds), len(subjects), len(classes), len(classes)), np.int64)
    for i, seed in enumerate(seeds):
        for j, subject in enumerate(subjects):
            own = [row for row in rows if row.seed == seed and row.subject == subject]
            labels, predictions = [number[row.label] for row in own], [number[row.prediction] for row in own]
            counts[i, j] = metrics.confusion_matrix(labels, predictions, len(classes))
    return counts


def _estimates(counts: NDArray[np.int64]) -> dict[str, Estimate]:
    pooled = counts.sum(axis=1)
    found = {}
    for name, score in {"uf1": metrics.uf1, "uar": metrics.uar, "accuracy": metrics.accuracy}.items():
        values = score(pooled)
        sd = float(values.std(ddof=1)) if len(values) > 1 else None
        found[name] = Estimate(
            float(values.mean()), sd, metrics.bootstrap_interval(counts, score), tuple(values.tolist())
        )
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

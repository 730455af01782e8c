"""Scores from pooled confusion matrices, and their statistics, in float64 NumPy.

Rows are true classes, columns are predicted classes. A score is computed once from the sum of all matrices instead of averaged over
folds, because most subjects have no clips of some class.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightman_jax.checks import as_labels, is_count

Counts = NDArray[np.int64]
Scores = NDArray[np.float64]


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> Counts:
    """Count clips by true and predicted class.

    Args:
      labels: `[n]` true class indices in `0..classes-1`.
      predictions: `[n]` predicted class indices in `0..classes-1`.
      classes: N, the number of classes of the protocol, including classes without clips.

    Returns:
      `[N, N]` counts; entry `[i, j]` is the number of clips of class i predicted as class j.

    Raises:
      ValueError: the lengths differ, or an index is not whole or outside `0..classes-1`; or rows of probabilities.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], classes=2)
    array([[1, 1],
           [0, 1]])
    """
    if not is_count(classes):
        raise ValueError(f"classes {classes!r} is no number of classes; give 2 or more")
    truth, guess = _indices("labels", labels, classes), _indices("predictions", predictions, classes)
    if truth.shape != guess.shape:
        raise ValueError(f"{truth.size} labels but {guess.size} predictions; give one of each per clip")
    return np.bincount(truth * classes + guess, minlength=classes * classes).reshape(classes, classes)


def _indices(name: str, values: ArrayLike, classes: int) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.ndim > 1 and found.shape[1:] != (1,):
        raise ValueError(f"{name} have the shape {found.shape}; give one class index per clip, such as argmax(axis=1)")
    return np.asarray(as_labels(found.ravel(), classes, name=name)).astype(np.int64)


def _counts(confusion: ArrayLike) -> Scores:
    """`[..., N, N]` counts, checked; means of counts are allowed."""
    matrix = np.asarray(confusion, dtype=np.float64)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise ValueError(
            f"the confusion matrix has the shape {matrix.shape}; give [..., N, N] counts from confusion_matrix"
        )
    if not (np.isfinite(matrix).all() and (matrix >= 0).all()):
        raise ValueError("the confusion matrix has counts that are negative or not finite")
    return matrix


def f1_per_class(confusion: ArrayLike) -> Scores:
    """F1 of each class, `2 TP / (2 TP + FP + FN)`, from `[..., N, N]` counts; 0 for a class neither true nor predicted.

    >>> f1_per_class([[2, 0], [1, 1]]).round(4)
    array([0.8   , 0.6667])
    """
    matrix = _counts(confusion)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    total = matrix.sum(axis=-1) + matrix.sum(axis=-2)
    return np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0)


def recall_per_class(confusion: ArrayLike) -> Scores:
    """Recall of each class, `TP / N_c`, from `[..., N, N]` counts; `nan` for a class without clips.

    >>> recall_per_class([[2, 0], [1, 1]])
    array([1. , 0.5])
    """
    matrix = _counts(confusion)
    hits, clips = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1)
    return np.divide(hits, clips, out=np.full_like(clips, np.nan), where=clips > 0)


def uf1(confusion: ArrayLike) -> Scores:
    """Unweighted F1 (UF1), the mean over classes of `2 TP / (2 TP + FP + FN)`.

    A class that is neither true nor predicted counts as 0, as in MEGC2019.

    Args:
      confusion: `[..., N, N]` pooled counts.

    Returns:
      `[...]` scores in 0..1.

    Reference: See et al. 2019, "MEGC 2019 – The Second Facial Micro-Expressions Grand Challenge".

    >>> float(uf1([[54, 10, 6], [17, 30, 4], [14, 1, 28]]).round(4))
    0.6801
    """
    return f1_per_class(confusion).mean(axis=-1)


def uar(confusion: ArrayLike) -> Scores:
    """Unweighted average recall (UAR), the mean of `TP / N_c` over the classes with clips.

    The column "UAR" published with STSTNet is macro-precision instead.

    Args:
      confusion: `[..., N, N]` pooled counts.

    Returns:
      `[...]` scores in 0..1; `nan` without clips.

    >>> float(uar([[54, 10, 6], [17, 30, 4], [14, 1, 28]]).round(4))
    0.6703
    """
    recall = recall_per_class(confusion)
    present = ~np.isnan(recall)
    count = present.sum(axis=-1).astype(np.float64)
    total = np.where(present, recall, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def accuracy(confusion: ArrayLike) -> Scores:
    """Share of correctly predicted clips, `sum TP / n`, from `[..., N, N]` counts; `nan` without clips.

    >>> float(accuracy([[2, 0], [1, 1]]))
    0.75
    """
    matrix = _counts(confusion)
    hits, clips = np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1))
    return np.divide(hits, clips, out=np.full_like(np.asarray(clips), np.nan), where=np.asarray(clips > 0))


def absent_classes(confusion: ArrayLike) -> list[int]:
    """Indices of the classes without clips in `[N, N]` counts.

    >>> absent_classes([[3, 1], [0, 0]])
    [1]
    """
    return np.flatnonzero(_counts(confusion).sum(axis=-1) == 0).tolist()


def bootstrap_interval(
    confusions: ArrayLike,
    score: Callable[[ArrayLike], Scores] = uf1,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap percentile interval of a pooled score, resampling subjects.

    Each replicate draws subjects with replacement, sums their matrices per training seed, computes the score, and averages it over
    training seeds. Subjects, not clips, are the independent units.

    Args:
      confusions: `[seeds, subjects, N, N]` counts of each subject under each training seed.
      score: `uf1`, `uar` or `accuracy`.
      level: coverage, in 0..1.
      replicates: number of bootstrap samples.
      seed: of the bootstrap samples.

    Returns:
      `(low, high)`.

    Raises:
      ValueError: the array does not have four axes, or has no subjects; or a level outside 0..1.

    >>> bootstrap_interval(np.ones((1, 4, 2, 2)), accuracy)
    (0.5, 0.5)
    """
    _check_sampling(level, replicates)
    counts = np.asarray(confusions, dtype=np.float64)
    if counts.ndim != 4 or not counts.size:
        raise ValueError(
            f"confusions have shape {counts.shape}; give [seeds, subjects, classes, classes] with a seed and a subject or more"
        )
    return _interval(np.nanmean(_resampled(counts, score, replicates, seed), axis=-1), level)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    score: Callable[[ArrayLike], Scores] = uf1,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Paired difference of two pooled scores, with a bootstrap percentile interval over subjects.

    Each replicate draws the same subjects for both methods, so the difficulty of a subject affects both alike.

    Args:
      first: `[seeds, subjects, N, N]` counts of the first method.
      second: counts of the second method on the same subjects and seeds.
      score: `uf1`, `uar` or `accuracy`; `level`, `replicates` and `seed` as in `bootstrap_interval`.

    Returns:
      `(difference, low, high)`, first minus second, averaged over training seeds.

    Raises:
      ValueError: the shapes differ, do not have four axes, or have no subjects.

    >>> paired_difference(np.ones((1, 4, 2, 2)), np.ones((1, 4, 2, 2)))
    (0.0, 0.0, 0.0)
    """
    _check_sampling(level, replicates)
    one, two = _same_subjects(first, second)
    differences = _resampled(one, score, replicates, seed) - _resampled(two, score, replicates, seed)
    difference = np.mean(score(one.sum(axis=1)) - score(two.sum(axis=1)))
    return float(difference), *_interval(np.nanmean(differences, axis=-1), level)


def sign_flip_p_value(
    first: ArrayLike,
    second: ArrayLike,
    score: Callable[[ArrayLike], Scores] = uf1,
    *,
    replicates: int = 9999,
    seed: int = 0,
) -> float:
    """Two-sided permutation test of a difference of pooled scores, exchanging the two methods within subjects.

    Each replicate exchanges the two matrices of every subject with probability one half, for all training seeds together. p is the
    share of replicates, including the observed data, with an absolute difference at least as large as the observed one.

    Args:
      first: `[seeds, subjects, N, N]` counts of the first method.
      second: counts of the second method on the same subjects and seeds.
      score: `uf1`, `uar` or `accuracy`.
      replicates: number of random exchanges.
      seed: of the random exchanges.

    Returns:
      p, at least `1 / (replicates + 1)`.

    Raises:
      ValueError: the shapes differ, do not have four axes, or have no subjects.

    Choice: a permutation test, because the distribution of a pooled F1 over a few dozen unequal subjects is unknown.

    >>> sign_flip_p_value(np.ones((1, 4, 2, 2)), np.ones((1, 4, 2, 2)))
    1.0
    """
    _check_sampling(0.95, replicates)
    one, two = _same_subjects(first, second)
    observed = np.mean(score(one.sum(axis=1)) - score(two.sum(axis=1)))
    signs = np.random.default_rng(seed).integers(0, 2, size=(replicates, one.shape[1])).astype(np.float64)
    both, moved = one.sum(axis=1), np.einsum("bs,ksij->bkij", signs, two - one)
    flipped = (score(both + moved) - score(two.sum(axis=1) - moved)).mean(axis=-1)
    # The tolerance covers rounding: equal differences may be summed in another order.
    as_large = np.abs(flipped) >= abs(observed) - 1e-12
    return float((1 + as_large.sum()) / (replicates + 1))


def holm(p_values: ArrayLike) -> Scores:
    """Holm correction of m p values for the family-wise error, `max over p_j <= p of (m - rank_j) p_j`, ranks from 0, at most 1.

    Reference: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p values {values.tolist()} must be a list of numbers in 0..1")
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return corrected


def chance_band(
    confusions: ArrayLike,
    score: Callable[[ArrayLike], Scores] = uf1,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a pooled score under random permutations of the labels (chance level).

    Arguments and result as in `bootstrap_interval`; only the class frequencies of the first training seed are used.

    >>> chance_band(np.diag([50, 50])[None, None], accuracy, replicates=500)
    (0.4, 0.6)
    """
    _check_sampling(level, replicates)
    pooled = _counts(np.asarray(confusions)[0].sum(axis=0)).astype(np.int64)
    truth = np.repeat(np.arange(len(pooled)), pooled.sum(axis=1))
    guess = np.repeat(np.arange(len(pooled)), pooled.sum(axis=0))
    rng = np.random.default_rng(seed)
    counts = np.stack([confusion_matrix(rng.permutation(truth), guess, len(pooled)) for _ in range(replicates)])
    return _interval(score(counts), level)


def _resampled(counts: Scores, score: Callable[[ArrayLike], Scores], replicates: int, seed: int) -> Scores:
    """Scores `[replicates, seeds]` of subjects drawn with replacement; equal seeds draw equal subjects."""
    subjects = counts.shape[1]
    draws = np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=replicates)
    return score(np.einsum("bs,ksij->bkij", draws, counts))


def _check_sampling(level: float, replicates: int) -> None:
    if not 0 < level < 1 or not is_count(replicates):
        raise ValueError(
            f"level {level} must be between 0 and 1, and replicates {replicates} a whole number of 1 or more"
        )


def _interval(values: Scores, level: float) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _same_subjects(first: ArrayLike, second: ArrayLike) -> tuple[Scores, Scores]:
    one, two = (np.asarray(counts, dtype=np.float64) for counts in (first, second))
    if one.shape != two.shape or one.ndim != 4 or not one.size:
        raise ValueError(
            f"counts have shapes {one.shape} and {two.shape}; give both as [seeds, subjects, classes, classes]"
        )
    return one, two

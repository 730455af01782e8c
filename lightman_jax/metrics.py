"""Scores of the field. Confusion matrices are summed first, rates derived once, all in float64 NumPy.

Rows are the truth, columns the prediction. A rate averaged over folds is not a score here: most subjects of the field's
corpora lack a class, so the pooled matrix is the only thing a rate is taken from.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]
Rates = NDArray[np.float64]


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> Counts:
    """Count clips by truth and prediction.

    Args:
      labels: `[n]` true class indices in `0..classes-1`.
      predictions: `[n]` predicted class indices in `0..classes-1`.
      classes: N, the number of classes of the protocol, absent ones included.

    Returns:
      `[N, N]` counts; entry `[i, j]` is the number of clips of class i predicted as j.

    Raises:
      ValueError: lengths differ, or an index lies outside `0..classes-1`.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], classes=2)
    array([[1, 1],
           [0, 1]])
    """
    truth, guess = np.asarray(labels, dtype=np.int64).ravel(), np.asarray(predictions, dtype=np.int64).ravel()
    if truth.shape != guess.shape:
        raise ValueError(f"{truth.size} labels but {guess.size} predictions; every clip needs one of each")
    for name, values in (("label", truth), ("prediction", guess)):
        if values.size and (values.min() < 0 or values.max() >= classes):
            found = sorted(set(values[(values < 0) | (values >= classes)].tolist()))
            raise ValueError(f"{name} {found} is outside 0..{classes - 1}; map it to a class of the protocol first")
    return np.bincount(truth * classes + guess, minlength=classes * classes).reshape(classes, classes)


def f1_per_class(confusion: ArrayLike) -> Rates:
    """F1 of each class, `2 TP / (2 TP + FP + FN)`; 0 for a class with neither truth nor prediction.

    Takes `[..., N, N]` counts, gives `[..., N]`.

    >>> f1_per_class([[2, 0], [1, 1]]).round(4)
    array([0.8   , 0.6667])
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    marked = matrix.sum(axis=-1) + matrix.sum(axis=-2)
    return np.divide(2 * hits, marked, out=np.zeros_like(marked), where=marked > 0)


def recall_per_class(confusion: ArrayLike) -> Rates:
    """Recall of each class, `TP / N_c`; `nan` for a class without a clip.

    Takes `[..., N, N]` counts, gives `[..., N]`.

    >>> recall_per_class([[2, 0], [1, 1]])
    array([1. , 0.5])
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    hits, clips = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1)
    return np.divide(hits, clips, out=np.full_like(clips, np.nan), where=clips > 0)


def uf1(confusion: ArrayLike) -> Rates:
    """Unweighted F1: the mean over classes of `2 TP / (2 TP + FP + FN)`, from pooled counts.

    A class of the protocol with neither truth nor prediction counts as 0, as in MEGC2019.

    Args:
      confusion: `[..., N, N]` pooled counts, rows truth.

    Returns:
      `[...]` scores in 0..1.

    Reference: MEGC 2019, See et al., "MEGC 2019 – The Second Facial Micro-Expressions Grand Challenge".

    >>> float(uf1([[54, 10, 6], [17, 30, 4], [14, 1, 28]]).round(4))
    0.6801
    """
    return f1_per_class(confusion).mean(axis=-1)


def uar(confusion: ArrayLike) -> Rates:
    """Unweighted average recall: the mean of `TP / N_c` over the classes that have clips.

    Classes without a clip have no recall and are left out (`absent_classes` names them); `nan` if there is no clip at all.
    This is recall: the column of the same name published with STSTNet is macro-precision.

    Args:
      confusion: `[..., N, N]` pooled counts, rows truth.

    Returns:
      `[...]` scores in 0..1.

    >>> float(uar([[54, 10, 6], [17, 30, 4], [14, 1, 28]]).round(4))
    0.6703
    """
    recall = recall_per_class(confusion)
    present = ~np.isnan(recall)
    count = present.sum(axis=-1).astype(np.float64)
    total = np.where(present, recall, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def accuracy(confusion: ArrayLike) -> Rates:
    """Share of clips predicted right, `sum TP / n`; `nan` without clips. Takes `[..., N, N]`, gives `[...]`.

    >>> float(accuracy([[2, 0], [1, 1]]))
    0.75
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    hits, clips = np.trace(matrix, axis1=-2, axis2=-1), matrix.sum(axis=(-2, -1))
    return np.divide(hits, clips, out=np.full_like(np.asarray(clips), np.nan), where=np.asarray(clips > 0))


def absent_classes(confusion: ArrayLike) -> list[int]:
    """Indices of the classes without a single true clip in `[N, N]` counts.

    >>> absent_classes([[3, 1], [0, 0]])
    [1]
    """
    return np.flatnonzero(np.asarray(confusion).sum(axis=-1) == 0).tolist()


def bootstrap_interval(
    confusions: ArrayLike,
    rate: Callable[[ArrayLike], Rates] = uf1,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a pooled rate under resampling of subjects.

    Each replicate draws as many subjects as there are, with replacement, sums their matrices per training seed, takes the
    rate, and averages it over training seeds. Subjects, not clips, are the independent units of these corpora.

    Args:
      confusions: `[seeds, subjects, N, N]` counts of each subject under each training seed.
      rate: `uf1`, `uar` or `accuracy`.
      level: coverage in 0..1.
      replicates: bootstrap draws.
      seed: of the draws.

    Returns:
      `(low, high)`.

    Raises:
      ValueError: the array has not four axes, or no subject.

    >>> bootstrap_interval(np.ones((1, 4, 2, 2)), accuracy)
    (0.5, 0.5)
    """
    counts = np.asarray(confusions, dtype=np.float64)
    if counts.ndim != 4 or counts.shape[1] == 0:
        raise ValueError(
            f"confusions have shape {counts.shape}; give [seeds, subjects, classes, classes] with a subject"
        )
    subjects = counts.shape[1]
    draws = np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=replicates)
    pooled = np.einsum("bs,ksij->bkij", draws, counts)
    values = np.nanmean(rate(pooled), axis=-1)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    rate: Callable[[ArrayLike], Rates] = uf1,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Difference of two pooled rates on the same subjects and seeds, and its percentile interval under resampling of subjects.

    Each replicate draws the same subjects for both, so what makes a subject hard for both cancels.

    Args:
      first: `[seeds, subjects, N, N]` counts of one method.
      second: the same of the other.
      rate: `uf1`, `uar` or `accuracy`.
      level: coverage in 0..1.
      replicates: bootstrap draws.
      seed: of the draws.

    Returns:
      `(difference, low, high)`, first minus second, averaged over seeds.

    Raises:
      ValueError: the shapes differ or have not four axes, or there is no subject.

    >>> paired_difference(np.ones((1, 4, 2, 2)), np.ones((1, 4, 2, 2)))
    (0.0, 0.0, 0.0)
    """
    one, two = _same_subjects(first, second)
    subjects = one.shape[1]
    draws = np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=replicates)
    rates = [rate(np.einsum("bs,ksij->bkij", draws, counts)) for counts in (one, two)]
    low, high = np.nanquantile(np.nanmean(rates[0] - rates[1], axis=-1), [(1 - level) / 2, (1 + level) / 2])
    difference = np.mean(rate(one.sum(axis=1)) - rate(two.sum(axis=1)))
    return float(difference), float(low), float(high)


def sign_flip_p_value(
    first: ArrayLike,
    second: ArrayLike,
    rate: Callable[[ArrayLike], Rates] = uf1,
    *,
    replicates: int = 9999,
    seed: int = 0,
) -> float:
    """Two-sided p value of a difference of pooled rates, by exchanging the two methods within subjects.

    If both methods were alike, a subject's two tables could have been the other way round. Each replicate exchanges them for a
    random half of the subjects, all seeds of a subject together; p is the share of replicates, the real one included, whose
    difference is at least as large.

    Args:
      first: `[seeds, subjects, N, N]` counts of one method.
      second: the same of the other.
      rate: `uf1`, `uar` or `accuracy`.
      replicates: random exchanges.
      seed: of the exchanges.

    Returns:
      p, at least `1 / (replicates + 1)`.

    Raises:
      ValueError: the shapes differ or have not four axes, or there is no subject.

    Choice: an exchange test, since the sampling distribution of a pooled F1 over a few dozen unequal subjects is unknown.

    >>> sign_flip_p_value(np.ones((1, 4, 2, 2)), np.ones((1, 4, 2, 2)))
    1.0
    """
    one, two = _same_subjects(first, second)
    observed = np.mean(rate(one.sum(axis=1)) - rate(two.sum(axis=1)))
    signs = np.random.default_rng(seed).integers(0, 2, size=(replicates, one.shape[1])).astype(np.float64)
    both, moved = one.sum(axis=1), np.einsum("bs,ksij->bkij", signs, two - one)
    flipped = (rate(both + moved) - rate(two.sum(axis=1) - moved)).mean(axis=-1)
    # Equal differences are computed in another order of summation.
    as_large = np.abs(flipped) >= abs(observed) - 1e-12
    return float((1 + as_large.sum()) / (replicates + 1))


def holm(p_values: ArrayLike) -> Rates:
    """p values corrected for their number, `max over smaller ones of (m - rank) p`, at most 1: the family-wise error is kept.

    Reference: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return corrected


def chance_band(
    confusions: ArrayLike,
    rate: Callable[[ArrayLike], Rates] = uf1,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Where a pooled rate falls if predictions have nothing to do with the labels: labels exchanged between clips at random.

    Args:
      confusions: `[seeds, subjects, N, N]` counts; only how often each class is true and predicted matters.
      rate: `uf1`, `uar` or `accuracy`.
      level: share of the replicates inside the band.
      replicates: random exchanges.
      seed: of the exchanges.

    Returns:
      `(low, high)`.

    >>> chance_band(np.diag([50, 50])[None, None], accuracy, replicates=500)
    (0.4, 0.6)
    """
    pooled = np.asarray(confusions)[0].sum(axis=0)
    truth = np.repeat(np.arange(len(pooled)), pooled.sum(axis=1))
    guess = np.repeat(np.arange(len(pooled)), pooled.sum(axis=0))
    rng = np.random.default_rng(seed)
    counts = np.stack([confusion_matrix(rng.permutation(truth), guess, len(pooled)) for _ in range(replicates)])
    low, high = np.nanquantile(rate(counts), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _same_subjects(first: ArrayLike, second: ArrayLike) -> tuple[Rates, Rates]:
    one, two = (np.asarray(counts, dtype=np.float64) for counts in (first, second))
    if one.shape != two.shape or one.ndim != 4 or one.shape[1] == 0:
        raise ValueError(
            f"counts have shapes {one.shape} and {two.shape}; give both as [seeds, subjects, classes, classes] of the same clips"
        )
    return one, two

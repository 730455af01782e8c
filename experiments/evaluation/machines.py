"""Simple learners from scikit-learn, fitted to a fold's training clips and their mirror images.

Flow is centred and scaled as the run scales it; a prediction is the mean over a clip and its mirror image.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from lightman_jax.preprocessing import Scaling, mirror_flow, scale_flow
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet


def _gaussian(clips: NDArray[np.float32], fitted: NDArray[np.float32]) -> NDArray[np.float32]:
    """scikit-learn's own Gaussian kernel and width, as one matrix product: its loop over pairs takes a hundred times as long."""
    return np.asarray(rbf_kernel(clips, fitted, gamma=1 / (fitted.shape[1] * fitted.var())))


# Choice: costs and neighbours as usual in the field, none tuned on any test subject.
CLASSICAL: dict[str, Callable[[int], Any]] = {
    "majority": lambda _: DummyClassifier(strategy="prior"),
    "knn": lambda _: KNeighborsClassifier(n_neighbors=5),
    "linear_svm": lambda _: SVC(kernel=linear_kernel, C=1e-3, class_weight="balanced"),
    "rbf_svm": lambda _: SVC(kernel=_gaussian, C=1.0, class_weight="balanced"),
    "perceptron": lambda seed: MLPClassifier((64,), alpha=1.0, early_stopping=False, max_iter=30, random_state=seed),
}
"""Each of scikit-learn's baselines from a seed; the first four do not depend on it."""

_SEEDED = frozenset({"perceptron"})


class Guess(NamedTuple):
    """Probabilities `[t, N]` of a fold's test clips, under one seed."""

    fold: Fold
    seed: int
    probabilities: NDArray[np.float32]


def fit_classical(
    name: str, micro: ClipSet, folds: Sequence[Fold], seeds: Sequence[int], scaling: Scaling
) -> Iterator[Guess]:
    """Fit one of `CLASSICAL` in every fold and predict its test clips.

    Args:
      name: key of `CLASSICAL`.
      micro: clips of the protocol.
      folds: what is held out.
      seeds: of the run; a learner without randomness is fitted once and repeated.
      scaling: of the run, statistics from the fold's training clips alone.
    """
    fitted: dict[str, NDArray[np.float32]] = {}
    for seed in seeds:
        for fold in folds:
            if name in _SEEDED or fold.name not in fitted:
                fitted[fold.name] = fit_one(name, micro, fold, seed, scaling).predict(micro.image)
            yield Guess(fold, seed, fitted[fold.name])


class FittedBaseline(NamedTuple):
    """One of `CLASSICAL`, fitted to a fold's training clips."""

    learner: Any
    fold: Fold
    scaling: Scaling
    classes: int

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities `[t, N]` of the fold's test clips, from pictures `[n, H, W, C]` of all clips of the protocol."""
        views = _views(images, self.fold, self.fold.test, self.scaling)
        scores = np.mean([_scores(self.learner, view, self.classes) for view in views], axis=0)
        # A class that the fold has no training clip of is never predicted.
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_one(name: str, micro: ClipSet, fold: Fold, seed: int, scaling: Scaling) -> FittedBaseline:
    """Fit one of `CLASSICAL` to a fold's training clips and their mirror images; arguments as `fit_classical`."""
    learner, train = CLASSICAL[name](seed), np.flatnonzero(fold.train)
    with warnings.catch_warnings():
        # The number of steps is fixed in advance, whether or not the loss still falls.
        warnings.simplefilter("ignore", ConvergenceWarning)
        learner.fit(np.concatenate(_views(micro.image, fold, train, scaling)), np.tile(micro.label[train], 2))
    return FittedBaseline(learner, fold, scaling, len(micro.classes))


def _views(
    images: NDArray[np.float32], fold: Fold, rows: NDArray[np.int64], scaling: Scaling
) -> list[NDArray[np.float32]]:
    """Rows of the pictures, scaled by the fold's statistics and flattened, and their mirror images."""
    needed = fold.train | np.isin(np.arange(len(images)), rows)
    scaled = scale_flow(jnp.asarray(images[needed]), scaling=scaling, train=jnp.asarray(fold.train[needed]))
    place = np.searchsorted(np.flatnonzero(needed), rows)
    # Rows are taken on the host: a program for every number of them would be compiled otherwise.
    return [np.asarray(view)[place].reshape(len(rows), -1) for view in (scaled, mirror_flow(scaled))]


def _scores(learner: Any, clips: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """`[t, N]` numbers that grow with belief: log probabilities, or an SVM's one-against-rest decision values."""
    found = np.full((len(clips), classes), -np.inf)
    if hasattr(learner, "decision_function"):
        values = learner.decision_function(clips)
        # Of two classes there is one column, positive for the second.
        values = np.stack([-values, values], axis=1) if values.ndim == 1 else values
    else:
        values = np.log(np.maximum(learner.predict_proba(clips), 1e-9))
    found[:, learner.classes_] = values
    return found

"""Classical baselines from scikit-learn, fitted to a fold's training clips and their mirror images.

Flow is centred and scaled as in the run, and all views of a clip are joined; a prediction is the mean over a clip and its mirror
image.

Choice: a view that a clip lacks is replaced, pixel by pixel, by the mean of the fold's training clips that have it, so that it
speaks for no class; a view that no training clip of the fold has is left out.

Choice: images of more than 28 px are reduced by means over equal squares to 28 px or a little more, and sequences of such images to
their mean over frames, so that the features of thousands of clips fit into memory.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics.pairwise import euclidean_distances, linear_kernel, rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import Fold
from lightman_jax.training.mirroring import mirror_partners
from lightman_jax.types import ClipSet, ImageArray, image_blocks, remembered

Kernel = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def _rbf(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Equals `SVC(kernel="rbf", gamma="scale")`, computed as one matrix product, which is a hundred times as fast."""
    return np.asarray(rbf_kernel(x, y, gamma=1 / (y.shape[1] * y.var())))


def _rbf_of_rows(clips: NDArray[np.float32]) -> Kernel:
    """`_rbf` of clips that are given by their rows `[k, 1]`, from distances that are computed once for all folds."""
    distances = euclidean_distances(clips, squared=True)

    def kernel(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        columns = y.astype(int)[:, 0]
        gamma = 1 / (clips.shape[1] * clips[columns].var())
        return np.asarray(np.exp(-gamma * distances[x.astype(int), columns]))

    return kernel


# Choice: costs and neighbours as is common in the field; none was tuned on a test subject.
CLASSICAL: dict[str, Callable[[int], Any]] = {
    "majority": lambda _: DummyClassifier(strategy="prior"),
    "knn": lambda _: KNeighborsClassifier(n_neighbors=5),
    "linear_svm": lambda _: SVC(kernel=linear_kernel, C=1e-3, class_weight="balanced"),
    "rbf_svm": lambda _: SVC(kernel=_rbf, C=1.0, class_weight="balanced"),
    "perceptron": lambda seed: MLPClassifier((64,), alpha=1.0, early_stopping=False, max_iter=30, random_state=seed),
}
"""Name -> factory `seed -> classifier`; only `perceptron` depends on the seed."""

_SEEDED = frozenset({"perceptron"})
# Kernel matrices of more rows than this take more than 400 MB; libsvm computes the same kernels in parts, which takes longer.
_MOST_KERNEL_ROWS, _SIDE = 7000, 28
_LIBSVM = {"linear_svm": {"kernel": "linear"}, "rbf_svm": {"kernel": "rbf", "gamma": "scale"}}
# Of `SimpleImputer`, about pixels that no training clip has.
_NO_VALUES = "Skipping features without any observed values"


class FoldPrediction(NamedTuple):
    """Probabilities `[t, N]` of a fold's test clips under one seed."""

    fold: Fold
    seed: int
    probabilities: NDArray[np.float32]


class Features(NamedTuple):
    """Scaled, flattened clips `[n, D]` and their mirror images; NaN where a clip lacks a view."""

    clips: NDArray[np.float32]
    mirrored: NDArray[np.float32]


def fit_classical(
    name: str, micro: ClipSet, folds: Sequence[Fold], seeds: Sequence[int], config: TrainConfig
) -> Iterator[FoldPrediction]:
    """Fit a classical baseline in every fold and predict the fold's test clips.

    Args:
      name: key of `CLASSICAL`.
      micro: clips of the protocol.
      folds: training and test clips.
      seeds: of the run; a deterministic baseline is fitted once and its prediction repeated.
      config: settings of the run, of which `scaling` and `mirror` are used; statistics come from the fold's training clips alone.
    """
    fitted: dict[str, NDArray[np.float32]] = {}
    common = None if config.scaling == "fold_rms" else _features(micro.image, folds[0], config, bool(micro.views))
    changes: dict[str, Any] = {}
    if 2 * len(micro) > _MOST_KERNEL_ROWS:
        changes = _LIBSVM.get(name, {})
    elif name == "rbf_svm" and common is not None and not np.isnan(common.clips).any():
        changes = {"kernel": _rbf_of_rows(np.concatenate(common))}
        common = Features(*np.arange(2 * len(micro), dtype=np.float32).reshape(2, -1, 1))
    for seed in seeds:
        for fold in folds:
            if name in _SEEDED or fold.name not in fitted:
                features = common or _features(micro.image, fold, config, bool(micro.views))
                classifier = CLASSICAL[name](seed).set_params(**changes)
                fitted[fold.name] = _fit(classifier, micro, features, fold, config).probabilities(features)
            yield FoldPrediction(fold, seed, fitted[fold.name])


class FittedBaseline(NamedTuple):
    """A classical baseline fitted to a fold's training clips."""

    classifier: Any
    fold: Fold
    config: TrainConfig
    classes: tuple[str, ...]
    has_views: bool

    def predict(self, images: ImageArray) -> NDArray[np.float32]:
        """Probabilities `[t, N]` of the fold's test clips, from the images `[n, (V,) H, W, C]` of all clips of the protocol."""
        return self.probabilities(_features(images, self.fold, self.config, self.has_views))

    def probabilities(self, features: Features) -> NDArray[np.float32]:
        """Probabilities `[t, N]` of the fold's test clips, from the features of all clips of the protocol."""
        partners = mirror_partners(self.config.mirror, self.classes)
        sides = features[: 1 if partners is None else 2]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _NO_VALUES)
            scores = [_scores(self.classifier, side[self.fold.test], len(self.classes)) for side in sides]
        if partners is not None:
            scores[1] = scores[1][:, partners]
        mean = np.mean(scores, axis=0)
        # A class without a training clip in the fold has score -inf and is never predicted.
        weights = np.exp(mean - mean.max(axis=1, keepdims=True))
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_one(name: str, micro: ClipSet, fold: Fold, seed: int, config: TrainConfig) -> FittedBaseline:
    """Fit a classical baseline to a fold's training clips and their mirror images; arguments as `fit_classical`."""
    return _fit(CLASSICAL[name](seed), micro, _features(micro.image, fold, config, bool(micro.views)), fold, config)


def _fit(classifier: Any, micro: ClipSet, features: Features, fold: Fold, config: TrainConfig) -> FittedBaseline:
    train = np.flatnonzero(fold.train)
    if micro.views:
        classifier = make_pipeline(SimpleImputer(), classifier)
    partners = mirror_partners(config.mirror, micro.classes)
    labels = [micro.label[train]]
    if partners is not None:
        labels.append(np.asarray(partners)[micro.label[train]])
    with warnings.catch_warnings():
        # The number of steps is fixed, whether or not the loss has converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", _NO_VALUES)
        classifier.fit(np.concatenate([side[train] for side in features[: len(labels)]]), np.concatenate(labels))
    return FittedBaseline(classifier, fold, config, micro.classes, bool(micro.views))


def _features(images: ImageArray, fold: Fold, config: TrainConfig, has_views: bool) -> Features:
    """Features of all clips, with the statistics of the fold's training clips where the scaling has any."""
    train, channels = jnp.asarray(fold.train), config.channels
    small = remembered(images, "reduced", functools.partial(_reduced, images, has_views))
    scaled = scale_flow(jnp.asarray(small), scaling=config.scaling, train=train, views=has_views, channels=channels)
    # All clips at once, and rows are selected in NumPy: JAX would compile one program per number of rows.
    sides = scaled, mirror_flow(scaled, channels=channels)
    return Features(*(np.asarray(side).reshape(len(images), -1) for side in sides))


def _reduced(images: ImageArray, has_views: bool) -> NDArray[np.floating]:
    """Images as they are, or the reduced ones if they are larger."""
    height, width, channels = images.shape[-3:]
    size = min(height, width) // _SIDE
    if size < 2:
        return np.asarray(images) if images.dtype == np.float64 else np.asarray(images, np.float32)
    rows, columns = height // size, width // size
    parts = []
    for _, block in image_blocks(images):
        frames = block if has_views or block.ndim == 4 else block.mean(axis=1, dtype=np.float32)
        cut = frames[..., : rows * size, : columns * size, :].reshape(-1, rows, size, columns, size, channels)
        parts.append(cut.mean(axis=(2, 4), dtype=np.float32).reshape(*frames.shape[:-3], rows, columns, channels))
    return np.concatenate(parts)


def _scores(classifier: Any, clips: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """`[t, N]` log probabilities, or one-vs-rest decision values of an SVM."""
    found = np.full((len(clips), classes), -np.inf)
    if hasattr(classifier, "decision_function"):
        values = classifier.decision_function(clips)
        # For two classes there is one column, positive for the second class.
        values = np.stack([-values, values], axis=1) if values.ndim == 1 else values
    else:
        values = np.log(np.maximum(classifier.predict_proba(clips), 1e-9))
    found[:, classifier.classes_] = values
    return found

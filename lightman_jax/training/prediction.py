"""Probabilities of the test clips of trained folds."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lightman_jax.checks import as_images, transferring
from lightman_jax.training.clip_scale import clip_scale, is_converted
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import Fold
from lightman_jax.training.mirroring import Partners, mirror_partners
from lightman_jax.training.program import prediction_program, stored_prediction_program
from lightman_jax.types import ImageArray, Params

_FEWEST_PREDICTED, _PREDICTED_PIXELS = 8, 1 << 20


@transferring
def predict_folds(
    trained: Iterable[tuple[Fold, Params]],
    images: ImageArray,
    config: TrainConfig,
    classes: Sequence[str] = (),
    *,
    align_steps: int = 0,
) -> list[NDArray[np.float32]]:
    """Probabilities of each fold's test clips, averaged over each clip and its mirror image.

    The arguments contain no labels. By default the parameters are not adapted; with `align_steps` they are adapted to the views of
    the fold's own test clips, so that these are predicted together (transductive).

    Args:
      trained: folds and their parameters, used one at a time.
      images: `[n, (V,) H, W, C]` unscaled micro clips of all folds; nan where a clip lacks a view.
      config: settings of the training.
      classes: class names; `config.mirror` depends on them where they hold a side of the face, and pairs of classes need them.
      align_steps: inner steps of `meta.adaptation.align_and_predict`; 0 for no adaptation.

    Returns:
      One `[t, N]` array per fold, rows in the order of `fold.test`.

    Raises:
      ValueError: images of another rank, of whole numbers, of another number than the folds have clips, or with nan in a test
        clip except for its missing views; or `config.mirror` has a pair of classes that are not among the names.
    """
    images = images if hasattr(images, "dtype") else np.asarray(images)
    partners = mirror_partners(config.mirror, classes)
    predict = _predict_stored if is_converted(images, config) else _predict_scaled
    of_fold = predict(images, config, partners, align_steps)
    results = []
    for fold, params in trained:
        if len(fold.train) != len(images):
            raise ValueError(
                f"fold {fold.name} is of {len(fold.train)} clips; give the images of all, not {len(images)}"
            )
        results.append(of_fold(fold, params))
    return results


_OfFold = Callable[[Fold, Params], NDArray[np.float32]]


def _predict_scaled(images: ImageArray, config: TrainConfig, partners: Partners | None, align_steps: int) -> _OfFold:
    """Predicts folds from images that are on the device."""
    images = as_images(images)
    program, on_device = prediction_program(config, partners, align_steps), jnp.asarray(images)

    def of_fold(fold: Fold, params: Params) -> NDArray[np.float32]:
        _refuse_damaged(np.asarray(images[fold.test]), fold.name, fold.test, has_views=config.network.views > 1)
        rows, where = _padded(fold.test, _padded_length(len(fold.test)))
        probabilities = program(params, on_device, jnp.asarray(rows), jnp.asarray(fold.train), where)
        return np.asarray(probabilities)[: len(fold.test)]

    return of_fold


def _predict_stored(images: ImageArray, config: TrainConfig, partners: Partners | None, align_steps: int) -> _OfFold:
    """Predicts folds from stored images, a block of test clips at a time; clips that networks adapt to are one block."""
    program, has_views = stored_prediction_program(config, partners, align_steps), config.network.views > 1
    whole = clip_scale(images, config, views=has_views)
    most = max(_FEWEST_PREDICTED, _PREDICTED_PIXELS // max(1, int(np.prod(images.shape[1:-1]))))

    def of_fold(fold: Fold, params: Params) -> NDArray[np.float32]:
        scale = whole.of_fold(config.scaling, jnp.asarray(fold.train))
        length = _padded_length(len(fold.test))
        length = length if align_steps else min(length, most)
        parts = []
        for first in range(0, len(fold.test), length):
            rows, where = _padded(fold.test[first : first + length], length)
            read = np.asarray(images[rows])
            _refuse_damaged(read, fold.name, rows, has_views=has_views)
            parts.append(np.asarray(program(params, jnp.asarray(read), scale.rows(rows), where))[np.asarray(where)])
        return np.concatenate(parts)

    return of_fold


def _padded_length(clips: int) -> int:
    # Of the fold's own number of clips, so that its bits do not depend on which other folds are predicted.
    return max(_FEWEST_PREDICTED, 1 << (clips - 1).bit_length())


def _padded(rows: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], jax.Array]:
    """Rows filled up with the first clip, and which are not padding."""
    padded = np.zeros(length, np.int64)
    padded[: len(rows)] = rows
    return padded, jnp.arange(length) < len(rows)


def _refuse_damaged(tested: NDArray[Any], fold: str, rows: NDArray[np.int64], *, has_views: bool) -> None:
    """Raise `ValueError` for a test clip with values that are not finite, but for views that are nan, of which one must not be."""
    flat = tested.reshape(*tested.shape[: 2 if has_views else 1], -1)
    usable = np.all(np.isfinite(flat), axis=-1)
    if has_views:
        missing = np.all(np.isnan(flat), axis=-1)
        usable = (usable | missing).all(axis=1) & ~missing.all(axis=1)
    if not usable.all():
        raise ValueError(
            f"fold {fold}: the image of clip {rows[int(usable.argmin())]} is not finite; correct it"
            + ", or mark views as missing by nan in all pixels, of which it needs another one" * has_views
        )

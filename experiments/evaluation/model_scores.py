"""Scores of a trained model on the clips of a corpus that it was not trained on, next to classical baselines trained on them."""

import math

import numpy as np
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError
from experiments.evaluation.cross_validation import prediction_rows
from experiments.evaluation.prediction_table import Prediction
from experiments.evaluation.run_result import Estimate, Scores
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.preparation.load import Prepared
from lightman_jax.data.preparation.manifest import STAND_IN_SUFFIX
from lightman_jax.data.preparation.views import FALL, view_of
from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU
from lightman_jax.model.card import Measurement
from lightman_jax.model.saved_model import Model
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import Fold, leave_one_subject_out
from lightman_jax.types import ClipSet, ImageArray, image_blocks

_OPPOSITE = np.array((-1, -1, 1), np.float32)
_BATCH, _BATCH_PIXELS, _LEAST = 512, 1 << 20, 1e-9


def predict_with_model(model: Model, prepared: Prepared) -> list[Prediction]:
    """Predictions of a model, the mean over its networks, for all micro clips.

    A model of single images predicts each rise of a clip, or each fall with the opposite sign if the clip has no rise.

    Choice: the geometric mean over these images, because it adds evidence: UF1 of the default model on both flow releases is .769,
    with the arithmetic mean .757. Falls are left out, because they end anywhere: with them it is .773, but .707 instead of .745 of
    networks trained on patches.

    Raises:
      ConfigError: the model has other classes, images or views, or was trained on the same corpus.
    """
    micro = prepared.micro
    _refuse_other(model, prepared)
    in_one = bool(model.views) or not micro.views
    probabilities = _mean_over_networks(model, micro.image) if in_one else _predict_each_view(model, micro)
    folds = subject_folds(micro)
    return [row for fold in folds for row in prediction_rows(micro, fold, 0, probabilities[fold.test])]


def predict_with_baseline(name: str, prepared: Prepared) -> list[Prediction]:
    """Predictions of a classical baseline that is trained on the clips of all other subjects."""
    micro, config = prepared.micro, TrainConfig(channels=prepared.manifest.motion.channels)
    # scikit-learn takes seconds to load.
    from experiments.evaluation.classical_baselines import fit_classical

    predicted = fit_classical(name, micro, subject_folds(micro), [0], config)
    return [row for one in predicted for row in prediction_rows(micro, one.fold, 0, one.probabilities)]


def subject_folds(micro: ClipSet) -> list[Fold]:
    """One fold per subject.

    Raises:
      DataError: there are fewer than two subjects.
    """
    try:
        return leave_one_subject_out(micro.subject)
    except ValueError as error:
        raise DataError(str(error)) from error


def measurement_of(scores: Scores, prepared: Prepared) -> Measurement:
    """The scores for a model card."""
    titles = ", ".join(CORPORA[name].title for name in sorted(set(prepared.micro.dataset)))
    released = "; released 8-bit flow" if "flow_release" in prepared.manifest.layout else ""
    views = f", views {', '.join(prepared.micro.views)}" if prepared.micro.views else ""
    data = f"{scores.clips} clips of {scores.subjects} subjects ({titles}{released}{views})"
    return Measurement(data, _with_interval(scores.uf1), _with_interval(scores.uar))


def _with_interval(score: Estimate) -> tuple[float, float, float]:
    return score.mean, *score.interval


def _predict_each_view(model: Model, micro: ClipSet) -> NDArray[np.float32]:
    is_fall = np.array([view_of(name).leg == FALL for name in micro.views])
    rises = micro.has_view & ~is_fall
    used = np.where(rises.any(axis=1, keepdims=True), rises, micro.has_view)
    total = np.zeros((len(micro), len(micro.classes)))
    for first, block in image_blocks(micro.image):
        for place, in_block in enumerate(used[first : first + len(block)].T):
            if in_block.any():
                images = block[in_block, place] * (_OPPOSITE if is_fall[place] else 1)
                rows = first + np.flatnonzero(in_block)
                total[rows] += np.log(np.maximum(_mean_over_networks(model, images), _LEAST))
    weights = np.exp(total / used.sum(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _mean_over_networks(model: Model, images: ImageArray) -> NDArray[np.float32]:
    batch = max(1, min(_BATCH, _BATCH_PIXELS // math.prod(images.shape[1:-1])))
    parts = [model.predict(images[begin : begin + batch]).mean(axis=0) for begin in range(0, len(images), batch)]
    return np.concatenate(parts)


def _refuse_other(model: Model, prepared: Prepared) -> None:
    """Raise a `ConfigError` for clips that the model cannot predict, or was trained on."""
    micro, manifest, about = prepared.micro, prepared.manifest, model.about
    if tuple(micro.classes) != model.classes:
        raise ConfigError(
            f"the model predicts {', '.join(model.classes)}, and the clips have the classes {', '.join(micro.classes)}; choose the "
            "same classes by --labels, or another model by --model"
        )
    shape = tuple(about["image_shape"])
    found = micro.image.shape[1:] if model.views else micro.image.shape[-3:]
    if found != shape or (model.views and model.views != micro.views):
        raise ConfigError(
            f"the model takes images {shape} of the views {', '.join(model.views) or '-'}, those of the clips are {found} of "
            f"{', '.join(micro.views) or '-'}; choose another model by --model"
        )
    if manifest.flow != about["flow"] and about["scaling"] != "clip_rms":
        raise ConfigError(
            f"the model was trained on flow in {about['flow']} with the scaling {about['scaling']}, and that of the clips is "
            f"{manifest.flow}; choose a model with the scaling clip_rms"
        )
    corpora = {name.removesuffix(STAND_IN_SUFFIX) for name in micro.dataset}
    trained = about["dataset"].removesuffix(STAND_IN_SUFFIX)
    both = corpora & {trained, *(DATASETS[trained].corpora if trained in DATASETS else ())}
    if both and (about["stand_in"] == manifest.stand_in or trained == SIMULATED_AU):
        raise ConfigError(
            f"the model was trained on {', '.join(sorted(both))}, so a score on it is no test; experiments.run has tested it with "
            "every subject left out"
        )

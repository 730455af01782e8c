"""Open a model for prediction: the networks of a finished run, or an exported model file."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli.flags import ConfigError, as_config_error
from experiments.evaluation.protocols import PROTOCOLS
from experiments.evaluation.run_record import read_run
from experiments.evaluation.workdir import refuse_changed
from lightman_jax.model import DEFAULT_MODEL
from lightman_jax.model.card import NOTICE, ModelCard
from lightman_jax.model.checkpoint import load_params, read_metadata
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import TrainedModel
from lightman_jax.model.saved_model import Model, load_model
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import trained_shapes
from lightman_jax.types import ClipSet, Params

_MODEL_NEEDED = (
    "Give --model the workdir of a finished run, such as runs/smic_stand_in-lightman, or a file of experiments.export; without "
    "--model the default model of the package is used"
)


def open_model(source: Path, adapt_steps: int | None = None) -> Model:
    """Read the workdir of a run, or an exported model file.

    `adapt_steps` are inner steps on labelled clips of a subject; None takes the number of the run. A file has a fixed number.

    Raises:
      ConfigError: the source is neither, or cannot be used.
    """
    if source.is_dir():
        return read_run_model(source, adapt_steps).opened()
    if not source.exists():
        remedy = "Install the package again" if source == DEFAULT_MODEL else _MODEL_NEEDED
        raise ConfigError(f"{source} does not exist. {remedy}")
    if adapt_steps is not None:
        raise ConfigError("--adapt_steps is fixed when a model is exported; give it to experiments.export")
    try:
        return load_model(source)
    except ValueError as error:
        raise ConfigError(f"{error}. {_MODEL_NEEDED}") from error


def read_run_model(workdir: Path, adapt_steps: int | None = None, seeds: int | None = None) -> TrainedModel:
    """Read all networks of a finished run.

    `adapt_steps` is as in `open_model`; `seeds` is the number of seeds to read, None takes all.

    Raises:
      ConfigError: there is no such run, its protocol stores no networks, or a file is damaged.
    """
    if not (workdir / "config.json").is_file():
        raise ConfigError(f"{workdir} is not the workdir of a run (it has no config.json). {_MODEL_NEEDED}")
    with as_config_error():
        refuse_changed(workdir, "config.json")
        config, record = read_run(workdir)
    if PROTOCOLS[config.protocol].gives_labels:
        raise ConfigError(f"a run of {config.protocol} stores no networks; train one with --protocol=loso")
    if not (workdir / "checkpoints").is_dir():
        raise ConfigError(f"{workdir} has no checkpoints yet; let its command finish first. {_MODEL_NEEDED}")
    with as_config_error():
        found = [_read_seed(workdir / "checkpoints" / f"seed_{seed}", config.trained) for seed in record.seeds[:seeds]]
    params = jax.tree.map(lambda *parts: np.concatenate(parts), *[params for params, _ in found])
    steps = config.adapt_steps if adapt_steps is None else adapt_steps
    card = found[0][1].joined(*[card for _, card in found[1:]])
    card = dataclasses.replace(card, adapt_steps=steps, notice=NOTICE)
    ones = np.ones((card.networks, *[1] * len(card.image_shape), card.image_shape[-1]))
    ensemble = Ensemble(params, jnp.asarray(np.asarray(card.mean_square or ones, np.float32)))
    return TrainedModel(ensemble, ensemble_programs(_trained(config.trained, card), steps, card.classes), card)


def _read_seed(folder: Path, trained: TrainConfig) -> tuple[Params, ModelCard]:
    """The stacked networks of one seed and their model card."""
    card = ModelCard.from_json(read_metadata(folder))
    image = np.zeros((1, *card.image_shape), np.float32)
    example = ClipSet(image, np.zeros(1, np.int32), ("a/b",), ("a/b/c",), card.classes, card.views)
    stacked = lambda leaf: jax.ShapeDtypeStruct((card.networks, *leaf.shape), leaf.dtype)  # noqa: E731
    return load_params(folder, jax.tree.map(stacked, trained_shapes(example, _trained(trained, card))))[1], card


def _trained(config: TrainConfig, card: ModelCard) -> TrainConfig:
    """The settings with the network and the channels of the card, which follow from the data."""
    return dataclasses.replace(config, network=NetworkConfig(**card.network), channels=card.channels)

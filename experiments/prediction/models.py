"""Open what predicts: the networks of a finished run, or a model file that was exported from one."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli.config import ADAPTED_PROTOCOLS
from experiments.cli.flags import ConfigError, as_config_error
from experiments.evaluation.inventory import refuse_changed
from experiments.evaluation.stored_config import read_run
from lightman_jax.model.checkpoint import load_params, read_metadata
from lightman_jax.model.ensemble import Ensemble, EnsemblePrograms, ensemble_programs
from lightman_jax.model.export import flat_programs
from lightman_jax.model.saved_model import Model, load_model
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import trained_shapes
from lightman_jax.types import ClipSet

NOTICE = (
    "For research with people who consent. A class is an annotator's label of a movement, not a feeling. Not for judging, ranking, "
    "screening or monitoring anybody."
)

_WANTED = (
    "Give --model the workdir of a finished run, such as runs/smic_stand_in-lightman, or a file of experiments.export"
)


class RunModel(NamedTuple):
    """The networks of a run, what they compute, and what must be known about them."""

    ensemble: Ensemble
    programs: EnsemblePrograms
    about: dict[str, Any]


def open_model(source: Path, adapt_steps: int | None = None) -> Model:
    """Read the workdir of a run, or a model file.

    Args:
      source: either.
      adapt_steps: inner steps on labelled clips of a person; None takes those of the run; a file has its own.

    Raises:
      ConfigError: it is neither, or cannot be used; says what to give.
    """
    if source.is_dir():
        run = read_run_model(source, adapt_steps)
        return Model(run.about, jax.tree.leaves(run.ensemble), flat_programs(run.programs, run.ensemble))
    if not source.exists():
        raise ConfigError(f"{source} does not exist. {_WANTED}")
    if adapt_steps is not None:
        raise ConfigError("--adapt_steps is fixed when a model is exported; type it with experiments.export")
    try:
        return load_model(source)
    except ValueError as error:
        raise ConfigError(f"{error}. {_WANTED}") from error


def read_run_model(workdir: Path, adapt_steps: int | None = None, seeds: int | None = None) -> RunModel:
    """Read all networks of a finished run.

    Args:
      workdir: of a run of the protocols `loso` or `leave_one_dataset_out`.
      adapt_steps: inner steps on labelled clips of a person; None takes those of the run.
      seeds: how many of its seeds; None takes all.

    Raises:
      ConfigError: no such run, one that keeps no networks, or a file that is damaged.
    """
    if not (workdir / "config.json").is_file():
        raise ConfigError(f"{workdir} holds no run (there is no config.json). {_WANTED}")
    with as_config_error():
        refuse_changed(workdir, "config.json")
        config, content = read_run(workdir)
    if config.protocol in ADAPTED_PROTOCOLS:
        raise ConfigError(f"a run of {config.protocol} keeps no networks; train one with --protocol=loso")
    chosen = content["seeds"][:seeds]
    if not (workdir / "checkpoints").is_dir():
        raise ConfigError(f"{workdir} has no checkpoints yet; let its command end first. {_WANTED}")
    with as_config_error():
        found = [_read_seed(workdir / "checkpoints" / f"seed_{seed}", config.trained) for seed in chosen]
    details = found[0][1]
    params = jax.tree.map(lambda *parts: np.concatenate(parts), *[params for params, _ in found])
    networks = len(jax.tree.leaves(params)[0])
    mean_square = [row for _, own in found for row in own["power"]] or np.ones(
        (networks, *_ones(details["image_shape"]))
    )
    steps = config.adapt_steps if adapt_steps is None else adapt_steps
    about = {
        "classes": details["classes"],
        "image_shape": details["image_shape"],
        "motion": dataclasses.asdict(config.data.motion),
        "flow": details["flow"],
        "scaling": config.train.scaling,
        "method": config.method_name,
        "network": dataclasses.asdict(config.train.network),
        "steps": config.train.steps,
        "adapt_steps": steps,
        "networks": networks,
        "folds": list(dict.fromkeys(details["folds"])),
        "seeds": len(chosen),
        "data": {"dataset": details["data"], "stand_in": details["stand_in"], "origin": details["origin"]},
        "notice": NOTICE,
    }
    ensemble = Ensemble(params, jnp.asarray(np.asarray(mean_square, np.float32)))
    return RunModel(ensemble, ensemble_programs(config.trained, steps), about)


def _read_seed(folder: Path, trained: TrainConfig) -> tuple[Any, dict[str, Any]]:
    """A seed's stacked networks and what its checkpoint says of them."""
    details = read_metadata(folder)
    if "image_shape" not in details:
        raise ConfigError(f"{folder} was written by an older version; run that experiment anew")
    shape, classes = tuple(details["image_shape"]), tuple(details["classes"])
    nobody = ClipSet(np.zeros((1, *shape), np.float32), np.zeros(1, np.int32), ("a/b",), ("a/b/c",), classes)
    count = len(details["folds"])
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), trained_shapes(nobody, trained)
    )
    _, params, details = load_params(folder, like)
    return params, details


def _ones(shape: Sequence[int]) -> tuple[int, ...]:
    return (1,) * len(shape) + (shape[-1],)

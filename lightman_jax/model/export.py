"""Export an ensemble with `jax.export` to one file that predicts on a CPU, GPU or TPU without this package."""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from lightman_jax.checks import transferring
from lightman_jax.files import write_atomic
from lightman_jax.model.card import ModelCard
from lightman_jax.model.ensemble import Ensemble, EnsemblePrograms
from lightman_jax.model.saved_model import ABOUT, MODULE, PARAMS, SERIALISED, Model, Program, sealed

PLATFORMS = ("cpu", "cuda", "tpu")

_READER = "lightman_exported.py"
_LOCATIONS = {"jax_traceback_in_locations_limit": 0, "jax_hlo_source_file_canonicalization_regex": ".*"}
# A fixed time, so that the same content gives the same file.
_TIME = (1980, 1, 1, 0, 0, 0)


class TrainedModel(NamedTuple):
    """Trained networks, their programs with the settings of the training, and their model card."""

    ensemble: Ensemble
    programs: EnsemblePrograms
    card: ModelCard

    def opened(self) -> Model:
        """The networks as `load_model` returns them from a file; programs are compiled when called."""
        leaves = jax.tree.leaves(self.ensemble)
        return Model(self.card.to_json(), leaves, flat_programs(self.programs, self.ensemble))


@transferring
def export_ensemble(path: Path, ensemble: Ensemble, programs: EnsemblePrograms, card: ModelCard) -> None:
    """Write a model file for `load_model`; the batch size and the number of labelled clips remain variable.

    Args:
      path: path of the file.
      ensemble: the networks.
      programs: from `ensemble_programs`, with the settings of the training.
      card: description of the networks and of their inputs.

    Raises:
      ValueError: the card describes another number of networks or classes.
      OSError: the file cannot be written; for a full disk the message has the bytes needed and free.
    """
    leaves = jax.tree.leaves(ensemble)
    if any(np.shape(leaf)[:1] != (card.networks,) for leaf in leaves):
        found = sorted({np.shape(leaf)[:1] for leaf in leaves})
        raise ValueError(
            f"the card describes {card.networks} networks, the arrays have the leading axes {found}; give one fold each"
        )
    modules = {name: _exported(name, program, ensemble, card.image_shape) for name, program in _named(programs).items()}
    classes = modules["predict"].out_avals[0].shape[-1]
    if classes != len(card.classes):
        raise ValueError(
            f"the card names the classes {', '.join(card.classes)}, the networks predict {classes} classes"
        )
    content = card.to_json() | {
        "leaves": len(leaves),
        "jax": jax.__version__,
        "programs": {name: _signature(name, module) for name, module in modules.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:

        def put(name: str, data: bytes | str) -> None:
            archive.writestr(zipfile.ZipInfo(name, _TIME), data, zipfile.ZIP_DEFLATED)

        put(ABOUT, json.dumps(content, indent=1, allow_nan=False))
        put(_READER, Path(__file__).with_name("saved_model.py").read_bytes())
        for name, module in modules.items():
            put(name + MODULE, module.mlir_module_serialized)
            put(name + SERIALISED, bytes(module.serialize()))
        for row, leaf in enumerate(leaves):
            array = io.BytesIO()
            np.save(array, np.asarray(leaf), allow_pickle=False)
            put(f"{PARAMS}/{row}.npy", array.getvalue())
    write_atomic(path, sealed(buffer.getvalue()))


def flat_programs(programs: EnsemblePrograms, ensemble: Ensemble) -> dict[str, Program]:
    """The programs as a `Model` calls them, with all leaves of the weights as first arguments; compiled when called."""
    tree = jax.tree.structure(ensemble)
    return {name: jax.jit(_flat(program, tree)) for name, program in _named(programs).items()}


def _named(programs: EnsemblePrograms) -> dict[str, Any]:
    return {name: program for name, program in programs._asdict().items() if program is not None}


def _flat(program: Any, tree: Any) -> Program:
    count = tree.num_leaves

    def call(*inputs: jax.Array) -> jax.Array:
        return program(jax.tree.unflatten(tree, inputs[:count]), *inputs[count:])

    return call


def _exported(name: str, program: Any, ensemble: Ensemble, image_shape: tuple[int, ...]) -> export.Exported:
    scope = export.SymbolicScope()
    image = ", ".join(map(str, image_shape))
    images = jax.ShapeDtypeStruct(export.symbolic_shape(f"b, {image}", scope=scope), jnp.float32)
    inputs = [images]
    if name == "adapt":
        support = jax.ShapeDtypeStruct(export.symbolic_shape(f"s, {image}", scope=scope), jnp.float32)
        inputs = [support, jax.ShapeDtypeStruct(support.shape[:1], jnp.int32), images]
    leaves, tree = jax.tree.flatten(ensemble)
    abstract = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    with _without_source_files():
        return export.export(jax.jit(_flat(program, tree)), platforms=PLATFORMS)(*abstract, *inputs)


@contextlib.contextmanager
def _without_source_files() -> Iterator[None]:
    """Programs do not name their source files, which lie in folders of the writer's computer."""
    before = {name: getattr(jax.config, name) for name in _LOCATIONS}
    for name, value in _LOCATIONS.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def _signature(name: str, module: export.Exported) -> dict[str, Any]:
    def text(aval: Any) -> str:
        return f"{aval.dtype}[{', '.join(map(str, aval.shape))}]"

    return {
        "name": name,
        "inputs": [text(aval) for aval in module.in_avals],
        "output": text(module.out_avals[0]),
        "platforms": list(module.platforms),
        "calling_convention_version": module.calling_convention_version,
        "kept": list(module.module_kept_var_idx),
        "uses_global_constants": module.uses_global_constants,
    }

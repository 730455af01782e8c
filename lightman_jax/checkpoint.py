"""Save and restore parameters with orbax, beside what is needed to use them: a format version and free metadata."""

import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from lightman_jax.types import Params

FORMAT_VERSION = 1


def save_params(folder: Path, step: int, params: Params, metadata: dict[str, Any]) -> None:
    """Write parameters after `step` outer steps; returns when they are on disk. An older checkpoint there is replaced.

    Args:
      folder: of this checkpoint alone.
      step: outer steps done.
      params: any tree of arrays.
      metadata: JSON-able; kept with the format version.

    Raises:
      OSError: the folder cannot be written.
    """
    target = folder.absolute()
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    with ocp.CheckpointManager(target, options=_this_process_alone()) as manager:
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(params),
            metadata=ocp.args.JsonSave({"format_version": FORMAT_VERSION, **metadata}),
        )
        manager.save(step, args=items)
        manager.wait_until_finished()


def load_params(folder: Path, like: Params) -> tuple[int, Params, dict[str, Any]]:
    """Read the newest checkpoint of a folder.

    Args:
      folder: written by `save_params`.
      like: a tree of arrays or `jax.ShapeDtypeStruct` of the expected shapes.

    Returns:
      `(step, params, metadata)`.

    Raises:
      ValueError: no checkpoint there, or another format version.
    """
    target = folder.absolute()
    if not target.is_dir():
        raise ValueError(
            f"{folder} does not exist; give the folder of a checkpoint, for example WORKDIR/checkpoints/seed_0"
        )
    with ocp.CheckpointManager(target, options=_this_process_alone()) as manager:
        step = manager.latest_step()
        if step is None:
            raise ValueError(f"{folder} holds no checkpoint; train first, or give WORKDIR/checkpoints/seed_0")
        metadata = manager.restore(step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore()))["metadata"]
        if metadata.get("format_version") != FORMAT_VERSION:
            found = metadata.get("format_version")
            raise ValueError(f"{folder} has format version {found}, this release reads {FORMAT_VERSION}; train again")
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like)
        restored = manager.restore(step, args=ocp.args.Composite(params=ocp.args.StandardRestore(abstract)))
    return step, restored["params"], metadata


def _this_process_alone() -> ocp.CheckpointManagerOptions:
    """One of several processes reads or writes while the others go on; it must not wait for them."""
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )
    return ocp.CheckpointManagerOptions(multiprocessing_options=alone, create=False)

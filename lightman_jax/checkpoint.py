"""Save and restore parameters with orbax, beside a format version, free metadata, and a digest of every file.

Orbax itself restores other weights without a word when a bit of its files has changed.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from lightman_jax.types import Params

FORMAT_VERSION = 2
"""Since 2 every file has a digest."""

_DIGESTS = "digests.json"


def save_params(folder: Path, step: int, params: Params, metadata: dict[str, Any]) -> None:
    """Write parameters after `step` outer steps; returns when they are on disk.

    An older checkpoint there is replaced at the end: a process that is killed leaves the old one, the new one, or none.

    Args:
      folder: of this checkpoint alone.
      step: outer steps done.
      params: any tree of arrays.
      metadata: JSON-able; kept with the format version.

    Raises:
      OSError: the folder cannot be written.
    """
    target = folder.absolute()
    for left_over in target.parent.glob(f".{target.name}.*.part"):
        shutil.rmtree(left_over, ignore_errors=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    scratch.mkdir(parents=True)
    with ocp.CheckpointManager(scratch, options=_this_process_alone()) as manager:
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(params),
            metadata=ocp.args.JsonSave({"format_version": FORMAT_VERSION, **metadata}),
        )
        manager.save(step, args=items)
        manager.wait_until_finished()
    (scratch / _DIGESTS).write_text(json.dumps({"format_version": FORMAT_VERSION, "files": _digests(scratch)}) + "\n")
    if target.exists():
        shutil.rmtree(target)
    scratch.rename(target)


def load_params(folder: Path, like: Params) -> tuple[int, Params, dict[str, Any]]:
    """Read the newest checkpoint of a folder.

    Args:
      folder: written by `save_params`.
      like: a tree of arrays or `jax.ShapeDtypeStruct` of the expected shapes.

    Returns:
      `(step, params, metadata)`.

    Raises:
      ValueError: no checkpoint there, another format version, or a file that is not as it was written; names the file.
    """
    target = folder.absolute()
    if not target.is_dir():
        raise ValueError(
            f"{folder} does not exist; give the folder of a checkpoint, for example WORKDIR/checkpoints/seed_0"
        )
    _refuse_damage(target)
    with ocp.CheckpointManager(target, options=_this_process_alone()) as manager:
        step = manager.latest_step()
        if step is None:
            raise ValueError(f"{folder} holds no checkpoint; train first, or give WORKDIR/checkpoints/seed_0")
        metadata = manager.restore(step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore()))["metadata"]
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like)
        restored = manager.restore(step, args=ocp.args.Composite(params=ocp.args.StandardRestore(abstract)))
    return step, restored["params"], metadata


def _refuse_damage(folder: Path) -> None:
    try:
        held = json.loads((folder / _DIGESTS).read_text())
        version, expected = held["format_version"], held["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} holds no whole checkpoint of this release ({_DIGESTS} is missing or damaged); run the same command again"
        ) from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{folder} has format version {version}, this release reads {FORMAT_VERSION}; train again")
    found = _digests(folder)
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if differing:
        raise ValueError(f"{folder / differing[0]} is not as it was written; run the same command again")


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _DIGESTS)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _this_process_alone() -> ocp.CheckpointManagerOptions:
    """One of several processes reads or writes while the others go on; it must not wait for them."""
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )
    return ocp.CheckpointManagerOptions(multiprocessing_options=alone, create=False)

"""Save and restore parameters with orbax, with free metadata and a digest of every file; a damaged step gives way to an older one.

Orbax itself restores other weights without a word when a bit of its files has changed.
"""

import hashlib
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from lightman_jax.files import (
    read_sealed_json,
    remove_parts,
    require_space,
    scratch_for,
    telling_space,
    write_sealed_json,
)
from lightman_jax.types import Params

FORMAT_VERSION = 3
"""Since 3 a folder keeps several steps."""

_ABOUT = "checkpoint.json"
_PARAMS = "params"
_STEP = "step_"
_SPARE = 1 << 20


def save_params(folder: Path, step: int, params: Params, metadata: dict[str, Any], *, keep: int = 2) -> None:
    """Write parameters after `step` outer steps as `folder/step_N`; returns when they are on disk.

    A process that is killed leaves the step whole or leaves it out. Choice: the newest steps are kept, and no best one: which step
    is best would have to be asked of clips that training must not see.

    Args:
      folder: of this training's checkpoints alone, with one writer at a time.
      step: outer steps done.
      params: any tree of arrays.
      metadata: JSON-able.
      keep: how many of the newest steps stay; the older one is there for the day the newer is damaged.

    Raises:
      OSError: the folder cannot be written; on a full disk with the bytes needed and free.
    """
    target = folder.absolute() / f"{_STEP}{step}"
    remove_parts(folder)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params)) + _SPARE
    require_space(target, size)
    scratch = scratch_for(target)
    scratch.mkdir(parents=True)
    try:
        with (
            telling_space(target, size),
            ocp.StandardCheckpointer(multiprocessing_options=_this_process_alone()) as checkpointer,
        ):
            checkpointer.save(scratch / _PARAMS, params)
            checkpointer.wait_until_finished()
        about = {"format_version": FORMAT_VERSION, "step": step, "metadata": metadata, "files": _digests(scratch)}
        write_sealed_json(scratch / _ABOUT, about)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for old in _steps(folder)[keep:]:
        shutil.rmtree(old)


def load_params(folder: Path, like: Params) -> tuple[int, Params, dict[str, Any]]:
    """Read the newest whole checkpoint of a folder; a damaged newer one is named in a warning.

    Args:
      folder: written by `save_params`.
      like: a tree of arrays or `jax.ShapeDtypeStruct` of the expected shapes.

    Returns:
      `(step, params, metadata)`.

    Raises:
      ValueError: no checkpoint there, or none that is whole and of this format version, or other shapes; names the file.
    """
    place, about = _newest(folder)
    return about["step"], _restore(place / _PARAMS, like), about["metadata"]


def read_metadata(folder: Path) -> dict[str, Any]:
    """What the newest whole checkpoint of a folder says of itself, without its parameters; errors and warning as `load_params`."""
    return _newest(folder)[1]["metadata"]


def _newest(folder: Path) -> tuple[Path, dict[str, Any]]:
    steps = _steps(folder)
    if not steps:
        raise ValueError(
            f"{folder} does not exist or holds no checkpoint; give the folder of one, for example WORKDIR/checkpoints/seed_0"
        )
    damage = []
    for place in steps:
        try:
            about = _checked(place)
        except ValueError as error:
            damage.append(str(error))
            continue
        if damage:
            warnings.warn(f"{'; '.join(damage)}: the older step {about['step']} is used", stacklevel=3)
        return place, about
    raise ValueError(
        f"{'; '.join(damage)}; run the same command again: it is written anew from the trainings that are kept"
    )


def _restore(path: Path, like: Params) -> Params:
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like)
    with ocp.StandardCheckpointer(multiprocessing_options=_this_process_alone()) as checkpointer:
        return checkpointer.restore(path.absolute(), abstract)


def _checked(place: Path) -> dict[str, Any]:
    """What a step's own list says, once every file is as the list has it."""
    about = read_sealed_json(place / _ABOUT)
    if about.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{place} has format version {about.get('format_version')}, this release reads {FORMAT_VERSION}"
        )
    found, expected = _digests(place), about["files"]
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if differing:
        raise ValueError(f"{place / differing[0]} is not as it was written")
    return about


def _steps(folder: Path) -> list[Path]:
    """Folders of steps, the newest first."""
    found = [path for path in folder.glob(f"{_STEP}*") if path.name.removeprefix(_STEP).isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_STEP)), reverse=True)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _ABOUT)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    """One of several processes reads or writes while the others go on; it must not wait for them."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )

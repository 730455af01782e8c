"""Save and restore parameters with orbax, with metadata and a digest of every file; an older step replaces a damaged one.

The digests are needed because orbax silently restores other weights when a bit of its files has changed.
"""

import hashlib
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from lightman_jax.files import (
    plain_path,
    read_checksummed_json,
    remove_leftovers,
    reporting_disk_full,
    require_space,
    temporary_path,
    write_checksummed_json,
)
from lightman_jax.types import Params

FORMAT_VERSION = 4
"""Since 3 a folder keeps several steps; since 4 the metadata of a run are a `ModelCard`."""

_ABOUT = "checkpoint.json"
_PARAMS = "params"
_STEP = "step_"
_SPARE = 1 << 20


def save_params(folder: Path, step: int, params: Params, metadata: dict[str, Any], *, keep: int = 2) -> None:
    """Write parameters after `step` outer steps as `folder/step_N`; returns when they are on disk.

    If the process is killed, the step is complete or absent. Choice: the newest steps are kept, not the best one, because the best
    step could only be selected on clips that training must not use.

    Args:
      folder: folder for the checkpoints of this training only, with one writer at a time.
      step: number of outer steps taken.
      params: any tree of arrays.
      metadata: JSON values.
      keep: number of newest steps to keep; older ones are the fallback for a damaged newest step.

    Raises:
      OSError: the folder cannot be written; for a full disk the message has the bytes needed and free.
    """
    target = folder.absolute() / f"{_STEP}{step}"
    remove_leftovers(folder)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params)) + _SPARE
    require_space(target, size)
    scratch = temporary_path(target)
    scratch.mkdir(parents=True)
    try:
        with (
            reporting_disk_full(target, size),
            plain_path(scratch) as plain,
            ocp.StandardCheckpointer(multiprocessing_options=_this_process_alone()) as checkpointer,
        ):
            checkpointer.save(plain / _PARAMS, params)
            checkpointer.wait_until_finished()
        about = {"format_version": FORMAT_VERSION, "step": step, "metadata": metadata, "files": _digests(scratch)}
        write_checksummed_json(scratch / _ABOUT, about)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for old in _steps(folder)[keep:]:
        shutil.rmtree(old)


def load_params(folder: Path, like: Params) -> tuple[int, Params, dict[str, Any]]:
    """Read the newest intact checkpoint of a folder; a warning names damaged newer ones.

    Args:
      folder: written by `save_params`.
      like: a tree of arrays or `jax.ShapeDtypeStruct` of the expected shapes.

    Returns:
      `(step, params, metadata)`.

    Raises:
      ValueError: no checkpoint, none that is intact and of this format version, or other shapes; the message names the file.
    """
    place, about = _newest(folder)
    return about["step"], _restore(place / _PARAMS, like), about["metadata"]


def load_arrays(folder: Path) -> tuple[Params, dict[str, Any], str]:
    """The newest intact checkpoint of a folder, whatever its shapes; errors and warning as in `load_params`.

    Returns:
      `(arrays, metadata, digest)`: nested dicts of arrays by the names of the tree that was saved, and the SHA-256 of the step's
      `checkpoint.json`, which has the digests of all other files.
    """
    place, about = _newest(folder)
    with (
        plain_path(place / _PARAMS) as plain,
        ocp.StandardCheckpointer(multiprocessing_options=_this_process_alone()) as checkpointer,
    ):
        arrays = checkpointer.restore(plain.absolute())
    return arrays, about["metadata"], hashlib.sha256((place / _ABOUT).read_bytes()).hexdigest()


def read_metadata(folder: Path) -> dict[str, Any]:
    """Metadata of the newest intact checkpoint of a folder; errors and warning as in `load_params`."""
    return _newest(folder)[1]["metadata"]


def _newest(folder: Path) -> tuple[Path, dict[str, Any]]:
    steps = _steps(folder)
    if not steps:
        raise ValueError(
            f"{folder} does not exist or has no checkpoint; give the folder of one, for example WORKDIR/checkpoints/seed_0"
        )
    damage = []
    for place in steps:
        try:
            about = _checked(place)
        except ValueError as error:
            damage.append(str(error))
            continue
        if damage:
            warnings.warn(f"{'; '.join(damage)}: using the older step {about['step']}", stacklevel=3)
        return place, about
    raise ValueError(
        f"{'; '.join(damage)}; run the same `python -m experiments.run` command again: it rewrites the checkpoint from the "
        "stored training jobs"
    )


def _restore(path: Path, like: Params) -> Params:
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like)
    with (
        plain_path(path) as plain,
        ocp.StandardCheckpointer(multiprocessing_options=_this_process_alone()) as checkpointer,
    ):
        return checkpointer.restore(plain.absolute(), abstract)


def _checked(place: Path) -> dict[str, Any]:
    """Content of a step's `checkpoint.json`, after the digests of all files were checked."""
    about = read_checksummed_json(place / _ABOUT)
    if about.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{place} has format version {about.get('format_version')}, this release reads {FORMAT_VERSION}"
        )
    found, expected = _digests(place), about["files"]
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if differing:
        raise ValueError(f"{place / differing[0]} has changed since it was written")
    return about


def _steps(folder: Path) -> list[Path]:
    """Folders of steps, newest first."""
    found = [path for path in folder.glob(f"{_STEP}*") if path.name.removeprefix(_STEP).isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_STEP)), reverse=True)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _ABOUT)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    """Only this process reads or writes, so it must not wait for the others."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )

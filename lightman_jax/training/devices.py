"""Where lanes run: the mesh of devices, and the way of arrays there and back. A lane is one (fold, seed).

Devices form a mesh of `folds` times `tasks`: each row of it runs lanes of its own, and where there are fewer lanes than devices,
the tasks of a lane's outer step are split over its row.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lightman_jax.meta.bilevel import TASKS

FOLDS = "folds"
"""Mesh axis over which lanes are spread."""

_JOBS_SIDE_BY_SIDE = 64


def job_mesh(jobs: int, tasks: int) -> Mesh:
    """As many rows of lanes as there are, in a number that divides the devices; the rest of a row shares a lane's tasks.

    With several processes every device takes part, if need be with a lane or a task that counts for nothing.

    Args:
      jobs: of the whole training.
      tasks: of an outer step that may be split; 1 where they may not.
    """
    devices = jax.devices()
    alone = jax.process_count() == 1
    rows = max(n for n in range(1, len(devices) + 1) if len(devices) % n == 0 and n <= jobs)
    columns = min(len(devices) // rows, tasks if alone else len(devices)) if tasks > 1 else 1
    if not alone and tasks == 1:
        rows = len(devices)
    chosen = devices[: rows * columns]
    return jax.make_mesh((rows, columns), (FOLDS, TASKS), axis_types=(AxisType.Auto, AxisType.Auto), devices=chosen)


def jobs_per_device(jobs: int, mesh: Mesh, *, side_by_side: bool) -> int:
    """How many lanes a row of the mesh trains at once.

    Choice: one on a CPU, where side-by-side kernels are slow; elsewhere all up to 64, since one small network leaves a large device
    idle. The number is not measured on a GPU or TPU.
    """
    if not side_by_side or mesh.shape[TASKS] > 1:
        return 1
    return min(_JOBS_SIDE_BY_SIDE, -(-jobs // mesh.shape[FOLDS]))


class OutOfMemoryError(MemoryError):
    """A device has not the memory that a training needs; the message has the bytes and what to type."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether JAX says that a device, or the host, had no memory left."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def program_bytes(program: Any, *arguments: Any) -> int | None:
    """Bytes of a device that a jitted program needs for its arguments, results and temporaries; None if nobody can say.

    Args:
      program: from `jax.jit`.
      *arguments: trees of arrays or `jax.ShapeDtypeStruct`.
    """
    try:
        needs = program.lower(*arguments).compile().memory_analysis()
    except jax.errors.JaxRuntimeError:
        return None
    if needs is None:
        return None
    kept = needs.argument_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
    return kept + needs.temp_size_in_bytes


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Arrays that every process holds whole, spread over the devices of all processes."""
    return jax.device_put(tree, NamedSharding(mesh, spec))


def fetch(tree: Any) -> Any:
    """Arrays of all devices on this host as NumPy arrays, whole on every process."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree, tiled=True))


def map_jobs(fn: Callable[..., Any], job_arguments: int, *, side_by_side: bool) -> Callable[..., Any]:
    """Run `fn` on the lanes of one device; the first arguments carry the lane axis, the others are shared."""

    def run(*arguments: Any) -> Any:
        shared = arguments[job_arguments:]
        one = lambda job: fn(*job, *shared)  # noqa: E731
        return (jax.vmap(one) if side_by_side else lambda jobs: jax.lax.map(one, jobs))(arguments[:job_arguments])

    return run

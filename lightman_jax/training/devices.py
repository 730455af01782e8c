"""Device mesh of training jobs, placement of arrays, and device memory.

The mesh has the axes `folds` and `tasks`: its rows run different jobs, and with fewer jobs than devices the tasks of a job's outer
step are split over its row.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lightman_jax.meta.bilevel import TASKS

FOLDS = "folds"
"""Mesh axis over which jobs are spread."""

_MOST_JOBS_PER_DEVICE = 64


def job_mesh(jobs: int, tasks: int) -> Mesh:
    """Mesh with one row per job, as far as the number of rows divides the devices; the columns share a job's `tasks`.

    With several processes every device takes part, if necessary with a padding job or task.
    """
    devices = jax.devices()
    alone = jax.process_count() == 1
    rows = max(n for n in range(1, len(devices) + 1) if len(devices) % n == 0 and n <= jobs)
    columns = min(len(devices) // rows, tasks if alone else len(devices)) if tasks > 1 else 1
    if not alone and tasks == 1:
        rows = len(devices)
    chosen = devices[: rows * columns]
    return jax.make_mesh((rows, columns), (FOLDS, TASKS), axis_types=(AxisType.Auto, AxisType.Auto), devices=chosen)


def jobs_per_device(jobs: int, mesh: Mesh, *, in_parallel: bool) -> int:
    """Number of jobs that a row of the mesh trains in parallel.

    Choice: one on a CPU, where parallel kernels are slow; elsewhere up to 64, because one small network leaves a large device
    idle. The limit was not measured on a GPU or TPU.
    """
    if not in_parallel or mesh.shape[TASKS] > 1:
        return 1
    return min(_MOST_JOBS_PER_DEVICE, -(-jobs // mesh.shape[FOLDS]))


class OutOfMemoryError(MemoryError):
    """A device has too little memory for one job; the message has the bytes needed and the flags that reduce them."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether JAX reports that a device, or the host, is out of memory."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def program_bytes(program: Any, *arguments: Any) -> int | None:
    """Device memory in bytes of a jitted program's arguments, results and temporaries; None if the backend does not report it."""
    try:
        needs = program.lower(*arguments).compile().memory_analysis()
    except jax.errors.JaxRuntimeError:
        return None
    if needs is None:
        return None
    kept = needs.argument_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
    return kept + needs.temp_size_in_bytes


def place(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Spread arrays, complete on every process, over the devices of all processes."""
    return jax.device_put(tree, NamedSharding(mesh, spec))


def fetch(tree: Any) -> Any:
    """Gather arrays of all devices as NumPy arrays, complete on every process."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree, tiled=True))


def map_jobs(fn: Callable[..., Any], job_arguments: int, *, in_parallel: bool) -> Callable[..., Any]:
    """Map `fn` over the jobs of one device; the first `job_arguments` arguments have a leading job axis, the others are shared."""

    def run(*arguments: Any) -> Any:
        shared = arguments[job_arguments:]
        one = lambda job: fn(*job, *shared)  # noqa: E731
        return (jax.vmap(one) if in_parallel else lambda jobs: jax.lax.map(one, jobs))(arguments[:job_arguments])

    return run

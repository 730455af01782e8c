"""Set up JAX for a process: host devices, the compilation cache, and the other processes of a distributed run."""

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError
from lightman_jax.data.preparation.parallel import cpu_cores
from lightman_jax.files import user_path

DEFAULT_DATA_CACHE = "~/.cache/lightman_jax"
_MAX_HOST_DEVICES = 16
_WAITING_SECONDS, _SPARE_SECONDS = 300, 60
_ONE = {"", "1"}
_BY_FLAGS = "give each --coordinator=HOST:PORT of the first, --processes=COUNT and its own --process_id"
# Variables with a number of processes or tasks that need not run this command, and how several processes are started.
_OTHER_LAUNCHERS = {
    "SLURM_NTASKS": "start them with srun",
    **dict.fromkeys(("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE"), _BY_FLAGS),
}


def set_up_jax(
    data_cache: str | Path = DEFAULT_DATA_CACHE,
    *,
    coordinator: str | None = None,
    processes: int = 1,
    process_id: int = 0,
) -> None:
    """Prepare JAX for training or prediction; call it once, before the first JAX computation.

    On a CPU every core becomes one device, so that folds train side by side, unless `XLA_FLAGS` or `JAX_NUM_CPU_DEVICES` sets the
    number of devices. Compiled programs are stored in `data_cache/xla` and reused by later processes.

    Args:
      data_cache: folder of prepared data and compiled programs.
      coordinator: `HOST:PORT` of the first process of a distributed run. On SLURM, Open MPI 4 and TPU pods JAX finds it.
      processes: number of processes of a distributed run; 0 joins the processes that a launcher has started together with this one.
      process_id: index of this process, from 0.

    Raises:
      ConfigError: the requested platform is not available, the processes could not connect, or `data_cache` is not UTF-8 text.
      OSError: `data_cache` begins with `~` and the user has no home folder.
    """
    configured = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not configured and "JAX_NUM_CPU_DEVICES" not in os.environ:
        try:
            jax.config.update("jax_num_cpu_devices", min(cpu_cores(), _MAX_HOST_DEVICES))
        except RuntimeError:
            text = "JAX has already started, so the number of CPU devices stays as it is; to use every core, restart the process"
            warnings.warn(f"{text} and call set_up_jax before any JAX computation", stacklevel=2)
    cache = str(user_path(data_cache) / "xla")
    if cache.encode(errors="ignore").decode() != cache:
        raise ConfigError(
            f"the path {data_cache} is not UTF-8 text, as JAX needs it; choose another folder by --data_cache"
        )
    jax.config.update("jax_compilation_cache_dir", cache)
    _join_processes(coordinator, processes, process_id)
    _require_device()


class _Launched(NamedTuple):
    """How the processes of a run find each other; their number and the index of this one, None if only JAX knows them."""

    by: str
    processes: int | None = None
    process_id: int | None = None


def _join_processes(coordinator: str | None, processes: int, process_id: int) -> None:
    """Connect the processes of a distributed run, and print that this waits for them."""
    by_hand = _Launched(f"--coordinator={coordinator}", processes, process_id)
    launched = by_hand if coordinator else _launched() if processes == 0 else None
    if launched is None:
        return
    which = "this process" if launched.processes is None else f"process {launched.process_id} of {launched.processes}"
    text = f"note: {which} ({launched.by}) waits up to {_WAITING_SECONDS} s for the others"
    print(f"{text}; --processes=1 runs without them", file=sys.stderr, flush=True)
    try:
        _connect(coordinator, launched)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the processes could not connect: {error}. Start all of them, each with --coordinator=HOST:PORT of the first process, "
            "--processes=COUNT and its own --process_id; or add --processes=1 to run as one process"
        ) from error


def _connect(coordinator: str | None, launched: _Launched) -> None:
    """Connect in a thread: JAX ends the whole process if it waits too long, and handles no Ctrl-C while it waits."""
    errors: list[Exception] = []

    def connect() -> None:
        timeout = _WAITING_SECONDS + _SPARE_SECONDS
        try:
            jax.distributed.initialize(
                coordinator, launched.processes, launched.process_id, initialization_timeout=timeout
            )
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_WAITING_SECONDS)
    if thread.is_alive():
        raise RuntimeError(f"others have not started within {_WAITING_SECONDS} s")
    if errors:
        raise errors[0]


def _launched() -> _Launched | None:
    """The processes that JAX can find by itself; None, with a note if a launcher may have started more than this one."""
    found = os.environ.get
    # An allocation has a number of tasks as well, but only srun starts them, in a step with an id.
    step, size = found("SLURM_STEP_NUM_TASKS", ""), found("OMPI_COMM_WORLD_SIZE", "")
    if step not in _ONE and found("SLURM_STEP_ID") and found("SLURM_PROCID"):
        return _Launched("srun", int(step), int(found("SLURM_PROCID", "")))
    if size not in _ONE and found("OMPI_MCA_orte_hnp_uri"):
        return _Launched("mpirun", int(size), int(found("OMPI_COMM_WORLD_RANK", "")))
    if "," in found("TPU_WORKER_HOSTNAMES", ""):
        return _Launched("a TPU pod")
    for variable, remedy in _OTHER_LAUNCHERS.items():
        if found(variable, "") not in _ONE:
            text = f"note: {variable}={found(variable)} is set, but JAX finds no other process of this run: it runs as one process"
            print(f"{text}. To train with several, {remedy}", file=sys.stderr, flush=True)
            return None
    return None


def _require_device() -> None:
    try:
        jax.devices()
    except RuntimeError as error:
        platforms = os.environ.get("JAX_PLATFORMS")
        requested = f"JAX_PLATFORMS={platforms}" if platforms else "the installed version"
        raise ConfigError(
            f"JAX finds no device for {requested} ({str(error).splitlines()[0]}). Type `unset JAX_PLATFORMS` to use any available "
            "device; a TPU needs pip install -r requirements-tpu.txt, a GPU pip install 'jax[cuda13]'"
        ) from error


def is_first() -> bool:
    """Whether this process is the one that writes results."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Block until every process has reached this point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def from_first(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Broadcast the first process's values to every process."""
    if jax.process_count() == 1:
        return values
    return np.asarray(multihost_utils.broadcast_one_to_all(values))

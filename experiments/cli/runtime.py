"""Set up JAX for a process: host devices, the compilation cache, and the other processes of a distributed run."""

import os
import warnings
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError
from lightman_jax.data.preparation.parallel import cpu_cores

DEFAULT_DATA_CACHE = "~/.cache/lightman_jax"
_MAX_HOST_DEVICES = 16
_SINGLE_TASK = {"", "1"}


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
      coordinator: `HOST:PORT` of the first process of a distributed run. On SLURM and on TPU pods JAX finds it.
      processes: number of processes of a distributed run.
      process_id: index of this process, from 0.

    Raises:
      ConfigError: the requested platform is not available, or the processes could not connect.
    """
    configured = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not configured and "JAX_NUM_CPU_DEVICES" not in os.environ:
        try:
            jax.config.update("jax_num_cpu_devices", min(cpu_cores(), _MAX_HOST_DEVICES))
        except RuntimeError:
            text = "JAX has already started, so the number of CPU devices stays as it is; to use every core, restart the process"
            warnings.warn(f"{text} and call set_up_jax before any JAX computation", stacklevel=2)
    jax.config.update("jax_compilation_cache_dir", str(Path(data_cache).expanduser() / "xla"))
    _join_processes(coordinator, processes, process_id)
    _require_device()


def _join_processes(coordinator: str | None, processes: int, process_id: int) -> None:
    several = os.environ.get("SLURM_NTASKS", "") not in _SINGLE_TASK or "," in os.environ.get(
        "TPU_WORKER_HOSTNAMES", ""
    )
    try:
        if coordinator:
            jax.distributed.initialize(coordinator, processes, process_id)
        elif several:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the processes could not connect: {error}. Give each of them --coordinator=HOST:PORT of the first process, "
            "--processes=COUNT and its own --process_id"
        ) from error


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

"""Several processes, on one machine or many, that train one run together. Alone, every function here does nothing."""

import os

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError

_ONE_TASK = {"", "1"}


def join_hosts(config: RunConfig) -> None:
    """Meet the other processes, if there are any; before JAX touches a device.

    With `--coordinator`, as told; without it, where SLURM has started several tasks or a TPU pod has several workers, by what JAX
    finds in its environment.

    Raises:
      ConfigError: they did not meet.
    """
    several = os.environ.get("SLURM_NTASKS", "") not in _ONE_TASK or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    try:
        if config.coordinator:
            jax.distributed.initialize(config.coordinator, config.processes, config.process_id)
        elif several:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the processes did not meet: {error}. Give each --coordinator=HOST:PORT of the first, "
            "--processes=COUNT and its own --process_id"
        ) from error


def is_first() -> bool:
    """Whether this process writes the results."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Go on when every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def from_first(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first process's values on every process."""
    if jax.process_count() == 1:
        return values
    return np.asarray(multihost_utils.broadcast_one_to_all(values))

"""The hardware of a benchmark, and its measured limits for comparison with the timings."""

import platform
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark.measure import time_call
from lightman_jax.data.preparation.parallel import cpu_cores

_REPEATS = 5


def describe_hardware() -> dict[str, Any]:
    """Devices, cores, and versions."""
    return {
        "devices": [str(device) for device in jax.devices()],
        "cores": cpu_cores(),
        "platform": platform.platform(),
        "jax": jax.__version__,
        "float": str(jnp.zeros(()).dtype),
    }


def measure_ceilings() -> dict[str, float]:
    """GFLOP/s of a large square matrix product in float32 and bfloat16, and GB/s of a large copy, on one device."""
    cpu = jax.default_backend() == "cpu"
    side, length = (2048, 2**25) if cpu else (8192, 2**29)
    found = {}
    for name in ("float32", "bfloat16"):
        square = jnp.ones((side, side), name)
        found[f"matmul {name}, GFLOP/s"] = 2 * side**3 / _seconds(jnp.matmul, square, square) / 1e9
    x = jnp.ones(length, jnp.float32)
    # One read and one write per element.
    found["copy, GB/s"] = 2 * x.nbytes / _seconds(lambda x: x + 1, x) / 1e9
    return found


def _seconds(function: Any, *inputs: jax.Array) -> float:
    compiled = jax.jit(function)
    return min(time_call(lambda: jax.block_until_ready(compiled(*inputs)), _REPEATS).seconds)

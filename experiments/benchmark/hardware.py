"""Measured limits of the hardware, for comparison with the timings."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.benchmark.measure import time_call

_REPEATS = 5


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


def _seconds(function: Callable[..., jax.Array], *inputs: jax.Array) -> float:
    compiled = jax.jit(function)
    return min(time_call(lambda: jax.block_until_ready(compiled(*inputs)), _REPEATS).seconds)

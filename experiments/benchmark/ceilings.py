"""What this machine can do at best: one large matrix product and one large copy, beside which the update's figures stand."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

_REPEATS = 5


def measure_ceilings() -> dict[str, float]:
    """Billions of operations a second of a square product in float32 and bfloat16, and GB a second of a copy, on one device."""
    cpu = jax.default_backend() == "cpu"
    side, length = (2048, 2**25) if cpu else (8192, 2**29)
    found = {}
    for name, dtype in (("float32", jnp.float32), ("bfloat16", jnp.bfloat16)):
        x = jnp.ones((side, side), dtype)
        found[f"matmul {name}, GFLOP/s"] = 2 * side**3 / _seconds(jax.jit(jnp.matmul), x, x) / 1e9
    x = jnp.ones(length, jnp.float32)
    # Read once and written once.
    found["copy, GB/s"] = 2 * x.nbytes / _seconds(jax.jit(lambda x: x + 1), x) / 1e9
    return found


def _seconds(function: Callable[..., jax.Array], *inputs: jax.Array) -> float:
    jax.block_until_ready(function(*inputs))
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        jax.block_until_ready(function(*inputs))
        best = min(best, time.perf_counter() - started)
    return best

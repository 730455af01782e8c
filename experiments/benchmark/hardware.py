"""Measured limits of the hardware, for comparison with the timings."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from experiments.benchmark.measure import time_call

_REPEATS = 5


def measure_ceilings() -> dict[str, float]:
    """Limits of one device.

    Returns:
      GFLOP/s of a large square matrix product in float32 and bfloat16, and GB/s of a large copy. On a GPU, which by default
      rounds the factors of a float32 product to TF32 (19 bits), `float32` is the exact one.
    """
    cpu = jax.default_backend() == "cpu"
    side, length = (2048, 2**25) if cpu else (8192, 2**29)
    found = {}
    products = [("float32", "float32", "highest"), ("bfloat16", "bfloat16", "default")]
    products += [] if cpu else [("float32 by default", "float32", "default")]
    for name, dtype, precision in products:
        # Zeros or ones would take less power, and hence less time, than data.
        square = jax.random.normal(jax.random.key(0), (side, side), dtype)
        multiply = functools.partial(jnp.matmul, precision=precision)
        found[f"matmul {name}, GFLOP/s"] = 2 * side**3 / _seconds(multiply, square, square) / 1e9
    x = jax.random.normal(jax.random.key(0), (length,))
    # One read and one write per element.
    found["copy, GB/s"] = 2 * x.nbytes / _seconds(lambda x: x + 1, x) / 1e9
    return found


def product_errors() -> dict[str, float]:
    """Relative error of a float32 matrix product and convolution: 1e-7 if exact, 3e-4 with factors rounded to TF32."""
    square = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    image, kernel = square.reshape(8, 32, 32, 32), square.ravel()[: 9 * 32 * 32].reshape(3, 3, 32, 32)
    exact = square.astype(np.float64) @ square
    layout = ("NHWC", "HWIO", "NHWC")
    found = {}
    for precision in ("highest", "default"):
        product = np.asarray(jnp.matmul(square, square, precision=precision), np.float64)
        found[f"matmul, {precision}"] = float(np.linalg.norm(product - exact) / np.linalg.norm(exact))
        convolve = functools.partial(lax.conv_general_dilated, dimension_numbers=layout, precision=precision)
        result = np.asarray(convolve(jnp.asarray(image), jnp.asarray(kernel), (1, 1), "SAME"), np.float64)
        found[f"convolution, {precision}"] = float(
            np.linalg.norm(result - _exact(image, kernel)) / np.linalg.norm(result)
        )
    return found


def _exact(image: NDArray[Any], kernel: NDArray[Any]) -> NDArray[Any]:
    """3x3 convolution in float64."""
    height, width = image.shape[1:3]
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return np.sum([padded[:, i : i + height, j : j + width] @ kernel[i, j] for i, j in shifts], axis=0)


def _seconds(function: Callable[..., jax.Array], *inputs: jax.Array) -> float:
    compiled = jax.jit(function)
    return min(time_call(lambda: jax.block_until_ready(compiled(*inputs)), _REPEATS).seconds)

"""3x3 convolution and its kernel gradient by Winograd tiles of 2x2 pixels: 16 products per tile instead of 36.

Reference: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(2x2, 3x3).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lightman_jax.networks.products import Precision, matmul

# Kernel values at the points 0, 1, -1 and infinity, for both axes `[16, 9]`.
_POINTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_KERNEL_TRANSFORM = np.kron(_POINTS, _POINTS)


def tiled_conv(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """3x3 convolution of `[n,H,W,C]` with `[3,3,C,O]` and zero padding: transform to 16 points, multiply, and transform back."""
    n, height, width, _ = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    points = (jnp.asarray(_KERNEL_TRANSFORM, kernel.dtype) @ kernel.reshape(9, -1)).reshape(16, *kernel.shape[2:])
    products = [matmul(value, point, precision) for value, point in zip(_input_points(x), points, strict=True)]
    tile = _both_axes([products[4 * a : 4 * a + 4] for a in range(4)], _output_transform)
    stacked = jnp.stack([jnp.stack(tile[2 * i : 2 * i + 2], axis=1) for i in range(2)], axis=1)
    image = stacked.reshape(n, rows, columns, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return image.reshape(n, 2 * rows, 2 * columns, -1)[:, :height, :width]


def tiled_kernel_gradient(x: jax.Array, g: jax.Array, precision: Precision) -> jax.Array:
    """Gradient `[3,3,C,O]` of the sum of `conv3x3(x, kernel) * g` with respect to the kernel; x `[n,H,W,C]`, g `[n,H,W,O]`."""
    n, height, width, outputs = g.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = jnp.pad(g, ((0, 0), (0, 2 * rows - height), (0, 2 * columns - width), (0, 0)))
    # Channels first, so that the products below have no transposed factor. The barrier keeps the computation of g out of this copy.
    pixels = lax.optimization_barrier(padded).reshape(n, rows, 2, columns, 2, outputs).transpose(0, 2, 4, 5, 1, 3)
    pixels = pixels.reshape(n, 2, 2, outputs, rows * columns)

    def add(total: jax.Array, clip: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        values, pixel = _input_points(clip[0][None]), clip[1]
        gradients = _both_axes([[pixel[i, j] for j in range(2)] for i in range(2)], _gradient_transform)
        return total + jnp.stack([matmul(a, b, precision) for a, b in zip(gradients, values, strict=True)]), None

    zeros = jnp.zeros((16, outputs, x.shape[-1]), g.dtype)
    points = lax.scan(add, zeros, (x, pixels))[0].transpose(0, 2, 1)
    return (jnp.asarray(_KERNEL_TRANSFORM.T, g.dtype) @ points.reshape(16, -1)).reshape(3, 3, *points.shape[1:])


def _input_points(x: jax.Array) -> list[jax.Array]:
    """The 16 points of every tile with its border, each `[tiles, C]`."""
    _, height, width, channels = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = jnp.pad(x, ((0, 0), (1, 2 * rows + 1 - height), (1, 2 * columns + 1 - width), (0, 0)))
    # Without the barrier, XLA would recompute x for each of the 16 points.
    padded = lax.optimization_barrier(padded)

    def pixels(i: int, j: int) -> jax.Array:
        return padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2].reshape(-1, channels)

    return _both_axes([[pixels(i, j) for j in range(4)] for i in range(4)], _input_transform)


def _both_axes(
    values: Sequence[Sequence[jax.Array]], transform: Callable[[list[jax.Array]], list[jax.Array]]
) -> list[jax.Array]:
    """Transform the columns, then the rows of a square of arrays; the result row by row."""
    columns = [transform(list(column)) for column in zip(*values, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in transform(list(row))]


def _input_transform(d: list[jax.Array]) -> list[jax.Array]:
    """Values at the four points from four pixels along one axis."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output_transform(m: list[jax.Array]) -> list[jax.Array]:
    """Two output pixels along one axis from the products at the four points."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _gradient_transform(d: list[jax.Array]) -> list[jax.Array]:
    """The transpose of `_output_transform`: four points from two output pixels."""
    return [d[0], d[0] + d[1], d[0] - d[1], -d[1]]

"""3x3 convolution of an image of few channels followed by 2x2 max pooling, without storing the values before pooling.

A pooled value depends on 4x4 pixels. These windows are multiplied by a kernel for each of the four positions, and the largest of
the four products is kept, clip by clip, so that they remain in the cache of a CPU core. What is stored is a quarter of the
convolution, and the position of each maximum. Three operations, each linear in every argument, are closed under differentiation:

    select(m, k, i) = sum_a [i = a] m k_a,    gradient(m, h, i)_a = m' [i = a] h,    spread(h, k, i) = sum_a ([i = a] h) k_a'

Choice, measured on 2 CPU cores at settings of `python -m experiments.benchmark`: a second-order update of setting b (84x84 pixels)
takes 2.3 s and 394 MB per device, with the values before pooling stored 2.7 s and 527 MB. At 28x28 pixels it is slower.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lightman_jax.networks.products import Precision, matmul

_POSITIONS = 4
# Which entry of a 3x3 kernel the pixel (i, j) of a window has for the pooled position (a, b): `[4, 4, 2, 2, 3, 3]`.
_ENTRY = np.zeros((4, 4, 2, 2, 3, 3))
for _a, _b, _i, _j in np.ndindex(2, 2, 3, 3):
    _ENTRY[_a + _i, _b + _j, _a, _b, _i, _j] = 1


def windows_of(x: jax.Array) -> jax.Array:
    """4x4 windows with stride 2 and a border of one pixel, `[n, H, W, C] -> [n, H/2 W/2, 16 C]`, H and W even."""
    n, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Two neighbouring pixels are contiguous.
    pairs = padded.reshape(n, height + 2, width // 2 + 1, 2 * channels)
    parts = [pairs[:, i : i + height - 1 : 2, j : j + width // 2] for i in range(4) for j in range(2)]
    return jnp.concatenate(parts, axis=-1).reshape(n, height * width // 4, 16 * channels)


def window_kernel(kernel: jax.Array) -> jax.Array:
    """Kernels of the four positions for windows, `[3, 3, C, O] -> [16 C, 4 O]`."""
    channels, outputs = kernel.shape[2:]
    entries = jnp.asarray(_ENTRY.reshape(-1, 9), kernel.dtype) @ kernel.reshape(9, -1)
    return entries.reshape(16, _POSITIONS, channels, outputs).transpose(0, 2, 1, 3).reshape(-1, _POSITIONS * outputs)


def window_moments(windows: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over space of the convolution before pooling, `[n, O]`, from those of its windows.

    `mean_a = p k_a`, `variance_a = k_a' S k_a` for the mean p and covariance S of the windows of a clip; both are pooled over the
    four positions a. If x is the input image, p and S are the same in every inner step.

    Args:
      windows: from `windows_of`.
      kernel: from `window_kernel`.
    """

    def moments(clip: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean = clip.mean(axis=0)
        centred = clip - mean[None, :]
        return mean, centred.T @ centred / clip.shape[0]

    mean, covariance = lax.map(moments, windows)
    outputs = kernel.shape[1] // _POSITIONS
    means = (mean @ kernel).reshape(-1, _POSITIONS, outputs)
    variances = ((covariance @ kernel) * kernel[None]).sum(axis=1).reshape(-1, _POSITIONS, outputs)
    centre = means.mean(axis=1)
    return centre, (variances + jnp.square(means - centre[:, None, :])).mean(axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def largest_products(windows: jax.Array, kernel: jax.Array, negative: jax.Array, precision: Precision) -> jax.Array:
    """The largest of the four products of each window, or the smallest where `negative`; of equal ones the first.

    The selection is a constant for differentiation, which is exact for a piecewise linear function.

    Args:
      windows: m, `[n, p, 16 C]` from `windows_of`.
      kernel: k, `[16 C, 4 O]` from `window_kernel`.
      negative: `[O]` bool.
      precision: see `convolution.conv3x3`.

    Returns:
      `[n, p, O]`.
    """
    return _largest(windows, kernel, negative, precision)[0]


def _largest(
    windows: jax.Array, kernel: jax.Array, negative: jax.Array, precision: Precision
) -> tuple[jax.Array, jax.Array]:
    """The selected products and their positions int8, both `[n, p, O]`."""
    sign = jnp.where(negative, -1, 1).astype(kernel.dtype)[None, :]

    def clip(window: jax.Array) -> tuple[jax.Array, jax.Array]:
        best, *others = (part * sign for part in _parts(matmul(window, kernel, precision)))
        index = jnp.zeros(best.shape, jnp.int8)
        for position, other in enumerate(others, start=1):
            index = jnp.where(other > best, jnp.int8(position), index)
            best = jnp.maximum(best, other)
        return best * sign, index

    return lax.map(clip, windows)


def _parts(products: jax.Array) -> list[jax.Array]:
    return jnp.split(products, _POSITIONS, axis=-1)


def _masked(h: jax.Array, index: jax.Array) -> jax.Array:
    """`[p, O] -> [p, 4 O]`: h in the columns of its position, 0 in the others."""
    zeros = jnp.zeros_like(h)
    return jnp.concatenate([jnp.where(index == position, h, zeros) for position in range(_POSITIONS)], axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _select(windows: jax.Array, kernel: jax.Array, index: jax.Array, precision: Precision) -> jax.Array:
    def clip(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
        window, position = inputs
        first, *others = _parts(matmul(window, kernel, precision))
        for number, other in enumerate(others, start=1):
            first = jnp.where(position == number, other, first)
        return first

    return lax.map(clip, (windows, index))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _gradient(windows: jax.Array, h: jax.Array, index: jax.Array, precision: Precision) -> jax.Array:
    def add(total: jax.Array, inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        window, own, position = inputs
        return total + matmul(window.T, lax.optimization_barrier(_masked(own, position)), precision), None

    zeros = jnp.zeros((windows.shape[-1], _POSITIONS * h.shape[-1]), h.dtype)
    return lax.scan(add, zeros, (windows, h, index))[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _spread(h: jax.Array, kernel: jax.Array, index: jax.Array, precision: Precision) -> jax.Array:
    return lax.map(lambda own: matmul(_masked(*own), kernel.T, precision), (h, index))


def _fixed(index: jax.Array) -> Any:
    """The cotangent of an integer array."""
    return np.zeros(index.shape, jax.dtypes.float0)


def _forward(operation: Callable[..., jax.Array]) -> Callable[..., Any]:
    return lambda a, b, index, precision: (operation(a, b, index, precision), (a, b, index))


def _backward_of_select(precision: Precision, saved: Any, g: jax.Array) -> Any:
    windows, kernel, index = saved
    return _spread(g, kernel, index, precision), _gradient(windows, g, index, precision), _fixed(index)


def _backward_of_gradient(precision: Precision, saved: Any, g: jax.Array) -> Any:
    windows, h, index = saved
    return _spread(h, g, index, precision), _select(windows, g, index, precision), _fixed(index)


def _backward_of_spread(precision: Precision, saved: Any, g: jax.Array) -> Any:
    h, kernel, index = saved
    return _select(g, kernel, index, precision), _gradient(g, h, index, precision), _fixed(index)


def _forward_of_largest(
    windows: jax.Array, kernel: jax.Array, negative: jax.Array, precision: Precision
) -> tuple[jax.Array, Any]:
    selected, index = _largest(windows, kernel, negative, precision)
    return selected, (windows, kernel, index)


_select.defvjp(_forward(_select), _backward_of_select)
_gradient.defvjp(_forward(_gradient), _backward_of_gradient)
_spread.defvjp(_forward(_spread), _backward_of_spread)
largest_products.defvjp(
    _forward_of_largest,
    lambda precision, saved, g: (
        *_backward_of_select(precision, saved, g)[:2],
        np.zeros(g.shape[-1:], jax.dtypes.float0),
    ),
)

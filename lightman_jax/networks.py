"""Layers that stay cheap at second order. No hidden state: every layer is a pure function of its input.

`conv_form` names how a 3x3 convolution is differentiated. `closed` writes the convolution and its kernel gradient as two
operations whose derivatives are each other, so every order of derivative is made of forward convolutions and matrix
products; XLA's own transposed convolutions inside a loop are an order of magnitude slower on a CPU. An input of few channels, or a
stride of 2, is multiplied as patches instead, which needs no such care. `plain` is XLA's convolution with XLA's derivatives; it is
the oracle, and the form that also allows forward-mode differentiation. `auto` is `closed` on every backend.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

ConvForm = Literal["auto", "closed", "plain"]
CONV_FORMS: tuple[ConvForm, ...] = ("auto", "closed", "plain")

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 8


def conv3x3(x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1) -> jax.Array:
    """3x3 convolution, zero padding of 1, `y[n,i,j,o] = sum_{a,b,c} x[n,s*i+a-1,s*j+b-1,c] kernel[a,b,c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[3, 3, C, O]`.
      form: `auto`, `closed` or `plain`; see the module's text. All give the same derivatives of every order.
      stride: s, 1 or 2.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`.

    Raises:
      ValueError: unknown form.
    """
    if form not in CONV_FORMS:
        raise ValueError(f"conv_form {form!r} is unknown; choose one of {', '.join(CONV_FORMS)}")
    if form == "plain":
        return _plain(x, kernel, stride)
    return _by_patches(x, kernel, stride) if stride > 1 or x.shape[-1] < _FEW_CHANNELS else _closed(x, kernel)


def _plain(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT)


def _by_patches(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    patches = jnp.concatenate(_shifts(x, stride), axis=-1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _shifts(x: jax.Array, stride: int = 1) -> list[jax.Array]:
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]


def _turned(kernel: jax.Array) -> jax.Array:
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


@jax.custom_vjp
def _closed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _plain(x, kernel)


@jax.custom_vjp
def _kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    """`[3,3,C,O]`: for each of the nine shifts, the matrix product of the shifted x with g over all pixels."""
    flat = g.reshape(-1, g.shape[-1])
    products = [shift.reshape(-1, x.shape[-1]).T @ flat for shift in _shifts(x)]
    return jnp.stack(products).reshape(3, 3, x.shape[-1], g.shape[-1])


# Both operations are bilinear, so each one's derivatives are the pair itself with other arguments.
_closed.defvjp(
    lambda x, kernel: (_closed(x, kernel), (x, kernel)),
    lambda saved, g: (_closed(g, _turned(saved[1])), _kernel_gradient(saved[0], g)),
)
_kernel_gradient.defvjp(
    lambda x, g: (_kernel_gradient(x, g), (x, g)),
    lambda saved, h: (_closed(saved[1], _turned(h)), _closed(saved[0], h)),
)


def conv1x1(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> jax.Array:
    """1x1 convolution, `y[n,i,j,o] = sum_c x[n,s*i,s*j,c] kernel[c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[C, O]`.
      stride: s, 1 or 2.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`.
    """
    return x[:, ::stride, ::stride] @ kernel


class Moments(NamedTuple):
    """Mean `[C]` and biased variance `[C]` of a batch normalisation layer, and how many pixels they were taken over."""

    mean: jax.Array
    variance: jax.Array
    pixels: jax.Array


def group_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, groups: int, *, epsilon: float = 1e-5) -> jax.Array:
    """Normalise each clip over space and each group of channels, `(x - mean) / sqrt(var + eps) * scale + bias`.

    Mean and mean square are summed over space first and over the group's channels after, and folded into one
    multiply-add per pixel: second-order derivatives then touch the large array as rarely as can be. One group is layer
    normalisation.

    Args:
      x: `[n, H, W, C]`.
      scale: `[C]`.
      bias: `[C]`.
      groups: number of groups, a divisor of C.
      epsilon: added to the variance.

    Returns:
      `[n, H, W, C]`.

    Reference: Wu and He 2018, "Group Normalization".
    """
    n, channels = x.shape[0], x.shape[-1]

    def per_group(values: jax.Array) -> jax.Array:
        means = values.reshape(n, groups, channels // groups).mean(axis=-1, keepdims=True)
        return jnp.broadcast_to(means, (n, groups, channels // groups)).reshape(n, channels)

    mean = per_group(x.mean(axis=(1, 2)))
    variance = _at_least_zero(per_group(jnp.square(x).mean(axis=(1, 2))) - jnp.square(mean))
    gain = lax.rsqrt(variance + epsilon) * scale[None, :]
    return x * gain[:, None, None, :] + (bias[None, :] - mean * gain)[:, None, None, :]


def batch_moments(x: jax.Array, where: jax.Array | None = None) -> Moments:
    """Mean and (biased) variance of each channel over the clips of a batch and over space.

    Args:
      x: `[n, H, W, C]`.
      where: `[n]` bool, False marks padding, which takes no part.

    Returns:
      `Moments`, each `[C]`.
    """
    clips = jnp.ones(x.shape[0], bool) if where is None else where
    count = jnp.maximum(clips.sum(), 1).astype(x.dtype)

    def mean_of(values: jax.Array) -> jax.Array:
        return values.mean(axis=(1, 2)).sum(axis=0) / count

    kept = jnp.where(clips[:, None, None, None], x, jnp.zeros_like(x))
    centre = lax.stop_gradient(mean_of(kept))
    # About a fixed centre: E[x^2] - E[x]^2 about 0 would lose its digits where a channel is constant, as dead ones are.
    shifted = jnp.where(clips[:, None, None, None], x - centre[None, None, None, :], jnp.zeros_like(x))
    offset = mean_of(shifted)
    variance = _at_least_zero(mean_of(jnp.square(shifted)) - jnp.square(offset))
    return Moments(centre + offset, variance, count * x.shape[1] * x.shape[2])


def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, moments: Moments, *, epsilon: float = 1e-5
) -> jax.Array:
    """Normalise each channel by given moments, `(x - mean) / sqrt(variance + eps) * scale + bias`.

    Args:
      x: `[n, H, W, C]`.
      scale: `[C]`.
      bias: `[C]`.
      moments: of this batch (`batch_moments`) or stored ones.
      epsilon: added to the variance.

    Returns:
      `[n, H, W, C]`.

    Reference: Ioffe and Szegedy 2015, "Batch Normalization".
    """
    gain = lax.rsqrt(moments.variance + epsilon) * scale
    return (x - moments.mean[None, None, None, :]) * gain[None, None, None, :] + bias[None, None, None, :]


def _at_least_zero(variance: jax.Array) -> jax.Array:
    """Lift what rounding made negative, with the derivatives of the variance itself: its curvature counts at 0 too."""
    return variance + lax.stop_gradient(jnp.maximum(variance, 0) - variance)


def max_pool(x: jax.Array) -> jax.Array:
    """2x2 maximum with stride 2; an odd last row or column is dropped, an axis of length 1 is left alone.

    `[n,H,W,C] -> [n,H//2,W//2,C]`. One entry of each window is marked (the first of equals) and held fixed, so every derivative is
    a product with that mask. A maximum is piecewise linear, hence this is exact. Choice: the mark comes from order comparisons;
    `x == max(x)` over both window axes is compiled to silently wrong gradients on a CPU at some small shapes (jax 0.10.2).
    """
    windows = _windows(x)
    fixed = lax.stop_gradient(windows)
    of_rows = _larger_half(fixed, axis=2)
    best = jnp.where(of_rows, fixed, jnp.zeros_like(fixed)).sum(axis=2, keepdims=True)
    mask = of_rows & _larger_half(best, axis=4)
    return (windows * mask.astype(x.dtype)).sum(axis=(2, 4))


def _larger_half(values: jax.Array, axis: int) -> jax.Array:
    """Along an axis of length 2, True at the larger entry; along one of length 1, True."""
    if values.shape[axis] == 1:
        return jnp.ones_like(values, bool)
    first, second = jnp.split(values, 2, axis)
    top = first >= second
    return jnp.concatenate([top, ~top], axis)


def mean_pool(x: jax.Array) -> jax.Array:
    """2x2 mean with stride 2, edges as in `max_pool`. `[n,H,W,C] -> [n,H//2,W//2,C]`."""
    return _windows(x).mean(axis=(2, 4))


def _windows(x: jax.Array) -> jax.Array:
    """`[n, H//a, a, W//b, b, C]` with a, b = 2, or 1 on an axis of length 1."""
    n, height, width, channels = x.shape
    a, b = min(2, height), min(2, width)
    return x[:, : height // a * a, : width // b * b].reshape(n, height // a, a, width // b, b, channels)

"""Normalisation and pooling as pure functions that are cheap to differentiate twice."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lightman_jax.networks.convolution import patches_of


class Moments(NamedTuple):
    """Batch moments: mean `[C]`, biased variance `[C]`, and the number of pixels they were computed from."""

    mean: jax.Array
    variance: jax.Array
    pixels: jax.Array


class Normalised(NamedTuple):
    """A normalised array `gain * raw + offset` before the multiplication: `raw [n,H,W,C]`, `gain` and `offset` `[n,C]` or `[1,C]`.

    Pooling `raw` first saves three quarters of the multiplications, in every order of derivative.
    """

    raw: jax.Array
    gain: jax.Array
    offset: jax.Array

    @property
    def values(self) -> jax.Array:
        """`[n, H, W, C]`."""
        return self.raw * self.gain[:, None, None, :] + self.offset[:, None, None, :]


class ClipMoments(NamedTuple):
    """Mean and biased variance over space of each clip and channel, both `[n, C]`."""

    mean: jax.Array
    variance: jax.Array


def clip_moments(x: jax.Array) -> ClipMoments:
    """Moments over space of `[n, H, W, C]`.

    Choice: `E[(x-c)^2] - E[x-c]^2` with c the middle pixel of the clip as a constant. This reads the array once and loses no
    digits where a channel is constant.
    """
    centre = lax.stop_gradient(x[:, x.shape[1] // 2, x.shape[2] // 2, :])
    shifted = x - centre[:, None, None, :]
    offset = shifted.mean(axis=(1, 2))
    variance = jnp.square(shifted).mean(axis=(1, 2)) - jnp.square(offset)
    mean = centre + offset
    # Rounding may make the variance negative. The correction is a constant, so the curvature at 0 is kept.
    return ClipMoments(mean, variance + lax.stop_gradient(jnp.maximum(variance, 0) - variance))


def patch_moments(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> ClipMoments:
    """Moments of `conv3x3(x, kernel)` from the moments of its input patches, `mean = p k`, `variance = k' S k`.

    p `[9C]` and S `[9C, 9C]` are the mean and covariance of the patches of a clip. They are small where x has few channels. If x is
    the input image, they are the same in every inner step.

    Args:
      x: `[n, H, W, C]`.
      kernel: k, `[3, 3, C, O]`.
      stride: 1 or 2.
    """
    patches = patches_of(x, stride).reshape(x.shape[0], -1, 9 * x.shape[-1])
    mean = patches.mean(axis=1)
    centred = patches - mean[:, None, :]
    covariance = jnp.einsum("npa,npb->nab", centred, centred) / patches.shape[1]
    flat = kernel.reshape(-1, kernel.shape[-1])
    return ClipMoments(mean @ flat, ((covariance @ flat) * flat[None]).sum(axis=1))


def group_norm(
    x: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    groups: int,
    *,
    moments: ClipMoments | None = None,
    bias: jax.Array | None = None,
    epsilon: float = 1e-5,
) -> Normalised:
    """Group normalisation per clip, `(x + bias - mean) / sqrt(var + eps) * scale + shift`; one group is layer normalisation.

    Args:
      x: `[n, H, W, C]`; `scale`, `shift` and `bias` are `[C]`.
      groups: number of groups, a divisor of C.
      moments: of x; None computes them.

    Reference: Wu and He 2018, "Group Normalization".
    """
    mean, variance = clip_moments(x) if moments is None else moments
    added = jnp.zeros_like(scale) if bias is None else bias
    mean = mean + added[None, :]

    def per_group(values: jax.Array) -> jax.Array:
        sizes = (values.shape[0], groups, values.shape[1] // groups)
        means = values.reshape(sizes).mean(axis=-1, keepdims=True)
        return jnp.broadcast_to(means, sizes).reshape(values.shape)

    centre = per_group(mean)
    gain = lax.rsqrt(per_group(variance + jnp.square(mean - centre)) + epsilon) * scale[None, :]
    return Normalised(x, gain, (added[None, :] - centre) * gain + shift[None, :])


def batch_moments(
    clips: ClipMoments, pixels: int, where: jax.Array | None = None, *, bias: jax.Array | None = None
) -> Moments:
    """Moments of each channel over the clips of a batch and over space.

    `pixels` is the number of pixels per clip, `where` `[n]` excludes padding, and `bias` `[C]` is added to the mean.
    """
    kept = jnp.ones(clips.mean.shape[0], bool) if where is None else where
    count = jnp.maximum(kept.sum(), 1).astype(clips.mean.dtype)

    def mean_of(values: jax.Array) -> jax.Array:
        return jnp.where(kept[:, None], values, jnp.zeros_like(values)).sum(axis=0) / count

    mean = mean_of(clips.mean)
    variance = mean_of(clips.variance + jnp.square(clips.mean - mean[None, :]))
    return Moments(mean if bias is None else mean + bias, variance, count * pixels)


def batch_norm(
    x: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    moments: Moments,
    *,
    bias: jax.Array | None = None,
    epsilon: float = 1e-5,
) -> Normalised:
    """Batch normalisation with given moments, `(x + bias - mean) / sqrt(variance + eps) * scale + shift`.

    Args:
      x: `[n, H, W, C]`; `scale`, `shift` and `bias` are `[C]`.
      moments: of `x + bias`, from `batch_moments` or stored.

    Reference: Ioffe and Szegedy 2015, "Batch Normalization".
    """
    gain = lax.rsqrt(moments.variance + epsilon) * scale
    centre = -moments.mean if bias is None else bias - moments.mean
    return Normalised(x, gain[None, :], (centre * gain + shift)[None, :])


def max_pool(x: jax.Array | Normalised) -> jax.Array:
    """2x2 maximum with stride 2, `[n,H,W,C] -> [n,H//2,W//2,C]`.

    An odd last row or column is dropped; an axis of length 1 is not pooled. The first of equal entries is selected. The selection
    is a constant for differentiation, which is exact for a piecewise linear function. A `Normalised` array is pooled according to
    the sign of its gain, then multiplied.

    Choice: the entries are compared in pairs, because XLA compiles `x == max(x)` over both window axes to wrong gradients on a CPU
    at some small shapes (jax 0.10.2).
    """
    if isinstance(x, Normalised):
        negative = lax.stop_gradient(x.gain)[:, None, None, :] < 0
        raw = lax.stop_gradient(x.raw)
        selected = _select(x.raw, _first_largest(jnp.where(negative, -raw, raw)))
        return Normalised(selected, x.gain, x.offset).values
    return _select(x, _first_largest(lax.stop_gradient(x)))


def max_pool_3x3(x: jax.Array | Normalised) -> jax.Array:
    """3x3 maximum with stride 2 and a border of one pixel, `[n,H,W,C] -> [n,ceil(H/2),ceil(W/2),C]`; otherwise as `max_pool`."""
    if isinstance(x, Normalised):
        sign = jnp.where(lax.stop_gradient(x.gain) < 0, -1, 1).astype(x.gain.dtype)
        pooled = max_pool_3x3(x.raw * sign[:, None, None, :])
        return Normalised(pooled, x.gain * sign, x.offset).values
    return _largest_of_three(_largest_of_three(x, 1), 2)


def mean_pool(x: jax.Array) -> jax.Array:
    """2x2 mean with stride 2, `[n,H,W,C] -> [n,H//2,W//2,C]`; edges as in `max_pool`."""
    windows = _windows(x)
    a, b = windows.shape[2], windows.shape[4]
    # A sum of slices: on a CPU, a reduction over two axes separated by the channels is several times slower.
    return sum(windows[:, :, i, :, j] for i in range(a) for j in range(b)) / (a * b)  # type: ignore[return-value]


def _first_largest(x: jax.Array) -> jax.Array:
    """Row-major index of the largest entry of each window, `[n,h,w,C]` int8."""
    rows = []
    for i in range(min(2, x.shape[1])):
        row = [x[:, i : _even(x.shape[1]) : 2, j : _even(x.shape[2]) : 2] for j in range(min(2, x.shape[2]))]
        largest, index = row[0], jnp.zeros(row[0].shape, jnp.int8)
        if len(row) == 2:
            largest, index = jnp.maximum(*row), jnp.where(row[0] >= row[1], jnp.int8(0), jnp.int8(1))
        rows.append((largest, index))
    if len(rows) == 1:
        return rows[0][1]
    (upper, first), (lower, second) = rows
    return jnp.where(upper >= lower, first, second + jnp.int8(min(2, x.shape[2])))


# With checkpoint, the index is stored for the derivative instead of the four times larger mask.
@functools.partial(jax.checkpoint, prevent_cse=False)
def _select(x: jax.Array, index: jax.Array) -> jax.Array:
    windows = _windows(x)
    a, b = windows.shape[2], windows.shape[4]
    positions = jnp.arange(a * b, dtype=jnp.int8).reshape(1, 1, a, 1, b, 1)
    mask = index[:, :, None, :, None, :] == positions
    return jnp.where(mask, windows, jnp.zeros_like(windows)).sum(axis=(2, 4))


@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=1)
def _largest_of_three(x: jax.Array, axis: int) -> jax.Array:
    """Maximum along an axis over entries 2i - 1, 2i and 2i + 1, the first of equal ones."""
    length = x.shape[axis]
    border = [(1, length % 2) if place == axis else (0, 0) for place in range(x.ndim)]
    padded = jnp.pad(x, border, constant_values=-jnp.inf)
    parts = [lax.slice_in_dim(padded, k, k + length + length % 2 - 1, 2, axis) for k in range(3)]
    first, second, third = map(lax.stop_gradient, parts)
    is_second = second > first
    is_third = third > jnp.maximum(first, second)
    return jnp.where(is_third, parts[2], jnp.where(is_second, parts[1], parts[0]))


def _even(length: int) -> int:
    """Length without an odd last entry, at least 1."""
    return max(1, length // 2 * 2)


def _windows(x: jax.Array) -> jax.Array:
    """`[n, H//a, a, W//b, b, C]` with a, b = 2, or 1 for an axis of length 1."""
    n, height, width, channels = x.shape
    a, b = min(2, height), min(2, width)
    return x[:, : height // a * a, : width // b * b].reshape(n, height // a, a, width // b, b, channels)

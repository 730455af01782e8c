"""Normalisation and pooling that stay cheap at second order: pure functions, no hidden state."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lightman_jax.networks.convolution import patches_of


class Moments(NamedTuple):
    """Mean `[C]` and biased variance `[C]` of a batch normalisation layer, and how many pixels they were taken over."""

    mean: jax.Array
    variance: jax.Array
    pixels: jax.Array


class Normalised(NamedTuple):
    """A normalised array `gain * raw + offset` before it is computed: `raw [n,H,W,C]`, the others `[n,C]` or `[1,C]`.

    Pooling before the one multiplication and addition spares three quarters of them, in every order of derivative.
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
    """Moments of `[n, H, W, C]`.

    Choice: `E[(x-c)^2] - E[x-c]^2` about the clip's middle pixel c, held fixed: one reading of the array, and no lost digits
    where a channel is constant, as dead ones are.
    """
    centre = lax.stop_gradient(x[:, x.shape[1] // 2, x.shape[2] // 2, :])
    shifted = x - centre[:, None, None, :]
    offset = shifted.mean(axis=(1, 2))
    variance = jnp.square(shifted).mean(axis=(1, 2)) - jnp.square(offset)
    return ClipMoments(centre + offset, _at_least_zero(variance))


def patch_moments(x: jax.Array, kernel: jax.Array, *, stride: int = 1) -> ClipMoments:
    """Moments of `conv3x3(x, kernel)` without computing it: `mean = p k`, `variance = k' S k`.

    p and S are the mean and covariance of a clip's patches, `[9C]` and `[9C, 9C]`: small where x has few channels, and the same
    in every inner step, where x is the input image. The large array is then read for pooling alone, in every order.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[3, 3, C, O]`.
      stride: s, 1 or 2.
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
    """Normalise each clip over space and each group of channels, `(x + bias - mean) / sqrt(var + eps) * scale + shift`.

    A group's moments are put together from those of its channels; one group is layer normalisation.

    Args:
      x: `[n, H, W, C]`.
      scale: `[C]`.
      shift: `[C]`.
      groups: number of groups, a divisor of C.
      moments: of x, where they are known; None computes them.
      bias: `[C]`, added before the normalisation without touching the array; None is 0.
      epsilon: added to the variance.

    Returns:
      `Normalised`.

    Reference: Wu and He 2018, "Group Normalization".
    """
    mean, variance = clip_moments(x) if moments is None else moments
    own = jnp.zeros_like(scale) if bias is None else bias
    mean = mean + own[None, :]

    def per_group(values: jax.Array) -> jax.Array:
        sizes = (values.shape[0], groups, values.shape[1] // groups)
        means = values.reshape(sizes).mean(axis=-1, keepdims=True)
        return jnp.broadcast_to(means, sizes).reshape(values.shape)

    centre = per_group(mean)
    gain = lax.rsqrt(per_group(variance + jnp.square(mean - centre)) + epsilon) * scale[None, :]
    return Normalised(x, gain, (own[None, :] - centre) * gain + shift[None, :])


def batch_moments(
    clips: ClipMoments, pixels: int, where: jax.Array | None = None, *, bias: jax.Array | None = None
) -> Moments:
    """Mean and (biased) variance of each channel over the clips of a batch and over space, from those of each clip.

    Args:
      clips: moments of each clip.
      pixels: of a clip.
      where: `[n]` bool, False marks padding, which takes no part.
      bias: `[C]`, added to the array; None is 0.

    Returns:
      `Moments`, each `[C]`.
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
    """Normalise each channel by given moments, `(x + bias - mean) / sqrt(variance + eps) * scale + shift`.

    Args:
      x: `[n, H, W, C]`.
      scale: `[C]`.
      shift: `[C]`.
      moments: of this batch (`batch_moments`) or stored ones.
      bias: `[C]`, added before the normalisation without touching the array; None is 0.
      epsilon: added to the variance.

    Returns:
      `Normalised`.

    Reference: Ioffe and Szegedy 2015, "Batch Normalization".
    """
    gain = lax.rsqrt(moments.variance + epsilon) * scale
    middle = -moments.mean if bias is None else bias - moments.mean
    return Normalised(x, gain[None, :], (middle * gain + shift)[None, :])


def _at_least_zero(variance: jax.Array) -> jax.Array:
    """Lift what rounding made negative, with the derivatives of the variance itself: its curvature counts at 0 too."""
    return variance + lax.stop_gradient(jnp.maximum(variance, 0) - variance)


def max_pool(x: jax.Array | Normalised) -> jax.Array:
    """2x2 maximum with stride 2; an odd last row or column is dropped, an axis of length 1 is left alone.

    `[n,H,W,C] -> [n,H//2,W//2,C]`. One entry of each window is chosen (the first of equals) and held fixed, so every derivative is
    a product with that choice; a maximum is piecewise linear, hence this is exact. A `Normalised` array is pooled by the sign of
    its gain and multiplied after. Choice: the entry comes from order comparisons of the four quarters; `x == max(x)` over both
    window axes is compiled to silently wrong gradients on a CPU at some small shapes (jax 0.10.2).
    """
    if isinstance(x, Normalised):
        falling = lax.stop_gradient(x.gain)[:, None, None, :] < 0
        raw = lax.stop_gradient(x.raw)
        chosen = _chosen(x.raw, _first_largest(jnp.where(falling, -raw, raw)))
        return Normalised(chosen, x.gain, x.offset).values
    return _chosen(x, _first_largest(lax.stop_gradient(x)))


def _first_largest(x: jax.Array) -> jax.Array:
    """`[n,h,w,C]` int8: which entry of each window is the largest, counted row by row."""
    rows = []
    for i in range(min(2, x.shape[1])):
        row = [x[:, i : _even(x.shape[1]) : 2, j : _even(x.shape[2]) : 2] for j in range(min(2, x.shape[2]))]
        best, where = row[0], jnp.zeros(row[0].shape, jnp.int8)
        if len(row) == 2:
            best, where = jnp.maximum(*row), jnp.where(row[0] >= row[1], jnp.int8(0), jnp.int8(1))
        rows.append((best, where))
    if len(rows) == 1:
        return rows[0][1]
    (upper, first), (lower, second) = rows
    return jnp.where(upper >= lower, first, second + jnp.int8(min(2, x.shape[2])))


# What is stored for the derivative is the index, not the four times larger mask.
@functools.partial(jax.checkpoint, prevent_cse=False)
def _chosen(x: jax.Array, index: jax.Array) -> jax.Array:
    windows = _windows(x)
    a, b = windows.shape[2], windows.shape[4]
    places = jnp.arange(a * b, dtype=jnp.int8).reshape(1, 1, a, 1, b, 1)
    mask = index[:, :, None, :, None, :] == places
    return jnp.where(mask, windows, jnp.zeros_like(windows)).sum(axis=(2, 4))


def _even(length: int) -> int:
    """Length without an odd last entry, but at least 1."""
    return max(1, length // 2 * 2)


def mean_pool(x: jax.Array) -> jax.Array:
    """2x2 mean with stride 2, edges as in `max_pool`. `[n,H,W,C] -> [n,H//2,W//2,C]`."""
    windows = _windows(x)
    a, b = windows.shape[2], windows.shape[4]
    # Sums of pictures: a reduction over two axes with the channels between takes a CPU several times as long.
    return sum(windows[:, :, i, :, j] for i in range(a) for j in range(b)) / (a * b)  # type: ignore[return-value]


def _windows(x: jax.Array) -> jax.Array:
    """`[n, H//a, a, W//b, b, C]` with a, b = 2, or 1 on an axis of length 1."""
    n, height, width, channels = x.shape
    a, b = min(2, height), min(2, width)
    return x[:, : height // a * a, : width // b * b].reshape(n, height // a, a, width // b, b, channels)

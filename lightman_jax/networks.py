"""Layers that stay cheap at second order. No hidden state: every layer is a pure function of its input.

`conv_form` names how a 3x3 convolution is differentiated. `closed` writes the convolution and its kernel gradient as two
operations whose derivatives are each other, and both as forward convolutions, so every order of derivative is made of those; XLA's
own transposed convolutions inside a loop are an order of magnitude slower on a CPU. An input of few channels, or a stride of 2, is
multiplied as patches instead. `plain` is XLA's convolution with XLA's derivatives; it is the oracle, and the form that also allows
forward-mode differentiation. `auto` is `closed` on every backend.

Measured on 2 CPU cores, jax 0.10.2, the second-order update of `python -m experiments.benchmark` at setting a: kernel gradients as
nine matrix products 0.63 s, as three-row patches 0.53 s, by Winograd's tiles 0.56 s, as a convolution with clips and channels
exchanged 0.49 s; the convolutions themselves by Winograd's tiles 0.46 s, with twice the compile time.
"""

import functools
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
    return _by_patches(x, kernel, stride) if stride > 1 or has_few_channels(x) else _closed(x, kernel)


def _plain(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT)


def _by_patches(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    patches = _patches(x, stride)
    flat = _product(patches.reshape(-1, patches.shape[-1]), kernel.reshape(-1, kernel.shape[-1]))
    return flat.reshape(*patches.shape[:-1], kernel.shape[-1])


def _patches(x: jax.Array, stride: int) -> jax.Array:
    """`[n, H/s, W/s, 9 C]`: the 3x3 neighbours of each pixel."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifts, axis=-1)


@jax.custom_vjp
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return a @ b


@jax.custom_vjp
def _turned_product(a: jax.Array, b: jax.Array) -> jax.Array:
    return a.T @ b


# Written out, for the derivative of a product is compiled to a copy of the tall factor with its axes exchanged.
_product.defvjp(
    lambda a, b: (_product(a, b), (a, b)),
    lambda saved, g: (g @ saved[1].T, _turned_product(saved[0], g)),
)
_turned_product.defvjp(
    lambda a, b: (_turned_product(a, b), (a, b)),
    lambda saved, g: (saved[1] @ g.T, _product(saved[0], g)),
)


def _turned(kernel: jax.Array) -> jax.Array:
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


@jax.custom_vjp
def _closed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _plain(x, kernel)


@jax.custom_vjp
def _kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    """`[3,3,C,O]`: a convolution of x with g as its kernel, in which clips and channels have changed places."""
    return _plain(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)).transpose(1, 2, 0, 3)


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
    patches = _patches(x, stride).reshape(x.shape[0], -1, 9 * x.shape[-1])
    mean = patches.mean(axis=1)
    centred = patches - mean[:, None, :]
    covariance = jnp.einsum("npa,npb->nab", centred, centred) / patches.shape[1]
    flat = kernel.reshape(-1, kernel.shape[-1])
    return ClipMoments(mean @ flat, ((covariance @ flat) * flat[None]).sum(axis=1))


def has_few_channels(x: jax.Array) -> bool:
    """Whether a 3x3 convolution of `x` is multiplied as patches, and its moments are best had from them."""
    return x.shape[-1] < _FEW_CHANNELS


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
    return _windows(x).mean(axis=(2, 4))


def _windows(x: jax.Array) -> jax.Array:
    """`[n, H//a, a, W//b, b, C]` with a, b = 2, or 1 on an axis of length 1."""
    n, height, width, channels = x.shape
    a, b = min(2, height), min(2, width)
    return x[:, : height // a * a, : width // b * b].reshape(n, height // a, a, width // b, b, channels)

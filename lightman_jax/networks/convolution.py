"""3x3, 1x1 and 7x7 convolutions that are cheap to differentiate twice.

`conv_form` selects how a 3x3 convolution and its derivatives are computed:

- `closed`: the convolution and its kernel gradient are two operations, both computed by forward convolutions; the derivatives of
  each are these same two operations. On a CPU, XLA's transposed convolutions inside a loop are about ten times slower. With fewer
  than 8 input channels, or stride 2, patches are multiplied instead.
- `tiled`: as `closed`, with Winograd tiles where these are faster: 16 products per four pixels instead of 36.
- `plain`: XLA's convolution and derivatives; the reference for tests, and the only form with forward-mode differentiation.
- `auto`: `tiled` on a CPU, otherwise `closed`.

`precision="bfloat16"` rounds both factors of every product, in every order of derivative; sums and results keep the dtype of the
arguments.

Choice, measured on 2 CPU cores with jax 0.10.2 at the settings of `python -m experiments.benchmark`: a second-order update of
setting a takes 0.63 s with kernel gradients as nine matrix products, 0.53 s as three-row patches, and 0.49 s as a convolution with
clips and channels exchanged. Tiles reduce setting a from 0.425 to 0.388 s and setting b from 2.7 to 2.4 s. They are slower at 16
channels and for many large images, whose transformed values leave the cache; below 10x10 pixels they save less than the second
that they take to compile. Kernel gradients by tiles reduce setting b from 2.97 to 2.51 s (84x84 pixels, 75 clips).
"""

import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import lax

from lightman_jax.networks.products import Precision, matmul, product, rounded
from lightman_jax.networks.winograd import tiled_conv, tiled_kernel_gradient

ConvForm = Literal["auto", "tiled", "closed", "plain"]
CONV_FORMS: tuple[ConvForm, ...] = get_args(ConvForm)

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 8
_POOLED_SIDE = 48
_TILED_SIDE, _TILED_CHANNELS, _TILED_VALUES, _TILED_GRADIENT_SIDE = 10, 32, 260_000, 20


class _Computation(NamedTuple):
    """Whether to use tiles where these are faster, and the precision of the factors."""

    tiled: bool
    precision: Precision


def conv3x3(
    x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1, precision: Precision = "float32"
) -> jax.Array:
    """3x3 convolution with zero padding, `y[n,i,j,o] = sum_{a,b,c} x[n,s*i+a-1,s*j+b-1,c] kernel[a,b,c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[3, 3, C, O]`.
      form: `auto`, `tiled`, `closed` or `plain`; see the module docstring. All forms have the same derivatives of every order.
      stride: s, 1 or 2.
      precision: `bfloat16` rounds the factors, `float32` does not.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]` in the dtype of x.

    Raises:
      ValueError: unknown form.
    """
    if form not in CONV_FORMS:
        raise ValueError(f"conv_form {form!r} is unknown; choose one of {', '.join(CONV_FORMS)}")
    if form == "plain":
        return _xla_conv(x, kernel, precision, stride)
    if stride > 1 or has_few_channels(x):
        return _patch_conv(x, kernel, precision, stride)
    return _closed(x, kernel, _Computation(_is_tiled(form), precision))


def conv1x1(
    x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1, precision: Precision = "float32"
) -> jax.Array:
    """1x1 convolution, `y[n,i,j,o] = sum_c x[n,s*i,s*j,c] kernel[c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[C, O]`.
      form: `plain` uses JAX's derivatives of the product, every other form those of `product`.
      stride: s, 1 or 2.
      precision: as in `conv3x3`.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`.
    """
    strided = x[:, ::stride, ::stride]
    if form == "plain":
        return matmul(strided, kernel, precision)
    flat = product(strided.reshape(-1, strided.shape[-1]), kernel, precision)
    return flat.reshape(*strided.shape[:-1], kernel.shape[-1])


def conv7x7(
    x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1, precision: Precision = "float32"
) -> jax.Array:
    """7x7 convolution with zero padding, for a first layer of few channels: patches are multiplied, except with `plain`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[7, 7, C, O]`.
      form: as in `conv1x1`.
      stride: s, 1 or 2.
      precision: as in `conv3x3`.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`.
    """
    if form == "plain":
        return _xla_conv(x, kernel, precision, stride, kernel.shape[0] // 2)
    return _patch_conv(x, kernel, precision, stride)


def has_few_channels(x: jax.Array) -> bool:
    """Whether `conv3x3` multiplies patches of `x` because it has few channels."""
    return x.shape[-1] < _FEW_CHANNELS


def pools_windows(x: jax.Array, form: ConvForm) -> bool:
    """Whether `pooled_convolution` is faster than a convolution of x and `max_pool`."""
    n, *sides, _ = x.shape
    large = min(sides) >= _POOLED_SIDE and not any(side % 2 for side in sides)
    # Loops over clips need their number, which exported programs leave open.
    return large and isinstance(n, int) and _is_tiled(form) and has_few_channels(x)


def _is_tiled(form: ConvForm) -> bool:
    return form == "tiled" or (form == "auto" and jax.default_backend() == "cpu")


def patches_of(x: jax.Array, stride: int, *, size: int = 3) -> jax.Array:
    """Square patches of odd side around each pixel, with zero padding, `[n, H/s, W/s, size^2 C]`."""
    height, width = x.shape[1:3]
    border = (size // 2, size // 2)
    padded = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    shifts = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(size) for j in range(size)]
    return jnp.concatenate(shifts, axis=-1)


def _xla_conv(x: jax.Array, kernel: jax.Array, precision: Precision, stride: int = 1, border: int = 1) -> jax.Array:
    a, b = rounded(x, kernel, precision)
    y = lax.conv_general_dilated(a, b, (stride, stride), ((border, border),) * 2, dimension_numbers=_LAYOUT)
    return y.astype(x.dtype)


def _patch_conv(x: jax.Array, kernel: jax.Array, precision: Precision, stride: int) -> jax.Array:
    patches = patches_of(x, stride, size=kernel.shape[0])
    flat = product(patches.reshape(-1, patches.shape[-1]), kernel.reshape(-1, kernel.shape[-1]), precision)
    return flat.reshape(*patches.shape[:-1], kernel.shape[-1])


def _rotated(kernel: jax.Array) -> jax.Array:
    """The kernel rotated by 180 degrees, with input and output channels exchanged."""
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _closed(x: jax.Array, kernel: jax.Array, computation: _Computation) -> jax.Array:
    n, height, width, _ = x.shape
    faster = min(height, width) >= _TILED_SIDE and min(kernel.shape[2:]) >= _TILED_CHANNELS and isinstance(n, int)
    faster = faster and n * height * width * max(kernel.shape[2:]) <= _TILED_VALUES
    return (tiled_conv if computation.tiled and faster else _xla_conv)(x, kernel, computation.precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(x: jax.Array, g: jax.Array, computation: _Computation) -> jax.Array:
    """`[3,3,C,O]`: convolution of x with g as the kernel, with clips and channels exchanged, or by tiles."""
    faster = min(x.shape[1:3]) >= _TILED_GRADIENT_SIDE and min(x.shape[-1], g.shape[-1]) >= _TILED_CHANNELS
    if computation.tiled and faster and isinstance(x.shape[0], int):
        return tiled_kernel_gradient(x, g, computation.precision)
    return _xla_conv(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), computation.precision).transpose(1, 2, 0, 3)


# Both operations are bilinear, so the derivatives of each are the same two operations with other arguments.
_closed.defvjp(
    lambda x, kernel, computation: (_closed(x, kernel, computation), (x, kernel)),
    lambda computation, saved, g: (
        _closed(g, _rotated(saved[1]), computation),
        _kernel_gradient(saved[0], g, computation),
    ),
)
_kernel_gradient.defvjp(
    lambda x, g, computation: (_kernel_gradient(x, g, computation), (x, g)),
    lambda computation, saved, h: (_closed(saved[1], _rotated(h), computation), _closed(saved[0], h, computation)),
)

"""3x3 and 1x1 convolutions that are cheap to differentiate twice.

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
clips and channels exchanged. Tiles reduce setting a from 0.425 to 0.388 s and setting b from 3.25 to 3.00 s. They are slower at 16
channels; below 10x10 pixels they save less than the second that they take to compile.
"""

import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

ConvForm = Literal["auto", "tiled", "closed", "plain"]
CONV_FORMS: tuple[ConvForm, ...] = get_args(ConvForm)
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 8
_TILED_SIDE, _TILED_CHANNELS = 10, 32
# Kernel values at the points 0, 1, -1 and infinity, for both axes `[16, 9]`: F(2x2, 3x3) of Lavin and Gray 2016, "Fast Algorithms
# for Convolutional Neural Networks".
_POINTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_KERNEL_TRANSFORM = np.kron(_POINTS, _POINTS)


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
    tiled = form == "tiled" or (form == "auto" and jax.default_backend() == "cpu")
    return _closed(x, kernel, _Computation(tiled, precision))


def conv1x1(
    x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1, precision: Precision = "float32"
) -> jax.Array:
    """1x1 convolution, `y[n,i,j,o] = sum_c x[n,s*i,s*j,c] kernel[c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[C, O]`.
      form: `plain` uses JAX's derivatives of the product, every other form those of `_product`.
      stride: s, 1 or 2.
      precision: as in `conv3x3`.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`.
    """
    strided = x[:, ::stride, ::stride]
    if form == "plain":
        return _matmul(strided, kernel, precision)
    flat = _product(strided.reshape(-1, strided.shape[-1]), kernel, precision)
    return flat.reshape(*strided.shape[:-1], kernel.shape[-1])


def has_few_channels(x: jax.Array) -> bool:
    """Whether `conv3x3` multiplies patches of `x` because it has few channels."""
    return x.shape[-1] < _FEW_CHANNELS


def patches_of(x: jax.Array, stride: int, *, size: int = 3) -> jax.Array:
    """Square patches of odd side around each pixel, with zero padding, `[n, H/s, W/s, size^2 C]`."""
    height, width = x.shape[1:3]
    border = (size // 2, size // 2)
    padded = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    shifts = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(size) for j in range(size)]
    return jnp.concatenate(shifts, axis=-1)


def _xla_conv(x: jax.Array, kernel: jax.Array, precision: Precision, stride: int = 1) -> jax.Array:
    a, b = _rounded(x, kernel, precision)
    y = lax.conv_general_dilated(a, b, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT)
    return y.astype(x.dtype)


def _rounded(a: jax.Array, b: jax.Array, precision: Precision) -> tuple[jax.Array, jax.Array]:
    return (a, b) if precision == "float32" else (a.astype(jnp.bfloat16), b.astype(jnp.bfloat16))


def _matmul(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    if precision == "float32":
        # With preferred_element_type, even of the same dtype, XLA chooses a product that is a third slower for tall factors.
        return a @ b
    return jnp.matmul(*_rounded(a, b, precision), preferred_element_type=a.dtype)


def _patch_conv(x: jax.Array, kernel: jax.Array, precision: Precision, stride: int) -> jax.Array:
    patches = patches_of(x, stride)
    flat = _product(patches.reshape(-1, patches.shape[-1]), kernel.reshape(-1, kernel.shape[-1]), precision)
    return flat.reshape(*patches.shape[:-1], kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    return _matmul(a, b, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _transposed_product(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    return _matmul(a.T, b, precision)


# Explicit, because XLA compiles the derivative of a product with a transposed copy of the tall factor.
_product.defvjp(
    lambda a, b, precision: (_product(a, b, precision), (a, b)),
    lambda precision, saved, g: (_matmul(g, saved[1].T, precision), _transposed_product(saved[0], g, precision)),
)
_transposed_product.defvjp(
    lambda a, b, precision: (_transposed_product(a, b, precision), (a, b)),
    lambda precision, saved, g: (_matmul(saved[1], g.T, precision), _product(saved[0], g, precision)),
)


def _rotated(kernel: jax.Array) -> jax.Array:
    """The kernel rotated by 180 degrees, with input and output channels exchanged."""
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _closed(x: jax.Array, kernel: jax.Array, computation: _Computation) -> jax.Array:
    large = min(x.shape[1:3]) >= _TILED_SIDE and min(kernel.shape[2:]) >= _TILED_CHANNELS
    return (_tiled_conv if computation.tiled and large else _xla_conv)(x, kernel, computation.precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(x: jax.Array, g: jax.Array, computation: _Computation) -> jax.Array:
    """`[3,3,C,O]`: convolution of x with g as the kernel, with clips and channels exchanged."""
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


def _tiled_conv(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """Winograd convolution with tiles of 2x2 pixels: transform x and kernel to 16 points, multiply, and transform back."""
    n, height, width, channels = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = jnp.pad(x, ((0, 0), (1, 2 * rows + 1 - height), (1, 2 * columns + 1 - width), (0, 0)))
    # Without the barrier, XLA would recompute x for each of the 16 points.
    padded = lax.optimization_barrier(padded)

    def pixels(i: int, j: int) -> jax.Array:
        """Pixel (i, j) of every tile with its border, `[tiles, C]`."""
        return padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2].reshape(-1, channels)

    points = jnp.asarray(_KERNEL_TRANSFORM, kernel.dtype) @ kernel.reshape(9, -1)
    factors = points.reshape(4, 4, channels, -1)
    vertical = [_input_transform([pixels(i, j) for i in range(4)]) for j in range(4)]
    values = [_input_transform([column[a] for column in vertical]) for a in range(4)]
    products = [[_matmul(values[a][b], factors[a, b], precision) for b in range(4)] for a in range(4)]
    horizontal = [_output_transform(row) for row in products]
    tile = [_output_transform([row[j] for row in horizontal]) for j in range(2)]
    stacked = jnp.stack([jnp.stack([tile[j][i] for j in range(2)], axis=1) for i in range(2)], axis=1)
    image = stacked.reshape(n, rows, columns, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return image.reshape(n, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _input_transform(d: list[jax.Array]) -> list[jax.Array]:
    """Values at the four points from four pixels along one axis."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output_transform(m: list[jax.Array]) -> list[jax.Array]:
    """Two output pixels along one axis from the products at the four points."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]

"""3x3 and 1x1 convolutions that stay cheap at second order.

`conv_form` names how a 3x3 convolution is computed and differentiated:

- `closed` writes the convolution and its kernel gradient as two operations whose derivatives are each other, and both as forward
  convolutions, so every order of derivative is made of those; XLA's own transposed convolutions inside a loop are an order of
  magnitude slower on a CPU. An input of few channels, or a stride of 2, is multiplied as patches instead.
- `tiled` is `closed` with Winograd's tiles where they pay: 16 products for four pixels in place of 36.
- `plain` is XLA's convolution with XLA's derivatives: the oracle, and the form that also allows forward-mode differentiation.
- `auto` is `tiled` on a CPU; elsewhere `closed`, which is not measured there yet.

Measured on 2 CPU cores, jax 0.10.2, at the settings of `python -m experiments.benchmark`: with kernel gradients as nine matrix
products a second-order update of setting a takes 0.63 s, as three-row patches 0.53 s, as a convolution with clips and channels
exchanged 0.49 s. Tiles bring setting a from 0.425 to 0.388 s and b from 3.25 to 3.00 s; one convolution of 15 images of 14x14 from
2.1 to 1.2 ms at 64 channels, from 0.57 to 0.44 ms at 32; they cost time at 16 channels, and below 10x10 gain less than the
second that they take to compile.

`precision` bfloat16 rounds both factors of every product, in every order of derivative; sums, results and whatever else is computed
stay in the dtype of the arguments.
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
# A polynomial of degree 2 at the points 0, 1, -1 and infinity: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
# Networks", F(2x2, 3x3). For both axes at once: `[16, 9]`.
_AT_POINTS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_KERNEL_AT_POINTS = np.kron(_AT_POINTS, _AT_POINTS)


class _How(NamedTuple):
    """How products are computed: by tiles where they pay, and with which factors."""

    tiled: bool
    precision: Precision


def conv3x3(
    x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1, precision: Precision = "float32"
) -> jax.Array:
    """3x3 convolution, zero padding of 1, `y[n,i,j,o] = sum_{a,b,c} x[n,s*i+a-1,s*j+b-1,c] kernel[a,b,c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[3, 3, C, O]`.
      form: `auto`, `tiled`, `closed` or `plain`; see the module's text. All give the same derivatives of every order.
      stride: s, 1 or 2.
      precision: `float32` leaves the factors as they are, `bfloat16` rounds them.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`, in the dtype of x.

    Raises:
      ValueError: unknown form.
    """
    if form not in CONV_FORMS:
        raise ValueError(f"conv_form {form!r} is unknown; choose one of {', '.join(CONV_FORMS)}")
    if form == "plain":
        return _plain(x, kernel, precision, stride)
    if stride > 1 or has_few_channels(x):
        return _by_patches(x, kernel, precision, stride)
    tiled = form == "tiled" or (form == "auto" and jax.default_backend() == "cpu")
    return _closed(x, kernel, _How(tiled, precision))


def _plain(x: jax.Array, kernel: jax.Array, precision: Precision, stride: int = 1) -> jax.Array:
    a, b = _factors(x, kernel, precision)
    y = lax.conv_general_dilated(a, b, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT)
    return y.astype(x.dtype)


def _factors(a: jax.Array, b: jax.Array, precision: Precision) -> tuple[jax.Array, jax.Array]:
    return (a, b) if precision == "float32" else (a.astype(jnp.bfloat16), b.astype(jnp.bfloat16))


def _multiplied(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    if precision == "float32":
        # Naming the result's type, even the same, has XLA choose a product that is slower by a third on tall factors.
        return a @ b
    return jnp.matmul(*_factors(a, b, precision), preferred_element_type=a.dtype)


def _by_patches(x: jax.Array, kernel: jax.Array, precision: Precision, stride: int) -> jax.Array:
    patches = patches_of(x, stride)
    flat = _product(patches.reshape(-1, patches.shape[-1]), kernel.reshape(-1, kernel.shape[-1]), precision)
    return flat.reshape(*patches.shape[:-1], kernel.shape[-1])


def patches_of(x: jax.Array, stride: int, *, size: int = 3) -> jax.Array:
    """`[n, H/s, W/s, size^2 C]`: the neighbours of each pixel in a square of odd side, zeros outside the image."""
    height, width = x.shape[1:3]
    border = (size // 2, size // 2)
    padded = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    shifts = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(size) for j in range(size)]
    return jnp.concatenate(shifts, axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    return _multiplied(a, b, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _turned_product(a: jax.Array, b: jax.Array, precision: Precision) -> jax.Array:
    return _multiplied(a.T, b, precision)


# Written out, for the derivative of a product is compiled to a copy of the tall factor with its axes exchanged.
_product.defvjp(
    lambda a, b, precision: (_product(a, b, precision), (a, b)),
    lambda precision, saved, g: (_multiplied(g, saved[1].T, precision), _turned_product(saved[0], g, precision)),
)
_turned_product.defvjp(
    lambda a, b, precision: (_turned_product(a, b, precision), (a, b)),
    lambda precision, saved, g: (_multiplied(saved[1], g.T, precision), _product(saved[0], g, precision)),
)


def _turned(kernel: jax.Array) -> jax.Array:
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _closed(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    pays = min(x.shape[1:3]) >= _TILED_SIDE and min(kernel.shape[2:]) >= _TILED_CHANNELS
    return _by_tiles(x, kernel, how.precision) if how.tiled and pays else _plain(x, kernel, how.precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(x: jax.Array, g: jax.Array, how: _How) -> jax.Array:
    """`[3,3,C,O]`: a convolution of x with g as its kernel, in which clips and channels have changed places."""
    return _plain(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), how.precision).transpose(1, 2, 0, 3)


# Both operations are bilinear, so each one's derivatives are the pair itself with other arguments.
_closed.defvjp(
    lambda x, kernel, how: (_closed(x, kernel, how), (x, kernel)),
    lambda how, saved, g: (_closed(g, _turned(saved[1]), how), _kernel_gradient(saved[0], g, how)),
)
_kernel_gradient.defvjp(
    lambda x, g, how: (_kernel_gradient(x, g, how), (x, g)),
    lambda how, saved, h: (_closed(saved[1], _turned(h), how), _closed(saved[0], h, how)),
)


def _by_tiles(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """The convolution by tiles of 2x2 pixels: input and kernel at 16 points, one matrix product a point, and back."""
    n, height, width, channels = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = jnp.pad(x, ((0, 0), (1, 2 * rows + 1 - height), (1, 2 * columns + 1 - width), (0, 0)))
    # Stored once, else each of the 16 points would compute what x is made of anew.
    padded = lax.optimization_barrier(padded)

    def pixels(i: int, j: int) -> jax.Array:
        """Pixel (i, j) of every tile with its border, `[tiles, C]`."""
        return padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2].reshape(-1, channels)

    points = jnp.asarray(_KERNEL_AT_POINTS, kernel.dtype) @ kernel.reshape(9, -1)
    factors = points.reshape(4, 4, channels, -1)
    down = [_input_at_points([pixels(i, j) for i in range(4)]) for j in range(4)]
    values = [_input_at_points([column[a] for column in down]) for a in range(4)]
    products = [[_multiplied(values[a][b], factors[a, b], precision) for b in range(4)] for a in range(4)]
    across = [_pixels_of_points(row) for row in products]
    tile = [_pixels_of_points([row[j] for row in across]) for j in range(2)]
    stacked = jnp.stack([jnp.stack([tile[j][i] for j in range(2)], axis=1) for i in range(2)], axis=1)
    image = stacked.reshape(n, rows, columns, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return image.reshape(n, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _input_at_points(d: list[jax.Array]) -> list[jax.Array]:
    """Four pixels along one axis at the four points."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _pixels_of_points(m: list[jax.Array]) -> list[jax.Array]:
    """Two output pixels along one axis from the products at the four points."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def conv1x1(
    x: jax.Array, kernel: jax.Array, form: ConvForm = "auto", *, stride: int = 1, precision: Precision = "float32"
) -> jax.Array:
    """1x1 convolution, `y[n,i,j,o] = sum_c x[n,s*i,s*j,c] kernel[c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[C, O]`.
      form: as in `conv3x3`; `plain` has JAX's own derivatives, the others those of a pair of products.
      stride: s, 1 or 2.
      precision: as in `conv3x3`.

    Returns:
      `[n, ceil(H/s), ceil(W/s), O]`.
    """
    seen = x[:, ::stride, ::stride]
    if form == "plain":
        return _multiplied(seen, kernel, precision)
    flat = _product(seen.reshape(-1, seen.shape[-1]), kernel, precision)
    return flat.reshape(*seen.shape[:-1], kernel.shape[-1])


def has_few_channels(x: jax.Array) -> bool:
    """Whether a 3x3 convolution of `x` is multiplied as patches, and its moments are best had from them."""
    return x.shape[-1] < _FEW_CHANNELS

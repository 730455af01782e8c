"""Layers and backbones that stay cheap at second order. No running statistics: a network is a pure function of its input.

`conv_form` names how a 3x3 convolution is differentiated. `closed` writes the convolution and its kernel gradient as two
operations whose derivatives are each other, so every order of derivative is made of forward convolutions and matrix
products; XLA's own transposed convolutions inside a loop are an order of magnitude slower on a CPU. An input of few channels is
multiplied as patches instead, which needs no such care. `plain` is XLA's convolution with XLA's derivatives; it is the oracle,
and the form that also allows forward-mode differentiation. `auto` is `closed` on every backend.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

ConvForm = Literal["auto", "closed", "plain"]
CONV_FORMS: tuple[ConvForm, ...] = ("auto", "closed", "plain")

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 8


def conv3x3(x: jax.Array, kernel: jax.Array, form: ConvForm = "auto") -> jax.Array:
    """3x3 convolution, stride 1, zero padding, `y[n,i,j,o] = sum_{a,b,c} x[n,i+a-1,j+b-1,c] kernel[a,b,c,o]`.

    Args:
      x: `[n, H, W, C]`.
      kernel: `[3, 3, C, O]`.
      form: `auto`, `closed` or `plain`; see the module's text. All give the same derivatives of every order.

    Returns:
      `[n, H, W, O]`.

    Raises:
      ValueError: unknown form.
    """
    if form not in CONV_FORMS:
        raise ValueError(f"conv_form {form!r} is unknown; choose one of {', '.join(CONV_FORMS)}")
    if form == "plain":
        return _plain(x, kernel)
    return _by_patches(x, kernel) if x.shape[-1] < _FEW_CHANNELS else _closed(x, kernel)


def _plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT)


def _by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    patches = jnp.concatenate(_shifts(x), axis=-1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _shifts(x: jax.Array) -> list[jax.Array]:
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]


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


def group_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, groups: int, *, epsilon: float = 1e-5) -> jax.Array:
    """Normalise each clip over space and each group of channels, `(x - mean) / sqrt(var + eps) * scale + bias`.

    Mean and mean square are summed over space first and over the group's channels after, and folded into one
    multiply-add per pixel: second-order derivatives then touch the large array as rarely as can be.

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
    variance = jnp.maximum(per_group(jnp.square(x).mean(axis=(1, 2))) - jnp.square(mean), 0)
    gain = lax.rsqrt(variance + epsilon) * scale[None, :]
    return x * gain[:, None, None, :] + (bias[None, :] - mean * gain)[:, None, None, :]


def max_pool(x: jax.Array) -> jax.Array:
    """2x2 maximum with stride 2; an odd last row or column is dropped. `[n,H,W,C] -> [n,H//2,W//2,C]`.

    The largest entry of each window is marked once and held fixed, so every derivative is a product with that mask
    (ties share evenly). A maximum is piecewise linear, hence this is exact.
    """
    n, height, width, channels = x.shape
    windows = x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels)
    fixed = lax.stop_gradient(windows)
    mask = (fixed == fixed.max(axis=(2, 4), keepdims=True)).astype(x.dtype)
    share = mask / mask.sum(axis=(2, 4), keepdims=True)
    return (windows * share).sum(axis=(2, 4))


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, group normalisation, ReLU and 2x2 max pooling, then the mean over space.

    `[n, H, W, C] -> [n, width]`, H and W at least 16. The four-block network of few-shot learning (Vinyals et al. 2016), with group
    normalisation (Choice: no statistics shared between clips, so nothing leaks from one clip to another).

    Attributes:
      width: channels of every block, a multiple of `group_size`.
      group_size: channels of a normalisation group.
      conv_form: see `conv3x3`.
    """

    width: int = 16
    group_size: int = 8
    conv_form: ConvForm = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Features `[n, width]` of images `[n, H, W, C]`."""
        for block in range(1, 5):
            shape = (3, 3, x.shape[-1], self.width)
            kernel = self.param(f"kernel_{block}", nn.initializers.he_normal(), shape, x.dtype)
            bias = self.param(f"bias_{block}", nn.initializers.zeros_init(), (self.width,), x.dtype)
            scale = self.param(f"norm_scale_{block}", nn.initializers.ones_init(), (self.width,), x.dtype)
            shift = self.param(f"norm_bias_{block}", nn.initializers.zeros_init(), (self.width,), x.dtype)
            x = conv3x3(x, kernel, self.conv_form) + bias[None, None, None, :]
            # Pooling first: it commutes with ReLU, which then works on a quarter of the pixels.
            x = nn.relu(max_pool(group_norm(x, scale, shift, self.width // self.group_size)))
        return x.mean(axis=(1, 2))

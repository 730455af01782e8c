"""Base class of the backbones."""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import flax.linen as nn
import jax

from lightman_jax.networks.convolution import (
    ConvForm,
    conv1x1,
    conv3x3,
    conv7x7,
    has_few_channels,
    pools_windows,
)
from lightman_jax.networks.normalization import (
    ClipMoments,
    Moments,
    Normalised,
    batch_moments,
    batch_norm,
    clip_moments,
    group_norm,
    max_pool,
    patch_moments,
)
from lightman_jax.networks.pooled_convolution import largest_products, window_kernel, window_moments, windows_of
from lightman_jax.networks.products import Precision

Normalisation = Literal["group", "layer", "batch", "affine"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)
HeadName = Literal["mean", "flatten"]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
Stem = Literal["small", "imagenet"]

STATISTICS = "statistics"
"""Flax collection of stored batch moments; see `Backbone`."""

_GROUP_SIZE = 8


class Backbone(nn.Module):
    """Base class of the backbones: convolution and normalisation layers with named parameters.

    A backbone maps images `[n, H, W, C]` to features `[n, D]`, the mean over space of its last stage of D channels, and to the
    feature maps `[n, h, w, D]` of that stage before pooling. With `head="flatten"` the features are all h w D values of the last
    stage after pooling, and the maps are the same values. The argument `where` `[n]` excludes padding from batch moments.

    Attributes:
      width: channels of the first stage (DenseNet: growth; MLP: a quarter of the units), a multiple of 4.
      normalisation: `group` (groups of 8 channels, or of 4 where 8 does not divide their number), `layer` (one group), `batch` or
        `affine` (a scale and shift of each channel alone, what is left of batch normalisation with fixed moments).
        `batch` uses the moments of the current batch, or those of the collection `statistics` if it is given; applying with
        `mutable=["statistics"]` stores the moments of the current batch.
      conv_form: see `convolution.conv3x3`.
      precision: see `convolution.conv3x3`.
      head: `mean` or `flatten`; backbones with a single map position have all positions in their features with either.
      stem: first layers of ResNet18, `small` (3x3) or `imagenet` (7x7 with stride 2 and 3x3 max pooling with stride 2).
      kernel_init: initialiser of the convolutions.
    """

    width: int = 16
    normalisation: Normalisation = "group"
    conv_form: ConvForm = "auto"
    precision: Precision = "float32"
    head: HeadName = "mean"
    stem: Stem = "small"
    kernel_init: Callable[..., Any] = nn.initializers.he_normal()

    def conv(self, name: str, x: jax.Array, channels: int, *, size: int = 3, stride: int = 1) -> jax.Array:
        """Convolution of `size` 7, 3 or 1 without bias."""
        if size == 1:
            kernel = self.param(f"kernel_{name}", self.kernel_init, (x.shape[-1], channels), x.dtype)
            return conv1x1(x, kernel, self.conv_form, stride=stride, precision=self.precision)
        kernel = self.param(f"kernel_{name}", self.kernel_init, (size, size, x.shape[-1], channels), x.dtype)
        conv = {3: conv3x3, 7: conv7x7}[size]
        return conv(x, kernel, self.conv_form, stride=stride, precision=self.precision)

    def norm(
        self,
        name: str,
        x: jax.Array,
        where: jax.Array | None,
        *,
        moments: ClipMoments | None = None,
        bias: jax.Array | None = None,
    ) -> Normalised:
        """Normalise `x + bias` according to `normalisation`, then scale and shift each channel; `moments` of x, if known."""
        scale_and_shift = self._scale_and_shift(name, x.shape[-1], x.dtype)
        if moments is None and self.normalisation != "affine":
            moments = clip_moments(x)
        return self._normalised(name, x, scale_and_shift, moments, where, bias=bias)

    def _scale_and_shift(self, name: str, channels: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
        scale = self.param(f"norm_scale_{name}", nn.initializers.ones_init(), (channels,), dtype)
        return scale, self.param(f"norm_bias_{name}", nn.initializers.zeros_init(), (channels,), dtype)

    def _normalised(
        self,
        name: str,
        x: jax.Array,
        scale_and_shift: tuple[jax.Array, jax.Array],
        moments: ClipMoments | None,
        where: jax.Array | None,
        *,
        bias: jax.Array | None,
        pooling: int = 1,
    ) -> Normalised:
        """See `norm`; of the pixels from which the moments are, x has one of `pooling`."""
        scale, shift = scale_and_shift
        if moments is None:
            return Normalised(x, scale[None, :], (shift if bias is None else bias * scale + shift)[None, :])
        if self.normalisation == "batch":
            current = batch_moments(moments, pooling * x.shape[1] * x.shape[2], where, bias=bias)
            return batch_norm(x, scale, shift, self._stored(name, current), bias=bias)
        channels = x.shape[-1]
        groups = 1 if self.normalisation == "layer" else channels // math.gcd(channels, _GROUP_SIZE)
        return group_norm(x, scale, shift, groups, moments=moments, bias=bias)

    def conv_norm(
        self, name: str, x: jax.Array, channels: int, where: jax.Array | None, *, stride: int = 1, bias: bool = False
    ) -> Normalised:
        """3x3 convolution and normalisation; if x has few channels, the moments are computed from its patches."""
        y = self.conv(name, x, channels, stride=stride)
        moments = None
        if self.conv_form != "plain" and self.normalisation != "affine" and has_few_channels(x):
            moments = patch_moments(x, self.get_variable("params", f"kernel_{name}"), stride=stride)
        added = self.param(f"bias_{name}", nn.initializers.zeros_init(), (channels,), x.dtype) if bias else None
        return self.norm(name, y, where, moments=moments, bias=added)

    def conv_norm_pool(self, name: str, x: jax.Array, channels: int, where: jax.Array | None) -> jax.Array:
        """`max_pool` of `conv_norm` with a bias; where this is faster, the values before pooling are not stored."""
        if not pools_windows(x, self.conv_form):
            return max_pool(self.conv_norm(name, x, channels, where, bias=True))
        n, height, width, inputs = x.shape
        kernel = window_kernel(self.param(f"kernel_{name}", self.kernel_init, (3, 3, inputs, channels), x.dtype))
        bias = self.param(f"bias_{name}", nn.initializers.zeros_init(), (channels,), x.dtype)
        scale_and_shift = self._scale_and_shift(name, channels, x.dtype)
        windows = windows_of(x)
        moments = None if self.normalisation == "affine" else ClipMoments(*window_moments(windows, kernel))
        # The gain of every normalisation has the sign of its scale.
        raw = largest_products(windows, kernel, scale_and_shift[0] < 0, self.precision)
        pooled = raw.reshape(n, height // 2, width // 2, channels)
        return self._normalised(name, pooled, scale_and_shift, moments, where, bias=bias, pooling=4).values

    def outputs(self, x: jax.Array, maps: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Features and maps from the last stage after and before pooling, according to `head`."""
        if self.head == "flatten":
            return x.reshape(x.shape[0], -1), x
        return x.mean(axis=(1, 2)), maps

    def _stored(self, name: str, moments: Moments) -> Moments:
        if self.is_mutable_collection(STATISTICS):
            self.put_variable(STATISTICS, name, moments)
            return moments
        stored: Moments | None = self.get_variable(STATISTICS, name)
        return moments if stored is None else stored

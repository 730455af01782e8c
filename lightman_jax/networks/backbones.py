"""Backbones for images of any size and number of channels.

Pooling skips an axis of length 1, so deep networks accept small images.
"""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from lightman_jax.networks.backbone import Backbone
from lightman_jax.networks.convolution import patches_of
from lightman_jax.networks.normalization import max_pool, max_pool_3x3, mean_pool

BackboneName = Literal["mlp", "conv4", "resnet12", "resnet18", "vgg16", "vgg19", "densenet", "ststnet", "offapexnet"]


class MLP(Backbone):
    """2x2 mean pooling, one dense layer on all pixels, normalisation and ReLU.

    `[n, H, W, C] -> features [n, 4 width]`, one map position. Choice: faces are aligned, so the position of a movement is as
    informative as its direction. A dense layer has separate weights for every position, unlike a convolution followed by a mean.
    """

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        pixels = mean_pool(x)
        pixels = pixels.reshape(x.shape[0], 1, 1, math.prod(pixels.shape[1:]))
        y = self.conv("1", pixels, 4 * self.width, size=1)
        bias = self.param("bias_1", nn.initializers.zeros_init(), (4 * self.width,), x.dtype)
        maps = nn.relu(self.norm("1", y, where, bias=bias).values)
        return maps.mean(axis=(1, 2)), maps


class Conv4(Backbone):
    """Four blocks of 3x3 convolution, normalisation, ReLU and 2x2 max pooling.

    `[n, H, W, C] -> features [n, width]`. The four-block network of few-shot learning (Vinyals et al. 2016).
    """

    depth = 4

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        # Max pooling commutes with ReLU, which then has a quarter of the pixels to process.
        for block in map(str, range(1, self.depth)):
            x = nn.relu(self.conv_norm_pool(block, x, self.width, where))
        maps = self.conv_norm(str(self.depth), x, self.width, where, bias=True)
        x = nn.relu(max_pool(maps))
        return self.outputs(x, nn.relu(maps.values))


class ResNet12(Backbone):
    """Four residual blocks of three 3x3 convolutions with widths w, 2w, 4w, 8w, leaky ReLU and 2x2 max pooling.

    `[n, H, W, C] -> features [n, 8 width]`. The residual network of few-shot learning (Oreshkin et al. 2018, "TADAM": w = 64).
    """

    blocks = 4

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        maps = x
        for block in range(1, self.blocks + 1):
            channels = self.width * 2 ** (block - 1)
            maps = x
            for layer in range(1, 4):
                name = f"{block}_{layer}"
                maps = self.conv_norm(name, maps, channels, where).values
                maps = nn.leaky_relu(maps, 0.1) if layer < 3 else maps
            name = f"{block}_shortcut"
            shortcut = self.norm(name, self.conv(name, x, channels, size=1), where).values
            maps = nn.leaky_relu(maps + shortcut, 0.1)
            x = max_pool(maps)
        return self.outputs(x, maps)


class ResNet18(Backbone):
    """A stem and four stages of two basic blocks, widths w, 2w, 4w, 8w, strides 1, 2, 2, 2.

    `[n, H, W, C] -> features [n, 8 width]`. He et al. 2016, "Deep Residual Learning" (w = 64), whose stem is `imagenet`.
    """

    stages = 4

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        if self.stem == "imagenet":
            x = nn.relu(max_pool_3x3(self.norm("stem", self.conv("stem", x, self.width, size=7, stride=2), where)))
        else:
            x = nn.relu(self.conv_norm("stem", x, self.width, where).values)
        for stage in range(1, self.stages + 1):
            for block in (1, 2):
                channels, stride = self.width * 2 ** (stage - 1), 2 if stage > 1 and block == 1 else 1
                name = f"{stage}_{block}"
                y = nn.relu(self.conv_norm(f"{name}_1", x, channels, where, stride=stride).values)
                y = self.conv_norm(f"{name}_2", y, channels, where).values
                if x.shape[-1] != channels:
                    shortcut = f"{name}_shortcut"
                    x = self.norm(shortcut, self.conv(shortcut, x, channels, size=1, stride=stride), where).values
                x = nn.relu(x + y)
        return self.outputs(x, x)


class VGG16(Backbone):
    """Five stages of 3x3 convolutions with bias, normalisation and ReLU, widths w, 2w, 4w, 8w, 8w, each with 2x2 max pooling.

    `[n, H, W, C] -> features [n, 8 width]`. Simonyan and Zisserman 2015 without the wide dense layers (w = 64).
    """

    depths = (2, 2, 3, 3, 3)

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        for stage, depth in enumerate(self.depths, start=1):
            channels = self.width * min(2 ** (stage - 1), 8)
            for layer in range(1, depth):
                x = nn.relu(self.conv_norm(f"{stage}_{layer}", x, channels, where, bias=True).values)
            maps = self.conv_norm(f"{stage}_{depth}", x, channels, where, bias=True)
            x = nn.relu(max_pool(maps))
        return self.outputs(x, nn.relu(maps.values))


class VGG19(VGG16):
    """`VGG16` with four convolutions in each of the last three stages."""

    depths = (2, 2, 4, 4, 4)


class DenseNet(Backbone):
    """DenseNet-BC of depth 40: three blocks of six bottleneck layers that add `width` channels each.

    Transitions halve the channels and both sides. `[n, H, W, C] -> features [n, D]`. Huang et al. 2017, "Densely Connected
    Convolutional Networks" (growth 12).
    """

    layers = 6

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        x = self.conv("stem", x, 2 * self.width)
        for block in range(1, 4):
            for layer in range(1, self.layers + 1):
                name = f"{block}_{layer}"
                y = self.conv(f"{name}_1", nn.relu(self.norm(f"{name}_1", x, where).values), 4 * self.width, size=1)
                y = self.conv(f"{name}_2", nn.relu(self.norm(f"{name}_2", y, where).values), self.width)
                x = jnp.concatenate([x, y], axis=-1)
            if block < 3:
                name = f"{block}_transition"
                x = mean_pool(self.conv(name, nn.relu(self.norm(name, x, where).values), x.shape[-1] // 2, size=1))
        x = nn.relu(self.norm("last", x, where).values)
        return self.outputs(x, x)


class STSTNet(Backbone):
    """Three parallel 3x3 convolutions of 3, 5 and 8 channels, ReLU, 3x3 max pooling, and 2x2 mean pooling of all channels.

    `[n, H, W, C] -> features [n, h w width]` with h = ceil(H/3) // 2: all positions are features, 400 for 28x28 images at the
    published width 16; one map position. The parallel convolutions are computed as one of 16 channels. Choice: `normalisation`
    replaces the batch normalisation of other implementations; no dropout. Liong et al. 2019, "Shallow Triple Stream
    Three-dimensional CNN (STSTNet)".
    """

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        y = nn.relu(self.conv_norm("1", x, self.width, where, bias=True).values)
        y = mean_pool(nn.max_pool(y, (3, 3), (3, 3), "SAME"))
        features = y.reshape(y.shape[0], -1)
        return features, features[:, None, None, :]


class OffApexNet(Backbone):
    """One stream each for u and v, 5x5 convolutions of 6 and 16 channels with 2x2 max pooling, then two dense layers.

    `[n, H, W, C] -> features [n, 64 width]`, 1,024 at the published width 16; one map position. Channels after the second are not
    used; an image of one channel has one stream. There is no normalisation. Gan et al. 2019, "OFF-ApexNet on Micro-expression
    Recognition System".
    """

    @nn.compact
    def __call__(self, x: jax.Array, where: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Features and maps; see `Backbone`."""
        streams = []
        for channel in range(min(2, x.shape[-1])):
            y = self._block(f"{channel}_1", x[..., channel : channel + 1], 6)
            y = self._block(f"{channel}_2", y, 16)
            streams.append(y.reshape(y.shape[0], -1))
        features = jnp.concatenate(streams, axis=-1)
        for layer in ("1", "2"):
            units = 64 * self.width
            kernel = self.param(f"kernel_{layer}", self.kernel_init, (features.shape[-1], units), x.dtype)
            bias = self.param(f"bias_{layer}", nn.initializers.zeros_init(), (units,), x.dtype)
            features = nn.relu(features @ kernel + bias[None, :])
        return features, features[:, None, None, :]

    def _block(self, name: str, x: jax.Array, channels: int) -> jax.Array:
        patches = patches_of(x, 1, size=5)
        # Drawn as a 5x5 convolution, on whose shape the spread depends, and used as a matrix.
        draw = lambda key, shape, dtype: self.kernel_init(key, (5, 5, x.shape[-1], channels), dtype).reshape(shape)  # noqa: E731
        kernel = self.param(f"kernel_{name}", draw, (patches.shape[-1], channels), x.dtype)
        bias = self.param(f"bias_{name}", nn.initializers.zeros_init(), (channels,), x.dtype)
        return nn.max_pool(nn.relu(patches @ kernel + bias[None, None, None, :]), (2, 2), (2, 2), "SAME")


BACKBONES: dict[BackboneName, type[Backbone]] = {
    "mlp": MLP,
    "conv4": Conv4,
    "resnet12": ResNet12,
    "resnet18": ResNet18,
    "vgg16": VGG16,
    "vgg19": VGG19,
    "densenet": DenseNet,
    "ststnet": STSTNet,
    "offapexnet": OffApexNet,
}

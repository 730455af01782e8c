"""The dual branch: one backbone, a primary head that recognises, an auxiliary head that embeds for alignment."""

import dataclasses
from typing import Literal

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from lightman_jax.networks import CONV_FORMS, Conv4, ConvForm
from lightman_jax.types import Outputs, Params

Backbone = Literal["conv4"]
BACKBONES: tuple[Backbone, ...] = ("conv4",)

_MIN_SIDE = 16


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the dual branch.

    Attributes:
      backbone: `conv4`.
      width: channels of a backbone block, a multiple of 8.
      embedding: E, length of the auxiliary branch's embedding.
      conv_form: `auto`, `closed` or `plain`; see `networks.conv3x3`.
    """

    backbone: Backbone = "conv4"
    width: int = 16
    embedding: int = 32
    conv_form: ConvForm = "auto"

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone {self.backbone!r} is unknown; choose one of {', '.join(BACKBONES)}")
        if self.width < 8 or self.width % 8:
            raise ValueError(f"network width {self.width} cannot be split into groups of 8; choose 8, 16, 24, 32, ...")
        if self.embedding < 1:
            raise ValueError(f"embedding length {self.embedding} is too short; choose 1 or more, for example 32")
        if self.conv_form not in CONV_FORMS:
            raise ValueError(f"conv_form {self.conv_form!r} is unknown; choose one of {', '.join(CONV_FORMS)}")


def init_params(
    key: jax.Array,
    *,
    config: NetworkConfig,
    image_shape: tuple[int, int, int],
    classes: int,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Draw the parameters of both branches.

    Args:
      key: JAX random key.
      config: network sizes.
      image_shape: `(H, W, C)` of one clip's image; H and W at least 16, the four halvings of `conv4`.
      classes: N, the number of classes.
      dtype: of the parameters.

    Returns:
      `{"backbone": ..., "primary": {"kernel" [D,N], "bias" [N]}, "auxiliary": {"kernel" [D,E], "bias" [E]}}`.

    Raises:
      ValueError: an image too small for the backbone.
    """
    if min(image_shape[:2]) < _MIN_SIDE:
        raise ValueError(
            f"images of {image_shape[0]}x{image_shape[1]} are too small; {config.backbone} needs 16x16 or more"
        )
    backbone_key, primary_key, auxiliary_key = jax.random.split(key, 3)
    image = jnp.zeros((1, *image_shape), dtype)
    backbone = _backbone(config).init(backbone_key, image)["params"]
    features = jnp.zeros((1, config.width), dtype)
    return {
        "backbone": backbone,
        "primary": nn.Dense(classes, param_dtype=dtype).init(primary_key, features)["params"],
        "auxiliary": nn.Dense(config.embedding, param_dtype=dtype).init(auxiliary_key, features)["params"],
    }


def apply_branches(params: Params, images: jax.Array, *, config: NetworkConfig) -> Outputs:
    """Run both branches, `logits = primary(f(x))`, `embedding = auxiliary(f(x)) / |auxiliary(f(x))|`.

    Args:
      params: from `init_params`.
      images: `[n, H, W, C]` scaled flow.
      config: the sizes the parameters were drawn with.

    Returns:
      `Outputs` with `logits [n, N]` and `embedding [n, E]`; the embedding of zero features is zero, not nan.

    Reference: the dual branch of arXiv 2404.12024 (abstract).
    """
    chex.assert_rank(images, 4)
    features = _backbone(config).apply({"params": params["backbone"]}, images)
    assert isinstance(features, jax.Array)
    logits = _dense(params["primary"], features)
    raw = _dense(params["auxiliary"], features)
    squared = jnp.sum(jnp.square(raw), axis=-1, keepdims=True)
    return Outputs(logits=logits, embedding=raw * jax.lax.rsqrt(jnp.maximum(squared, 1e-12)))


def _dense(params: Params, features: jax.Array) -> jax.Array:
    return features @ params["kernel"] + params["bias"][None, :]


def _backbone(config: NetworkConfig) -> Conv4:
    return Conv4(width=config.width, conv_form=config.conv_form)

"""The dual branch: one backbone, a primary head that recognises, an auxiliary head that embeds for alignment."""

import dataclasses
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from lightman_jax.networks.backbones import BACKBONES, NORMALISATIONS, STATISTICS, Backbone, BackboneName, Normalisation
from lightman_jax.networks.convolution import CONV_FORMS, PRECISIONS, ConvForm, Precision
from lightman_jax.types import Outputs, Params


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the dual branch.

    Attributes:
      backbone: mlp, conv4, resnet12, resnet18, vgg16, vgg19, densenet, ststnet or offapexnet.
      width: channels of the backbone's first stage (densenet: its growth), a multiple of 4; publications use 64 (12).
      normalisation: group, layer or batch (moments of the current batch; of the training clips when predicting).
      embedding: E, length of the auxiliary branch's embedding.
      conv_form: auto, tiled, closed or plain; see `convolution.conv3x3`.
      precision: of the backbone's products: float32, or bfloat16 on a GPU or TPU. Parameters, statistics, heads and losses stay
        float32.
    """

    backbone: BackboneName = "mlp"
    width: int = 16
    normalisation: Normalisation = "layer"
    embedding: int = 32
    conv_form: ConvForm = "auto"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone {self.backbone!r} is unknown; choose one of {', '.join(BACKBONES)}")
        if self.width < 4 or self.width % 4:
            raise ValueError(
                f"network width {self.width} cannot be split into groups of 4 or 8; choose 8, 12, 16, 24, 32, ..."
            )
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(
                f"normalisation {self.normalisation!r} is unknown; choose one of {', '.join(NORMALISATIONS)}"
            )
        if self.embedding < 1:
            raise ValueError(f"embedding length {self.embedding} is too short; choose 1 or more, for example 32")
        if self.conv_form not in CONV_FORMS:
            raise ValueError(f"conv_form {self.conv_form!r} is unknown; choose one of {', '.join(CONV_FORMS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is unknown; choose one of {', '.join(PRECISIONS)}")


def make_backbone(config: NetworkConfig) -> Backbone:
    """The Flax module of a configuration."""
    return BACKBONES[config.backbone](
        width=config.width,
        normalisation=config.normalisation,
        conv_form=config.conv_form,
        precision=config.precision,
    )


def init_params(
    key: jax.Array,
    *,
    config: NetworkConfig,
    image_shape: tuple[int, ...],
    classes: int,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Draw the parameters of both branches.

    Args:
      key: JAX random key.
      config: network sizes.
      image_shape: `(H, W, C)` of one clip's image, or `(frames, H, W, C)` of a sequence; any H, W, C from 1 up.
      classes: N, the number of classes.
      dtype: of the parameters.

    Returns:
      `{"backbone": ..., "primary": {"kernel" [D,N], "bias" [N]}, "auxiliary": {"kernel" [D,E], "bias" [E]}}`.

    Raises:
      ValueError: an image shape that is neither of the two.
    """
    if len(image_shape) not in (3, 4) or min(image_shape) < 1:
        raise ValueError(f"image shape {image_shape} is not (H, W, C) or (frames, H, W, C) with sides from 1 up")
    backbone_key, primary_key, auxiliary_key = jax.random.split(key, 3)
    backbone = make_backbone(config)
    (features, _), variables = backbone.init_with_output(backbone_key, jnp.zeros((1, *image_shape[-3:]), dtype))
    return {
        "backbone": variables["params"],
        "primary": nn.Dense(classes, param_dtype=dtype).init(primary_key, features)["params"],
        "auxiliary": nn.Dense(config.embedding, param_dtype=dtype).init(auxiliary_key, features)["params"],
    }


def apply_branches(
    params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array | None = None
) -> Outputs:
    """Run both branches, `logits = primary(f(x))`, `embedding = auxiliary(f(x)) / |auxiliary(f(x))|`.

    A sequence is seen frame by frame; its features are the mean over its frames. The auxiliary head also embeds each
    frame and each place of the last feature maps, for the alignment forms that compare those.

    Args:
      params: from `init_params`; with an entry `statistics` (`branch_statistics`), batch normalisation uses those moments.
      images: `[n, H, W, C]` scaled flow, or `[n, frames, H, W, C]`.
      config: the sizes the parameters were drawn with.
      where: `[n]` bool, False marks padding. It matters to batch normalisation alone.

    Returns:
      `Outputs`; the embedding of zero features is zero, not nan.

    Reference: the dual branch of arXiv 2404.12024 (abstract).
    """
    features, maps = extract_features(params, images, config=config, where=where)
    pooled = features.mean(axis=1)
    auxiliary = params["auxiliary"]
    return Outputs(
        logits=dense(params["primary"], pooled),
        embedding=_unit(dense(auxiliary, pooled)),
        maps=_unit(dense(auxiliary, maps.mean(axis=1))),
        frames=_unit(dense(auxiliary, features)),
    )


def extract_features(
    params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Backbone features of each frame `[n, frames, D]` and maps `[n, frames, h, w, D]`; an image is one frame."""
    chex.assert_rank(images, {4, 5})
    sequences = images if images.ndim == 5 else images[:, None]
    count, frames = sequences.shape[:2]
    variables = {"params": params["backbone"]}
    if "statistics" in params:
        variables[STATISTICS] = params["statistics"]
    outputs: Any = make_backbone(config).apply(variables, *_as_images(sequences, where))
    features, maps = outputs
    return features.reshape(count, frames, -1), maps.reshape(count, frames, *maps.shape[1:])


def branch_statistics(
    params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array | None = None
) -> Params:
    """Moments of every batch normalisation layer on these clips, to be put beside the parameters as `statistics`.

    Args:
      params: from `init_params`.
      images: `[n, H, W, C]` or `[n, frames, H, W, C]`.
      config: the sizes the parameters were drawn with.
      where: `[n]` bool, the clips that count, for example a fold's training clips.

    Returns:
      A tree of `Moments`; empty for other normalisations.
    """
    chex.assert_rank(images, {4, 5})
    sequences = images if images.ndim == 5 else images[:, None]
    inputs = _as_images(sequences, where)
    _, stored = make_backbone(config).apply({"params": params["backbone"]}, *inputs, mutable=[STATISTICS])
    return stored.get(STATISTICS, {})


def dense(params: Params, features: jax.Array) -> jax.Array:
    """`features @ kernel + bias` over the last axis."""
    return features @ params["kernel"] + jnp.expand_dims(params["bias"], range(features.ndim - 1))


def _as_images(sequences: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
    flat = sequences.reshape(-1, *sequences.shape[2:])
    return flat, None if where is None else jnp.repeat(where, sequences.shape[1])


def _unit(vectors: jax.Array) -> jax.Array:
    squared = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))

"""The dual branch: a backbone, a primary head for classification, and an auxiliary head for alignment embeddings."""

import dataclasses
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError
from jax.typing import DTypeLike

from lightman_jax.checks import as_images, as_mask, check_key, is_count, transferring
from lightman_jax.networks.backbone import HEADS, STATISTICS, Backbone, HeadName, Normalisation, Stem
from lightman_jax.networks.backbones import BACKBONES, BackboneName
from lightman_jax.networks.convolution import CONV_FORMS, ConvForm
from lightman_jax.networks.normalization import Moments
from lightman_jax.networks.products import PRECISIONS, Precision
from lightman_jax.types import Outputs, Params

ViewNetwork = Literal["extractions", "separate", "shared", "joined"]
NormalisationChoice = Literal["auto", Normalisation]
StemChoice = Literal["auto", Stem]
VIEW_NETWORKS: tuple[ViewNetwork, ...] = get_args(ViewNetwork)


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Architecture of the dual branch.

    Attributes:
      backbone: mlp, conv4, resnet12, resnet18, vgg16, vgg19, densenet, ststnet or offapexnet.
      width: channels of the first stage of the backbone (densenet: growth), a multiple of 4; publications use 64 (densenet 12).
      normalisation: group, layer, batch (moments of the current batch in training, of the training clips in prediction), affine (a
        scale and shift of each channel alone, as which pretrained batch normalisation is read) or auto: layer, or what pretrained
        weights need.
      stem: first layers of resnet18: small (3x3), imagenet (7x7 with stride 2 and 3x3 max pooling with stride 2, a sixteenth of the
        positions) or auto: small, or that of pretrained weights.
      head: what both heads see of the last stage: mean (over space) or flatten (all positions, as the four-block network of
        few-shot learning has it; images of another size then need another network). One of mlp, ststnet or offapexnet always
        sees all positions.
      embedding: E, length of the embedding.
      conv_form: auto, tiled, closed or plain; see `convolution.conv3x3`.
      view_network: of clips with several views: extractions (a network per extraction, on its rise minus a share of its fall),
        separate (a network per view), shared (one network with the view as constant channels) or joined (the views are channels of
        one network); probabilities of several networks or views are averaged. See `meta.view_networks`.
      views: V, number of views of a clip; 1 for images without a view axis. Set from the data, not by a flag.
      extractions: places of the views of each extraction, the rise before the fall, from
        `data.preparation.views.extraction_places(names)`; empty if each view is an extraction of its own. Set from the data, not
        by a flag.
      precision: of the products in the backbone, float32 or bfloat16 (for a GPU or TPU). Parameters, statistics, heads and losses
        are float32.
    """

    backbone: BackboneName = "mlp"
    width: int = 16
    normalisation: NormalisationChoice = "auto"
    stem: StemChoice = "auto"
    head: HeadName = "mean"
    embedding: int = 32
    conv_form: ConvForm = "auto"
    view_network: ViewNetwork = "extractions"
    views: int = dataclasses.field(default=1, metadata={"flag": False})
    extractions: tuple[tuple[int, ...], ...] = dataclasses.field(default=(), metadata={"flag": False})
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if not is_count(self.views):
            raise ValueError(f"views {self.views!r} is no number of views; give 1 or more")
        extractions = tuple(tuple(places) for places in self.extractions)
        object.__setattr__(self, "extractions", extractions)
        if extractions and (
            sorted(place for places in extractions for place in places) != list(range(self.views))
            or max(map(len, extractions)) > 2
        ):
            raise ValueError(
                f"extractions {extractions} do not hold each of {self.views} views once, at most two together; give "
                "extraction_places(names)"
            )
        for name, value, known in (
            ("backbone", self.backbone, BACKBONES),
            ("normalisation", self.normalisation, get_args(NormalisationChoice)),
            ("stem", self.stem, get_args(StemChoice)),
            ("head", self.head, HEADS),
            ("conv_form", self.conv_form, CONV_FORMS),
            ("view_network", self.view_network, VIEW_NETWORKS),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")
        if self.stem == "imagenet" and self.backbone != "resnet18":
            raise ValueError(
                f"stem imagenet is of the backbone resnet18, not {self.backbone}; add --backbone=resnet18, or leave the stem out"
            )
        if not is_count(self.width, 4) or self.width % 4:
            raise ValueError(
                f"network width {self.width} is not divisible into groups of 4 or 8; choose 8, 12, 16, 24, 32, ..."
            )
        if not is_count(self.embedding):
            raise ValueError(f"embedding length {self.embedding} is below 1; choose 1 or more, for example 32")

    @property
    def view_units(self) -> int:
        """Number of images of a clip over which probabilities are averaged, and which can be aligned with each other."""
        units = {"joined": 1, "extractions": len(self.extractions) or self.views}
        return units.get(self.view_network, self.views)


def make_backbone(config: NetworkConfig) -> Backbone:
    """Flax module of the backbone."""
    return BACKBONES[config.backbone](
        width=config.width,
        normalisation="layer" if config.normalisation == "auto" else config.normalisation,
        stem="small" if config.stem == "auto" else config.stem,
        conv_form=config.conv_form,
        precision=config.precision,
        head=config.head,
    )


@transferring
def init_params(
    key: jax.Array,
    *,
    config: NetworkConfig,
    image_shape: tuple[int, ...],
    classes: int,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Initialise the parameters of both branches.

    Args:
      key: JAX random key.
      config: architecture.
      image_shape: `(H, W, C)` of the image of a clip, or `(frames, H, W, C)` of a sequence.
      classes: N, the number of classes.
      dtype: of the parameters.

    Returns:
      `{"backbone": ..., "primary": {"kernel" [D,N], "bias" [N]}, "auxiliary": {"kernel" [D,E], "bias" [E]}}`.

    Raises:
      ValueError: `image_shape` has another length, or a size below 1; fewer than 2 classes; or no JAX random key.
    """
    check_key(key)
    _refuse_views(config)
    if not is_count(classes, 2):
        raise ValueError(f"classes={classes!r} leaves nothing to classify; give the number of classes, 2 or more")
    if len(image_shape) not in (3, 4) or not all(map(is_count, image_shape)):
        raise ValueError(f"image shape {image_shape} is not (H, W, C) or (frames, H, W, C) with sizes of at least 1")
    backbone_key, primary_key, auxiliary_key = jax.random.split(key, 3)
    backbone = make_backbone(config)
    (features, _), variables = backbone.init_with_output(backbone_key, jnp.zeros((1, *image_shape[-3:]), dtype))
    return {
        "backbone": variables["params"],
        "primary": nn.Dense(classes, param_dtype=dtype).init(primary_key, features)["params"],
        "auxiliary": nn.Dense(config.embedding, param_dtype=dtype).init(auxiliary_key, features)["params"],
    }


@transferring
def apply_branches(
    params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array | None = None
) -> Outputs:
    """Apply both branches, `logits = primary(f(x))`, `embedding = auxiliary(f(x)) / |auxiliary(f(x))|`.

    The backbone f is applied to each frame of a sequence; features are averaged over frames. The auxiliary head also embeds each
    frame and each position of the last feature maps, for the alignment losses `temporal` and `spatial`. With `head="flatten"`, a
    position is embedded as an image whose other positions are zero.

    Args:
      params: from `init_params`; an entry `statistics` (from `branch_statistics`) gives the moments of batch normalisation.
      images: `[n, H, W, C]` or `[n, frames, H, W, C]` scaled flow.
      config: as given to `init_params`.
      where: `[n]` bool, False marks padding, which batch moments exclude.

    Returns:
      `Outputs`; embeddings of zero features are zero.

    Raises:
      ValueError: images of another rank, size or number of channels than those of the parameters, or of whole numbers.

    Reference: the dual branch of arXiv 2404.12024 (abstract).
    """
    features, maps = extract_features(params, images, config=config, where=where)
    pooled = features.mean(axis=1)
    auxiliary = params["auxiliary"]
    return Outputs(
        logits=dense(params["primary"], pooled),
        embedding=_unit(dense(auxiliary, pooled)),
        maps=_unit(_embed_positions(auxiliary, maps.mean(axis=1))),
        frames=_unit(dense(auxiliary, features)),
    )


def extract_features(
    params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Backbone features `[n, frames, D]` and maps `[n, frames, h, w, D]` of each frame; an image is a single frame."""
    images = as_images(images)
    _refuse_views(config)
    where = as_mask(where, images.shape[0])
    frames = images.shape[1] if images.ndim == 5 else 1
    variables = {"params": params["backbone"]}
    if STATISTICS in params:
        variables[STATISTICS] = params[STATISTICS]
    try:
        outputs: Any = make_backbone(config).apply(variables, *_as_images(images, where))
    except ScopeParamShapeError as error:
        raise ValueError(
            f"the parameters are of other images or of another network than images {images.shape} and {config}: {error}"
        ) from error
    features, maps = outputs
    _check_size(params, features.shape[-1], images.shape, config)
    count = images.shape[0]
    return features.reshape(count, frames, features.shape[-1]), maps.reshape(count, frames, *maps.shape[1:])


@transferring
def branch_statistics(
    params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array | None = None
) -> Params:
    """Compute the moments of every batch normalisation layer; add them to the parameters as entry `statistics`.

    Args:
      params: from `init_params`.
      images: `[n, H, W, C]` or `[n, frames, H, W, C]` scaled flow.
      config: as given to `init_params`.
      where: `[n]` bool, the clips to include, for example the training clips of a fold.

    Returns:
      A tree of `Moments`; empty for group and layer normalisation.
    """
    where = as_mask(where, images.shape[0])
    inputs = _as_images(as_images(images), where)
    _, stored = make_backbone(config).apply({"params": params["backbone"]}, *inputs, mutable=[STATISTICS])
    return stored.get(STATISTICS, {})


def block_statistics(params: Params, images: jax.Array, *, config: NetworkConfig, where: jax.Array) -> Params:
    """`branch_statistics` of images in blocks `[B, K, ...]`, of which one is in memory at a time; `where` is `[B, K]`.

    Choice: each block is normalised by its own moments, as in training, and the moments of the blocks are averaged by their number
    of clips. The exact moments of all clips would need a pass over the blocks for every layer.

    Reference: Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 (PreciseBN).
    """
    moments = jax.lax.map(lambda own: branch_statistics(params, own[0], config=config, where=own[1]), (images, where))
    count = where.sum(axis=1).astype(jnp.float32)
    weight = count / jnp.maximum(count.sum(), 1)

    def joined(own: Moments) -> Moments:
        mean_of = lambda values: (weight.astype(values.dtype)[:, None] * values).sum(axis=0)  # noqa: E731
        mean = mean_of(own.mean)
        return Moments(mean, mean_of(own.variance + jnp.square(own.mean - mean[None, :])), own.pixels.sum())

    return jax.tree.map(joined, moments, is_leaf=lambda leaf: isinstance(leaf, Moments))


def dense(params: Params, features: jax.Array) -> jax.Array:
    """`features @ kernel + bias` over the last axis."""
    return features @ params["kernel"] + jnp.expand_dims(params["bias"], range(features.ndim - 1))


def _embed_positions(params: Params, maps: jax.Array) -> jax.Array:
    """Auxiliary head at each position of maps `[n, h, w, D]`; a head of the flattened maps has own rows for each position."""
    rows, outputs = params["kernel"].shape
    if rows == maps.shape[-1]:
        return dense(params, maps)
    kernel = params["kernel"].reshape(*maps.shape[1:], outputs)
    return jnp.einsum("nhwd,hwde->nhwe", maps, kernel) + params["bias"][None, None, None, :]


def _check_size(params: Params, features: int, shape: tuple[int, ...], config: NetworkConfig) -> None:
    """Raise `ValueError` if a head is for another number of features, which with `flatten` depends on the size of the images."""
    rows = {params[name]["kernel"].shape[-2] for name in ("primary", "auxiliary") if name in params} - {features}
    if rows:
        raise ValueError(
            f"images {shape} give {features} features with head {config.head}, the parameters are for {min(rows)}; give images of "
            "the size, and the head, that the parameters were trained with"
        )


def _refuse_views(config: NetworkConfig) -> None:
    """Raise `ValueError` for the settings of networks of several views, which would see views as frames."""
    if config.views > 1:
        raise ValueError(
            f"this is one network of single images, and the settings are for {config.views} views; make_method(...).init and "
            ".logits take views"
        )


def _as_images(images: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
    """Images `[n frames, H, W, C]` and their mask `[n frames]`."""
    sequences = images if images.ndim == 5 else images[:, None]
    flat = sequences.reshape(-1, *sequences.shape[2:])
    return flat, None if where is None else jnp.repeat(where, sequences.shape[1])


def _unit(vectors: jax.Array) -> jax.Array:
    squared = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))

"""MAXL-style label generator (Liu et al. 2019): a second network generates auxiliary labels that help the first to generalise.

With theta the two-headed network, g the label generator, y the class and x the clips:

    fit(theta, g)  = mean [ focal(primary(theta; x), y) + focal(auxiliary(theta; x), labels(g; x, y)) ]
    phase A        : theta <- network optimizer with the gradient of fit in theta
    phase B        : theta+ = theta - alpha (grad_theta fit(theta, g) + decay theta)                  virtual step, by `adapt`
                     g <- generator optimizer with the gradient in g of  mean focal(primary(theta+; x), y) + weight entropy(labels)

The gradient of phase B passes exactly through the virtual step; the authors' published code approximates it by a finite difference.

Reference: Liu et al. 2019, "Self-Supervised Generalisation with Meta Auxiliary Learning".
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from lightman_jax.checks import check_key, is_count, is_number, transferring
from lightman_jax.losses.classification import entropy_loss, focal_loss, keep_where, mean_where
from lightman_jax.meta.inner_loop import BilevelConfig, adapt, optimizer_update
from lightman_jax.networks.backbone import STATISTICS
from lightman_jax.networks.dual_branch import NetworkConfig, dense, make_backbone
from lightman_jax.networks.normalization import Moments
from lightman_jax.types import Clips, Metrics, Params, TrainState

_OUTSIDE_BLOCK = 1e-8
# Xavier normal without truncation, which `nn.initializers.xavier_normal` has.
_XAVIER_NORMAL = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")
_XAVIER_UNIFORM = nn.initializers.xavier_uniform()


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """Settings of the MAXL-style label generator (method `generated`; Liu et al. 2019).

    Attributes:
      psi: auxiliary classes per class.
      entropy_weight: weight of the entropy of the generated labels.
      entropy_in_gradient: train the generator on the entropy too, as the published text describes; false omits it
        from every gradient, as the published code does in effect.
      virtual_decay: weight decay in the virtual step, including biases and normalisation parameters (published: 0).
      statistics_decay: decay of the running moments of batch normalisation.
      published_optimizers: train with the published SGD schedule instead of AdamW.
    """

    psi: int = 5
    entropy_weight: float = 0.2
    entropy_in_gradient: bool = True
    virtual_decay: float = 0.0
    statistics_decay: float = 0.9
    published_optimizers: bool = False

    def __post_init__(self) -> None:
        if not is_count(self.psi):
            raise ValueError(f"psi {self.psi} gives a class no auxiliary classes; choose 2 to 10 (published: 5)")
        if not (is_number(self.entropy_weight) and is_number(self.virtual_decay)):
            raise ValueError(
                f"entropy_weight {self.entropy_weight} and virtual_decay {self.virtual_decay} must be 0 or more"
            )
        if not 0 <= self.statistics_decay < 1:
            raise ValueError(f"statistics_decay {self.statistics_decay} must be in [0, 1); published: 0.9")


@transferring
def init_generated(
    key: jax.Array,
    *,
    network: NetworkConfig,
    config: GeneratorConfig,
    image_shape: tuple[int, ...],
    classes: int,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Initialise both networks as published: the network by Xavier uniform, the generator by (untruncated) Xavier normal.

    A head is two dense layers, `D -> D -> outputs`, with a ReLU in between. At the published sizes (`vgg16`, width 64, `batch`
    normalisation, 20 classes, psi 5, 32x32x3) the network has 15,310,008 parameters and the generator 15,037,092.

    Returns:
      `{"network": {"backbone", "primary", "auxiliary"}, "generator": {"backbone", "labels"}, "statistics": running moments}`;
      the statistics are empty without batch normalisation.
    """
    check_key(key)
    images = jnp.zeros((1, *image_shape), dtype)

    def draw(key: jax.Array, heads: dict[str, int], xavier: jax.nn.initializers.Initializer) -> tuple[Params, Params]:
        def draw_dense(key: jax.Array, inputs: int, outputs: int) -> Params:
            return {"kernel": xavier(key, (inputs, outputs), dtype), "bias": jnp.zeros(outputs, dtype)}

        keys = jax.random.split(key, 1 + 2 * len(heads))
        backbone = make_backbone(network).clone(kernel_init=xavier)
        (features, _), variables = backbone.init_with_output(keys[0], images)
        width = features.shape[-1]
        params = {"backbone": variables["params"]}
        for row, (name, outputs) in enumerate(heads.items()):
            params[name] = {
                "hidden": draw_dense(keys[1 + 2 * row], width, width),
                "output": draw_dense(keys[2 + 2 * row], width, outputs),
            }
        # Running moments start with mean 0 and variance 1.
        fresh = lambda m: Moments(jnp.zeros_like(m.mean), jnp.ones_like(m.variance), m.pixels)  # noqa: E731
        stored = jax.tree.map(fresh, variables.get(STATISTICS, {}), is_leaf=lambda x: isinstance(x, Moments))
        return params, stored

    network_key, generator_key = jax.random.split(key)
    labels = classes * config.psi
    params, statistics = draw(network_key, {"primary": classes, "auxiliary": labels}, _XAVIER_UNIFORM)
    generator, _ = draw(generator_key, {"labels": labels}, _XAVIER_NORMAL)
    return {"network": params, "generator": generator, STATISTICS: statistics}


def generate_labels(
    generator: Params,
    images: jax.Array,
    labels: jax.Array,
    *,
    network: NetworkConfig,
    psi: int,
    where: jax.Array | None = None,
) -> jax.Array:
    """Soft auxiliary labels `[n, N psi]` of images `[n, H, W, C]` with classes `[n]`, see `masked_softmax`."""
    features, _ = _features(generator, images, network, where)
    return masked_softmax(_head(generator["labels"], features), labels, psi=psi)


def masked_softmax(logits: jax.Array, labels: jax.Array, *, psi: int) -> jax.Array:
    """`softmax(logits + log mask)` of `[n, N psi]` logits; mask 1 on entries `[y psi, (y + 1) psi)`, 1e-8 elsewhere, as published.

    >>> masked_softmax(jnp.zeros((1, 4)), jnp.array([1]), psi=2).round(3).tolist()
    [[0.0, 0.0, 0.5, 0.5]]
    """
    inside = (jnp.arange(logits.shape[1], dtype=labels.dtype) // psi)[None, :] == labels[:, None]
    return jax.nn.softmax(logits + jnp.where(inside, 0.0, jnp.log(_OUTSIDE_BLOCK)).astype(logits.dtype), axis=1)


def generated_logits(params: Params, images: jax.Array, *, network: NetworkConfig) -> jax.Array:
    """Class logits `[n, N]` of the trained network; batch normalisation uses the running moments."""
    (features, _), _ = _apply(params["network"], images, network, None, params[STATISTICS])
    return _head(params["network"]["primary"], features)


def generated_losses(
    params: Params, generator: Params, clips: Clips, *, network: NetworkConfig, config: GeneratorConfig
) -> tuple[jax.Array, dict[str, Any]]:
    """`(fit(theta, g), aux)` on one batch, with focal losses of exponent 2 for both heads.

    `aux` has the scalars `primary_loss`, `auxiliary_loss` and `entropy`, and the batch's moments as `statistics`.
    """
    features, moments = _features(params, clips.image, network, clips.where)
    soft = generate_labels(generator, clips.image, clips.label, network=network, psi=config.psi, where=clips.where)
    primary = focal_loss(_head(params["primary"], features), clips.label, where=clips.where)
    auxiliary = focal_loss(_head(params["auxiliary"], features), soft, where=clips.where)
    aux = {
        "primary_loss": mean_where(primary, clips.where),
        "auxiliary_loss": mean_where(auxiliary, clips.where),
        "entropy": mean_where(entropy_loss(soft, where=clips.where), clips.where),
        "statistics": moments,
    }
    return aux["primary_loss"] + aux["auxiliary_loss"], aux


def generator_objective(
    generator: Params,
    params: Params,
    clips: Clips,
    *,
    network: NetworkConfig,
    config: GeneratorConfig,
    virtual_lr: jax.Array | float,
) -> tuple[jax.Array, Metrics]:
    """Objective of phase B: the primary loss after a virtual step of size `virtual_lr`, plus the entropy term."""

    def inner_loss(theta: Params, task: tuple[Params, Clips]) -> tuple[jax.Array, Metrics]:
        value, aux = generated_losses(theta, *task, network=network, config=config)
        return value, {"entropy": aux["entropy"]}

    scaled = optax.stateless(lambda updates, _: jax.tree.map(lambda u: -jnp.asarray(virtual_lr, u.dtype) * u, updates))
    step = optax.chain(optax.add_decayed_weights(config.virtual_decay), scaled)
    after, inner_metrics = adapt(
        params, (generator, clips), inner_loss=inner_loss, inner_optimizer=step, config=BilevelConfig(inner_steps=1)
    )
    features, _ = _features(after, clips.image, network, clips.where)
    primary = mean_where(focal_loss(_head(after["primary"], features), clips.label, where=clips.where), clips.where)
    entropy = inner_metrics["inner/entropy"][0]
    total = primary + config.entropy_weight * entropy if config.entropy_in_gradient else primary
    return total, {"primary_loss": primary, "entropy": entropy}


def make_generator_update(
    *,
    network: NetworkConfig,
    config: GeneratorConfig,
    network_optimizer: optax.GradientTransformation,
    generator_optimizer: optax.GradientTransformation,
    virtual_lr: optax.Schedule | float,
) -> Callable[[TrainState, Clips], tuple[TrainState, Metrics]]:
    """Build one step of both phases, `update(state, clips) -> (state, metrics)`, a pure function for `jax.jit`.

    Args:
      network: sizes of the backbone of both networks.
      config: see `GeneratorConfig`.
      network_optimizer: optimizer of phase A.
      generator_optimizer: optimizer of phase B.
      virtual_lr: alpha, a number or a schedule over steps; published: the current learning rate of the network.

    Reference: Liu et al. 2019. Choice: both phases use the same batch and alternate batch by batch; the published code runs a
    whole epoch of A, then one of B.
    """

    def update(state: TrainState, clips: Clips) -> tuple[TrainState, Metrics]:
        params, generator = state.params["network"], state.params["generator"]
        (fit, aux), gradient = jax.value_and_grad(generated_losses, has_aux=True)(
            params, generator, clips, network=network, config=config
        )
        changes, network_state = optimizer_update(network_optimizer, gradient, state.opt_state["network"], params)
        params = optax.apply_updates(params, changes)
        with jax.numpy_dtype_promotion("standard"):
            alpha = virtual_lr(state.step) if callable(virtual_lr) else virtual_lr
        (value, metrics), slope = jax.value_and_grad(generator_objective, has_aux=True)(
            generator, params, clips, network=network, config=config, virtual_lr=alpha
        )
        changes, generator_state = optimizer_update(generator_optimizer, slope, state.opt_state["generator"], generator)
        new = {
            "network": params,
            "generator": optax.apply_updates(generator, changes),
            STATISTICS: running_moments(state.params[STATISTICS], aux["statistics"], config.statistics_decay),
        }
        scalars = {
            "loss": fit,
            "inner/primary_loss": aux["primary_loss"],
            "inner/auxiliary_loss": aux["auxiliary_loss"],
            "outer/loss": value,
            "outer/primary_loss": metrics["primary_loss"],
            "outer/entropy": metrics["entropy"],
            "gradient_norm": optax.tree.norm((gradient, slope)),
        }
        opt_state = {"network": network_state, "generator": generator_state}
        return TrainState(params=new, opt_state=opt_state, step=state.step + 1), scalars

    return update


@transferring
def init_generated_state(
    params: Params,
    network_optimizer: optax.GradientTransformation,
    generator_optimizer: optax.GradientTransformation,
) -> TrainState:
    """`TrainState` of both phases at step 0, from the parameters of `init_generated`."""
    opt_state = {
        "network": network_optimizer.init(params["network"]),
        "generator": generator_optimizer.init(params["generator"]),
    }
    return TrainState(params=params, opt_state=opt_state, step=jnp.int32(0))


def published_optimizers(
    steps: int,
) -> tuple[optax.GradientTransformation, optax.GradientTransformation, optax.Schedule]:
    """Published `(network_optimizer, generator_optimizer, virtual_lr)`: SGD, learning rates halved after each quarter of `steps`.

    Only the generator has a weight decay, 5e-4, which includes biases and normalisation parameters, as in the published code.

    Reference: Liu et al. 2019.
    """

    def halved(lr: float) -> optax.Schedule:
        quarter = max(steps // 4, 1)
        return optax.piecewise_constant_schedule(lr, {quarter * k: 0.5 for k in (1, 2, 3)})

    generator_optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(halved(0.001)))
    return optax.sgd(halved(0.01)), generator_optimizer, halved(0.01)


def running_moments(running: Params, batch: Params, decay: float) -> Params:
    """`decay * running + (1 - decay) * batch` over trees of `Moments`, with the variance of `batch` made unbiased."""

    def blend(old: Moments, new: Moments) -> Moments:
        unbiased = new.variance * (new.pixels / jnp.maximum(new.pixels - 1, 1))
        mean = decay * old.mean + (1 - decay) * new.mean
        return Moments(mean, decay * old.variance + (1 - decay) * unbiased, new.pixels)

    return jax.tree.map(blend, running, batch, is_leaf=lambda x: isinstance(x, Moments))


def _head(params: Params, features: jax.Array) -> jax.Array:
    return dense(params["output"], nn.relu(dense(params["hidden"], features)))


def _features(
    params: Params, images: jax.Array, network: NetworkConfig, where: jax.Array | None
) -> tuple[jax.Array, Params]:
    """Features normalised by the moments of this batch, and those moments."""
    (features, _), moments = _apply(params, keep_where(images, where), network, where, None)
    return features, moments


def _apply(
    params: Params, images: jax.Array, network: NetworkConfig, where: jax.Array | None, statistics: Params | None
) -> tuple[Any, Params]:
    variables = {"params": params["backbone"]}
    if statistics is not None:
        return make_backbone(network).apply(variables | {STATISTICS: statistics}, images, where), statistics
    outputs, stored = make_backbone(network).apply(variables, images, where, mutable=[STATISTICS])
    return outputs, stored.get(STATISTICS, {})

"""Functions that train and evaluate the networks of a method."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.typing import DTypeLike

from lightman_jax.checks import check_type
from lightman_jax.meta.inner_loop import LearnedLRParams, initial_params, learn_inner_lr
from lightman_jax.meta.label_generator import (
    generated_logits,
    init_generated,
    init_generated_state,
    make_generator_update,
    published_optimizers,
)
from lightman_jax.meta.methods import MethodConfig
from lightman_jax.meta.objective import block_prototype_head, method_problem, pooled_clips, prototype_head
from lightman_jax.meta.view_networks import method_of_views, network_of_group
from lightman_jax.networks.dual_branch import (
    NetworkConfig,
    apply_branches,
    block_statistics,
    branch_statistics,
    init_params,
)
from lightman_jax.types import Clips, Method, Metrics, Params, Task, TrainState


def make_method(
    config: MethodConfig,
    network: NetworkConfig,
    outer_optimizer: optax.GradientTransformation,
    *,
    steps: int = 100,
    mesh: Mesh | None = None,
) -> Method:
    """Build the functions of a method.

    Args:
      config: from `method_config`.
      network: sizes of the dual branch.
      outer_optimizer: any optax transformation.
      steps: outer steps of the whole training; only the published schedule of `generated` depends on it.
      mesh: devices over which the tasks of a step are split, see `meta_gradient`; ignored by `generated`.

    Returns:
      A `Method`; with `network.views` above 1 on images `[n, V, H, W, C]`, see `meta.view_networks`.

    Raises:
      TypeError: `config` or `network` is of another type.
    """
    check_type("config", config, MethodConfig)
    check_type("network", network, NetworkConfig)
    if network.views > 1 or network.extractions:
        of_one = make_method(config, network_of_group(network), outer_optimizer, steps=steps, mesh=mesh)
        return method_of_views(of_one, network, config.bilevel.task_mapping)
    if config.spec.generates_labels:
        return _label_generator_method(config, network, outer_optimizer, steps)

    def init(key: jax.Array, image_shape: tuple[int, ...], classes: int, dtype: DTypeLike = jnp.float32) -> TrainState:
        params = init_params(key, config=network, image_shape=image_shape, classes=classes, dtype=dtype)
        return init_state(params, config, outer_optimizer)

    def finish(state: TrainState, clips: Clips) -> Params:
        params, in_blocks = initial_params(state.params), clips.label.ndim == 2
        if network.normalisation == "batch":
            moments = block_statistics if in_blocks else branch_statistics
            statistics = moments(params, clips.image, config=network, where=clips.where)
            params = params | {"statistics": statistics}
        if config.spec.prototypes:
            head = block_prototype_head if in_blocks else prototype_head
            params = params | {"primary": head(params, clips, network=network)}
        return LearnedLRParams(params, state.params.inner_lr) if isinstance(state.params, LearnedLRParams) else params

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return apply_branches(initial_params(params), images, config=network).logits

    return Method(init, method_problem(config, network).make_update(outer_optimizer, mesh), finish, logits)


def init_state(params: Params, config: MethodConfig, outer_optimizer: optax.GradientTransformation) -> TrainState:
    """`TrainState` at step 0, with inner learning rates if the method learns them."""
    if config.learned_lr != "none":
        params = learn_inner_lr(params, config.bilevel.inner_lr, each=config.learned_lr)
    return TrainState(params=params, opt_state=outer_optimizer.init(params), step=jnp.int32(0))


def start_from(params: Params, initial: Params | None) -> Params:
    """Initial parameters of a method with given parts of the dual branch in place of random ones.

    Args:
      params: of `Method.init`; with networks of several views, every leaf has a leading axis of groups.
      initial: `{"backbone": ...}` and any of `primary` and `auxiliary`, with or without that axis; None changes nothing. A label
        generator starts from the same backbone.
    """
    if initial is None:
        return params
    if isinstance(params, LearnedLRParams):
        return LearnedLRParams(start_from(params.params, initial), params.inner_lr)
    if set(params) >= {"network", "generator"}:
        generator = start_from(params["generator"], {"backbone": initial["backbone"]})
        return params | {"network": start_from(params["network"], initial), "generator": generator}
    given = lambda own, new: jnp.broadcast_to(jnp.asarray(new, own.dtype), own.shape)  # noqa: E731
    return params | {name: jax.tree.map(given, params[name], part) for name, part in initial.items()}


def _label_generator_method(
    config: MethodConfig, network: NetworkConfig, outer_optimizer: optax.GradientTransformation, steps: int
) -> Method:
    virtual_lr: optax.Schedule | float = config.bilevel.inner_lr
    first = second = outer_optimizer
    if config.generator.published_optimizers:
        first, second, virtual_lr = published_optimizers(steps)
    step = make_generator_update(
        network=network,
        config=config.generator,
        network_optimizer=first,
        generator_optimizer=second,
        virtual_lr=virtual_lr,
    )

    def init(key: jax.Array, image_shape: tuple[int, ...], classes: int, dtype: DTypeLike = jnp.float32) -> TrainState:
        sizes: dict[str, Any] = {"image_shape": image_shape, "classes": classes, "dtype": dtype}
        params = init_generated(key, network=network, config=config.generator, **sizes)
        return init_generated_state(params, first, second)

    def update(state: TrainState, tasks: Task) -> tuple[TrainState, Metrics]:
        batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.vmap(pooled_clips)(tasks))
        return step(state, batch)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return generated_logits(params, images, network=network)

    return Method(init, update, lambda state, _: state.params, logits)

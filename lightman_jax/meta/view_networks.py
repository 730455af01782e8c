"""Networks for clips with several views, built from the method of a single image.

Images are `[n, V, H, W, C]`; a view that a clip lacks is nan in all pixels. A view network sees the views as one or more groups of
single images:

- `separate`: V groups with their own parameters, one per view;
- `shared`: one group of all views of all clips, with V constant channels that mark the view;
- `joined`: one group of clips whose views are channels; a missing view is zero, the mean of a scaled view.

The parameters, and the state of the optimiser, have a leading axis of groups. Every group takes its own step on the same clips.
The probabilities of a clip are averaged over the views it has.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from lightman_jax.meta.bilevel import map_tasks
from lightman_jax.meta.inner_loop import TaskMapping
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.types import Clips, Method, Metrics, Params, Task, TrainState


def has_view(images: jax.Array) -> jax.Array:
    """`[n, V]` bool: the views that are not nan, of images `[n, V, H, W, C]`."""
    return ~jnp.isnan(images[:, :, 0, 0, 0])


def network_of_group(network: NetworkConfig) -> NetworkConfig:
    """The network of one group, which sees single images."""
    return dataclasses.replace(network, views=1)


def other_views(clips: Clips, step: jax.Array) -> Clips:
    """Exchange the views of each clip, so that place v has the view `(v + 1 + step mod (V - 1)) mod V`.

    Over `V - 1` steps, every view meets every other view equally often.
    """
    views = clips.image.shape[1]
    shift = 1 + jnp.mod(step, views - 1)
    return dataclasses.replace(clips, image=jnp.roll(clips.image, -shift, axis=1))


def group_clips(clips: Clips, network: NetworkConfig, first_view: jax.Array | int = 0) -> Clips:
    """The single images of each group, with a leading axis of groups; missing views are masked.

    Args:
      clips: `image [n, V, H, W, C]`.
      network: `views` and `view_network`.
      first_view: number of the view in place 0, if `other_views` has exchanged them.

    Returns:
      `Clips` with `image [V, n, H, W, C]` (separate), `[1, n V, H, W, C + V]` (shared) or `[1, n, H, W, V C]` (joined).
    """
    image, views = clips.image, network.views
    if image.ndim != 5 or image.shape[1] != views:
        raise ValueError(f"images have the shape {image.shape}; these networks need [n, {views}, H, W, C]")
    count, (height, width, channels) = image.shape[0], image.shape[2:]
    present = has_view(image)
    image = jnp.where(present[..., None, None, None], image, jnp.zeros_like(image))
    if network.view_network == "joined":
        joined = jnp.moveaxis(image, 1, 3).reshape(count, height, width, views * channels)
        return jax.tree.map(lambda x: x[None], dataclasses.replace(clips, image=joined))
    where = clips.where[:, None] & present
    if network.view_network == "separate":
        repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (views, *x.shape)), _without_image(clips))
        return dataclasses.replace(repeated, image=jnp.moveaxis(image, 1, 0), where=where.T)
    marks = jax.nn.one_hot(jnp.mod(jnp.arange(views) + first_view, views), views, dtype=image.dtype)
    marks = jnp.broadcast_to(marks[None, :, None, None, :], (*image.shape[:-1], views))
    image = jnp.concatenate([image, marks], axis=-1).reshape(1, count * views, height, width, channels + views)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, views)[None], _without_image(clips))
    return dataclasses.replace(repeated, image=image, where=where.reshape(1, -1))


def _without_image(clips: Clips) -> Clips:
    return dataclasses.replace(clips, image=jnp.zeros(clips.label.shape))


def group_task(task: Task, network: NetworkConfig, step: jax.Array) -> Task:
    """The task of each group; macro clips with a `movement` are replaced by the other views of the same movements."""
    macro, first_view = task.macro, jnp.int32(0)
    if macro.movement is not None and network.view_network != "joined":
        macro, first_view = other_views(macro, step), 1 + jnp.mod(step, network.views - 1)
    return Task(
        support=group_clips(task.support, network),
        macro=group_clips(macro, network, first_view),
        query=group_clips(task.query, network),
    )


def mean_logits(logits: jax.Array, images: jax.Array, network: NetworkConfig) -> jax.Array:
    """Log of the mean probability of each clip over the views it has.

    Args:
      logits: `[G, m, N]` of the groups, from images of `group_clips`.
      images: `[n, V, H, W, C]`.
      network: `views` and `view_network`.

    Returns:
      `[n, N]` logits whose softmax is the mean of the softmax of the views.
    """
    if network.view_network == "joined":
        return logits[0]
    of_view = (
        jnp.moveaxis(logits, 0, 1)
        if network.view_network == "separate"
        else logits.reshape(images.shape[0], network.views, -1)
    )
    weight = has_view(images).astype(logits.dtype)[..., None]
    return jax.nn.logsumexp(jax.nn.log_softmax(of_view, axis=-1), axis=1, b=weight / weight.sum(axis=1, keepdims=True))


def over_groups(fn: Callable[..., Any], arguments: Any, mapping: TaskMapping) -> Any:
    """Apply `fn` to the groups in sequence or in parallel; `arguments` is a tuple of trees with a leading axis of groups."""
    return map_tasks(lambda own: fn(*own), arguments, mapping)


def method_of_views(method: Method, network: NetworkConfig, mapping: TaskMapping) -> Method:
    """The method on images `[n, V, H, W, C]`, from the method on single images of `network_of_group(network)`."""
    groups = network.views if network.view_network == "separate" else 1

    def init(key: jax.Array, image_shape: tuple[int, ...], classes: int, dtype: DTypeLike = jnp.float32) -> TrainState:
        views, *space, channels = image_shape
        channels += {"separate": 0, "shared": views, "joined": (views - 1) * channels}[network.view_network]
        keys = [key, *(jax.random.fold_in(key, group) for group in range(1, groups))]
        states = [method.init(own, (*space, channels), classes, dtype) for own in keys]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        return dataclasses.replace(stacked, step=states[0].step)

    def update(state: TrainState, tasks: Task) -> tuple[TrainState, Metrics]:
        grouped = jax.vmap(lambda task: group_task(task, network, state.step), out_axes=1)(tasks)

        def one(params: Params, opt_state: Any, own: Task) -> tuple[TrainState, Metrics]:
            return method.update(TrainState(params=params, opt_state=opt_state, step=state.step), own)

        new, metrics = over_groups(one, (state.params, state.opt_state, grouped), mapping)
        return dataclasses.replace(new, step=state.step + 1), jax.tree.map(lambda x: x.mean(axis=0), metrics)

    def finish(state: TrainState, clips: Clips) -> Params:
        def one(params: Params, opt_state: Any, own: Clips) -> Params:
            return method.finish(TrainState(params=params, opt_state=opt_state, step=state.step), own)

        return over_groups(one, (state.params, state.opt_state, group_clips(clips, network)), mapping)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        count = images.shape[0]
        clips = Clips(images, jnp.zeros(count, jnp.int32), jnp.ones(count, bool))
        found = over_groups(method.logits, (params, group_clips(clips, network).image), mapping)
        return mean_logits(found, images, network)

    return Method(init, update, finish, logits)

"""Networks for clips with several views, built from the method of a single image.

Images are `[n, V, H, W, C]`; a view that a clip lacks is nan in all pixels. A view network sees them as groups of single images:

- `extractions`: a group per extraction, whose image is its rise minus a share of its fall, see `there_and_back`;
- `separate`: a group per view;
- `shared`: one group of all views of all clips, with V constant channels that mark the view;
- `joined`: one group of clips whose views are channels; a missing view is zero, the mean of a scaled view.

The parameters, and the state of the optimiser, have a leading axis of groups. Every group takes its own step on the same clips.
The probabilities of a clip are averaged over the views it has; an extraction counts by the number of its views.
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

FALL_SHARE = 0.3
"""Share of the fall in `there_and_back`."""

_FLOW_CHANNELS = 3
_EPSILON = 1e-6


def has_view(images: jax.Array) -> jax.Array:
    """`[n, V]` bool: the views that are not nan, of images `[n, V, H, W, C]`."""
    return ~jnp.isnan(images[:, :, 0, 0, 0])


def network_of_group(network: NetworkConfig) -> NetworkConfig:
    """The network of one group, which sees single images."""
    return dataclasses.replace(network, views=1, extractions=())


def group_count(network: NetworkConfig) -> int:
    """G, the number of groups with own parameters."""
    return network.view_units if network.view_network in ("extractions", "separate") else 1


def there_and_back(rise: jax.Array, fall: jax.Array) -> jax.Array:
    """The flow of a movement from both of its legs, `rise - 0.3 fall`, with the root mean square of the rise.

    What moves there and back is kept, a drift of the head or the extraction is reduced. Strain has no sign and is added.

    Args:
      rise: `[n, H, W, C]` scaled images from onset to apex; nan if missing, the result is then the fall reversed in time.
      fall: `[n, H, W, C]` scaled images from apex to offset; nan if missing, the result is then the rise.

    Returns:
      `[n, H, W, C]`; nan where both are missing.

    Choice: on the second flow release of 309 clips (leave-one-subject-out), the loss of the test clips is .53 for the rise and .50
    for this image with a share of .3, and UF1 is .83 and .84; with the fall added instead of subtracted UF1 is .80. Between
    corpora there is no gain.
    """
    sign = jnp.asarray([-1, -1, 1] if rise.shape[-1] == _FLOW_CHANNELS else [-1] * rise.shape[-1], rise.dtype)
    back = sign.reshape(*[1] * (fall.ndim - 1), -1) * fall
    both = rise + FALL_SHARE * back
    mean_square = lambda x: jnp.square(x).mean(axis=(1, 2), keepdims=True)  # noqa: E731
    both = both * jnp.sqrt(mean_square(rise) / jnp.maximum(mean_square(both), _EPSILON))
    return jnp.where(jnp.isnan(fall), rise, jnp.where(jnp.isnan(rise), back, both))


def view_units(images: jax.Array, network: NetworkConfig) -> tuple[jax.Array, jax.Array]:
    """The images over which probabilities are averaged, and their weights.

    Args:
      images: `[n, V, H, W, C]`.
      network: `views`, `view_network` and `extractions`.

    Returns:
      `[n, U, H, W, C]`, zero where missing, and `[n, U]` weights, zero where missing; U is `network.view_units`, V for `joined`.
    """
    if images.ndim != 5 or images.shape[1] != network.views:
        raise ValueError(f"images have the shape {images.shape}; these networks need [n, {network.views}, H, W, C]")
    weight = has_view(images).astype(images.dtype)
    if network.view_network == "extractions" and network.extractions:
        single = lambda places: images[:, places[0]]  # noqa: E731
        legs = lambda places: there_and_back(images[:, places[0]], images[:, places[1]])  # noqa: E731
        found = [single(places) if len(places) == 1 else legs(places) for places in network.extractions]
        images = jnp.stack(found, axis=1)
        weight = jnp.stack([weight[:, list(places)].sum(axis=1) for places in network.extractions], axis=1)
    return jnp.where(weight[..., None, None, None] > 0, images, 0), weight


def unit_images(images: jax.Array, network: NetworkConfig) -> jax.Array:
    """The images of `view_units`, nan where missing: what the networks see, computed once instead of in every step.

    Mirroring commutes with it. Images without views are returned as they are.
    """
    if network.views == 1:
        return images
    units, weight = view_units(images, network)
    return jnp.where(weight[..., None, None, None] > 0, units, jnp.nan)


def unit_network(network: NetworkConfig) -> NetworkConfig:
    """The same network on `unit_images`, with the same parameters."""
    if network.views == 1 or network.view_network != "extractions":
        return network
    units = network.view_units
    return dataclasses.replace(network, views=units, extractions=tuple((unit,) for unit in range(units)))


def group_clips(clips: Clips, network: NetworkConfig, shift: jax.Array | int = 0) -> Clips:
    """The single images of each group, with a leading axis of groups; missing views are masked.

    Args:
      clips: `image [n, V, H, W, C]`.
      network: `views`, `view_network` and `extractions`.
      shift: place u gets the image of place u + shift, with its mark.

    Returns:
      `Clips` with `image [G, n, H, W, C]` (extractions, separate), `[1, n V, H, W, C + V]` (shared) or `[1, n, H, W, V C]`
      (joined).
    """
    image, weight = view_units(clips.image, network)
    count, units, height, width, channels = image.shape
    if network.view_network == "joined":
        joined = jnp.moveaxis(image, 1, 3).reshape(count, height, width, units * channels)
        return jax.tree.map(lambda x: x[None], dataclasses.replace(clips, image=joined))
    if network.view_network == "shared":
        marks = jnp.broadcast_to(jnp.eye(units, dtype=image.dtype)[None, :, None, None], (*image.shape[:-1], units))
        image = jnp.concatenate([image, marks], axis=-1)
    image, where = (jnp.roll(x, -shift, axis=1) for x in (image, clips.where[:, None] & (weight > 0)))
    of_clip = dataclasses.replace(clips, image=jnp.zeros(count))
    if network.view_network == "shared":
        repeated = jax.tree.map(lambda x: jnp.repeat(x, units)[None], of_clip)
        return dataclasses.replace(repeated, image=image.reshape(1, -1, *image.shape[2:]), where=where.reshape(1, -1))
    repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (units, *x.shape)), of_clip)
    return dataclasses.replace(repeated, image=jnp.moveaxis(image, 1, 0), where=where.T)


def group_task(task: Task, network: NetworkConfig, step: jax.Array) -> Task:
    """The task of each group; a macro clip with a `movement` becomes another view of that movement, by turns every other one."""
    shift = 0 if task.macro.movement is None else 1 + jnp.mod(step, network.view_units - 1)
    return Task(
        support=group_clips(task.support, network),
        macro=group_clips(task.macro, network, shift),
        query=group_clips(task.query, network),
    )


def mean_logits(logits: jax.Array, images: jax.Array, network: NetworkConfig) -> jax.Array:
    """Log of the mean probability of each clip over the views it has.

    Args:
      logits: `[G, m, N]` of the groups, from images of `group_clips`.
      images: `[n, V, H, W, C]`.
      network: `views`, `view_network` and `extractions`.

    Returns:
      `[n, N]` logits whose softmax is the mean of the softmax of the views.
    """
    if network.view_network == "joined":
        return logits[0]
    is_shared = network.view_network == "shared"
    of_unit = logits.reshape(images.shape[0], network.views, -1) if is_shared else jnp.moveaxis(logits, 0, 1)
    weight = view_units(images, network)[1].astype(logits.dtype)[..., None]
    return jax.nn.logsumexp(jax.nn.log_softmax(of_unit, axis=-1), axis=1, b=weight / weight.sum(axis=1, keepdims=True))


def over_groups(fn: Callable[..., Any], arguments: Any, mapping: TaskMapping) -> Any:
    """Apply `fn` to the groups in sequence or in parallel; `arguments` is a tuple of trees with a leading axis of groups."""
    return map_tasks(lambda own: fn(*own), arguments, mapping)


def method_of_views(method: Method, network: NetworkConfig, mapping: TaskMapping) -> Method:
    """The method on images `[n, V, H, W, C]`, from the method on single images of `network_of_group(network)`."""
    groups = group_count(network)

    def init(key: jax.Array, image_shape: tuple[int, ...], classes: int, dtype: DTypeLike = jnp.float32) -> TrainState:
        if len(image_shape) != 4 or image_shape[0] != network.views:
            raise ValueError(
                f"an image has the shape {tuple(image_shape)}; these networks need ({network.views}, H, W, C)"
            )
        views, *space, channels = image_shape
        channels += {"shared": views, "joined": (views - 1) * channels}.get(network.view_network, 0)
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

        grouped = lambda own: group_clips(own, network)  # noqa: E731
        of_groups = jax.vmap(grouped, out_axes=1)(clips) if clips.label.ndim == 2 else grouped(clips)
        return over_groups(one, (state.params, state.opt_state, of_groups), mapping)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        count = images.shape[0]
        clips = Clips(images, jnp.zeros(count, jnp.int32), jnp.ones(count, bool))
        found = over_groups(method.logits, (params, group_clips(clips, network).image), mapping)
        return mean_logits(found, images, network)

    return Method(init, update, finish, logits)

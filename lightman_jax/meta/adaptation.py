"""Adapt trained parameters to a few labelled clips, for example of one subject, or to the views of clips without labels.

The number of labelled clips differs between tasks and calls. Clips are padded to the next power of two, so compiled programs are
reused; padding does not change the result, and without labelled clips the prediction is that of the unadapted parameters.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightman_jax.checks import as_images, as_labels, as_mask, check_type, transferring
from lightman_jax.meta.bilevel import map_tasks
from lightman_jax.meta.inner_loop import LearnedLRParams, adapt, initial_params
from lightman_jax.meta.methods import MethodConfig
from lightman_jax.meta.objective import adapted_parts, clips_loss, prototype_head, views_loss
from lightman_jax.meta.view_networks import group_clips, group_task, mean_logits, network_of_group, over_groups
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches
from lightman_jax.types import Clips, Params, Task

Labelled = tuple[ArrayLike, ArrayLike]
"""Images `[n, H, W, C]` and their labels `[n]`."""


@transferring
def adapt_and_predict(
    params: Params, support: Clips, images: jax.Array, *, config: MethodConfig, network: NetworkConfig
) -> jax.Array:
    """Class probabilities of clips after adaptation to labelled clips, `softmax(logits(phi_K; images))`.

    The inner loop minimises the primary loss of the support. ProtoNet computes its head from the support instead.

    Args:
      params: trained parameters from `train_folds`.
      support: labelled clips, scaled as in training; `where` False marks padding.
      images: `[q, H, W, C]` clips to predict, scaled in the same way; `[q, V, H, W, C]` with views.
      config: the method that trained `params`; its `bilevel` gives steps and learning rate, unless `params` are
        `LearnedLRParams`.
      network: sizes of the dual branch.

    Returns:
      `[q, N]` probabilities.

    Raises:
      ValueError: the method `generated`, which has no inner loop over tasks.
    """
    if not config.spec.adapts:
        raise ValueError(
            f"method {config.name!r} does not adapt to labelled clips; choose lightman, maml, protonet, ..."
        )
    if network.views > 1:
        one = functools.partial(adapt_and_predict, config=config, network=network_of_group(network))
        queries = group_clips(Clips(images, *_unknown(images)), network).image
        groups = params, group_clips(support, network), queries
        found = over_groups(lambda *own: jnp.log(one(*own)), groups, config.bilevel.task_mapping)
        return jax.nn.softmax(mean_logits(found, images, network))
    theta = initial_params(params)
    if config.spec.prototypes:
        head = prototype_head(theta, support, network=network)
        # Without a labelled clip there is no prototype, and the trained head remains.
        kept = jax.tree.map(functools.partial(jnp.where, support.where.any()), head, theta["primary"])
        return jax.nn.softmax(apply_branches(theta | {"primary": kept}, images, config=network).logits)
    fixed = {name: part for name, part in theta.items() if name == "statistics"}
    branches = {name: part for name, part in theta.items() if name != "statistics"}
    phi, _ = adapt(
        LearnedLRParams(branches, params.inner_lr) if isinstance(params, LearnedLRParams) else branches,
        support,
        inner_loss=lambda p, clips: clips_loss(p | fixed, clips, None, 0, config, network),
        config=config.bilevel,
        adapted=adapted_parts(config),
    )
    return jax.nn.softmax(apply_branches(phi | fixed, images, config=network).logits)


@transferring
def align_and_predict(
    params: Params, images: jax.Array, *, config: MethodConfig, network: NetworkConfig, where: jax.Array | None = None
) -> jax.Array:
    """Class probabilities of clips after the inner loop on the alignment of their own views, which uses no label.

    `phi_{k+1} = phi_k - alpha grad lambda A(phi_k; views, other views of the same movements)`: the inner loop without its primary
    term. A prediction depends on all clips of the call (transductive).

    Args:
      params: trained parameters from `train_folds`.
      images: `[n, V, H, W, C]` clips, scaled as in training; nan where a view is missing.
      config: the method that trained `params`; its `bilevel` gives steps and learning rate.
      network: sizes of the dual branch; `views` above 1.
      where: `[n]` bool, False marks padding.

    Returns:
      `[n, N]` probabilities.

    Raises:
      ValueError: images without views, or a method without an alignment loss.

    Reference: the auxiliary task at test time as in Chi et al. 2021, "Test-Time Fast Adaptation for Dynamic Scene Deblurring via
    Meta-Auxiliary Learning".
    """
    if network.view_units == 1 or not config.spec.aligns:
        raise ValueError(
            f"method {config.name!r} on {network.view_units} view(s) has no views to align; give lightman, clips with several "
            "views, and networks that keep them apart, such as view_network='separate'"
        )
    label, all_clips = _unknown(images)
    where = all_clips if where is None else as_mask(where, images.shape[0])
    clips = Clips(images, label, where, movement=jnp.arange(images.shape[0], dtype=jnp.int32))
    single = network_of_group(network)
    each = [group_task(Task(clips, clips, clips), network, jnp.int32(step)) for step in range(network.view_units - 1)]
    others = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *[task.macro for task in each])

    def one(own: Params, group: Clips, other: Clips) -> jax.Array:
        theta = initial_params(own)
        fixed = {name: part for name, part in theta.items() if name == "statistics"}
        branches = {name: part for name, part in theta.items() if name != "statistics"}
        phi, _ = adapt(
            LearnedLRParams(branches, own.inner_lr) if isinstance(own, LearnedLRParams) else branches,
            (group, other),
            inner_loss=lambda p, pair: views_loss(p | fixed, pair[0], pair[1], config, single),
            config=config.bilevel,
            adapted=adapted_parts(config),
        )
        return apply_branches(phi | fixed, group.image, config=single).logits

    found = over_groups(one, (params, each[0].support, others), config.bilevel.task_mapping)
    return jax.nn.softmax(mean_logits(found, images, network))


def _unknown(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Labels and mask of clips whose class is not known."""
    return jnp.zeros(images.shape[0], jnp.int32), jnp.ones(images.shape[0], bool)


def make_adapter(config: MethodConfig, network: NetworkConfig) -> Callable[..., list[NDArray[np.float32]]]:
    """Build a compiled function `adapter(params, supports, queries) -> [probabilities]` for any number of tasks and clips.

    Args:
      config: the method that trained the parameters.
      network: sizes of the dual branch.

    Returns:
      A function of `params`, a sequence of labelled sets `(images [s,H,W,C], labels [s])` and a sequence of images `[q,H,W,C]`,
      one each per task. It returns one `[q, N]` array per task. It raises `ValueError` for labels that are no class indices, and
      for images that do not fit the parameters, are not scaled (whole numbers) or not finite.

    Raises:
      TypeError: `config` or `network` is of another type.

    >>> from lightman_jax import init_params
    >>> network = NetworkConfig(width=8, embedding=4)
    >>> params = init_params(jax.random.key(0), config=network, image_shape=(8, 8, 3), classes=3)
    >>> adapter = make_adapter(MethodConfig(), network)
    >>> two_subjects = [(np.ones((3, 8, 8, 3)), [0, 1, 2]), (np.ones((1, 8, 8, 3)), [2])]
    >>> [p.shape for p in adapter(params, two_subjects, [np.ones((5, 8, 8, 3)), np.ones((2, 8, 8, 3))])]
    [(5, 3), (2, 3)]
    """
    check_type("config", config, MethodConfig)
    check_type("network", network, NetworkConfig)
    one = functools.partial(adapt_and_predict, config=config, network=network)

    @jax.jit
    def program(params: Params, tasks: tuple[Clips, jax.Array]) -> jax.Array:
        return map_tasks(lambda task: one(params, *task), tasks, config.bilevel.task_mapping)

    @transferring
    def adapter(
        params: Params, supports: Sequence[Labelled], queries: Sequence[ArrayLike]
    ) -> list[NDArray[np.float32]]:
        if len(supports) != len(queries):
            raise ValueError(
                f"give one support set and one query set per task, got {len(supports)} supports, {len(queries)} queries"
            )
        classes, views = initial_params(params)["primary"]["bias"].shape[-1], network.views > 1
        images = [np.asarray(query) for query in queries]
        padded = pad_clips([(query, np.zeros(len(query), np.int32)) for query in images], views=views)
        given = pad_clips(supports, classes, views=views)
        if given.image.shape[2:] != padded.image.shape[2:]:
            raise ValueError(
                f"labelled images {given.image.shape[2:]} and images to predict {padded.image.shape[2:]} differ in shape; give "
                "both as the parameters were trained"
            )
        probabilities = np.asarray(program(params, (given, padded.image)))
        return [p[: len(query)] for p, query in zip(probabilities, images, strict=False)]

    return adapter


@transferring
def pad_clips(sets: Sequence[Labelled], classes: int | None = None, *, views: bool = False) -> Clips:
    """Stack labelled sets of different sizes into `Clips` with leading axis T; T and n are padded to powers of two.

    Args:
      sets: each `(images [n,H,W,C], labels [n])`, images of one shape.
      classes: N; None allows any class index.
      views: whether images are `[n,V,H,W,C]`, in which a view may be nan.

    Returns:
      `Clips`: `image [T,n,H,W,C]` float32, `label [T,n]`, `where [T,n]`.

    Raises:
      ValueError: no set, a different number of images and labels, labels that are no class indices, or images of different shapes,
        of whole numbers, or not finite.

    >>> pad_clips([(np.ones((3, 2, 2, 1)), [0, 1, 0])]).where.tolist()
    [[True, True, True, False]]
    """
    if not len(sets):
        raise ValueError("there is no task; give at least one labelled set, which may be empty")
    arrays = [_checked_set(images, labels, classes, views) for images, labels in sets]
    shapes = sorted({images.shape[1:] for images, _ in arrays})
    if len(shapes) > 1:
        raise ValueError(f"images have the shapes {', '.join(map(str, shapes))}; give all the same shape")
    longest, count = _power_of_two(max(len(labels) for _, labels in arrays)), _power_of_two(len(arrays))
    image = np.zeros((count, longest, *arrays[0][0].shape[1:]), np.float32)
    label, where = np.zeros((count, longest), np.int32), np.zeros((count, longest), bool)
    for row, (images, labels) in enumerate(arrays):
        image[row, : len(labels)], label[row, : len(labels)], where[row, : len(labels)] = images, labels, True
    return Clips(image=jnp.asarray(image), label=jnp.asarray(label), where=jnp.asarray(where))


def _checked_set(
    images: ArrayLike, labels: ArrayLike, classes: int | None, views: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    images, labels = np.asarray(as_images(images)), np.asarray(as_labels(labels, classes))
    if labels.shape != images.shape[:1]:
        count = len(labels) if labels.ndim == 1 else f"{labels.ndim}-dimensional"
        raise ValueError(f"{len(images)} images have {count} labels; give one label per image")
    finite = np.isfinite(images)
    if views and images.ndim == 5:
        missing = np.isnan(images).all(axis=(2, 3, 4))
        finite |= (missing & ~missing.all(axis=1, keepdims=True))[:, :, None, None, None]
    if not finite.all():
        raise ValueError(f"an image has values that are not finite{', or no view at all' if views else ''}")
    return images.astype(np.float32), labels.astype(np.int32)


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()

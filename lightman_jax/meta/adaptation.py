"""Adapt trained parameters to a few labelled clips, of one person for example, and predict others with them.

Shots differ from task to task and change from call to call; clips are padded to the next power of two, so the compiled program is
used again. Padding adds nothing: with no support clip at all the prediction is the one without adaptation.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightman_jax.meta.bilevel import map_tasks
from lightman_jax.meta.inner_loop import LearnedLRParams, adapt, initial_params
from lightman_jax.meta.methods import MethodConfig, adapted_parts, method_losses, prototype_head
from lightman_jax.networks.dual_branch import NetworkConfig, apply_branches
from lightman_jax.types import Clips, Params, Task

Labelled = tuple[ArrayLike, ArrayLike]
"""Images `[n, H, W, C]` and their labels `[n]`."""


def adapt_and_predict(
    params: Params,
    support: Clips,
    images: jax.Array,
    macro: Clips | None = None,
    *,
    config: MethodConfig,
    network: NetworkConfig,
) -> jax.Array:
    """Level one on a labelled support set, then the class probabilities of other clips, `softmax(logits(phi_K; images))`.

    A pure function of one task, which sees no label of `images`. ProtoNet sets its head from the support instead.

    Args:
      params: trained, as `train_folds` yields them.
      support: labelled clips, scaled as in training; `where` False marks padding.
      images: `[q, H, W, C]` clips to predict, scaled alike.
      macro: macro-expression clips to align with; None leaves the alignment out of level one.
      config: the method that trained `params`; its `bilevel` gives steps and rate (`LearnedLRParams` bring their rates).
      network: sizes of the dual branch.

    Returns:
      `[q, N]` probabilities.

    Raises:
      ValueError: the method `generated`, whose level one adapts to no task.
    """
    if config.variant == "generated":
        raise ValueError("method 'generated' learns labels, not adaptation; choose lightman, maml, protonet, ...")
    theta = initial_params(params)
    fixed = {name: part for name, part in theta.items() if name == "statistics"}
    branches = {name: part for name, part in theta.items() if name != "statistics"}
    if config.variant == "prototype":
        phi = theta | {"primary": prototype_head(theta, support, network=network)}
        # Without a single clip there is no prototype: the trained head stays.
        kept = jax.tree.map(functools.partial(jnp.where, support.where.any()), phi["primary"], theta["primary"])
        return jax.nn.softmax(apply_branches(phi | {"primary": kept}, images, config=network).logits)
    inner_loss = method_losses(config, network, align_inner=macro is not None).inner_loss
    nothing = jax.tree.map(lambda x: x[:0], support)
    task = Task(support=support, macro=nothing if macro is None else macro, query=nothing)
    start = LearnedLRParams(branches, params.inner_lr) if isinstance(params, LearnedLRParams) else branches
    phi, _ = adapt(
        start,
        task,
        inner_loss=lambda p, t: inner_loss(p | fixed, t),
        config=config.bilevel,
        adapted=adapted_parts(config),
    )
    return jax.nn.softmax(apply_branches(phi | fixed, images, config=network).logits)


def make_adapter(config: MethodConfig, network: NetworkConfig) -> Callable[..., list[NDArray[np.float32]]]:
    """Build `adapter(params, supports, queries, macros=None) -> [probabilities]`, compiled, for any number of tasks and shots.

    Args:
      config: the method that trained the parameters.
      network: sizes of the dual branch.

    Returns:
      A function of `params`, a sequence of labelled sets `(images [s,H,W,C], labels [s])`, a sequence of images `[q,H,W,C]`, and
      None or a sequence of labelled macro sets, one each a task. It returns one `[q, N]` array a task.

    >>> from lightman_jax import init_params
    >>> network = NetworkConfig(width=8, embedding=4)
    >>> params = init_params(jax.random.key(0), config=network, image_shape=(8, 8, 3), classes=3)
    >>> adapter = make_adapter(MethodConfig(), network)
    >>> two_people = [(np.ones((3, 8, 8, 3)), [0, 1, 2]), (np.ones((1, 8, 8, 3)), [2])]
    >>> [p.shape for p in adapter(params, two_people, [np.ones((5, 8, 8, 3)), np.ones((2, 8, 8, 3))])]
    [(5, 3), (2, 3)]
    """
    one = functools.partial(adapt_and_predict, config=config, network=network)

    @jax.jit
    def program(params: Params, tasks: tuple[Clips, jax.Array, Clips | None]) -> jax.Array:
        return map_tasks(lambda task: one(params, *task), tasks, config.bilevel.task_mapping)

    def adapter(
        params: Params,
        supports: Sequence[Labelled],
        queries: Sequence[ArrayLike],
        macros: Sequence[Labelled] | None = None,
    ) -> list[NDArray[np.float32]]:
        if len(supports) != len(queries) or (macros is not None and len(macros) != len(queries)):
            counts = f"{len(supports)} supports, {len(queries)} queries" + (f", {len(macros)} macros" if macros else "")
            raise ValueError(f"give one support set and one query set (and macro set) a task, got {counts}")
        images = [np.asarray(query, np.float32) for query in queries]
        asked = pad_clips([(query, np.zeros(len(query), np.int32)) for query in images])
        tasks = (pad_clips(supports), asked.image, None if macros is None else pad_clips(macros))
        probabilities = np.asarray(program(params, tasks))
        return [p[: len(query)] for p, query in zip(probabilities, images, strict=False)]

    return adapter


def pad_clips(sets: Sequence[Labelled]) -> Clips:
    """Stack labelled sets of different sizes into `Clips` with leading axis T; T and n are padded to powers of two.

    Args:
      sets: each `(images [n,H,W,C], labels [n])`, images of one shape.

    Returns:
      `Clips`: `image [T,n,H,W,C]` float32, `label [T,n]`, `where [T,n]`.

    Raises:
      ValueError: no set, or images and labels of different number.

    >>> pad_clips([(np.ones((3, 2, 2, 1)), [0, 1, 0])]).where.tolist()
    [[True, True, True, False]]
    """
    arrays = [(np.asarray(images, np.float32), np.asarray(labels, np.int32)) for images, labels in sets]
    if not arrays:
        raise ValueError("there is no task; give at least one labelled set, which may be empty")
    for images, labels in arrays:
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images have {len(labels)} labels; give one label an image")
    longest, count = _power_of_two(max(len(labels) for _, labels in arrays)), _power_of_two(len(arrays))
    image = np.zeros((count, longest, *arrays[0][0].shape[1:]), np.float32)
    label, where = np.zeros((count, longest), np.int32), np.zeros((count, longest), bool)
    for row, (images, labels) in enumerate(arrays):
        image[row, : len(labels)], label[row, : len(labels)], where[row, : len(labels)] = images, labels, True
    return Clips(image=jnp.asarray(image), label=jnp.asarray(label), where=jnp.asarray(where))


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()

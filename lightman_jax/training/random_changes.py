"""Random changes of drawn tasks: mirrored clips, views left out, and labels permuted as a control."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lightman_jax.preprocessing import Channels, mirror_flow
from lightman_jax.training.mirroring import Partners
from lightman_jax.types import Clips, Task


def shuffle_labels(key: jax.Array, labels: jax.Array, train: jax.Array) -> jax.Array:
    """Permute the labels `[m]` of the training clips among themselves; other labels are unchanged.

    >>> shuffle_labels(jax.random.key(0), jnp.array([1, 1, 7]), jnp.array([True, True, False])).tolist()
    [1, 1, 7]
    """
    chex.assert_equal_shape([labels, train])
    score = jnp.where(train, jax.random.uniform(key, labels.shape), jnp.inf)
    # Both sorts are stable and put training rows first; the other rows keep their order after them.
    return labels.at[jnp.argsort(~train)].set(labels[jnp.argsort(score)])


def mirror_at_random(
    key: jax.Array, tasks: Task, partners: Partners | None = (), *, channels: Channels = "auto"
) -> Task:
    """Mirror each clip of a task batch, images `[T, n, (frames,) H, W, C]`, with probability one half, negating u.

    Args:
      key: JAX random key.
      tasks: from `draw_task_batch`, which puts equally many clips of each class in the order of the classes.
      partners: from `mirror_partners`; empty: every class is its own partner; None: the tasks are returned as they are. A mirrored
        clip has the label of the partner class, and clips in the same place of two partner classes are mirrored together, so that
        each class keeps its number of clips.
      channels: what the channels are; u is negated in flow alone.
    """
    if partners is None:
        return tasks
    chex.assert_rank(tasks.support.image, {5, 6})
    own = tuple(range(len(partners)))

    def mirrored(part_key: jax.Array, clips: Clips) -> Clips:
        heads, label = jax.random.bernoulli(part_key, 0.5, clips.label.shape), clips.label
        if partners != own:
            first = np.minimum(own, np.asarray(partners))
            heads = heads.reshape(heads.shape[0], len(own), -1)[:, first].reshape(heads.shape)
            label = jnp.where(heads, jnp.asarray(partners, label.dtype)[label], label)
        heads = heads.reshape(*heads.shape, *[1] * (clips.image.ndim - 2))
        image = jnp.where(heads, mirror_flow(clips.image, channels=channels), clips.image)
        return dataclasses.replace(clips, image=image, label=label)

    keys = jax.random.split(key, 3)
    return Task(mirrored(keys[0], tasks.support), mirrored(keys[1], tasks.macro), mirrored(keys[2], tasks.query))


def drop_views_at_random(key: jax.Array, tasks: Task, rate: float) -> Task:
    """Replace each view of each clip of a task batch by nan with probability `rate`; a clip keeps at least one of its views.

    Args:
      key: JAX random key.
      tasks: images `[T, n, V, H, W, C]`.
      rate: probability.
    """

    def dropped(part_key: jax.Array, clips: Clips) -> Clips:
        present = ~jnp.isnan(clips.image[..., 0, 0, 0])
        score = jnp.where(present, jax.random.uniform(part_key, present.shape), -1)
        kept = (score >= rate) | (score == score.max(axis=-1, keepdims=True))
        return dataclasses.replace(clips, image=jnp.where(kept[..., None, None, None], clips.image, jnp.nan))

    keys = jax.random.split(key, 3)
    return Task(dropped(keys[0], tasks.support), dropped(keys[1], tasks.macro), dropped(keys[2], tasks.query))

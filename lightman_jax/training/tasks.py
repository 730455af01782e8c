"""Tasks drawn from the training clips of a fold, as pure functions of a random key."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from lightman_jax.losses.classification import keep_where
from lightman_jax.meta.objective import pooled_clips
from lightman_jax.training.config import TaskConfig
from lightman_jax.types import Clips, Task

_PARTITIONS = 8


@struct.dataclass
class Pool:
    """Clips from which tasks are drawn: `image [n,H,W,C]`, `label [n]`, `subject [n]` numbers, `train [n]` bool.

    Subject numbers of a micro pool are in 0..n-1. The image is None where only rows are drawn.
    """

    image: Any
    label: jax.Array
    subject: jax.Array
    train: jax.Array


@struct.dataclass
class TaskIndex:
    """Rows of the pools that form a task; `*_where` is False for padding."""

    support: jax.Array
    support_where: jax.Array
    query: jax.Array
    query_where: jax.Array
    macro: jax.Array
    macro_where: jax.Array
    label: jax.Array
    macro_label: jax.Array


def draw_task(key: jax.Array, micro: Pool, macro: Pool, *, classes: int, config: TaskConfig) -> TaskIndex:
    """Draw one task.

    The training subjects are split at random into a support and a query side. Each class takes `shots` clips from either
    side; if a side has too few, the class is filled from the other side, without drawing a clip twice. If the pool itself
    has too few, the support takes half of the class and the rest is padding, so that the query is never empty. Choice: of
    8 random splits the one that needs the least filling is used, so support and query have disjoint subjects if the pool
    allows it. Macro clips are drawn from all training subjects. Only rows with `train` are drawn.

    Returns:
      Row numbers `[N*shots]` (class by class) with their masks.
    """
    split_key, support_key, query_key, macro_key = jax.random.split(key, 4)
    chex.assert_equal_shape([micro.label, micro.subject, micro.train])
    of_class = _of_class(micro, classes)
    on_side = _subject_split(split_key, micro, of_class, config.shots)
    support, support_where = _draw_rows(support_key, of_class, config.shots, prefer=on_side)
    half = jnp.repeat(jnp.minimum(config.shots, of_class.sum(axis=1) // 2), config.shots)
    support_where = support_where & (jnp.tile(jnp.arange(config.shots), classes) < half)
    used = jnp.zeros(micro.label.shape, bool).at[support].max(support_where)
    query, query_where = _draw_rows(query_key, of_class & ~used[None, :], config.shots, prefer=~on_side)
    rows, rows_where = _draw_rows(macro_key, _of_class(macro, classes), config.macro_shots)
    label = jnp.repeat(jnp.arange(classes, dtype=jnp.int32), config.shots)
    macro_label = jnp.repeat(jnp.arange(classes, dtype=jnp.int32), config.macro_shots)
    return TaskIndex(support, support_where, query, query_where, rows, rows_where, label, macro_label)


@struct.dataclass
class DrawnClips:
    """Clips of a task by their rows: `row [n]`, macro clips counted from the number of micro clips; `label`, `where [n]`."""

    row: jax.Array
    label: jax.Array
    where: jax.Array


@struct.dataclass
class DrawnTask:
    """A task by the rows of its clips."""

    support: DrawnClips
    macro: DrawnClips
    query: DrawnClips


def gather_task(index: TaskIndex, micro: Pool, macro: Pool) -> Task:
    """Turn row numbers from `draw_task` into a `Task`; padded rows are zero."""

    def clips(pool: Pool, rows: jax.Array, where: jax.Array, label: jax.Array) -> Clips:
        return Clips(image=keep_where(pool.image[rows], where), label=label, where=where)

    return Task(
        support=clips(micro, index.support, index.support_where, index.label),
        macro=clips(macro, index.macro, index.macro_where, index.macro_label),
        query=clips(micro, index.query, index.query_where, index.label),
    )


def with_labelled_macro(
    key: jax.Array, task: Task, micro: Pool, macro: Pool, *, classes: int, config: TaskConfig
) -> Task:
    """Replace labelled clips of a task at random by macro clips of their class, see `TaskConfig.labelled_macro`.

    Rows that are padding may be replaced as well. No macro clip is drawn twice.
    """
    rows, taken = _labelled_macro_rows(key, micro, macro, classes=classes, config=config)

    def side(clips: Clips, place: int) -> Clips:
        own, where = (x.reshape(classes, 2, config.shots)[:, place].ravel() for x in (rows, taken))
        shown = where.reshape(-1, *[1] * (clips.image.ndim - 1))
        image = jnp.where(shown, macro.image[own], clips.image)
        return dataclasses.replace(clips, image=image, where=clips.where | where)

    return dataclasses.replace(task, support=side(task.support, 0), query=side(task.query, 1))


def _labelled_macro_rows(
    key: jax.Array, micro: Pool, macro: Pool, *, classes: int, config: TaskConfig
) -> tuple[jax.Array, jax.Array]:
    """Rows of macro clips for both sides of a task, class by class, and whether they replace its clips."""
    rows_key, slot_key = jax.random.split(key)
    rows, found = _draw_rows(rows_key, _of_class(macro, classes), 2 * config.shots)
    count = _of_class(micro, classes).sum(axis=1).astype(jnp.float32)
    share = config.labelled_macro / (config.labelled_macro + count)
    return rows, found & jax.random.bernoulli(slot_key, jnp.repeat(share, 2 * config.shots))


def with_movements(task: Task) -> Task:
    """Number the support and query clips of a task, and use the same clips as macro clips, for the alignment of their views."""
    shots, pooled = task.support.label.shape[0], pooled_clips(task)
    movement = jnp.arange(pooled.label.shape[0], dtype=jnp.int32)
    return Task(
        support=dataclasses.replace(task.support, movement=movement[:shots]),
        macro=dataclasses.replace(pooled, movement=movement),
        query=dataclasses.replace(task.query, movement=movement[shots:]),
    )


def draw_task_batch(key: jax.Array, micro: Pool, macro: Pool, *, classes: int, config: TaskConfig) -> Task:
    """Draw the T tasks of one outer step with different keys; arrays have the leading axis T."""

    def one(task_key: jax.Array) -> Task:
        task = gather_task(draw_task(task_key, micro, macro, classes=classes, config=config), micro, macro)
        if config.labelled_macro == 0:
            return task
        # `draw_task` splits its key into the first four; its draws are the same with and without.
        macro_key = jax.random.fold_in(task_key, 4)
        return with_labelled_macro(macro_key, task, micro, macro, classes=classes, config=config)

    return jax.vmap(one)(jax.random.split(key, config.meta_batch_size))


def draw_rows_batch(
    key: jax.Array, micro: Pool, macro: Pool, *, classes: int, config: TaskConfig, first_macro: int
) -> DrawnTask:
    """The rows of the tasks that `draw_task_batch` draws with the same key, with the leading axis T.

    Args:
      key: JAX random key.
      micro, macro: pools; their images are not used.
      classes: N.
      config: size of a task.
      first_macro: number of the first macro clip: the number of micro clips, or 0 if the macro clips are the micro clips.
    """

    def one(task_key: jax.Array) -> DrawnTask:
        index = draw_task(task_key, micro, macro, classes=classes, config=config)
        sides = [(index.support, index.support_where), (index.query, index.query_where)]
        if config.labelled_macro > 0:
            macro_key = jax.random.fold_in(task_key, 4)
            drawn = _labelled_macro_rows(macro_key, micro, macro, classes=classes, config=config)
            for place, (row, where) in enumerate(sides):
                own, taken = (x.reshape(classes, 2, config.shots)[:, place].ravel() for x in drawn)
                sides[place] = jnp.where(taken, first_macro + own, row), where | taken
        (support, support_where), (query, query_where) = sides
        return DrawnTask(
            support=DrawnClips(support, index.label, support_where),
            macro=DrawnClips(first_macro + index.macro, index.macro_label, index.macro_where),
            query=DrawnClips(query, index.label, query_where),
        )

    return jax.vmap(one)(jax.random.split(key, config.meta_batch_size))


def _subject_split(key: jax.Array, micro: Pool, of_class: jax.Array, shots: int) -> jax.Array:
    """`[n]` bool: clips whose subject is on the support side of the best of 8 random splits."""
    rows = micro.subject.shape[0]

    def split(split_key: jax.Array) -> jax.Array:
        # Only training subjects are ranked; the held-out one would shift the halves.
        score = jax.random.uniform(split_key, (rows,))
        training = jnp.zeros(rows, bool).at[micro.subject].max(micro.train)
        score = jnp.where(training, score, jnp.inf)
        return ((score <= smallest(score, (training.sum() + 1) // 2)) & training)[micro.subject]

    def missing(side: jax.Array) -> jax.Array:
        here, there = (of_class & side[None, :]).sum(axis=1), (of_class & ~side[None, :]).sum(axis=1)
        return (jnp.maximum(shots - here, 0) + jnp.maximum(shots - there, 0)).sum()

    sides = jax.vmap(split)(jax.random.split(key, _PARTITIONS))
    return sides[jnp.argmin(jax.vmap(missing)(sides))]


def smallest(values: jax.Array, rank: jax.Array) -> jax.Array:
    """The value of a rank, the first being the smallest.

    Args:
      values: `[n]` floats of 0 or more.
      rank: in 1..n; 0 gives 0.

    Choice: found bit by bit, because the bits of such floats grow with them. A sort takes ten times as long on a CPU, half of the
    time of a training without an inner loop.

    >>> float(smallest(jnp.array([0.5, 0.0, jnp.inf, 0.25]), jnp.array(3)))
    0.5
    """
    integer = jnp.dtype(f"int{8 * values.dtype.itemsize}")
    bits = lax.bitcast_convert_type(values, integer)
    highest = jnp.iinfo(integer).bits - 2

    def add_bit(place: jax.Array, found: jax.Array) -> jax.Array:
        larger = found | (jnp.ones((), integer) << (highest - place).astype(integer))
        return jnp.where((bits < larger).sum() < rank, larger, found)

    return lax.bitcast_convert_type(lax.fori_loop(0, highest + 1, add_bit, jnp.zeros((), integer)), values.dtype)


def _of_class(pool: Pool, classes: int) -> jax.Array:
    """`[N, n]` bool: the training clips of each class."""
    return (pool.label[None, :] == jnp.arange(classes)[:, None]) & pool.train[None, :]


def _draw_rows(
    key: jax.Array, allowed: jax.Array, count: int, prefer: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """`count` different random rows per class, preferred rows first: `[N*count]` row numbers and their mask."""
    score = jax.random.uniform(key, allowed.shape, jnp.float32)
    if prefer is not None:
        score = score + prefer[None, :].astype(jnp.float32)
    score = jnp.where(allowed, score, -1.0)
    width = min(count, allowed.shape[1])
    best, rows = lax.top_k(score, width)
    padding = ((0, 0), (0, count - width))
    best, rows = jnp.pad(best, padding, constant_values=-1.0), jnp.pad(rows, padding)
    return rows.reshape(-1), (best >= 0).reshape(-1)

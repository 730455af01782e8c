"""Compiled training and prediction of one (fold, replica) job.

Each device holds the data once; a job draws its tasks by index from the training clips of its fold. Random numbers depend on
(replica, fold, step) only, so jobs draw the same tasks in any order and on any number of devices.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

from lightman_jax.meta.adaptation import align_and_predict
from lightman_jax.meta.bilevel import TASKS, uses_vmap
from lightman_jax.meta.method_functions import Method, make_method
from lightman_jax.meta.view_networks import unit_images, unit_network
from lightman_jax.preprocessing import magnify_flow, mirror_average, mirror_flow, scale_flow
from lightman_jax.training.config import Auxiliary, TrainConfig
from lightman_jax.training.devices import FOLDS, map_jobs
from lightman_jax.training.folds import Fold
from lightman_jax.training.mirroring import Partners, mirror_partners
from lightman_jax.training.numerics import gradient_error
from lightman_jax.training.tasks import Pool, draw_task_batch, with_movements
from lightman_jax.types import Clips, ClipSet, Metrics, Params, Task, TrainState

_INIT_STEP, _SHUFFLE_STEP = 0xFFFFFFFF, 0xFFFFFFFE


def fold_key(replica: int, fold: str) -> jax.Array:
    """Random key of one job, `fold_in(key(replica), crc32(fold name))`; independent of the other folds.

    >>> bool((fold_key(0, "smic/s1") == fold_key(0, "smic/s1")).all())
    True
    """
    return jax.random.fold_in(jax.random.key(replica), zlib.crc32(fold.encode()))


class JobInputs(NamedTuple):
    """Inputs of a job: data of its random key, `train [n]`, `macro_train [m]`."""

    key_data: jax.Array
    train: jax.Array
    macro_train: jax.Array

    @property
    def key(self) -> jax.Array:
        """Random key of the job."""
        return jax.random.wrap_key_data(self.key_data)


class TrainingData(NamedTuple):
    """Arrays shared by all jobs; images are scaled, unless their scale depends on the fold."""

    image: jax.Array
    label: jax.Array
    subject: jax.Array
    macro_image: jax.Array
    macro_label: jax.Array
    macro_subject: jax.Array


class Programs(NamedTuple):
    """Initial state, a chunk of outer steps, and final parameters of jobs."""

    start: Callable[..., TrainState]
    advance: Callable[..., tuple[TrainState, Metrics]]
    finish: Callable[..., Params]


def training_data(micro: ClipSet, macro: ClipSet | None, config: TrainConfig) -> TrainingData:
    """Arrays shared by all jobs, on the host; without a macro corpus the macro arrays are those of the micro clips.

    With views, the images are those of `unit_images`.
    """
    second = micro if macro is None else macro
    # Micro subjects come first, so that their numbers are below the number of micro clips, as `Pool` requires.
    number = {name: row for row, name in enumerate(dict.fromkeys((*sorted(micro.subject), *sorted(second.subject))))}

    def part(clips: ClipSet) -> tuple[Any, Any, Any]:
        subject = [number[name] for name in clips.subject]
        image = jnp.asarray(clips.image)
        if not _scaled_by_fold(config):
            image = scale_flow(image, scaling=config.scaling, views=config.network.views > 1)
            image = unit_images(image, config.network)
        # On the host, because arrays on the devices of one process cannot be spread over those of another.
        return np.asarray(image), np.asarray(clips.label, np.int32), np.asarray(subject, np.int32)

    return TrainingData(*part(micro), *part(second))


@functools.lru_cache(maxsize=32)
def training_program(
    config: TrainConfig, classes: tuple[str, ...], auxiliary: Auxiliary, chunk: int, mesh: Mesh
) -> Programs:
    """Programs of the jobs that train in parallel, spread over a mesh, with `chunk` outer steps per call."""
    partners = mirror_partners(config.mirror, classes)
    network = unit_network(config.network)
    method = method_of(dataclasses.replace(config, network=network), mesh)

    def start(job: JobInputs, data: TrainingData) -> TrainState:
        key = jax.random.fold_in(job.key, _INIT_STEP)
        return method.init(key, data.image.shape[1:], len(classes), data.image.dtype)

    def advance(state: TrainState, job: JobInputs, data: TrainingData) -> tuple[TrainState, Metrics]:
        micro, macro = _pools(job, data, config, auxiliary)

        def step(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
            draw_key, mirror_key = jax.random.split(jax.random.fold_in(job.key, state.step))
            tasks = draw_task_batch(draw_key, micro, macro, classes=len(classes), config=config.task)
            tasks = mirror_at_random(mirror_key, tasks, partners)
            tasks = jax.vmap(with_movements)(tasks) if auxiliary == "views" else tasks
            if network.views > 1 and config.view_dropout > 0:
                tasks = drop_views_at_random(jax.random.fold_in(mirror_key, 0), tasks, config.view_dropout)
            return method.update(state, tasks)

        return jax.lax.scan(step, state, None, length=chunk)

    def finish(state: TrainState, job: JobInputs, data: TrainingData) -> Params:
        micro, _ = _pools(job, data, config, auxiliary)
        return method.finish(state, Clips(image=micro.image, label=micro.label, where=micro.train))

    # check_vma is off because the initial carries of the inner scans are constants, which the check regards as unvarying.
    jobs, shared = PartitionSpec(FOLDS), PartitionSpec()
    # If the tasks axis is longer than 1, the update splits the tasks over it.
    own = {FOLDS} if mesh.shape[TASKS] > 1 else {FOLDS, TASKS}
    each = functools.partial(jax.shard_map, mesh=mesh, out_specs=jobs, axis_names=own, check_vma=False)
    of_row = functools.partial(map_jobs, in_parallel=uses_vmap(config.method.bilevel.task_mapping))
    return Programs(
        jax.jit(each(of_row(start, 1), in_specs=(jobs, shared))),
        jax.jit(each(of_row(advance, 2), in_specs=(jobs, jobs, shared)), donate_argnums=0),
        jax.jit(each(of_row(finish, 2), in_specs=(jobs, jobs, shared))),
    )


@functools.lru_cache(maxsize=32)
def prediction_program(
    config: TrainConfig, partners: Partners | None, align_steps: int = 0
) -> Callable[..., jax.Array]:
    """Probabilities of selected rows of all images, averaged over each clip and its mirror image, see `mirror_average`.

    With `align_steps`, the parameters are adapted to the selected clips before, by that many inner steps of `align_and_predict`.
    """
    logits, has_views = method_of(config).logits, config.network.views > 1
    bilevel = dataclasses.replace(config.method.bilevel, inner_steps=align_steps)
    method = dataclasses.replace(config.method, bilevel=bilevel)

    def probabilities(params: Params, images: jax.Array, where: jax.Array) -> jax.Array:
        if not align_steps:
            return jax.nn.softmax(logits(params, images))
        repeated = jnp.tile(where, images.shape[0] // where.shape[0])
        return align_and_predict(params, images, config=method, network=config.network, where=repeated)

    @jax.jit
    def predict(params: Params, images: jax.Array, rows: jax.Array, train: jax.Array, where: jax.Array) -> jax.Array:
        if _scaled_by_fold(config):
            test = scale_flow(images, scaling=config.scaling, train=train, views=has_views)[rows]
        else:
            test = scale_flow(images[rows], scaling=config.scaling, views=has_views)
        return mirror_average(lambda x: probabilities(params, x, where), test, partners)

    return predict


def job_gradient_error(
    job: tuple[Fold, int], data: TrainingData, config: TrainConfig, classes: int, auxiliary: Auxiliary
) -> float:
    """Relative error of a job's first outer gradient in the configured precision, see `gradient_error`."""
    fold, replica = job
    key = fold_key(replica, fold.name)
    macro_train = fold.macro_train if auxiliary == "macro" else fold.train
    own = JobInputs(jax.random.key_data(key), jnp.asarray(fold.train), jnp.asarray(macro_train))
    micro, macro = _pools(own, jax.tree.map(jnp.asarray, data), config, auxiliary)
    tasks = draw_task_batch(key, micro, macro, classes=classes, config=config.task)
    tasks = jax.vmap(with_movements)(tasks) if auxiliary == "views" else tasks
    return gradient_error(key, tasks, method=config.method, network=unit_network(config.network), classes=classes)


def method_of(config: TrainConfig, mesh: Mesh | None = None) -> Method:
    """The method with its outer optimizer, AdamW with a cosine decay of the learning rate to 0."""
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(config.learning_rate, config.steps), weight_decay=config.weight_decay
    )
    if config.skip_nonfinite:
        optimizer = optax.apply_if_finite(optimizer, max_consecutive_errors=config.steps)
    return make_method(config.method, config.network, optimizer, steps=config.steps, mesh=mesh)


def _pools(job: JobInputs, data: TrainingData, config: TrainConfig, auxiliary: Auxiliary) -> tuple[Pool, Pool]:
    micro_image, macro_image = data.image, data.macro_image
    if _scaled_by_fold(config):
        has_views = config.network.views > 1
        micro_image = scale_flow(micro_image, scaling=config.scaling, train=job.train, views=has_views)
        macro_image = scale_flow(macro_image, scaling=config.scaling, train=job.macro_train, views=has_views)
        micro_image, macro_image = (unit_images(image, config.network) for image in (micro_image, macro_image))
    if auxiliary == "magnified":
        macro_image = magnify_flow(micro_image, config.macro_gain)
    macro_label = data.macro_label
    if config.macro_labels == "shuffled":
        macro_label = shuffle_labels(jax.random.fold_in(job.key, _SHUFFLE_STEP), macro_label, job.macro_train)
    return (
        Pool(micro_image, data.label, data.subject, job.train),
        Pool(macro_image, macro_label, data.macro_subject, job.macro_train),
    )


def shuffle_labels(key: jax.Array, labels: jax.Array, train: jax.Array) -> jax.Array:
    """Permute the labels `[m]` of the training clips among themselves; other labels are unchanged.

    >>> shuffle_labels(jax.random.key(0), jnp.array([1, 1, 7]), jnp.array([True, True, False])).tolist()
    [1, 1, 7]
    """
    chex.assert_equal_shape([labels, train])
    score = jnp.where(train, jax.random.uniform(key, labels.shape), jnp.inf)
    # Both sorts are stable and put training rows first; the other rows keep their order after them.
    return labels.at[jnp.argsort(~train)].set(labels[jnp.argsort(score)])


def mirror_at_random(key: jax.Array, tasks: Task, partners: Partners | None = ()) -> Task:
    """Mirror each clip of a task batch, images `[T, n, (frames,) H, W, C]`, with probability one half, negating u.

    Args:
      key: JAX random key.
      tasks: from `draw_task_batch`, which puts equally many clips of each class in the order of the classes.
      partners: from `mirror_partners`; empty: every class is its own partner; None: the tasks are returned as they are. A mirrored
        clip has the label of the partner class, and clips in the same place of two partner classes are mirrored together, so that
        each class keeps its number of clips.
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
        return dataclasses.replace(clips, image=jnp.where(heads, mirror_flow(clips.image), clips.image), label=label)

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


def _scaled_by_fold(config: TrainConfig) -> bool:
    """Whether the scale of an image depends on the fold's training clips; if not, images are scaled once for all jobs."""
    return config.scaling == "fold_rms"

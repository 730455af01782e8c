"""Compiled training and prediction of one (fold, replica) job.

Each device holds the data once; a job draws its tasks by index from the training clips of its fold. Random numbers depend on
(replica, fold, step) only, so jobs draw the same tasks in any order and on any number of devices.

Float32 images are scaled once. Stored images (uint8, float16, or in files) are converted as they are drawn, see `drawn_images`;
those in files are read between the calls of a program, see `image_stream`.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

from lightman_jax.data.preparation.stored_images import StoredImages
from lightman_jax.meta.adaptation import align_and_predict
from lightman_jax.meta.bilevel import TASKS, uses_vmap
from lightman_jax.meta.method_functions import Method, make_method, start_from
from lightman_jax.meta.view_networks import unit_images, unit_network
from lightman_jax.preprocessing import magnify_flow, mirror_average, scale_flow
from lightman_jax.training.clip_scale import ClipScale, clip_scale, is_converted, scaled
from lightman_jax.training.config import Auxiliary, TrainConfig
from lightman_jax.training.devices import FOLDS, map_jobs
from lightman_jax.training.drawn_images import (
    FinalClips,
    StoredForm,
    converted_tasks,
    draw_rows,
    drawn_rows,
    final_clips,
    stored_rows,
)
from lightman_jax.training.folds import Fold
from lightman_jax.training.mirroring import Partners, mirror_partners
from lightman_jax.training.numerics import gradient_error
from lightman_jax.training.random_changes import drop_views_at_random, mirror_at_random, shuffle_labels
from lightman_jax.training.tasks import DrawnTask, Pool, draw_task_batch, with_movements
from lightman_jax.types import Clips, ClipSet, Metrics, Params, TrainState

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
    """Arrays shared by all jobs.

    Images are scaled, unless their scale depends on the fold or `scale` has it: then they are as stored, None if they are read from
    files, and `macro_image` is None without macro clips. `initial` are weights that every job starts from, see `start_from`.
    """

    image: Any
    label: jax.Array
    subject: jax.Array
    macro_image: Any
    macro_label: jax.Array
    macro_subject: jax.Array
    scale: ClipScale | None = None
    macro_scale: ClipScale | None = None
    initial: Params | None = None


class Programs(NamedTuple):
    """Functions of jobs that run in parallel.

    Attributes:
      start: initial state.
      advance: a chunk of outer steps.
      finish: final parameters.
      rows: rows of the stored images that a chunk draws.
      images: stored images of rows, if the device has them.
      chunk: outer steps of a chunk.
    """

    start: Callable[..., TrainState]
    advance: Callable[..., tuple[TrainState, Metrics]]
    finish: Callable[..., Params]
    rows: Callable[..., jax.Array]
    images: Callable[..., jax.Array]
    chunk: int


def training_data(micro: ClipSet, macro: ClipSet | None, config: TrainConfig) -> TrainingData:
    """Arrays shared by all jobs, on the host; without a macro corpus the macro arrays are those of the micro clips.

    With views, scaled images are those of `unit_images`.
    """
    second, views = micro if macro is None else macro, config.network.views > 1
    # Micro subjects come first, so that their numbers are below the number of micro clips, as `Pool` requires.
    number = {name: row for row, name in enumerate(dict.fromkeys((*sorted(micro.subject), *sorted(second.subject))))}
    converted = any(is_converted(clips.image, config) for clips in (micro, second))

    def part(clips: ClipSet) -> tuple[Any, Any, Any]:
        labels = np.asarray(clips.label, np.int32), np.asarray([number[name] for name in clips.subject], np.int32)
        if converted:
            return None if isinstance(micro.image, StoredImages) else clips.image, *labels
        image = jnp.asarray(clips.image)
        if not _scaled_by_fold(config):
            image = scale_flow(image, scaling=config.scaling, views=views, channels=config.channels)
            image = unit_images(image, config.network)
        # On the host, because arrays on the devices of one process cannot be spread over those of another.
        return np.asarray(image), *labels

    if not converted:
        return TrainingData(*part(micro), *part(second))
    scale = clip_scale(micro.image, config, views=views)
    if macro is None:
        return TrainingData(*part(micro), *part(micro), scale, scale)._replace(macro_image=None)
    return TrainingData(*part(micro), *part(macro), scale, clip_scale(macro.image, config, views=views))


@functools.lru_cache(maxsize=32)
def training_program(
    config: TrainConfig,
    classes: tuple[str, ...],
    auxiliary: Auxiliary,
    chunk: int,
    mesh: Mesh,
    stored: StoredForm | None = None,
) -> Programs:
    """Programs of the jobs that train in parallel, spread over a mesh, with `chunk` outer steps per call.

    `stored` is the form of images that are converted as they are drawn; None for images that are scaled once.
    """
    network = unit_network(config.network)
    method = method_of(dataclasses.replace(config, network=network), mesh)
    job = _JobFunctions(config, classes, auxiliary, chunk, stored, method)
    # check_vma is off because the initial carries of the inner scans are constants, which the check regards as unvarying.
    jobs, shared = PartitionSpec(FOLDS), PartitionSpec()
    # If the tasks axis is longer than 1, the update splits the tasks over it.
    own = {FOLDS} if mesh.shape[TASKS] > 1 else {FOLDS, TASKS}
    each = functools.partial(jax.shard_map, mesh=mesh, out_specs=jobs, axis_names=own, check_vma=False)
    of_row = functools.partial(map_jobs, in_parallel=uses_vmap(config.method.bilevel.task_mapping))
    return Programs(
        jax.jit(each(of_row(job.start, 1), in_specs=(jobs, shared))),
        jax.jit(each(of_row(job.advance, 3), in_specs=(jobs, jobs, jobs, shared)), donate_argnums=0),
        jax.jit(each(of_row(job.finish, 3), in_specs=(jobs, jobs, jobs, shared))),
        jax.jit(each(of_row(job.rows, 1), in_specs=(jobs, shared, shared))),
        jax.jit(each(of_row(job.images, 1), in_specs=(jobs, shared))),
        chunk,
    )


@dataclasses.dataclass(frozen=True)
class _JobFunctions:
    """The functions of one job; arguments as of `training_program`."""

    config: TrainConfig
    classes: tuple[str, ...]
    auxiliary: Auxiliary
    chunk: int
    stored: StoredForm | None
    method: Method

    def start(self, job: JobInputs, data: TrainingData) -> TrainState:
        key = jax.random.fold_in(job.key, _INIT_STEP)
        if self.stored is None:
            one = jax.ShapeDtypeStruct(data.image.shape[1:], data.image.dtype)
        else:
            stored = jax.ShapeDtypeStruct((1, *self.stored.shape), jnp.float32)
            units = jax.eval_shape(lambda x: unit_images(x, self.config.network), stored)
            one = jax.ShapeDtypeStruct(units.shape[1:], units.dtype)
        state = self.method.init(key, one.shape, len(self.classes), one.dtype)
        return dataclasses.replace(state, params=start_from(state.params, data.initial))

    def advance(
        self, state: TrainState, job: JobInputs, stored: jax.Array | None, data: TrainingData
    ) -> tuple[TrainState, Metrics]:
        """A chunk of outer steps; `stored` has the stored images of each step `[chunk, T, R, ...]` if they are converted."""
        config, pools = self.config, _pools(job, data, self.config, self.auxiliary)
        partners = mirror_partners(config.mirror, self.classes)
        scale = None if self.stored is None else _scale_of_job(job, data, config, self.auxiliary)

        def step(state: TrainState, stored: Any) -> tuple[TrainState, Metrics]:
            draw_key, mirror_key = jax.random.split(jax.random.fold_in(job.key, state.step))
            if scale is None:
                tasks = draw_task_batch(draw_key, *pools, classes=len(self.classes), config=config.task)
            else:
                drawn, own_key = self._draw(draw_key, pools), jax.random.fold_in(mirror_key, 1)
                tasks = converted_tasks(own_key, drawn, stored, scale, config, self.auxiliary)
            tasks = mirror_at_random(mirror_key, tasks, partners, channels=config.channels)
            tasks = jax.vmap(with_movements)(tasks) if self.auxiliary == "views" else tasks
            if unit_network(config.network).views > 1 and config.view_dropout > 0:
                tasks = drop_views_at_random(jax.random.fold_in(mirror_key, 0), tasks, config.view_dropout)
            return self.method.update(state, tasks)

        return jax.lax.scan(step, state, stored, length=self.chunk)

    def finish(self, state: TrainState, job: JobInputs, clips: FinalClips | None, data: TrainingData) -> Params:
        if clips is None:
            micro, _ = _pools(job, data, self.config, self.auxiliary)
            return self.method.finish(state, Clips(image=micro.image, label=micro.label, where=micro.train))
        scale = _scale_of_job(job, data, self.config, "auto")
        return self.method.finish(state, final_clips(clips, data.label, scale, self.config))

    def rows(self, job: JobInputs, first: jax.Array, data: TrainingData) -> jax.Array:
        """Rows `[chunk, T, R]` of the images of the steps from `first` on."""
        pools = _pools(job, data, self.config, self.auxiliary)

        def of_step(step: jax.Array) -> jax.Array:
            draw_key, _ = jax.random.split(jax.random.fold_in(job.key, step))
            return drawn_rows(self._draw(draw_key, pools), self.auxiliary)

        return jax.lax.map(of_step, first + jnp.arange(self.chunk, dtype=jnp.int32))

    def images(self, rows: jax.Array, data: TrainingData) -> jax.Array:
        """Stored images of rows, from the memory of the device."""
        return stored_rows(rows, data.image, data.macro_image)

    def _draw(self, key: jax.Array, pools: tuple[Pool, Pool]) -> DrawnTask:
        return draw_rows(key, *pools, classes=len(self.classes), config=self.config, auxiliary=self.auxiliary)


@functools.lru_cache(maxsize=32)
def prediction_program(
    config: TrainConfig, partners: Partners | None, align_steps: int = 0
) -> Callable[..., jax.Array]:
    """Probabilities of selected rows of all images, averaged over each clip and its mirror image, see `mirror_average`.

    With `align_steps`, the parameters are adapted to the selected clips before, by that many inner steps of `align_and_predict`.
    """
    probabilities, has_views = _probabilities(config, align_steps), config.network.views > 1

    @jax.jit
    def predict(params: Params, images: jax.Array, rows: jax.Array, train: jax.Array, where: jax.Array) -> jax.Array:
        scale = functools.partial(scale_flow, scaling=config.scaling, views=has_views, channels=config.channels)
        test = scale(images, train=train)[rows] if _scaled_by_fold(config) else scale(images[rows])
        return mirror_average(lambda x: probabilities(params, x, where), test, partners, channels=config.channels)

    return predict


@functools.lru_cache(maxsize=32)
def stored_prediction_program(
    config: TrainConfig, partners: Partners | None, align_steps: int = 0
) -> Callable[..., jax.Array]:
    """As `prediction_program`, of given stored images and their scale: `(params, images, scale, where) -> probabilities`."""
    probabilities = _probabilities(config, align_steps)

    @jax.jit
    def predict(params: Params, images: jax.Array, scale: ClipScale, where: jax.Array) -> jax.Array:
        test = scaled(images, scale)
        return mirror_average(lambda x: probabilities(params, x, where), test, partners, channels=config.channels)

    return predict


def _probabilities(config: TrainConfig, align_steps: int) -> Callable[[Params, jax.Array, jax.Array], jax.Array]:
    """Probabilities of scaled images."""
    logits = method_of(config).logits
    bilevel = dataclasses.replace(config.method.bilevel, inner_steps=align_steps)
    method = dataclasses.replace(config.method, bilevel=bilevel)

    def probabilities(params: Params, images: jax.Array, where: jax.Array) -> jax.Array:
        if not align_steps:
            return jax.nn.softmax(logits(params, images))
        repeated = jnp.tile(where, images.shape[0] // where.shape[0])
        return align_and_predict(params, images, config=method, network=config.network, where=repeated)

    return probabilities


def job_gradient_error(
    job: tuple[Fold, int],
    data: TrainingData,
    config: TrainConfig,
    classes: int,
    auxiliary: Auxiliary,
    read: Callable[[Any], Any] | None = None,
) -> float:
    """Relative error of a job's first outer gradient in the configured precision, see `gradient_error`.

    `read` reads the images of rows that are in files.
    """
    fold, replica = job
    key = fold_key(replica, fold.name)
    macro_train = fold.macro_train if auxiliary == "macro" else fold.train
    own = JobInputs(jax.random.key_data(key), jnp.asarray(fold.train), jnp.asarray(macro_train))
    whole = jax.tree.map(jnp.asarray, data)
    pools = _pools(own, whole, config, auxiliary)
    if data.scale is None:
        tasks = draw_task_batch(key, *pools, classes=classes, config=config.task)
    else:
        drawn = draw_rows(key, *pools, classes=classes, config=config, auxiliary=auxiliary)
        rows = drawn_rows(drawn, auxiliary)
        images = stored_rows(rows, whole.image, whole.macro_image) if read is None else jnp.asarray(read(rows))
        tasks = converted_tasks(key, drawn, images, _scale_of_job(own, whole, config, auxiliary), config, auxiliary)
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
    """Clips from which a job draws; of stored images the rows only."""
    micro_image: Any = data.image if data.scale is None else None
    macro_image: Any = data.macro_image if data.scale is None else None
    if data.scale is None and _scaled_by_fold(config):
        scale = functools.partial(
            scale_flow, scaling=config.scaling, views=config.network.views > 1, channels=config.channels
        )
        micro_image, macro_image = scale(micro_image, train=job.train), scale(macro_image, train=job.macro_train)
        micro_image, macro_image = (unit_images(image, config.network) for image in (micro_image, macro_image))
    if data.scale is None and auxiliary == "magnified":
        macro_image = magnify_flow(micro_image, config.macro_gain)
    macro_label = data.macro_label
    if config.macro_labels == "shuffled":
        macro_label = shuffle_labels(jax.random.fold_in(job.key, _SHUFFLE_STEP), macro_label, job.macro_train)
    return (
        Pool(micro_image, data.label, data.subject, job.train),
        Pool(macro_image, macro_label, data.macro_subject, job.macro_train),
    )


def _scale_of_job(job: JobInputs, data: TrainingData, config: TrainConfig, auxiliary: Auxiliary) -> ClipScale:
    """Scale of all clips, micro clips first; without macro clips, of the micro clips alone."""
    assert data.scale is not None
    assert data.macro_scale is not None
    micro = data.scale.of_fold(config.scaling, job.train)
    if auxiliary != "macro":
        return micro
    macro = data.macro_scale.of_fold(config.scaling, job.macro_train)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), micro, macro)


def _scaled_by_fold(config: TrainConfig) -> bool:
    """Whether the scale of an image depends on the fold's training clips; if not, images are scaled once for all jobs."""
    return config.scaling == "fold_rms"

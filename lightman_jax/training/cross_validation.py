"""Train cross-validation folds with one compiled program, with as many jobs in parallel as devices allow.

A job is one (fold, replica). The replicas of a fold differ in their random numbers only.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import NDArray

from lightman_jax.checks import is_count, transferring
from lightman_jax.data.preparation.stored_images import StoredImages
from lightman_jax.meta.bilevel import uses_vmap
from lightman_jax.training.clip_scale import is_converted
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.devices import (
    FOLDS,
    OutOfMemoryError,
    fetch,
    is_out_of_memory,
    job_mesh,
    jobs_per_device,
    place,
    program_bytes,
)
from lightman_jax.training.drawn_images import FinalClips, StoredForm, drawn_clips, final_rows
from lightman_jax.training.folds import Fold
from lightman_jax.training.image_stream import CALL_BYTES, ImageStream
from lightman_jax.training.leakage import check_leaks
from lightman_jax.training.mirroring import mirror_text, sided_classes
from lightman_jax.training.numerics import refuse_imprecise, refuse_nonfinite, refuse_on_cpu
from lightman_jax.training.program import (
    JobInputs,
    Programs,
    TrainingData,
    fold_key,
    job_gradient_error,
    method_of,
    training_data,
    training_program,
)
from lightman_jax.types import Clips, ClipSet, Params, image_bytes

Job = tuple[Fold, int]
"""A fold and a replica."""

_LONGEST_CHUNK = 25


class TrainedFold(NamedTuple):
    """A finished job: the fold, the replica, the final parameters and each metric's `[steps]` history."""

    fold: Fold
    replica: int
    params: Params
    history: dict[str, NDArray[np.float32]]


class Progress(NamedTuple):
    """Progress of training: jobs in progress, their step, jobs done and in total, and the mean loss of the last chunk of steps."""

    jobs: Sequence[Job]
    step: int
    done: int
    total: int
    loss: float


def train_folds(
    micro: ClipSet,
    macro: ClipSet | None,
    folds: Sequence[Fold],
    replicas: Sequence[int],
    config: TrainConfig,
    *,
    initial: Params | None = None,
    skip: Callable[[Fold, int], bool] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[TrainedFold]:
    """Train every replica of every fold with one compiled program, and yield each job when it ends.

    Args:
      micro: micro-expression clips.
      macro: macro-expression clips with the same classes and views, or None; `config.auxiliary` chooses whether they, pseudo-macro
        clips `tanh(gain * x)` of each fold's own training clips, or other views of these are aligned with.
      folds: from `leave_one_subject_out`; folds that leak are refused by `check_leaks`.
      replicas: seeds of the random numbers, one training of every fold each.
      config: see `TrainConfig`; a warning reports class names for which `mirror="auto"` switches mirroring off.
      initial: weights that every job starts from, of `model.initial.initial_weights`, as `config.init` asks; None: random ones.
      skip: `skip(fold, replica)` is true for jobs that need no training; None trains all.
      on_progress: called after every chunk of steps.

    Yields:
      `TrainedFold`, replica by replica, in the order of the folds.

    Raises:
      ValueError: a fold that leaks or is of other clips, macro clips with other classes, views or image sizes, settings for another
        number of views, or a precision that the backend or the gradient forbids.
      FloatingPointError: a loss is not finite; names the fold, the replica, the step, the loss and the parameters.
      OutOfMemoryError: a device cannot hold one job; names the bytes it needs. Before that, fewer jobs run in parallel, with a
        warning.
    """
    wrong = [replica for replica in replicas if not is_count(replica, 0)]
    if wrong:
        raise ValueError(f"replica {wrong[0]!r} is no seed; give whole numbers from 0")
    jobs = [(fold, replica) for replica in replicas for fold in folds if skip is None or not skip(fold, replica)]
    session = _open_session(micro, macro, folds, len(replicas), config, jobs)
    session = session and _starting_from(session, initial)
    done = 0
    while session is not None and done < len(jobs):
        batch = jobs[done : done + session.jobs_at_once]

        def report(step: int, loss: float, batch: Sequence[Job] = batch, done: int = done) -> None:
            if on_progress is not None:
                on_progress(Progress(batch, step, done, len(jobs), loss))

        try:
            yield from session.train(batch, report)
        except jax.errors.JaxRuntimeError as error:
            session = session.with_fewer_jobs(error, batch)
            continue
        done += len(batch)


@dataclasses.dataclass(frozen=True)
class _Session:
    """Everything the jobs of one training share."""

    config: TrainConfig
    mesh: Mesh
    per_device: int
    programs: Sequence[Programs]
    data: TrainingData
    has_macro: bool
    images: StoredForm | None = None
    stream: ImageStream | None = None

    @property
    def jobs_at_once(self) -> int:
        return self.mesh.shape[FOLDS] * self.per_device

    def train(self, batch: Sequence[Job], report: Callable[[int, float], None]) -> Iterator[TrainedFold]:
        """All steps of the jobs that train in parallel; none is yielded before the last step of all."""
        params, history = self._trained(batch, report)
        for row, (fold, replica) in enumerate(batch):
            own = jax.tree.map(lambda x, row=row: x[row], params)
            yield TrainedFold(fold, replica, own, {name: values[row] for name, values in history.items()})

    @transferring
    def _trained(self, batch: Sequence[Job], report: Callable[[int, float], None]) -> tuple[Params, dict[str, Any]]:
        """Parameters and histories of the jobs, with a leading axis of jobs."""
        job = self._inputs(batch)
        state = self.programs[0].start(job, self.data)
        chunks, step, names = [], 0, [(fold.name, replica) for fold, replica in batch]
        for program, read in zip(self.programs, self._read_ahead(job), strict=True):
            state, metrics = program.advance(state, job, read, self.data)
            chunks.append(fetch(metrics))
            if not self.config.skip_nonfinite:
                refuse_nonfinite(names, step, chunks[-1], state.params)
            step += chunks[-1]["loss"].shape[1]
            report(step, float(np.mean(chunks[-1]["loss"][: len(batch)])))
        history = {name: np.concatenate([part[name] for part in chunks], axis=1) for name in chunks[0]}
        clips = self._final_clips(job)
        return fetch(self.programs[0].finish(state, job, clips, self.data)), history

    def _read_ahead(self, job: JobInputs) -> Iterator[Any]:
        """Stored images of the clips that each call draws; None if images are scaled once."""
        if self.images is None:
            yield from [None] * len(self.programs)
            return
        firsts = np.cumsum([0, *(program.chunk for program in self.programs[:-1])])
        calls = zip(self.programs, firsts, strict=True)
        rows = (program.rows(job, jnp.int32(first), self.data) for program, first in calls)
        if self.stream is None:
            yield from (self.programs[0].images(own, self.data) for own in rows)
            return
        for images in self.stream.ahead([fetch(own) for own in rows]):
            yield place(images, self.mesh, PartitionSpec(FOLDS))

    def _final_clips(self, job: JobInputs) -> FinalClips | None:
        """The training clips that end the training of each job; None if these are all, as for images that are scaled once."""
        if self.images is None:
            return None
        label = fetch(self.data.label)
        own = [final_rows(label, train, self.images) for train in fetch(job.train)]
        row, where = (np.stack([getattr(one, name) for one in own]) for name in ("row", "where"))
        row, where = place((row, where), self.mesh, PartitionSpec(FOLDS))
        if self.stream is None:
            return FinalClips(row, where, self.programs[0].images(row, self.data))
        return FinalClips(row, where, place(self.stream.read(fetch(row)), self.mesh, PartitionSpec(FOLDS)))

    def with_fewer_jobs(self, error: jax.errors.JaxRuntimeError, batch: Sequence[Job]) -> "_Session":
        """Half as many jobs per device after an out-of-memory error; any other error is raised again."""
        if not is_out_of_memory(error):
            raise error
        if self.per_device == 1:
            raise OutOfMemoryError(self._memory_text(error, self._inputs(batch))) from error
        fewer = -(-self.per_device // 2)
        warnings.warn(
            f"out of memory: from now on {fewer} jobs per device in parallel, with the same results up to rounding",
            stacklevel=3,
        )
        return dataclasses.replace(self, per_device=fewer)

    def _inputs(self, batch: Sequence[Job]) -> JobInputs:
        # Copies of the first job fill up the last batch; their results are dropped.
        filled = [*batch, *[batch[0]] * (self.jobs_at_once - len(batch))]
        inputs = (
            [jax.random.key_data(fold_key(replica, fold.name)) for fold, replica in filled],
            [fold.train for fold, _ in filled],
            [fold.macro_train if self.has_macro else fold.train for fold, _ in filled],
        )
        return JobInputs(*place([np.stack(part) for part in inputs], self.mesh, PartitionSpec(FOLDS)))

    def _memory_text(self, error: BaseException, job: JobInputs) -> str:
        program, read = self.programs[0], None
        if self.images is not None:
            rows = jax.eval_shape(program.rows, job, jnp.int32(0), self.data)
            read = jax.ShapeDtypeStruct((*rows.shape, *self.images.shape), self.images.dtype)
        state = jax.eval_shape(program.start, job, self.data)
        needed = program_bytes(program.advance, state, job, read, self.data)
        bytes_text = "" if needed is None else f": one job needs {needed:,} bytes of device memory"
        return (
            f"out of memory{bytes_text} ({str(error).splitlines()[0]}). Free memory, or add --task_mapping=scan, which gives the "
            "same results; smaller --meta_batch_size, --shots, --width or --inner_steps need less memory but change the results"
        )


@transferring
def _open_session(
    micro: ClipSet,
    macro: ClipSet | None,
    folds: Sequence[Fold],
    replicas: int,
    config: TrainConfig,
    jobs: Sequence[Job],
) -> _Session | None:
    """Check the data, compile nothing yet, and place the data on the devices; None without jobs."""
    if config.network.precision == "bfloat16":
        refuse_on_cpu()
    if config.mirror == "auto" and sided_classes(micro.classes):
        warnings.warn(
            f"{mirror_text(config.mirror, micro.classes)}; give the class names to predict_folds and ensemble_programs too, or set "
            "mirror to off or to pairs such as left:right",
            stacklevel=4,
        )
    if macro is not None and macro.classes != micro.classes:
        raise ValueError(
            f"macro clips have the classes {macro.classes}, micro clips {micro.classes}; give both the same classes"
        )
    if config.network.views != max(1, len(micro.views)):
        named = f"the views {', '.join(micro.views)}" if micro.views else "one view"
        raise ValueError(
            f"the clips have {named}, the network is for {config.network.views}; set "
            f"NetworkConfig(views={max(1, len(micro.views))})"
        )
    if macro is not None and macro.views != micro.views:
        raise ValueError(
            f"macro clips have the views {macro.views}, micro clips {micro.views}; give both the same views"
        )
    if macro is not None and macro.image.shape[1:] != micro.image.shape[1:]:
        raise ValueError(
            f"macro images have the shape {macro.image.shape[1:]}, micro images {micro.image.shape[1:]}; give both the same shape"
        )
    for fold in folds:
        found = len(fold.train), len(fold.macro_train) if macro is not None else None
        if found != (len(micro), len(macro) if macro is not None else None):
            raise ValueError(f"fold {fold.name} is of {found} micro and macro clips; make the folds of these clips")
    check_leaks(micro, macro, folds, config.scaling, channels=config.channels)
    if not jobs:
        return None
    # Counts all jobs, not only those left, so that a resumed run continues with the same arithmetic.
    count = len(folds) * replicas
    mesh = job_mesh(count, config.task.meta_batch_size if config.method.spec.splits_tasks else 1)
    auxiliary, classes = config.aligned_with(has_macro=macro is not None), tuple(micro.classes)
    aligned = macro if auxiliary == "macro" else None
    per_device = jobs_per_device(count, mesh, in_parallel=uses_vmap(config.method.bilevel.task_mapping))
    images, stream, longest = _stored_form(micro, aligned, config), None, _LONGEST_CHUNK
    if images is not None:
        if images.streamed:
            stream = ImageStream(micro.image, None if aligned is None else aligned.image)
        step_bytes = drawn_clips(config.task, len(classes), auxiliary) * image_bytes(micro.image) * mesh.shape[FOLDS]
        per_device = max(1, min(per_device, CALL_BYTES // step_bytes))
        longest = max(1, min(longest, CALL_BYTES // (step_bytes * per_device)))
    lengths = chunk_lengths(config.steps, longest)
    stored = () if images is None else (images,)
    programs = [training_program(config, classes, auxiliary, length, mesh, *stored) for length in lengths]
    shared = training_data(micro, aligned, config)
    if config.network.precision == "bfloat16":
        read = None if stream is None else stream.read
        refuse_imprecise(job_gradient_error(jobs[0], shared, config, len(classes), auxiliary, read))
    data = place(shared, mesh, PartitionSpec())
    return _Session(config, mesh, per_device, programs, data, auxiliary == "macro", images, stream)


def _stored_form(micro: ClipSet, macro: ClipSet | None, config: TrainConfig) -> StoredForm | None:
    """The form of images that are converted as they are drawn; None for images that are scaled once."""
    both = [clips.image for clips in (micro, macro) if clips is not None]
    if not any(is_converted(images, config) for images in both):
        return None
    forms = {(np.dtype(images.dtype), isinstance(images, StoredImages)) for images in both}
    if len(forms) > 1:
        raise ValueError(
            f"micro images are {both[0].dtype}, macro images {both[1].dtype}; give both in one dtype, both in memory or both stored"
        )
    ((dtype, streamed),) = forms
    return StoredForm(tuple(both[0].shape[1:]), dtype, streamed)


@transferring
def _starting_from(session: _Session, initial: Params | None) -> _Session:
    """The session whose jobs start from given weights."""
    if initial is None and session.config.init:
        raise ValueError(f"init names {session.config.init}; give its weights too, initial=initial_weights(...).params")
    placed = place(initial, session.mesh, PartitionSpec())
    return dataclasses.replace(session, data=session.data._replace(initial=placed))


def chunk_lengths(steps: int, longest: int = _LONGEST_CHUNK) -> list[int]:
    """Steps of each compiled call: as few calls as possible of at most `longest` steps, all equally long but a shorter last one.

    >>> chunk_lengths(100), chunk_lengths(101)
    ([25, 25, 25, 25], [21, 21, 21, 21, 17])
    """
    calls = -(-steps // longest)
    length = -(-steps // calls)
    return [*[length] * (calls - 1), steps - length * (calls - 1)]


def trained_shapes(micro: ClipSet, config: TrainConfig) -> Params:
    """Shapes and dtypes of a job's final parameters, without training: a tree of `jax.ShapeDtypeStruct`."""
    method = method_of(config)

    def last(image: jax.Array, label: jax.Array, where: jax.Array) -> Params:
        state = method.init(jax.random.key(0), image.shape[1:], len(micro.classes))
        return method.finish(state, Clips(image=image, label=label, where=where))

    inputs = ((micro.image, jnp.float32), (micro.label, jnp.int32), (micro.label, bool))
    return jax.eval_shape(last, *[jax.ShapeDtypeStruct(values.shape, dtype) for values, dtype in inputs])

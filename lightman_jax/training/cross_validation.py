"""Train and predict folds as one compiled program, as many lanes side by side as there are devices and room."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from numpy.typing import NDArray

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
from lightman_jax.training.folds import Fold
from lightman_jax.training.leakage import check_leaks
from lightman_jax.training.numerics import refuse_imprecise, refuse_nonfinite, refuse_on_cpu
from lightman_jax.training.program import (
    JobInputs,
    Programs,
    TrainingData,
    fold_key,
    job_gradient_error,
    method_of,
    prediction_program,
    training_data,
    training_program,
    trains_side_by_side,
)
from lightman_jax.types import Clips, ClipSet, Params

_LONGEST_CHUNK = 25
_FEWEST_PREDICTED = 8


class TrainedFold(NamedTuple):
    """One finished lane: the fold, the seed, its last parameters and each metric's `[steps]` history."""

    fold: Fold
    seed: int
    params: Params
    history: dict[str, NDArray[np.float32]]


class Progress(NamedTuple):
    """Where training stands: lanes in flight, their step, lanes done and in all, and the mean loss of the last chunk."""

    jobs: Sequence[tuple[Fold, int]]
    step: int
    done: int
    total: int
    loss: float


def train_folds(
    micro: ClipSet,
    macro: ClipSet | None,
    folds: Sequence[Fold],
    seeds: Sequence[int],
    config: TrainConfig,
    *,
    skip: Callable[[Fold, int], bool] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[TrainedFold]:
    """Train every fold under every seed with one compiled program, and yield each lane when it ends.

    Args:
      micro: micro-expression clips.
      macro: macro-expression clips of the same label space; None makes pseudo-macro clips `tanh(gain * x)` from each
        fold's own training clips.
      folds: from `leave_one_subject_out`; checked here by `check_leaks`, so that a fold that leaks is refused.
      seeds: one training a seed.
      config: see `TrainConfig`.
      skip: says of a fold and a seed that they need no training; None trains all.
      on_progress: called after every chunk of steps.

    Yields:
      `TrainedFold`, seed by seed, in the order of the folds.

    Raises:
      ValueError: a leaking fold, macro clips with other classes, or a precision that the backend or the gradient forbids.
      FloatingPointError: a loss is not finite; names the fold, the seed, the step, the loss and a parameter.
      OutOfMemoryError: a device cannot hold one training; says the bytes it needs. Several side by side become fewer first, with a
        warning.
    """
    if config.network.precision == "bfloat16":
        refuse_on_cpu()
    if macro is not None and macro.classes != micro.classes:
        raise ValueError(
            f"macro clips have the classes {macro.classes}, micro clips {micro.classes}; give both the same"
        )
    check_leaks(micro, macro, folds, config.scaling)
    jobs = [(fold, seed) for seed in seeds for fold in folds if skip is None or not skip(fold, seed)]
    if not jobs:
        return
    # By all lanes, not by those left: a run that was interrupted goes on with the arithmetic it began with.
    count = len(folds) * len(seeds)
    mesh = job_mesh(count, 1 if config.method.variant == "generated" else config.task.meta_batch_size)
    of_row = jobs_per_device(count, mesh, side_by_side=trains_side_by_side(config))
    chunk = max(n for n in range(1, min(config.steps, _LONGEST_CHUNK) + 1) if config.steps % n == 0)
    programs = training_program(config, len(micro.classes), macro is None, chunk, mesh)
    shared = training_data(micro, macro, config)
    if config.network.precision == "bfloat16":
        refuse_imprecise(job_gradient_error(jobs[0], shared, config, len(micro.classes), macro is None))
    data = place(shared, mesh, PartitionSpec())
    first = 0
    while first < len(jobs):
        at_once = mesh.shape[FOLDS] * of_row
        batch = jobs[first : first + at_once]
        # The last batch is filled with copies of its own first lane, whose results are dropped.
        filled = [*batch, *[batch[0]] * (at_once - len(batch))]
        inputs = (
            [jax.random.key_data(fold_key(seed, fold.name)) for fold, seed in filled],
            [fold.train for fold, _ in filled],
            [fold.train if macro is None else fold.macro_train for fold, _ in filled],
        )
        job = JobInputs(*place([np.stack(part) for part in inputs], mesh, PartitionSpec(FOLDS)))

        def tell(step: int, loss: float, batch: Sequence[tuple[Fold, int]] = batch, first: int = first) -> None:
            if on_progress is not None:
                on_progress(Progress(batch, step, first, len(jobs), loss))

        try:
            yield from _train_batch(batch, job, data, programs, config, chunk, tell)
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if of_row == 1:
                raise OutOfMemoryError(_memory_text(error, programs, job, data)) from error
            of_row = -(-of_row // 2)
            warnings.warn(
                f"out of memory: from here on {of_row} trainings side by side on a device, with the same results up to rounding",
                stacklevel=2,
            )
            continue
        first += at_once


def _train_batch(
    batch: Sequence[tuple[Fold, int]],
    job: JobInputs,
    data: TrainingData,
    programs: Programs,
    config: TrainConfig,
    chunk: int,
    tell: Callable[[int, float], None],
) -> Iterator[TrainedFold]:
    """All steps of the lanes that train side by side; none is yielded before the last step of all."""
    start, advance, finish = programs
    state = start(job, data)
    chunks = []
    for step in range(0, config.steps, chunk):
        state, metrics = advance(state, job, data)
        chunks.append(fetch(metrics))
        if not config.skip_nonfinite:
            refuse_nonfinite([(fold.name, seed) for fold, seed in batch], step, chunks[-1], state.params)
        tell(step + chunk, float(np.mean(chunks[-1]["loss"][: len(batch)])))
    history = {name: np.concatenate([part[name] for part in chunks], axis=1) for name in chunks[0]}
    params = fetch(finish(state, job, data))
    for row, (fold, seed) in enumerate(batch):
        own = jax.tree.map(lambda x, row=row: x[row], params)
        yield TrainedFold(fold, seed, own, {name: values[row] for name, values in history.items()})


def _memory_text(error: BaseException, programs: Programs, job: JobInputs, data: TrainingData) -> str:
    """What a training needs, by the compiler, and which flags make it less."""
    start, advance, _ = programs
    needed = program_bytes(advance, jax.eval_shape(start, job, data), job, data)
    bytes_told = "" if needed is None else f": one training needs {needed:,} bytes of a device"
    return (
        f"out of memory{bytes_told} ({str(error).splitlines()[0]}). Free memory, or type --task_mapping=scan, which gives the same "
        "results; --meta_batch_size, --shots, --width and --inner_steps make other, smaller trainings"
    )


def trained_shapes(micro: ClipSet, config: TrainConfig) -> Params:
    """Shapes and dtypes of a lane's last parameters, without training: a tree of `jax.ShapeDtypeStruct`."""
    method = method_of(config)

    def last(image: jax.Array, label: jax.Array, where: jax.Array) -> Params:
        state = method.init(jax.random.key(0), image.shape[1:], len(micro.classes))
        return method.finish(state, Clips(image=image, label=label, where=where))

    inputs = ((micro.image, jnp.float32), (micro.label, jnp.int32), (micro.label, bool))
    return jax.eval_shape(last, *[jax.ShapeDtypeStruct(values.shape, dtype) for values, dtype in inputs])


def predict_folds(
    trained: Iterable[tuple[Fold, Params]], images: NDArray[np.float32], config: TrainConfig
) -> list[NDArray[np.float32]]:
    """Probabilities of each fold's test clips, without adaptation, averaged over the clip and its mirror image.

    There are no labels among the arguments.

    Args:
      trained: folds with their parameters, taken one after the other.
      images: `[n, H, W, C]` unscaled micro clips of the whole protocol.
      config: the settings the parameters were trained with.

    Returns:
      One `[t, N]` array per fold, rows in the order of `fold.test`.
    """
    program = prediction_program(config)
    everything = jnp.asarray(images)
    results = []
    for fold, params in trained:
        # Filled up by the fold's own number of clips, so that its bits do not hang on which other folds are predicted with it.
        rows = np.zeros(max(_FEWEST_PREDICTED, 1 << (len(fold.test) - 1).bit_length()), np.int64)
        rows[: len(fold.test)] = fold.test
        probabilities = program(params, everything, jnp.asarray(rows), jnp.asarray(fold.train))
        results.append(np.asarray(probabilities)[: len(fold.test)])
    return results

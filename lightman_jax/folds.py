"""Train and predict folds as one compiled program. A lane is one (fold, seed).

The data lie on each device once; a lane draws its tasks by index from its fold's training clips. Randomness is pure in (seed, fold,
step): lanes may run in any order, on any number of devices, and draw the same tasks.
"""

import dataclasses
import functools
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import NDArray

from lightman_jax.bilevel import TASKS, side_by_side
from lightman_jax.branches import NetworkConfig
from lightman_jax.devices import (
    FOLDS,
    OutOfMemoryError,
    each_lane,
    fetch,
    is_out_of_memory,
    lane_mesh,
    lanes_of_row,
    place,
    program_bytes,
)
from lightman_jax.flow import SCALINGS, Scaling, magnify_flow, mirror_flow, scale_flow
from lightman_jax.leakage import check_leaks
from lightman_jax.methods import Method, MethodConfig, make_method
from lightman_jax.precision import gradient_error, refuse_imprecise, refuse_nonfinite, refuse_on_cpu
from lightman_jax.tasks import Fold, Pool, TaskConfig, draw_task_batch
from lightman_jax.types import Clips, ClipSet, Metrics, Params, Task, TrainState

MacroLabels = Literal["true", "shuffled"]

_LONGEST_CHUNK = 25
_FEWEST_PREDICTED = 8
_INIT_STEP, _SHUFFLE_STEP = 0xFFFFFFFF, 0xFFFFFFFE


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How one fold is trained.

    Attributes:
      method: what the two levels minimise.
      network: sizes of the dual branch.
      task: how tasks are drawn.
      steps: outer steps, fixed in advance (400 overfit on the public flow).
      outer_rate: AdamW's rate, decayed by a cosine to 0.
      weight_decay: AdamW's decay.
      scaling: `clip_rms`, `fold_rms` or `clip_minmax`.
      macro_gain: magnification of the pseudo-macro clips, used where no macro corpus is given.
      macro_labels: true, or shuffled over the fold's training macro clips: the control that shows what the labels add.
      skip_nonfinite: leave out an update that is not finite, instead of stopping.
    """

    method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    steps: int = 100
    outer_rate: float = 2e-3
    weight_decay: float = 1e-2
    scaling: Scaling = "clip_rms"
    macro_gain: float = 3.0
    macro_labels: MacroLabels = "true"
    skip_nonfinite: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps {self.steps} trains nothing; choose 1 or more, 100 is usual")
        if self.outer_rate <= 0 or self.macro_gain <= 0:
            raise ValueError(f"outer_rate {self.outer_rate} and macro_gain {self.macro_gain} must both be above 0")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay {self.weight_decay} is negative; choose 0 or more")
        if self.macro_labels not in get_args(MacroLabels):
            raise ValueError(f"macro_labels {self.macro_labels!r} is unknown; choose true or shuffled")
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling {self.scaling!r} is unknown; choose one of {', '.join(SCALINGS)}")


class TrainedFold(NamedTuple):
    """One finished lane: the fold, the seed, its last parameters and each metric's `[steps]` history."""

    fold: Fold
    seed: int
    params: Params
    history: dict[str, NDArray[np.float32]]


class Progress(NamedTuple):
    """Where training stands: lanes in flight, their step, lanes done and in all, and the mean loss of the last chunk."""

    lanes: Sequence[tuple[Fold, int]]
    step: int
    done: int
    total: int
    loss: float


class _Lane(NamedTuple):
    """Per-lane inputs: the data of its key, `train [n]`, `macro_train [m]`."""

    key_data: jax.Array
    train: jax.Array
    macro_train: jax.Array

    @property
    def key(self) -> jax.Array:
        """The lane's random key."""
        return jax.random.wrap_key_data(self.key_data)


class _Data(NamedTuple):
    """What every lane shares; images scaled, unless that depends on the fold."""

    image: jax.Array
    label: jax.Array
    subject: jax.Array
    macro_image: jax.Array
    macro_label: jax.Array
    macro_subject: jax.Array


class _Programs(NamedTuple):
    """A lane's first state, some steps, and its last parameters."""

    start: Callable[..., TrainState]
    advance: Callable[..., tuple[TrainState, Metrics]]
    finish: Callable[..., Params]


def fold_key(seed: int, subject: str) -> jax.Array:
    """Key of one lane, `fold_in(key(seed), crc32(subject))`: it does not depend on which other subjects there are.

    >>> bool((fold_key(0, "smic/s1") == fold_key(0, "smic/s1")).all())
    True
    """
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(subject.encode()))


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
    lanes = [(fold, seed) for seed in seeds for fold in folds if skip is None or not skip(fold, seed)]
    if not lanes:
        return
    # By all lanes, not by those left: a run that was interrupted goes on with the arithmetic it began with.
    count = len(folds) * len(seeds)
    mesh = lane_mesh(count, 1 if config.method.variant == "generated" else config.task.tasks)
    of_row = lanes_of_row(count, mesh, side_by_side=_side_by_side(config))
    chunk = max(n for n in range(1, min(config.steps, _LONGEST_CHUNK) + 1) if config.steps % n == 0)
    programs = _training_program(config, len(micro.classes), macro is None, chunk, mesh)
    shared = _device_data(micro, macro, config)
    if config.network.precision == "bfloat16":
        refuse_imprecise(_gradient_error(lanes[0], shared, config, len(micro.classes), macro is None))
    data = place(shared, mesh, PartitionSpec())
    first = 0
    while first < len(lanes):
        at_once = mesh.shape[FOLDS] * of_row
        batch = lanes[first : first + at_once]
        # The last batch is filled with copies of its own first lane, whose results are dropped.
        filled = [*batch, *[batch[0]] * (at_once - len(batch))]
        inputs = (
            [jax.random.key_data(fold_key(seed, fold.subject)) for fold, seed in filled],
            [fold.train for fold, _ in filled],
            [fold.train if macro is None else fold.macro_train for fold, _ in filled],
        )
        lane = _Lane(*place([np.stack(part) for part in inputs], mesh, PartitionSpec(FOLDS)))

        def tell(step: int, loss: float, batch: Sequence[tuple[Fold, int]] = batch, first: int = first) -> None:
            if on_progress is not None:
                on_progress(Progress(batch, step, first, len(lanes), loss))

        try:
            yield from _train_batch(batch, lane, data, programs, config, chunk, tell)
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if of_row == 1:
                raise OutOfMemoryError(_memory_text(error, programs, lane, data)) from error
            of_row = -(-of_row // 2)
            warnings.warn(
                f"out of memory: from here on {of_row} trainings side by side on a device, with the same results up to rounding",
                stacklevel=2,
            )
            continue
        first += at_once


def _train_batch(
    batch: Sequence[tuple[Fold, int]],
    lane: _Lane,
    data: _Data,
    programs: _Programs,
    config: TrainConfig,
    chunk: int,
    tell: Callable[[int, float], None],
) -> Iterator[TrainedFold]:
    """All steps of the lanes that train side by side; none is yielded before the last step of all."""
    start, advance, finish = programs
    state = start(lane, data)
    chunks = []
    for step in range(0, config.steps, chunk):
        state, metrics = advance(state, lane, data)
        chunks.append(fetch(metrics))
        if not config.skip_nonfinite:
            refuse_nonfinite([(fold.subject, seed) for fold, seed in batch], step, chunks[-1], state.params)
        tell(step + chunk, float(np.mean(chunks[-1]["loss"][: len(batch)])))
    history = {name: np.concatenate([part[name] for part in chunks], axis=1) for name in chunks[0]}
    params = fetch(finish(state, lane, data))
    for row, (fold, seed) in enumerate(batch):
        own = jax.tree.map(lambda x, row=row: x[row], params)
        yield TrainedFold(fold, seed, own, {name: values[row] for name, values in history.items()})


def _memory_text(error: BaseException, programs: _Programs, lane: _Lane, data: _Data) -> str:
    """What a training needs, by the compiler, and which flags make it less."""
    start, advance, _ = programs
    needed = program_bytes(advance, jax.eval_shape(start, lane, data), lane, data)
    bytes_told = "" if needed is None else f": one training needs {needed:,} bytes of a device"
    return (
        f"out of memory{bytes_told} ({str(error).splitlines()[0]}). Free memory, or type --task_mapping=scan, which gives the same "
        "results; --tasks, --shots, --width and --inner_steps make other, smaller trainings"
    )


def trained_shapes(micro: ClipSet, config: TrainConfig) -> Params:
    """Shapes and dtypes of a lane's last parameters, without training: a tree of `jax.ShapeDtypeStruct`."""
    method = _method(config)

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
    program = _prediction_program(config)
    everything = jnp.asarray(images)
    results = []
    for fold, params in trained:
        # Filled up by the fold's own number of clips, so that its bits do not hang on which other folds are predicted with it.
        rows = np.zeros(max(_FEWEST_PREDICTED, 1 << (len(fold.test) - 1).bit_length()), np.int64)
        rows[: len(fold.test)] = fold.test
        probabilities = program(params, everything, jnp.asarray(rows), jnp.asarray(fold.train))
        results.append(np.asarray(probabilities)[: len(fold.test)])
    return results


def _device_data(micro: ClipSet, macro: ClipSet | None, config: TrainConfig) -> _Data:
    second = micro if macro is None else macro
    # Micro subjects first: their numbers then stay below the number of micro clips, as the draws expect.
    number = {name: row for row, name in enumerate(dict.fromkeys((*sorted(micro.subject), *sorted(second.subject))))}

    def part(clips: ClipSet) -> tuple[Any, Any, Any]:
        subject = [number[name] for name in clips.subject]
        image = jnp.asarray(clips.image)
        if not _scaled_by_fold(config):
            image = scale_flow(image, scaling=config.scaling)
        # On the host: what lies on one process's devices cannot be spread over those of another.
        return np.asarray(image), np.asarray(clips.label, np.int32), np.asarray(subject, np.int32)

    return _Data(*part(micro), *part(second))


def _scaled_by_fold(config: TrainConfig) -> bool:
    """Whether a clip's scaled image depends on the fold's training clips; if not, it is scaled once for all lanes."""
    return config.scaling == "fold_rms"


@functools.lru_cache(maxsize=32)
def _training_program(config: TrainConfig, classes: int, pseudo_macro: bool, chunk: int, mesh: Mesh) -> _Programs:
    method = _method(config, mesh)

    def start(lane: _Lane, data: _Data) -> TrainState:
        key = jax.random.fold_in(lane.key, _INIT_STEP)
        return method.init(key, data.image.shape[1:], classes, data.image.dtype)

    def advance(state: TrainState, lane: _Lane, data: _Data) -> tuple[TrainState, Metrics]:
        micro, macro = _pools(lane, data, config, pseudo_macro)

        def step(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
            draw_key, mirror_key = jax.random.split(jax.random.fold_in(lane.key, state.step))
            tasks = draw_task_batch(draw_key, micro, macro, classes=classes, config=config.task)
            return method.update(state, mirror_at_random(mirror_key, tasks))

        return jax.lax.scan(step, state, None, length=chunk)

    def finish(state: TrainState, lane: _Lane, data: _Data) -> Params:
        micro, _ = _pools(lane, data, config, pseudo_macro)
        return method.finish(state, Clips(image=micro.image, label=micro.label, where=micro.train))

    # check_vma off: the initial carries of the scans inside are constants, which the check takes for unvarying.
    lanes, shared = PartitionSpec(FOLDS), PartitionSpec()
    # The tasks' axis is left to the update inside, which splits over it where it is longer than 1.
    own = {FOLDS} if mesh.shape[TASKS] > 1 else {FOLDS, TASKS}
    each = functools.partial(jax.shard_map, mesh=mesh, out_specs=lanes, axis_names=own, check_vma=False)
    of_row = functools.partial(each_lane, side_by_side=_side_by_side(config))
    return _Programs(
        jax.jit(each(of_row(start, 1), in_specs=(lanes, shared))),
        jax.jit(each(of_row(advance, 2), in_specs=(lanes, lanes, shared)), donate_argnums=0),
        jax.jit(each(of_row(finish, 2), in_specs=(lanes, lanes, shared))),
    )


def _gradient_error(
    lane: tuple[Fold, int], data: _Data, config: TrainConfig, classes: int, pseudo_macro: bool
) -> float:
    """Of a lane's first outer step."""
    fold, seed = lane
    key = fold_key(seed, fold.subject)
    macro_train = fold.train if pseudo_macro else fold.macro_train
    own = _Lane(jax.random.key_data(key), jnp.asarray(fold.train), jnp.asarray(macro_train))
    micro, macro = _pools(own, jax.tree.map(jnp.asarray, data), config, pseudo_macro)
    tasks = draw_task_batch(key, micro, macro, classes=classes, config=config.task)
    return gradient_error(key, tasks, method=config.method, network=config.network, classes=classes)


def _side_by_side(config: TrainConfig) -> bool:
    return side_by_side(config.method.bilevel.task_mapping)


def _method(config: TrainConfig, mesh: Mesh | None = None) -> Method:
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(config.outer_rate, config.steps), weight_decay=config.weight_decay
    )
    if config.skip_nonfinite:
        optimizer = optax.apply_if_finite(optimizer, max_consecutive_errors=config.steps)
    return make_method(config.method, config.network, optimizer, steps=config.steps, mesh=mesh)


def _pools(lane: _Lane, data: _Data, config: TrainConfig, pseudo_macro: bool) -> tuple[Pool, Pool]:
    micro_image, macro_image = data.image, data.macro_image
    if _scaled_by_fold(config):
        micro_image = scale_flow(micro_image, scaling=config.scaling, train=lane.train)
        macro_image = scale_flow(macro_image, scaling=config.scaling, train=lane.macro_train)
    if pseudo_macro:
        macro_image = magnify_flow(micro_image, config.macro_gain)
    macro_label = data.macro_label
    if config.macro_labels == "shuffled":
        macro_label = shuffle_labels(jax.random.fold_in(lane.key, _SHUFFLE_STEP), macro_label, lane.macro_train)
    return (
        Pool(micro_image, data.label, data.subject, lane.train),
        Pool(macro_image, macro_label, data.macro_subject, lane.macro_train),
    )


def shuffle_labels(key: jax.Array, labels: jax.Array, train: jax.Array) -> jax.Array:
    """Permute the labels of the training clips among themselves; no other clip's label moves or is moved.

    Args:
      key: JAX random key.
      labels: `[m]`.
      train: `[m]` bool.

    Returns:
      `[m]`.

    >>> shuffle_labels(jax.random.key(0), jnp.array([1, 1, 7]), jnp.array([True, True, False])).tolist()
    [1, 1, 7]
    """
    chex.assert_equal_shape([labels, train])
    score = jnp.where(train, jax.random.uniform(key, labels.shape), jnp.inf)
    # Stable sorts: training rows come first in both, the others keep their own order behind them.
    return labels.at[jnp.argsort(~train)].set(labels[jnp.argsort(score)])


def mirror_at_random(key: jax.Array, tasks: Task) -> Task:
    """Mirror each clip of a task batch with probability one half, u negated.

    Args:
      key: JAX random key.
      tasks: a `Task` with images `[T, n, (frames,) H, W, C]`.
    """
    chex.assert_rank(tasks.support.image, {5, 6})

    def some(part_key: jax.Array, images: jax.Array) -> jax.Array:
        heads = jax.random.bernoulli(part_key, 0.5, images.shape[:2])
        return jnp.where(heads.reshape(*heads.shape, *[1] * (images.ndim - 2)), mirror_flow(images), images)

    keys = jax.random.split(key, 3)
    return Task(
        support=_with_image(tasks.support, some(keys[0], tasks.support.image)),
        macro=_with_image(tasks.macro, some(keys[1], tasks.macro.image)),
        query=_with_image(tasks.query, some(keys[2], tasks.query.image)),
    )


def _with_image(clips: Clips, image: jax.Array) -> Clips:
    return Clips(image=image, label=clips.label, where=clips.where)


@functools.lru_cache(maxsize=32)
def _prediction_program(config: TrainConfig) -> Callable[..., jax.Array]:
    logits = _method(config).logits

    @jax.jit
    def predict(params: Params, images: jax.Array, rows: jax.Array, train: jax.Array) -> jax.Array:
        if _scaled_by_fold(config):
            test = scale_flow(images, scaling=config.scaling, train=train)[rows]
        else:
            test = scale_flow(images[rows], scaling=config.scaling)
        views = jnp.concatenate([test, mirror_flow(test)])
        probabilities = jax.nn.softmax(logits(params, views))
        return 0.5 * (probabilities[: rows.shape[0]] + probabilities[rows.shape[0] :])

    return predict

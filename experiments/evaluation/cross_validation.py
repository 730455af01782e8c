"""Train every fold under every seed, store each job as it ends, and predict each fold's test clips."""

import functools
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.cli.progress import TrainingProgress
from experiments.cli.runtime import from_first
from experiments.evaluation.fold_store import FoldStore, StoredFolds
from experiments.evaluation.prediction_table import Prediction
from lightman_jax.files import require_space
from lightman_jax.model.initial import InitialWeights
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold, train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.training.prediction import predict_folds
from lightman_jax.types import ClipSet, Params


class Work(NamedTuple):
    """Clips, folds and repetitions of a run, and the weights that its trainings start from; `data` is the name of the data.

    Each seed repeats the run and is scored separately; the probabilities of its `ensemble_size` networks per fold are averaged.
    """

    data: str
    micro: ClipSet
    macro: ClipSet | None
    folds: Sequence[Fold]
    seeds: Sequence[int]
    ensemble_size: int = 1
    initial: InitialWeights | None = None

    @property
    def replicas(self) -> list[int]:
        """Random numbers of the trainings of each fold: seed s has the `ensemble_size` numbers from `ensemble_size * s` on."""
        size = self.ensemble_size
        return [size * seed + member for seed in self.seeds for member in range(size)]

    def initial_params(self, config: TrainConfig) -> Params | None:
        """Weights that the trainings of these settings start from; None for random ones."""
        return self.initial.params if self.initial is not None and config.init else None

    def seed_of(self, replica: int) -> int:
        """The seed to which a replica belongs."""
        return replica // self.ensemble_size


class Trained(NamedTuple):
    """All jobs, seed by seed in the order of the folds; seconds of training, of which compiling; number of jobs from the store."""

    jobs: Sequence[TrainedFold]
    seconds: float
    compile_seconds: float
    cached: int


def train_jobs(work: Work, config: TrainConfig, workdir: Path, console: Console, summary_writer: Any = None) -> Trained:
    """Train the jobs that `workdir/folds` does not contain yet, and store each one as it ends.

    Appends progress to `workdir/metrics.jsonl`, and to TensorBoard files if there is a `summary_writer`.

    Raises:
      FloatingPointError: a loss is not finite; the message has the place and the number of stored jobs.
      OSError: the workdir cannot be written, or its disk is too small.
    """
    started = time.monotonic()
    store = FoldStore(workdir / "folds", work.micro, work.macro, config)
    keys = [(fold, replica) for replica in work.replicas for fold in work.folds]
    cached = {(fold.name, replica): store.contains(fold, replica) for fold, replica in keys}
    missing = [(fold, replica) for fold, replica in keys if not cached[fold.name, replica]]
    damaged = [path for path in (store.path(fold, replica) for fold, replica in missing) if path.exists()]
    other = [text for text in (store.difference(fold, replica) for fold, replica in missing) if text]
    if other:
        console.print(f"{len(other)} trainings are stored under other settings ({other[0]}): they are trained again")
    if damaged:
        console.print(f"{len(damaged)} stored trainings are damaged, for example {damaged[0]}: they are repeated")
    require_space(workdir, len(missing) * store.job_bytes)
    # Every process must leave out the same jobs; the first one has the store.
    from_first(np.array(list(cached.values())))
    before = ended = len(keys) - len(missing)
    progress = TrainingProgress(
        work.data, work.ensemble_size, config.steps, len(missing), workdir, console, summary_writer
    )
    with CompileClock() as compiled, progress:
        jobs = train_folds(
            work.micro,
            work.macro,
            work.folds,
            work.replicas,
            config,
            initial=work.initial_params(config),
            skip=lambda fold, replica: cached[fold.name, replica],
            on_progress=progress,
        )
        try:
            for job in jobs:
                store.save(job)
                ended += 1
        except FloatingPointError as error:
            stored = f"{ended} of {len(keys)} trainings are stored in {workdir / 'folds'}"
            raise FloatingPointError(f"{error}. {stored}") from error
    return Trained(StoredFolds(store, keys), time.monotonic() - started, compiled.seconds, before)


def train_jobs_as_worker(work: Work, config: TrainConfig) -> None:
    """Take part in the training of the first process, and store nothing."""
    keys = [(fold.name, replica) for replica in work.replicas for fold in work.folds]
    cached = dict(zip(keys, from_first(np.zeros(len(keys), bool)).tolist(), strict=True))
    skip = lambda fold, replica: cached[fold.name, replica]  # noqa: E731
    initial = work.initial_params(config)
    for _ in train_folds(work.micro, work.macro, work.folds, work.replicas, config, initial=initial, skip=skip):
        pass


def predict_jobs(
    work: Work, jobs: Sequence[TrainedFold], config: TrainConfig, *, align_steps: int = 0
) -> list[Prediction]:
    """Predictions of each fold and seed for its test clips, averaged over the ensemble; `align_steps` as in `predict_folds`.

    Raises:
      FloatingPointError: the training of a job diverged.
    """
    by_seed_and_fold: dict[tuple[int, str], list[NDArray[np.float32]]] = defaultdict(list)
    folds, keys = {}, []

    def each() -> Iterator[tuple[Fold, Params]]:
        for job in jobs:
            folds[job.fold.name] = job.fold
            keys.append((work.seed_of(job.replica), job.fold.name))
            yield job.fold, job.params

    probabilities_of = predict_folds(each(), work.micro.image, config, work.micro.classes, align_steps=align_steps)
    for (seed, name), probabilities in zip(keys, probabilities_of, strict=True):
        if not np.isfinite(probabilities).all():
            raise FloatingPointError(
                f"fold {name}, seed {seed}: training diverged to non-finite numbers; lower --learning_rate or --inner_lr"
            )
        by_seed_and_fold[seed, name].append(probabilities)
    rows = []
    for (seed, name), ensemble in by_seed_and_fold.items():
        rows += prediction_rows(work.micro, folds[name], seed, np.mean(ensemble, axis=0))
    return rows


def prediction_rows(
    micro: ClipSet, fold: Fold, seed: int, probabilities: NDArray[np.float32], clips: Sequence[int] | None = None
) -> list[Prediction]:
    """Rows of the table of predictions for a fold's test clips, or for the given ones of them."""
    tested = fold.test.tolist() if clips is None else clips
    return [
        Prediction(
            clip=micro.clip[index],
            dataset=micro.dataset[index],
            subject=micro.subject[index],
            fold=fold.name,
            seed=seed,
            label=micro.classes[micro.label[index]],
            prediction=micro.classes[int(values.argmax())],
            probabilities=tuple(float(value) for value in values),
        )
        for index, values in zip(tested, probabilities, strict=True)
    ]


class CompileClock:
    """Seconds that JAX spends compiling, or loading compiled programs, inside the `with` block."""

    def __init__(self) -> None:
        self.seconds, self.programs = 0.0, 0

    def __enter__(self) -> Self:
        _listen()
        _running.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _running.remove(self)


_running: list[CompileClock] = []


@functools.cache
def _listen() -> None:
    """Register once per process: JAX before 0.8 cannot unregister a listener."""

    def add(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            for clock in _running:
                clock.seconds += duration_secs
                clock.programs += 1

    jax.monitoring.register_event_duration_secs_listener(add)

"""Train every fold under every seed, each kept as it ends, and let each predict its held-out clips."""

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

from experiments.cli.hosts import from_first
from experiments.cli.progress import TrainingProgress
from experiments.evaluation.fold_store import FoldStore, StoredFolds
from experiments.evaluation.scores import Prediction
from lightman_jax.files import require_space
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold, predict_folds, train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet, Params


class Work(NamedTuple):
    """What is trained on what.

    Attributes:
      data: the name that the log carries.
      micro: micro clips.
      macro: macro clips or None.
      folds: what is held out.
      seeds: repetitions of the whole, each with a score of its own.
      ensemble_size: trainings of every fold and seed, whose probabilities are averaged.
    """

    data: str
    micro: ClipSet
    macro: ClipSet | None
    folds: Sequence[Fold]
    seeds: Sequence[int]
    ensemble_size: int = 1

    @property
    def trainings(self) -> list[int]:
        """Random numbers of every training of a fold: seed s has those from `ensemble_size * s` on."""
        return [self.ensemble_size * seed + member for seed in self.seeds for member in range(self.ensemble_size)]

    def seed_of(self, training: int) -> int:
        """The seed that a training belongs to."""
        return training // self.ensemble_size


class Trained(NamedTuple):
    """Every lane, seed by seed in the order of the folds, the seconds it took, those of compiling, and how many were held."""

    jobs: Sequence[TrainedFold]
    seconds: float
    compile_seconds: float
    held: int


def train_jobs(work: Work, config: TrainConfig, workdir: Path, console: Console, summary_writer: Any = None) -> Trained:
    """Train what `workdir/lanes` does not hold yet, and store each lane as it ends.

    Appends its progress to `workdir/metrics.jsonl`, and to TensorBoard's files where `board` writes them.
    """
    started = time.monotonic()
    store = FoldStore(workdir / "folds", work.micro, work.macro, config)
    keys = [(fold, seed) for seed in work.trainings for fold in work.folds]
    held = {(fold.name, seed): store.holds(fold, seed) for fold, seed in keys}
    missing = [(fold, seed) for fold, seed in keys if not held[fold.name, seed]]
    damaged = [path for path in (store.path(fold, seed) for fold, seed in missing) if path.exists()]
    if damaged:
        console.print(f"{len(damaged)} trainings are damaged on disk, for example {damaged[0]}: they are done again")
    require_space(workdir, len(missing) * store.job_bytes)
    # The other processes leave out what this one holds.
    from_first(np.array(list(held.values())))
    before = ended = len(keys) - len(missing)
    watch = TrainingProgress(
        work.data, work.ensemble_size, config.steps, len(missing), workdir, console, summary_writer
    )
    with CompileClock() as compiled, watch:
        jobs = train_folds(
            work.micro,
            work.macro,
            work.folds,
            work.trainings,
            config,
            skip=lambda fold, seed: held[fold.name, seed],
            on_progress=watch,
        )
        try:
            for job in jobs:
                store.save(job)
                ended += 1
        except FloatingPointError as error:
            kept = f"{ended} of {len(keys)} trainings are kept in {workdir / 'folds'}"
            raise FloatingPointError(f"{error}. {kept}") from error
    return Trained(StoredFolds(store, keys), time.monotonic() - started, compiled.seconds, before)


def train_jobs_as_worker(work: Work, config: TrainConfig) -> None:
    """What every process but the first does: train with it, and store nothing."""
    jobs = [(fold.name, seed) for seed in work.trainings for fold in work.folds]
    held = dict(zip(jobs, from_first(np.zeros(len(jobs), bool)).tolist(), strict=True))
    skip = lambda fold, seed: held[fold.name, seed]  # noqa: E731
    for _ in train_folds(work.micro, work.macro, work.folds, work.trainings, config, skip=skip):
        pass


def predict_jobs(work: Work, jobs: Sequence[TrainedFold], config: TrainConfig) -> list[Prediction]:
    """What each fold and seed says of its held-out clips, mean over its members.

    Raises:
      FloatingPointError: a lane's training diverged.
    """
    together: dict[tuple[int, str], list[NDArray[np.float32]]] = defaultdict(list)
    folds, keys = {}, []

    def each() -> Iterator[tuple[Fold, Params]]:
        for job in jobs:
            folds[job.fold.name] = job.fold
            keys.append((work.seed_of(job.seed), job.fold.name))
            yield job.fold, job.params

    for (seed, subject), probabilities in zip(keys, predict_folds(each(), work.micro.image, config), strict=True):
        if not np.isfinite(probabilities).all():
            where = f"fold {subject}, seed {seed}"
            raise FloatingPointError(
                f"{where}: training diverged to non-finite numbers; lower --learning_rate or --inner_lr"
            )
        together[seed, subject].append(probabilities)
    rows = []
    for (seed, subject), ensemble_size in together.items():
        rows += prediction_rows(work.micro, folds[subject], seed, np.mean(ensemble_size, axis=0))
    return rows


def prediction_rows(
    micro: ClipSet, fold: Fold, seed: int, probabilities: NDArray[np.float32], clips: Sequence[int] | None = None
) -> list[Prediction]:
    """Rows of the table for a fold's test clips, or for those of them that are named."""
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
    """Seconds that JAX spends compiling, or reading compiled programs, inside the `with` block."""

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
    """Once a process: JAX before 0.8 cannot forget a listener."""

    def hear(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            for clock in _running:
                clock.seconds += duration_secs
                clock.programs += 1

    jax.monitoring.register_event_duration_secs_listener(hear)

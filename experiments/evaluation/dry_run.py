"""`--dry_run`: every phase on two subjects and two steps, and from it what the whole run will need."""

import contextlib
import dataclasses
import itertools
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import jax
from rich.console import Console
from rich.table import Table

from experiments.benchmark.measure import peak_megabytes
from experiments.cli.config import ADAPTED_PROTOCOLS, RunConfig
from experiments.evaluation.baseline_runs import baseline_configs, baseline_work
from experiments.evaluation.cross_validation import CompileClock, Work
from experiments.train import plan_work, train_and_evaluate
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import Progress, train_folds, trained_shapes

_SUBJECTS, _STEPS, _CHUNKS = 2, 2, 3


class Forecast(NamedTuple):
    """Of one training over all folds and seeds: seconds without compiling, seconds of compiling, and bytes of what is kept."""

    name: str
    jobs: int
    seconds: float
    compile_seconds: float
    bytes_kept: int


def dry_run(config: RunConfig, console: Console) -> list[Forecast]:
    """Run small what would be run whole, in a folder that is removed again, and print the forecast.

    Seconds are steps times the time of a step, measured in the first steps of the run's own program.
    """
    console.print(f"dry run: {_SUBJECTS} subjects, {_STEPS} steps; its scores mean nothing")
    _, plan, whole = plan_work(dataclasses.replace(config, dry_run=False), console)
    folder = Path(tempfile.mkdtemp(prefix="lightman_jax-dry-"))
    try:
        steps = dataclasses.replace(config.train, steps=_STEPS)
        tiny = dataclasses.replace(
            config, train=steps, seeds=1, ensemble_size=1, episodes=1, workdir=str(folder / "run")
        )
        train_and_evaluate(tiny, Console(quiet=True))
        trainings = {config.method_name: config.trained}
        if config.protocol not in ADAPTED_PROTOCOLS:
            trainings |= {f"baseline {name}": trained for name, trained in baseline_configs(config).items()}
        found = [_forecast(name, trained, baseline_work(whole, trained, config)) for name, trained in trainings.items()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("training", "lanes", "seconds", "of compiling", "MB kept", title=f"Forecast for {plan.title}")
    for row in found:
        cells = (
            f"{row.seconds + row.compile_seconds:.0f}",
            f"{row.compile_seconds:.0f}",
            f"{row.bytes_kept / 1e6:.1f}",
        )
        table.add_row(row.name, str(row.jobs), *cells)
    console.print(table)
    total = sum(row.seconds + row.compile_seconds for row in found)
    kept = sum(row.bytes_kept for row in found)
    console.print(
        f"the whole run: about {total / 60:.1f} minutes of training, {kept / 1e6:.0f} MB on disk, "
        f"{peak_megabytes() + kept / 1e6:.0f} MB of memory; scikit-learn's baselines and pictures come on top"
    )
    return found


def _forecast(name: str, config: TrainConfig, whole: Work) -> Forecast:
    """From the run's own program, broken off after a few of its chunks of steps: what happens once a run is in none of them."""
    heard: list[tuple[float, int, int]] = []

    def hear(progress: Progress) -> None:
        heard.append((time.monotonic(), progress.step, len(progress.jobs)))
        if len(heard) == _CHUNKS:
            raise _BrokenOffError

    jobs, started = len(whole.folds) * len(whole.trainings), time.monotonic()
    with CompileClock() as compiled, contextlib.suppress(_BrokenOffError):
        for _ in train_folds(whole.micro, whole.macro, whole.folds, whole.trainings, config, on_progress=hear):
            pass
    spans = [after[0] - before[0] for before, after in itertools.pairwise(heard)]
    chunk, at_once = heard[0][1], heard[0][2]
    # The first chunk waits for the compiler; it is all there is where a training has one chunk and there is one training.
    a_step = min(spans or [max(heard[0][0] - started - compiled.seconds, 0.0)]) / chunk
    shapes = jax.tree.leaves(trained_shapes(whole.micro, config))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)
    return Forecast(name, jobs, -(-jobs // at_once) * config.steps * a_step, compiled.seconds, jobs * size)


class _BrokenOffError(Exception):
    pass

"""`--dry_run`: run every phase on two folds with two steps, and forecast time, memory and disk of the whole run."""

import contextlib
import dataclasses
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.cli.config import RunConfig
from experiments.cli.memory import peak_megabytes
from experiments.cli.terminal import PlainConsole
from experiments.evaluation.baselines import baseline_configs, baseline_work
from experiments.evaluation.cross_validation import CompileClock, Work
from experiments.evaluation.protocols import PROTOCOLS, plan_run
from experiments.evaluation.run_result import RunResult
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import Progress, train_folds, trained_shapes

_FOLDS, _STEPS, _CHUNKS = 2, 2, 3


class Forecast(NamedTuple):
    """Forecast for a method or baseline: number of jobs, seconds without and of compiling, bytes of the trained parameters."""

    name: str
    jobs: int
    seconds: float
    compile_seconds: float
    bytes_stored: int


def dry_run(
    config: RunConfig, console: Console, train_and_evaluate: Callable[[RunConfig, Console], RunResult]
) -> list[Forecast]:
    """Run a tiny version of the run in a temporary folder, and print a forecast for the whole run.

    Seconds are the number of steps times the time per step, measured in the first steps of the run's own program.

    Args:
      config: of the whole run.
      console: for the forecast.
      train_and_evaluate: runs an experiment from data to results.
    """
    console.print(f"dry run: {_FOLDS} folds, {_STEPS} steps; its scores are meaningless")
    whole = plan_run(dataclasses.replace(config, dry_run=False), console)
    folder = Path(tempfile.mkdtemp(prefix="lightman_jax-dry-"))
    try:
        train = dataclasses.replace(config.train, steps=_STEPS)
        workdir = str(folder / "run")
        tiny = dataclasses.replace(config, train=train, seeds=1, ensemble_size=1, episodes=1, workdir=workdir)
        train_and_evaluate(tiny, PlainConsole(quiet=True))
        # The images of the whole run are in memory next to those of the tiny one; forecasting needs memory that a run does not.
        memory = peak_megabytes() - _image_bytes(whole.work) / 1e6
        trainings = {config.method_name: whole.config.trained}
        if not PROTOCOLS[config.protocol].gives_labels:
            trainings |= {f"baseline {name}": trained for name, trained in baseline_configs(whole.config).items()}
        forecasts = [_forecast(name, t, baseline_work(whole.work, t, config)) for name, t in trainings.items()]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("training", "jobs", "seconds", "of which compiling", "MB", title=f"Forecast for {whole.plan.title}")
    for row in forecasts:
        seconds = (f"{row.seconds + row.compile_seconds:.0f}", f"{row.compile_seconds:.0f}")
        table.add_row(row.name, str(row.jobs), *seconds, f"{row.bytes_stored / 1e6:.1f}")
    console.print(table)
    total = sum(row.seconds + row.compile_seconds for row in forecasts)
    stored = sum(row.bytes_stored for row in forecasts)
    console.print(
        f"the whole run: about {total / 60:.1f} minutes of training, {stored / 1e6:.0f} MB on disk, "
        f"{memory + stored / 1e6:.0f} MB of memory; classical baselines and figures take additional time"
    )
    return forecasts


def _forecast(name: str, config: TrainConfig, whole: Work) -> Forecast:
    """Start the run's own program and stop it after a few chunks of steps; one-time costs at the start are left out."""
    heard: list[tuple[float, int, int]] = []

    def hear(progress: Progress) -> None:
        heard.append((time.monotonic(), progress.step, len(progress.jobs)))
        if len(heard) == _CHUNKS:
            raise _StopForecastError

    jobs, started = len(whole.folds) * len(whole.replicas), time.monotonic()
    with CompileClock() as compiled, contextlib.suppress(_StopForecastError):
        initial = whole.initial_params(config)
        clips = (whole.micro, whole.macro, whole.folds, whole.replicas)
        for _ in train_folds(*clips, config, initial=initial, on_progress=hear):
            pass
    spans = [after[0] - before[0] for before, after in itertools.pairwise(heard)]
    chunk, at_once = heard[0][1], heard[0][2]
    # The first chunk includes compilation; it is the only one if a training has a single chunk and there is a single training.
    step_seconds = min(spans or [max(heard[0][0] - started - compiled.seconds, 0.0)]) / chunk
    shapes = jax.tree.leaves(trained_shapes(whole.micro, config))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)
    seconds = -(-jobs // at_once) * config.steps * step_seconds
    return Forecast(name, jobs, seconds, compiled.seconds, jobs * size)


def _image_bytes(work: Work) -> int:
    """Bytes of images in memory."""
    images = [clips.image for clips in (work.micro, work.macro) if clips is not None]
    return sum(image.nbytes for image in images if isinstance(image, np.ndarray))


class _StopForecastError(Exception):
    pass

"""`--dry_run`: every phase on two subjects and two steps, and from it what the whole run will need."""

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
from rich.console import Console
from rich.table import Table

from experiments.baseline_runs import baseline_configs, baseline_work
from experiments.benchmark.measure import peak_megabytes
from experiments.config import ADAPTED_PROTOCOLS, RunConfig
from experiments.train import plan_work, train_and_evaluate
from experiments.training import Work, train_lanes
from lightman_jax.folds import TrainConfig, trained_shapes

_SUBJECTS, _STEPS, _TIMED_STEPS = 2, 2, 20


class Forecast(NamedTuple):
    """Of one training over all folds and seeds: seconds without compiling, seconds of compiling, and bytes of what is kept."""

    name: str
    lanes: int
    seconds: float
    compile_seconds: float
    bytes_kept: int


def dry_run(config: RunConfig, console: Console) -> list[Forecast]:
    """Run small what would be run whole, in a folder that is removed again, and print the forecast.

    Seconds are steps times the time of a step, measured over 20 steps of two folds.
    """
    console.print(f"dry run: {_SUBJECTS} subjects, {_STEPS} steps; its scores mean nothing")
    _, plan, whole = plan_work(dataclasses.replace(config, dry_run=False), console)
    folder = Path(tempfile.mkdtemp(prefix="lightman_jax-dry-"))
    try:
        steps = dataclasses.replace(config.train, steps=_STEPS)
        tiny = dataclasses.replace(config, train=steps, seeds=1, members=1, episodes=1, workdir=str(folder / "run"))
        train_and_evaluate(tiny, Console(quiet=True))
        trainings = {config.method_name: config.trained}
        if config.protocol not in ADAPTED_PROTOCOLS:
            trainings |= {f"baseline {name}": trained for name, trained in baseline_configs(config).items()}
        found = [
            _forecast(name, trained, baseline_work(whole, trained, config), folder / "timed")
            for name, trained in trainings.items()
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table("training", "lanes", "seconds", "of compiling", "MB kept", title=f"Forecast for {plan.title}")
    for row in found:
        cells = (
            f"{row.seconds + row.compile_seconds:.0f}",
            f"{row.compile_seconds:.0f}",
            f"{row.bytes_kept / 1e6:.1f}",
        )
        table.add_row(row.name, str(row.lanes), *cells)
    console.print(table)
    total = sum(row.seconds + row.compile_seconds for row in found)
    kept = sum(row.bytes_kept for row in found)
    console.print(
        f"the whole run: about {total / 60:.1f} minutes of training, {kept / 1e6:.0f} MB on disk, "
        f"{peak_megabytes() + kept / 1e6:.0f} MB of memory; scikit-learn's baselines and pictures come on top"
    )
    return found


def _forecast(name: str, config: TrainConfig, whole: Work, folder: Path) -> Forecast:
    part = whole._replace(folds=whole.folds[:_SUBJECTS], seeds=whole.seeds[:1], members=1)
    folder.mkdir(exist_ok=True)
    timed = train_lanes(part, dataclasses.replace(config, steps=_TIMED_STEPS), folder, Console(quiet=True))
    lanes = len(whole.folds) * len(whole.trainings)
    side_by_side = min(jax.device_count(), lanes)
    waves, timed_waves = -(-lanes // side_by_side), -(-len(timed.lanes) // side_by_side)
    a_step = (timed.seconds - timed.compile_seconds) / timed_waves / _TIMED_STEPS
    shapes = jax.tree.leaves(trained_shapes(whole.micro, config))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)
    return Forecast(name, lanes, waves * config.steps * a_step, timed.compile_seconds, lanes * size)

"""`python -m experiments.rerun RUN --fold=SUBJECT [--seed=0]`: train one fold of a finished run again, and compare.

Settings come from the run's `config.json`, data from where it had them (`--data_dir` and `--data_cache` say otherwise). What the fold
predicts is set beside the run's `predictions.csv`; status 0 if both agree, 1 if not. Nothing in the run's folder is changed.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.config import ADAPTED_PROTOCOLS, RunConfig
from experiments.cli.flags import CommandParser, ConfigError, as_config_error
from experiments.evaluation.cross_validation import Work, predict_jobs
from experiments.evaluation.inventory import refuse_changed
from experiments.evaluation.scores import Prediction, read_predictions
from experiments.evaluation.stored_config import read_run
from experiments.reporting.console import make_console
from experiments.run import set_up_jax
from experiments.train import plan_work
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import natural_order

_ROUNDING = 1e-5


class Again(NamedTuple):
    """What a fold predicted then and now, clip by clip, and the largest difference of a probability."""

    then: list[Prediction]
    now: list[Prediction]
    difference: float


def rerun_fold(work: Work, config: RunConfig, stored: Sequence[Prediction], subject: str, seed: int) -> Again:
    """Train one fold under one seed as the run did.

    Args:
      work: of the run, all folds and seeds.
      config: of the run.
      stored: the run's predictions.
      subject: the fold's name.
      seed: one of the run's.

    Raises:
      ValueError: the run has no such fold or seed, or its table other clips than the data.
    """
    then = sorted((row for row in stored if (row.fold, row.seed) == (subject, seed)), key=lambda row: row.clip)
    if not then:
        folds, seeds = sorted({row.fold for row in stored}, key=natural_order), sorted({row.seed for row in stored})
        raise ValueError(
            f"the run has no fold {subject!r} under seed {seed}; choose one of {', '.join(folds)} and of {seeds}"
        )
    jobs = train_folds(
        work.micro,
        work.macro,
        work.folds,
        work.trainings,
        config.trained,
        skip=lambda fold, own: (fold.name, work.seed_of(own)) != (subject, seed),
    )
    now = sorted(predict_jobs(work, list(jobs), config.trained), key=lambda row: row.clip)
    if [row.clip for row in then] != [row.clip for row in now]:
        raise ValueError(f"fold {subject} has {len(now)} clips in these data and {len(then)} in the run's table")
    # The table has nine digits, which name every float32.
    probabilities = [np.array([row.probabilities for row in rows], np.float32) for rows in (then, now)]
    return Again(then, now, float(np.abs(probabilities[0] - probabilities[1]).max()))


def print_again(console: Console, found: Again, title: str) -> None:
    """Print both predictions of every clip."""
    table = Table("clip", "label", "then", "probability", "now", "probability", title=title)
    for then, now in zip(found.then, found.now, strict=True):
        both = [cell for row in (then, now) for cell in (escape(row.prediction), f"{max(row.probabilities):.6f}")]
        table.add_row(escape(then.clip), escape(then.label), *both)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the fold predicts the same, 1 if not, 2 with one paragraph on standard error if it cannot be run."""
    parser = CommandParser("rerun", __doc__)
    parser.add_argument("run", type=Path, help="workdir of a finished run")
    parser.add_argument("--fold", required=True, help="subject (or corpus) that the fold holds out, such as smic/s3")
    parser.add_argument("--seed", type=int, default=0, help="of the run [0]")
    parser.add_argument("--data_dir", help="folder of the corpus, if it has moved")
    parser.add_argument("--data_cache", help="folder in which prepared data are kept")
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command("experiments.rerun", words, lambda: _rerun(parser.parse_args(words)), remedy=RUN_NEEDED)


def _rerun(options: argparse.Namespace) -> int:
    with as_config_error():
        refuse_changed(options.run, "config.json", "predictions.csv")
        stored, _ = read_predictions(options.run / "predictions.csv")
        config, content = read_run(options.run)
    moved = {name: value for name in ("data_dir", "shards") if (value := getattr(options, name)) is not None}
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, **moved), seeds=len(content["seeds"]))
    if config.protocol in ADAPTED_PROTOCOLS:
        raise ConfigError(f"a run of {config.protocol} keeps episodes, not predictions of folds; rerun it whole")
    set_up_jax(config)
    console = make_console()
    prepared, plan, work = plan_work(config, console)
    if prepared.manifest["shards"] != content["data"]["shards"]:
        console.print("the prepared data are not those of the run: differences are to be expected", style="bold red")
    with as_config_error():
        found = rerun_fold(work, config, stored, options.fold, options.seed)
    print_again(console, found, f"{config.method_name} on {plan.title}, fold {options.fold}, seed {options.seed}")
    if found.difference == 0:
        console.print(f"{len(found.now)} clips: every probability is the same, bit by bit")
    elif found.difference <= _ROUNDING:
        console.print(f"{len(found.now)} clips: the same up to rounding; largest difference {found.difference:.1e}")
    else:
        console.print(
            f"{len(found.now)} clips: probabilities differ by up to {found.difference:.3g}; compare {options.run}/environment.json "
            "with this machine's packages and backend",
            style="bold red",
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

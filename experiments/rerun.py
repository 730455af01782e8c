"""`python -m experiments.rerun RUN --fold=SUBJECT [--seed=0]`: train one fold of a finished run again and compare the predictions.

Settings come from the run's `config.json`. Data are read from the same folders as in the run, unless `--data_dir`, `--macro_dir` or
`--data_cache` is given. The new predictions are compared with `predictions.csv`: status 0 if they agree, 1 if not. The run folder
is not changed.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, ConfigError, as_config_error
from experiments.cli.runtime import set_up_jax
from experiments.cli.terminal import make_console, text_table
from experiments.evaluation.cross_validation import predict_jobs
from experiments.evaluation.plan import PlannedRun
from experiments.evaluation.prediction_table import Prediction, read_predictions
from experiments.evaluation.protocols import PROTOCOLS, plan_run
from experiments.evaluation.run_record import read_run, settings_difference, stored_data_cache
from experiments.evaluation.workdir import refuse_changed
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.types import natural_order

_ROUNDING = 1e-5


def rerun_fold(
    run: PlannedRun, stored: Sequence[Prediction], fold: str, seed: int
) -> tuple[list[Prediction], list[Prediction]]:
    """Train one fold under one seed as the run did; returns its stored and its new predictions, in order of the clips.

    Raises:
      ValueError: the run has no such fold or seed, or its table has other clips than the data.
    """
    work, config = run.work, run.config.trained
    before = sorted((row for row in stored if (row.fold, row.seed) == (fold, seed)), key=lambda row: row.clip)
    if not before:
        folds, seeds = sorted({row.fold for row in stored}, key=natural_order), sorted({row.seed for row in stored})
        raise ValueError(
            f"the run has no fold {fold!r} under seed {seed}; choose a fold from {', '.join(folds)} and a seed from {seeds}"
        )
    skip = lambda own, replica: (own.name, work.seed_of(replica)) != (fold, seed)  # noqa: E731
    initial = work.initial_params(config)
    jobs = list(train_folds(work.micro, work.macro, work.folds, work.replicas, config, initial=initial, skip=skip))
    align_steps = PROTOCOLS[run.config.protocol].align_steps(run.config)
    new = sorted(predict_jobs(work, jobs, config, align_steps=align_steps), key=lambda row: row.clip)
    if [row.clip for row in before] != [row.clip for row in new]:
        raise ValueError(f"fold {fold} has {len(new)} clips in these data and {len(before)} in the run's table")
    return before, new


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 0 if the predictions agree, 1 if not, 2 with one paragraph on standard error if it cannot run."""
    return run_command("experiments.rerun", argv, _run, remedy=RUN_NEEDED)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("rerun", __doc__)
    parser.add_argument("run", type=Path, help="workdir of a finished run")
    parser.add_argument("--fold", required=True, help="subject or corpus that the fold holds out, such as smic/s3")
    parser.add_argument("--seed", type=int, default=0, help="one of the run's seeds [0]")
    parser.add_argument("--data_dir", help="folder of the corpus, if it has moved")
    parser.add_argument("--macro_dir", help="folder of the macro corpus, if it has moved")
    parser.add_argument("--geometry", help="folder of the face geometry, if it has moved")
    parser.add_argument("--init", help="file of the weights that trainings start from, if it has moved")
    parser.add_argument("--data_cache", help="folder of prepared data")
    options = parser.parse_args(words)
    with as_config_error():
        refuse_changed(options.run, "config.json", "predictions.csv")
        stored, _ = read_predictions(options.run / "predictions.csv")
        config, record = read_run(options.run)
    if PROTOCOLS[config.protocol].gives_labels:
        raise ConfigError(f"a run of {config.protocol} keeps episodes, not predictions of folds; repeat the whole run")
    data = dataclasses.replace(
        config.data,
        data_dir=options.data_dir or config.data.data_dir,
        macro_dir=options.macro_dir or config.data.macro_dir,
        geometry=options.geometry or config.data.geometry,
        data_cache=options.data_cache or stored_data_cache(options.run) or config.data.data_cache,
    )
    set_up_jax(data.data_cache)
    console = make_console()
    train = dataclasses.replace(config.train, init=options.init or config.train.init)
    run = plan_run(dataclasses.replace(config, data=data, train=train, seeds=len(record.seeds)), console)
    if run.config.train.init_digest != record.trained.get("init_digest", ""):
        console.print("the initial weights differ from those of the run, so differences are expected", style="bold red")
    if run.prepared.digest != record.data.get("digest"):
        console.print("the prepared data differ from those of the run, so differences are expected", style="bold red")
    changed = settings_difference(options.run)
    if changed:
        console.print(
            f"the run was made under other settings ({changed}), so differences are expected", style="bold red"
        )
    with as_config_error():
        before, new = rerun_fold(run, stored, options.fold, options.seed)
    title = f"{config.method_name} on {run.plan.title}, fold {options.fold}, seed {options.seed}"
    return _print(console, before, new, title, options.run)


def _print(console: Console, before: list[Prediction], new: list[Prediction], title: str, run: Path) -> int:
    """Print both predictions of every clip and the result; returns the exit status."""
    table = text_table("clip", "label", "stored", "probability", "new", "probability", title=title)
    for pair in zip(before, new, strict=True):
        cells = [cell for row in pair for cell in (row.prediction, f"{max(row.probabilities):.6f}")]
        table.add_row(pair[0].clip, pair[0].label, *cells)
    console.print(table)
    # The table has nine digits, which determine a float32.
    old, now = (np.array([row.probabilities for row in rows], np.float32) for rows in (before, new))
    count, difference = len(new), float(np.abs(old - now).max())
    if difference == 0:
        console.print(f"{count} clips: all probabilities are bit-identical")
    elif difference <= _ROUNDING:
        console.print(f"{count} clips: equal up to rounding; largest difference {difference:.1e}")
    else:
        text = f"{count} clips: probabilities differ by up to {difference:.3g}; compare {run}/environment.json with this machine"
        console.print(text, style="bold red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

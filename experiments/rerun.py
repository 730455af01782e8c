"""`python -m experiments.rerun RUN --fold=SUBJECT [--seed=0]`: train one fold of a finished run again and compare the predictions.

Settings come from the run's `config.json`. Data are read from the same folders as in the run, unless `--data_dir` or `--data_cache`
is given. The new predictions are compared with `predictions.csv`: status 0 if they agree, 1 if not. The run folder is not changed.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, ConfigError, as_config_error
from experiments.cli.runtime import set_up_jax
from experiments.evaluation.protocols import PROTOCOLS, plan_run
from experiments.evaluation.rerun import Rerun, rerun_fold
from experiments.evaluation.run_record import read_run
from experiments.evaluation.scores import read_predictions
from experiments.evaluation.workdir import refuse_changed
from experiments.reporting.console import make_console

_ROUNDING = 1e-5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 0 if the predictions agree, 1 if not, 2 with one paragraph on standard error if it cannot run."""
    parser = CommandParser("rerun", __doc__)
    parser.add_argument("run", type=Path, help="workdir of a finished run")
    parser.add_argument("--fold", required=True, help="subject or corpus that the fold holds out, such as smic/s3")
    parser.add_argument("--seed", type=int, default=0, help="one of the run's seeds [0]")
    parser.add_argument("--data_dir", help="folder of the corpus, if it has moved")
    parser.add_argument("--data_cache", help="folder of prepared data")
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command("experiments.rerun", words, lambda: _rerun(parser.parse_args(words)), remedy=RUN_NEEDED)


def _rerun(options: argparse.Namespace) -> int:
    with as_config_error():
        refuse_changed(options.run, "config.json", "predictions.csv")
        stored, _ = read_predictions(options.run / "predictions.csv")
        config, record = read_run(options.run)
    if PROTOCOLS[config.protocol].gives_labels:
        raise ConfigError(f"a run of {config.protocol} keeps episodes, not predictions of folds; repeat the whole run")
    folders = {name: value for name in ("data_dir", "data_cache") if (value := getattr(options, name)) is not None}
    data = dataclasses.replace(config.data, **folders)
    set_up_jax(data.data_cache)
    console = make_console()
    run = plan_run(dataclasses.replace(config, data=data, seeds=len(record.seeds)), console)
    if run.prepared.manifest.shards != record.data["shards"]:
        console.print("the prepared data differ from those of the run, so differences are expected", style="bold red")
    with as_config_error():
        found = rerun_fold(run, stored, options.fold, options.seed)
    title = f"{config.method_name} on {run.plan.title}, fold {options.fold}, seed {options.seed}"
    return _print(console, found, title, options.run)


def _print(console: Console, found: Rerun, title: str, run: Path) -> int:
    """Print both predictions of every clip and the verdict; returns the exit status."""
    table = Table("clip", "label", "stored", "probability", "new", "probability", title=title)
    for pair in zip(found.stored, found.new, strict=True):
        cells = [cell for row in pair for cell in (escape(row.prediction), f"{max(row.probabilities):.6f}")]
        table.add_row(escape(pair[0].clip), escape(pair[0].label), *cells)
    console.print(table)
    count, difference = len(found.new), found.difference
    if difference == 0:
        console.print(f"{count} clips: all probabilities are bit-identical")
    elif difference <= _ROUNDING:
        console.print(f"{count} clips: equal up to rounding; largest difference {difference:.1e}")
    else:
        text = (
            f"{count} clips: probabilities differ by up to {difference:.3g}; compare {run}/environment.json with the "
        )
        console.print(f"{text}packages and backend of this machine", style="bold red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m experiments.html_report RUN`: one self-contained `report.html` from the stored predictions of a run, without training.

Scores, their tables and their figures are computed from `predictions.csv`; figures that need trained networks are used as stored.
The page loads nothing from a network.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, ConfigError
from experiments.cli.terminal import make_console
from experiments.evaluation.baselines import compare_with_baselines
from experiments.evaluation.prediction_table import read_predictions
from experiments.evaluation.run_result import read_result
from experiments.evaluation.scores import score_predictions
from experiments.evaluation.workdir import refuse_changed, renew_inventory
from experiments.reporting.console import scores_of
from experiments.reporting.figures import save_baselines_figure, save_confusion_figure
from experiments.reporting.html import write_report

_STORED = (
    *("metrics.json", "predictions.csv", "baselines/*.csv", "config.json", "environment.json"),
    *("embedding.png", "saliency.png", "curves.png"),
)


def renew_report(workdir: Path) -> Path:
    """Score the predictions of a run again, and write `metrics.json`, the figures of scores and the report; see `write_report`."""
    refuse_changed(workdir, *_STORED)
    result = read_result(workdir)
    rows, classes = read_predictions(workdir / "predictions.csv")
    scores = score_predictions(rows, classes, scores_of(result).folds_expected)
    result = dataclasses.replace(result, scores=scores, baselines=compare_with_baselines(workdir, result.method))
    result.save(workdir)
    save_confusion_figure(workdir / "confusion.png", result)
    save_baselines_figure(workdir / "baselines.png", result)
    path = write_report(workdir)
    renew_inventory(workdir)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 2 with one paragraph on standard error if a run cannot be read."""
    return run_command("experiments.html_report", argv, _run, remedy=RUN_NEEDED)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("html_report", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="workdirs of finished runs")
    console = make_console()
    for run in parser.parse_args(words).runs:
        try:
            console.print(str(renew_report(run)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{error}. {RUN_NEEDED}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())

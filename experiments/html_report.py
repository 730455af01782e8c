"""`python -m experiments.html_report RUN`: one self-contained `report.html` from what a run has stored; nothing is trained.

Scores, tables and the confusion picture are made again from `predictions.csv`; pictures that need trained networks are taken as the
run drew them. Every name is escaped, nothing is fetched from a network.
"""

import base64
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, ConfigError
from experiments.evaluation.baseline_runs import compare_with_baselines
from experiments.evaluation.inventory import check_version, refuse_changed, renew_inventory
from experiments.evaluation.scores import Prediction, read_predictions, score_predictions
from experiments.reporting import console as report
from lightman_jax.files import write_whole

_TEMPLATE = "report.html.jinja"
_CLIPS_SHOWN = 8
_PICTURES = {
    "confusion.png": "Confusion matrix, pooled over folds, mean over seeds; percentages are of a row.",
    "baselines.png": "The method minus each baseline, same clips and seeds; an interval across 0 shows no difference.",
    "embedding.png": "Clips of one fold in the auxiliary branch. Stars were never trained on; they should lie by their colour.",
    "saliency.png": "Above: how much moves. Below: which places change the score of the clip's own class, for held-out clips.",
    "curves.png": "Training losses over the outer steps. They say nothing about held-out people.",
}


_DRAWN_BEFORE = ("embedding.png", "saliency.png", "curves.png")


class ClipRow(NamedTuple):
    """A clip's label, what it was most often taken for, and the mean probability of its own class over seeds."""

    clip: str
    label: str
    prediction: str
    probability: float


def write_report(workdir: Path) -> Path:
    """Write `report.html` of a finished run, and bring `metrics.json` and the pictures of scores up to date with its predictions.

    Args:
      workdir: of a run of the protocols `loso` or `leave_one_dataset_out`, or of `experiments.select`.

    Returns:
      The report's path.

    Raises:
      OSError: a file of the run is not there.
      ValueError: a file of the run cannot be read, or is not as the run has left it.
    """
    refuse_changed(
        workdir, "metrics.json", "predictions.csv", "baselines/*.csv", "config.json", "environment.json", *_DRAWN_BEFORE
    )
    metrics = json.loads((workdir / "metrics.json").read_text())
    check_version(metrics, workdir / "metrics.json")
    rows, classes = read_predictions(workdir / "predictions.csv")
    metrics |= score_predictions(rows, classes, metrics["folds_expected"])
    metrics["baselines"] = compare_with_baselines(workdir, metrics["method"], metrics["data"]["dataset"])
    write_whole(workdir / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    report.save_confusion_figure(workdir / "confusion.png", metrics)
    certain = clips_by_certainty(rows, classes)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template(_TEMPLATE).render(
        metrics=metrics,
        headline=report.headline(metrics),
        pictures=[
            (text, base64.b64encode((workdir / name).read_bytes()).decode())
            for name, text in _PICTURES.items()
            if (workdir / name).exists()
        ],
        worst=certain[:_CLIPS_SHOWN],
        best=certain[::-1][:_CLIPS_SHOWN],
        settings=_flat(_json_of(workdir / "config.json")),
        environment=_flat(_json_of(workdir / "environment.json")),
    )
    path = workdir / "report.html"
    write_whole(path, page)
    renew_inventory(workdir)
    return path


def clips_by_certainty(rows: Sequence[Prediction], classes: Sequence[str]) -> list[ClipRow]:
    """Every clip once, those whose own class was believed least first."""
    by_clip: dict[str, list[Prediction]] = defaultdict(list)
    for row in rows:
        by_clip[row.clip].append(row)
    found = []
    for clip, own in by_clip.items():
        guesses = [row.prediction for row in own]
        mean = sum(row.probabilities[classes.index(row.label)] for row in own) / len(own)
        found.append(ClipRow(clip, own[0].label, max(guesses, key=guesses.count), mean))
    return sorted(found, key=lambda row: (row.probability, row.clip))


def _json_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _flat(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`a.b` names and values of a nested dict; lists as they are."""
    found: list[tuple[str, str]] = []
    for name, value in content.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, str(value))]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one paragraph on standard error when the run cannot be read."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = CommandParser("html_report", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="workdirs")

    def work() -> int:
        for run in parser.parse_args(words).runs:
            try:
                print(write_report(run))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise ConfigError(f"{error}. {RUN_NEEDED}") from error
        return 0

    return run_command("experiments.html_report", words, work, remedy=RUN_NEEDED)


if __name__ == "__main__":
    sys.exit(main())

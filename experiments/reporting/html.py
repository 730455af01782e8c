"""One self-contained `report.html` of a run, from its stored results."""

import base64
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.cli.terminal import printable
from experiments.evaluation.prediction_table import Prediction, read_predictions
from experiments.evaluation.records import read_json
from experiments.evaluation.run_result import read_result
from experiments.reporting.console import headline, scores_of
from lightman_jax.files import write_atomic

_CLIPS_SHOWN = 8
_FIGURES = {
    "confusion.png": "Confusion matrix, pooled over folds, mean over seeds. Percentages are per row.",
    "baselines.png": "UF1 of the method minus each baseline, on the same clips and seeds. An interval that contains 0 is no "
    "evidence of a difference.",
    "embedding.png": "Clips of one fold in the embedding of the auxiliary branch. Stars are held-out clips; they should lie near "
    "the training clips of their colour.",
    "saliency.png": "Top: mean motion of each class. Bottom: saliency, the mean influence of each pixel on the score of the "
    "clip's own class, for held-out clips. Several views have two rows each.",
    "curves.png": "Training losses over the outer steps. They do not measure performance on unseen subjects.",
}


class ClipRow(NamedTuple):
    """A clip: label, most frequent prediction, and probability of the label, mean over seeds."""

    clip: str
    label: str
    prediction: str
    probability: float


def write_report(workdir: Path) -> Path:
    """Write `report.html` from the stored results and figures of a run.

    Raises:
      OSError: a file cannot be read or written.
      ValueError: the run has no scores, as with protocols that give labels, or one of its files is damaged.
    """
    result = read_result(workdir)
    scores = scores_of(result)
    rows, _ = read_predictions(workdir / "predictions.csv")
    clips = clips_by_probability(rows, scores.classes)
    loader = FileSystemLoader(Path(__file__).parent)
    # Names of clips and classes come from tables of users; autoescape keeps them from being read as HTML, and `finalize` from
    # moving other text.
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_printable
    )
    figures = [(text, workdir / name) for name, text in _FIGURES.items() if (workdir / name).exists()]
    page = environment.get_template("report.html.jinja").render(
        result=result,
        scores=scores,
        headline=headline(result),
        figures=[(text, base64.b64encode(path.read_bytes()).decode()) for text, path in figures],
        worst=clips[:_CLIPS_SHOWN],
        best=clips[::-1][:_CLIPS_SHOWN],
        settings=_flat(_stored(workdir / "config.json")),
        environment=_flat(_stored(workdir / "environment.json")),
    )
    path = workdir / "report.html"
    write_atomic(path, page)
    return path


def _printable(value: object) -> object:
    # Markup, a subclass of str, is the text of the template.
    return printable(value) if type(value) is str else value


def clips_by_probability(rows: Sequence[Prediction], classes: Sequence[str]) -> list[ClipRow]:
    """Every clip once, sorted by the mean probability of its label, lowest first."""
    by_clip: dict[str, list[Prediction]] = defaultdict(list)
    for row in rows:
        by_clip[row.clip].append(row)
    found = []
    for clip, own in by_clip.items():
        label = own[0].label
        mean = sum(row.probabilities[classes.index(label)] for row in own) / len(own)
        ((most_frequent, _),) = Counter(row.prediction for row in own).most_common(1)
        found.append(ClipRow(clip, label, most_frequent, mean))
    return sorted(found, key=lambda row: (row.probability, row.clip))


def _stored(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _flat(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested dictionaries as pairs of a dotted name and a value."""
    found: list[tuple[str, str]] = []
    for name, value in content.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, str(value))]
    return found

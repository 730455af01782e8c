"""What a person reads: the box and tables on the terminal, and the two pictures in the workdir."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from experiments.reporting.pictures import save_figure
from lightman_jax.data.corpora.catalog import PROTOCOLS
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU

STAND_IN_TEXT = (
    "Invented stand-in clips, NOT a corpus. No number below says anything about {title} or about people.\n"
    "With real data: python -m experiments.run --dataset={dataset} --data_dir=FOLDER"
)


def make_console() -> Console:
    """A terminal, or plain lines of fixed width when the output is piped."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def print_stand_in_box(console: Console, dataset: str) -> None:
    """Say in a box that the data are invented."""
    # A simulated corpus has no real data of its own.
    text = STAND_IN_TEXT.format(title=PROTOCOLS[dataset].title, dataset="smic" if dataset == SIMULATED_AU else dataset)
    console.print(Panel(text, title="STAND-IN DATA", width=min(console.width, 110), style="yellow"))


def headline(metrics: dict[str, Any]) -> str:
    """One line: what was measured, on how many folds, seeds, clips and subjects."""
    counts = "/".join(str(count) for count in metrics["class_counts"].values())
    return (
        f"{metrics['method']} on {metrics['title']}: {metrics['folds']}/{metrics['folds_expected']} folds, "
        f"{_seeds(metrics)}, {metrics['clips']} clips ({counts}) of {metrics['subjects']} subjects"
    )


def print_results(console: Console, metrics: dict[str, Any]) -> None:
    """Print the headline, the pooled rates, the classes and the subjects."""
    console.print()
    console.print(headline(metrics), style="bold")
    for line in (*metrics["missing"], *(f"class {name} has no clip" for name in metrics["absent_classes"])):
        console.print(f"incomplete: {line}", style="yellow")
    console.print(f"{metrics['rule']}; data: {metrics['data']['origin']}")
    scores = Table(
        "",
        "UF1",
        "UAR",
        "accuracy",
        title=f"Pooled over folds, mean ± sd of {_seeds(metrics)} [95% subject bootstrap]",
    )
    scores.add_row("all", *_rate_cells(metrics))
    for name, part in metrics.get("per_corpus", {}).items():
        scores.add_row(f"{name}, {part['clips']} clips", *_rate_cells(part))
    console.print(scores)
    classes = Table("class", "clips", "F1", "recall", title="Classes, mean over seeds")
    for name, row in metrics["per_class"].items():
        recall = "-" if row["recall"] is None else f"{row['recall']:.3f}"
        classes.add_row(name, str(row["clips"]), f"{row['f1']:.3f}", recall)
    console.print(classes)
    subjects = Table("subject", "clips", "/".join(metrics["classes"]), "accuracy", title="Subjects, mean over seeds")
    for name, row in metrics["per_subject"].items():
        subjects.add_row(name, str(row["clips"]), "/".join(map(str, row["class_counts"])), f"{row['accuracy']:.3f}")
    console.print(subjects)


def print_baselines(console: Console, metrics: dict[str, Any]) -> None:
    """Print each baseline's UF1 and how far the method is from it; without baselines, that they were left out."""
    if not metrics["baselines"]:
        console.print("baselines were left out: this result stands alone (--baselines=default)", style="yellow")
        return
    title = f"Beside it, and {metrics['method']} minus each"
    table = Table("baseline", "UF1", "difference", "p, Holm", title=title)
    for row in metrics["baselines"]:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
        low, high = row["interval"]
        cells = (f"{row['uf1']:.3f}{spread}", f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]")
        table.add_row(row["name"], *cells, f"{row['p_holm']:.4f}")
    console.print(table)


def save_confusion_figure(path: Path, metrics: dict[str, Any]) -> None:
    """Draw the confusion matrix pooled over folds, mean over seeds, with the recall of each cell's row."""
    matrix = np.asarray(metrics["confusion_per_seed"], dtype=np.float64).mean(axis=0)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    classes = metrics["classes"]
    figure, axes = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(classes)):
        for j in range(len(classes)):
            colour = "white" if share[i, j] > 0.55 else "black"
            axes.text(j, i, f"{matrix[i, j]:.1f}\n{share[i, j]:.0%}", ha="center", va="center", color=colour)
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)), xticklabels=classes, yticklabels=classes)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    rates = ", ".join(f"{label} {metrics[name]['mean']:.3f}" for label, name in (("UF1", "uf1"), ("UAR", "uar")))
    _title(figure, metrics, f"clips, mean of {_seeds(metrics)}; {rates}")
    save_figure(path, figure)


def save_curves_figure(path: Path, metrics: dict[str, Any], histories: Sequence[dict[str, NDArray]]) -> None:
    """Draw each loss over the outer steps: mean over folds and seeds, with the band from the 10th to the 90th percentile."""
    names = [name for name in sorted(histories[0]) if name.endswith("_loss")]
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names), 3.6), layout="constrained", squeeze=False)
    for panel, name in zip(axes[0], names, strict=True):
        values = np.stack([history[name] for history in histories])
        steps = np.arange(1, values.shape[1] + 1)
        panel.fill_between(steps, *np.percentile(values, [10, 90], axis=0), alpha=0.25)
        panel.plot(steps, values.mean(axis=0))
        panel.set(title=name.replace("_", " "), xlabel="outer step", ylabel="nat")
        panel.set_ylim(bottom=0)
    _title(figure, metrics, f"training losses, {len(histories)} trainings, band 10 to 90%")
    save_figure(path, figure)


def _seeds(metrics: dict[str, Any]) -> str:
    count = len(metrics["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def _title(figure: Any, metrics: dict[str, Any], text: str) -> None:
    figure.suptitle(f"{metrics['method']} on {metrics['title']}\n{text}", fontsize=10)
    if metrics["data"]["stand_in"]:
        figure.text(
            0.5, 0.5, "STAND-IN DATA", fontsize=34, color="red", alpha=0.18, rotation=25, ha="center", va="center"
        )


def _rate_cells(part: dict[str, Any]) -> list[str]:
    cells = []
    for name in ("uf1", "uar", "accuracy"):
        rate = part[name]
        spread = "" if rate["sd"] is None else f" ± {rate['sd']:.3f}"
        cells.append(f"{rate['mean']:.3f}{spread} [{rate['interval'][0]:.3f}, {rate['interval'][1]:.3f}]")
    return cells

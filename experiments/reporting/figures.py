"""Figures of a run: confusion matrix, training losses, differences from the baselines, saliency and embedding.

Figures are drawn without pyplot, so the backend of a notebook stays as it is.
"""

import functools
import io
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from experiments.cli.terminal import printable
from experiments.evaluation.cross_validation import Work
from experiments.evaluation.run_result import RunResult
from experiments.reporting.console import scores_of, seeds_text
from lightman_jax.files import write_atomic
from lightman_jax.meta.inner_loop import initial_params
from lightman_jax.meta.method_functions import make_method
from lightman_jax.model.ensemble import saliency
from lightman_jax.networks.dual_branch import apply_branches
from lightman_jax.preprocessing import magnify_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold

_TITLE_WIDTH = 80
CLASS_COLOURS = ("#c53030", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#00838f", "#555555")


def save_figure(path: Path, figure: Figure, dpi: int = 120) -> None:
    """Write a figure as PNG, atomically, with all texts letter by letter; errors as `write_atomic`."""
    drawn = io.BytesIO()
    _take_names_literally(figure)
    with warnings.catch_warnings():
        # File names may contain letters that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(drawn, format="png", dpi=dpi)
    write_atomic(path, drawn.getvalue())


def _take_names_literally(figure: Figure) -> None:
    """Draw a dollar sign in a name as it is: matplotlib takes it for the begin of a formula, and fails on most names."""
    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    # The numbers of a logarithmic axis are formulas.
    powers = {text for axis in axes if axis.get_scale() != "linear" for text in axis.get_ticklabels(which="both")}
    for text in {*figure.findobj(Text)} - powers:
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))


def save_confusion_figure(path: Path, result: RunResult) -> None:
    """Draw the confusion matrix pooled over folds, mean over seeds, with percentages of each row."""
    scores = scores_of(result)
    matrix = np.asarray(scores.confusion_per_seed, dtype=np.float64).mean(axis=0)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    classes = scores.classes
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(matrix.shape):
        colour = "white" if share[i, j] > 0.55 else "black"
        axes.text(j, i, f"{matrix[i, j]:.1f}\n{share[i, j]:.0%}", ha="center", va="center", color=colour)
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)), xticklabels=classes, yticklabels=classes)
    axes.set(xlabel="predicted class", ylabel="true class")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    means = f"UF1 {scores.uf1.mean:.3f}, UAR {scores.uar.mean:.3f}"
    _add_title(figure, result, f"number of clips, mean over {seeds_text(scores)}; {means}")
    save_figure(path, figure)


def save_curves_figure(path: Path, result: RunResult, histories: Sequence[dict[str, NDArray]]) -> None:
    """Draw each loss over the outer steps: mean over folds and seeds, with the band from the 10th to the 90th percentile."""
    names = [name for name in sorted(histories[0]) if name.endswith("_loss")]
    figure = Figure(figsize=(3.2 * len(names), 3.6), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = np.stack([history[name] for history in histories])
        steps = np.arange(1, values.shape[1] + 1)
        panel.fill_between(steps, *np.percentile(values, [10, 90], axis=0), alpha=0.25)
        panel.plot(steps, values.mean(axis=0))
        panel.set(title=name.replace("_", " "), xlabel="outer step", ylabel="nat", ylim=(0, None))
    _add_title(figure, result, f"training losses of {len(histories)} jobs: mean, 10th to 90th percentile")
    save_figure(path, figure)


def save_baselines_figure(path: Path, result: RunResult) -> None:
    """Draw the difference between the run and each baseline with its 95% interval; a run without baselines gets no figure."""
    if not result.baselines:
        path.unlink(missing_ok=True)
        return
    figure = Figure(figsize=(7, 1.2 + 0.34 * len(result.baselines)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(result.baselines):
        draw_interval(axes, place, row.difference, row.interval, significant=row.p_holm < 0.05)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(result.baselines)), [f"{result.method} - {row.name}" for row in result.baselines])
    axes.invert_yaxis()
    axes.set_xlabel("difference of UF1, 95% interval over subjects; dark: p < 0.05 (Holm)")
    axes.set_title(f"{result.method} minus each baseline on {result.data.dataset}", fontsize=10)
    save_figure(path, figure)


def draw_interval(axes: Axes, place: int, value: float, interval: tuple[float, float], *, significant: bool) -> None:
    """Draw a value and its interval in row `place`; dark if significant."""
    colour = "#1a365d" if significant else "#90a4b8"
    axes.plot(interval, [place, place], color=colour, linewidth=2.2)
    axes.plot(value, place, "o", color=colour, markersize=5)


def save_saliency_figure(path: Path, work: Work, jobs: Sequence[TrainedFold], config: TrainConfig, title: str) -> None:
    """Draw the mean magnitude of the scaled flow of each class, and below it the mean saliency of the held-out clips."""
    micro, classes = work.micro, len(work.micro.classes)
    maps = _mean_saliency(work, jobs, config)
    scaled = np.abs(np.asarray(scale_flow(jnp.asarray(micro.image), scaling="clip_rms"))).mean(axis=-1)
    motion = scaled.reshape(len(micro), -1, *maps.shape[1:]).mean(axis=1)
    figure = Figure(figsize=(2.6 * classes, 5.6), layout="constrained")
    panels = figure.subplots(2, classes, squeeze=False)
    for k, name in enumerate(micro.classes):
        own = micro.label == k
        panels[0, k].imshow(motion[own].mean(axis=0) if own.any() else maps[k], cmap="Greys")
        panels[1, k].imshow(maps[k], cmap="magma", vmin=0, vmax=maps.max())
        panels[0, k].set_title(f"{name}, {own.sum()} clips", fontsize=9)
    panels[0, 0].set_ylabel("motion")
    panels[1, 0].set_ylabel("saliency")
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    figure.suptitle(textwrap.fill(title, _TITLE_WIDTH), fontsize=10)
    save_figure(path, figure, dpi=110)


def _mean_saliency(work: Work, jobs: Sequence[TrainedFold], config: TrainConfig) -> NDArray[np.float64]:
    """`[N, H, W]` mean of `|x * d logit_c / d x|`, summed over channels, over the clips of each class c.

    Each clip is seen by the networks that were trained without its subject. Sequences are averaged over frames.
    """
    micro = work.micro
    maps = np.zeros((len(micro.classes), *micro.image.shape[-3:-1]))
    logits_of = make_method(config.method, config.network, optax.sgd(0.0)).logits
    of_job = jax.jit(lambda params, clips, label: saliency(functools.partial(logits_of, params), clips, label))

    def scaled(train: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.asarray(scale_flow(jnp.asarray(micro.image), scaling=config.scaling, train=jnp.asarray(train)))

    # Only fold_rms depends on the fold.
    shared = None if config.scaling == "fold_rms" else scaled(work.folds[0].train)
    # One shape for all folds, so one program is compiled.
    longest = max(len(fold.test) for fold in work.folds)
    for job in jobs:
        images = scaled(job.fold.train) if shared is None else shared
        rows = np.resize(job.fold.test, longest)
        found = np.asarray(of_job(job.params, jnp.asarray(images[rows]), jnp.asarray(micro.label[rows])))
        found = found.reshape(longest, -1, *maps.shape[1:]).mean(axis=1)
        for row, index in enumerate(job.fold.test):
            maps[micro.label[index]] += found[row]
    count = np.bincount(micro.label, minlength=len(maps))[:, None, None]
    return maps / np.maximum(count * (len(jobs) // len(work.folds)), 1)


def save_embedding_figure(path: Path, work: Work, job: TrainedFold, config: TrainConfig, title: str) -> None:
    """Draw micro and macro clips of one fold in the first two principal components of their embeddings."""
    micro, macro = work.micro, work.macro
    images = scale_flow(jnp.asarray(micro.image), scaling=config.scaling, train=jnp.asarray(job.fold.train))
    if macro is None:
        others, macro_label, trained_on = magnify_flow(images, config.macro_gain), micro.label, job.fold.train
    else:
        macro_label, trained_on = macro.label, job.fold.macro_train
        others = scale_flow(jnp.asarray(macro.image), scaling=config.scaling, train=jnp.asarray(trained_on))
    params = initial_params(job.params)
    embed = jax.jit(lambda x: apply_branches(params, x, config=config.network).embedding)
    held_out = np.zeros(len(micro), bool)
    held_out[job.fold.test] = True
    micro_points, macro_points = np.asarray(embed(images)), np.asarray(embed(others))
    train = np.concatenate([micro_points[~held_out], macro_points[trained_on]])
    _, _, components = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    parts = [micro_points[~held_out], macro_points[trained_on], micro_points[held_out]]
    labels = [micro.label[~held_out], macro_label[trained_on], micro.label[held_out]]
    styles: tuple[tuple[str, dict[str, Any]], ...] = (
        ("micro, training", {"marker": "o", "s": 14, "alpha": 0.5, "edgecolors": "none"}),
        ("macro, training", {"marker": "^", "s": 14, "alpha": 0.5, "edgecolors": "none"}),
        ("micro, held out", {"marker": "*", "s": 110, "edgecolors": "black"}),
    )
    figure = Figure(figsize=(6.6, 5.2), layout="constrained")
    axes = figure.subplots()
    for points, label, (part, style) in zip(parts, labels, styles, strict=True):
        for k, name in enumerate(micro.classes):
            own = (points[label == k] - train.mean(axis=0)) @ components[:2].T
            axes.scatter(*own.T, color=CLASS_COLOURS[k % len(CLASS_COLOURS)], label=f"{part}, {name}", **style)
    axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axes.set(xticks=[], yticks=[])
    about = f"{title}; embeddings of one fold, {job.fold.name} held out, first two principal components"
    figure.suptitle(textwrap.fill(about, _TITLE_WIDTH), fontsize=10)
    save_figure(path, figure, dpi=110)


def _add_title(figure: Figure, result: RunResult, text: str) -> None:
    figure.suptitle(f"{result.method} on {result.title}\n{text}", fontsize=10)
    if result.data.stand_in:
        style: dict[str, Any] = {"fontsize": 34, "color": "red", "alpha": 0.18, "rotation": 25}
        figure.text(0.5, 0.5, "STAND-IN DATA", ha="center", va="center", **style)

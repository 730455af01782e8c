"""Figures of a run: confusion matrix, training losses, differences from the baselines, saliency and embedding.

Figures are drawn without pyplot, so the backend of a notebook stays as it is.
"""

import dataclasses
import functools
import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
from lightman_jax.meta.view_networks import group_clips, network_of_group
from lightman_jax.model.ensemble import saliency
from lightman_jax.networks.dual_branch import apply_branches
from lightman_jax.preprocessing import magnify_flow
from lightman_jax.training.clip_scale import scaled_reader
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.training.program import method_of
from lightman_jax.types import Clips, ClipSet

_TITLE_WIDTH, _BLOCK, _BLOCK_BYTES = 80, 512, 64 << 20
# More points hide each other.
_MOST_POINTS = 2000
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
    """Draw the mean face of each class, or the mean magnitude of its scaled flow or change; below it the mean saliency.

    Saliency is that of held-out clips. Of several views, one is drawn below the other, with one scale of the saliency for all.
    """
    micro, classes = work.micro, len(work.micro.classes)
    maps, means = _mean_saliency(work, jobs, config), _mean_images(work, config)
    figure = Figure(figsize=(2.6 * classes, 5.6 * maps.shape[1]), layout="constrained")
    panels = figure.subplots(2 * maps.shape[1], classes, squeeze=False)
    for (k, view), seen in np.ndenumerate(_clips_seen(work)):
        above, below = panels[2 * view : 2 * view + 2, k]
        above.imshow(means[k, view], cmap="gray" if _shows_faces(micro) else "Greys")
        below.imshow(maps[k, view], cmap="magma", vmin=0, vmax=maps.max())
        above.set_title(f"{micro.classes[k]}, {seen} clips", fontsize=9)
    for view, name in enumerate(micro.views or ("",)):
        panels[2 * view, 0].set_ylabel(f"{name} {'faces' if _shows_faces(micro) else 'motion'}".strip())
        panels[2 * view + 1, 0].set_ylabel(f"{name} saliency".strip())
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    figure.suptitle(textwrap.fill(title, _TITLE_WIDTH), fontsize=10)
    save_figure(path, figure, dpi=110)


def _shows_faces(clips: ClipSet) -> bool:
    """Whether images are grey levels of faces, instead of flow or a change."""
    return bool(clips.image.dtype == np.uint8)


def _mean_images(work: Work, config: TrainConfig) -> NDArray[np.float64]:
    """Mean image `[N, V, H, W, C]` of each class and view, C = 3 or 1; 0 where there is no clip."""
    micro, has_view = work.micro, _has_view(work)
    if _shows_faces(micro):
        read: Callable[[Any], NDArray[Any]] = lambda rows: micro.image[rows] / 255  # noqa: E731
    else:
        own = dataclasses.replace(config, scaling="clip_rms")
        scaled = scaled_reader(micro.image, own, np.ones(len(micro), bool), views=bool(micro.views))
        read = lambda rows: np.abs(scaled(rows)).mean(axis=-1, keepdims=True)  # noqa: E731
    total = np.zeros((len(micro.classes), has_view.shape[1], *read([0]).shape[-3:]))
    for rows in _blocks(micro):
        images = read(rows)
        images = images.reshape(len(rows), has_view.shape[1], -1, *images.shape[-3:]).mean(axis=2)
        np.add.at(total, micro.label[rows], np.where(has_view[rows][..., None, None, None], images, 0))
    return total / np.maximum(_clips_seen(work), 1)[..., None, None, None]


def _blocks(clips: ClipSet, rows: NDArray[np.int_] | None = None) -> Iterator[NDArray[np.int_]]:
    """Rows, of all clips or the given ones, in blocks whose scaled images fit into memory."""
    rows = np.arange(len(clips)) if rows is None else rows
    block = max(1, min(_BLOCK, _BLOCK_BYTES // (4 * math.prod(clips.image.shape[1:]))))
    return (rows[first : first + block] for first in range(0, len(rows), block))


def _has_view(work: Work) -> NDArray[np.bool_]:
    """`[n, V]` the views that each micro clip has; V is 1 for images without a view axis."""
    return work.micro.has_view if work.micro.views else np.ones((len(work.micro), 1), bool)


def _clips_seen(work: Work) -> NDArray[np.int_]:
    """`[N, V]` number of micro clips of each class that have each view."""
    has_view = _has_view(work)
    return np.stack([has_view[work.micro.label == k].sum(axis=0) for k in range(len(work.micro.classes))])


def _mean_saliency(work: Work, jobs: Sequence[TrainedFold], config: TrainConfig) -> NDArray[np.float64]:
    """`[N, V, H, W]` mean of `|x * d logit_c / d x|`, summed over channels, over the clips of each class c that have the view.

    Each clip is seen by the networks that were trained without its subject. Sequences are averaged over frames.
    """
    micro, seen = work.micro, _clips_seen(work)
    maps = np.zeros((*seen.shape, *micro.image.shape[-3:-1]))
    logits_of = method_of(config).logits
    of_job = jax.jit(lambda params, clips, label: saliency(functools.partial(logits_of, params), clips, label))
    scaled = functools.partial(scaled_reader, micro.image, config, views=bool(micro.views))
    # Only fold_rms depends on the fold.
    shared = None if config.scaling == "fold_rms" else scaled(work.folds[0].train)
    # One shape for all folds, so one program is compiled.
    longest = max(len(next(_blocks(micro, fold.test))) for fold in work.folds)
    for job in jobs:
        read = scaled(job.fold.train) if shared is None else shared
        for own in _blocks(micro, job.fold.test):
            rows = np.resize(own, longest)
            found = np.asarray(of_job(job.params, jnp.asarray(read(rows)), jnp.asarray(micro.label[rows])))
            found = found.reshape(longest, maps.shape[1], -1, *maps.shape[2:]).mean(axis=2)
            for row, index in enumerate(own):
                maps[micro.label[index]] += found[row]
    return maps / np.maximum(seen[..., None, None] * (len(jobs) // len(work.folds)), 1)


class _Points(NamedTuple):
    """Embeddings `[k, E]`, their classes `[k]`, and the row `[k]` of the clip that each shows."""

    place: NDArray[np.float32]
    label: NDArray[np.int32]
    row: NDArray[np.int_]


def save_embedding_figure(path: Path, work: Work, job: TrainedFold, config: TrainConfig, title: str) -> None:
    """Draw the clips of one fold, and those they are aligned with, in the first two principal components of their embeddings.

    Of a network per view or per extraction, those of the first one are drawn.
    """
    micro, macro = _embeddings(work, job, config)
    aligned = config.aligned_with(has_macro=work.macro is not None)
    held_out = np.isin(micro.row, job.fold.test)
    trained_on = (job.fold.macro_train if aligned == "macro" else job.fold.train)[macro.row]
    train = np.concatenate([micro.place[~held_out], macro.place[trained_on]])
    _, _, components = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    parts = [micro.place[~held_out], macro.place[trained_on], micro.place[held_out]]
    labels = [micro.label[~held_out], macro.label[trained_on], micro.label[held_out]]
    styles: tuple[tuple[str, dict[str, Any]], ...] = (
        ("micro, training", {"marker": "o", "s": 14, "alpha": 0.5, "edgecolors": "none"}),
        (
            f"{'other view' if aligned == 'views' else 'macro'}, training",
            {"marker": "^", "s": 14, "alpha": 0.5, "edgecolors": "none"},
        ),
        ("micro, held out", {"marker": "*", "s": 110, "edgecolors": "black"}),
    )
    figure = Figure(figsize=(6.6, 5.2), layout="constrained")
    axes = figure.subplots()
    for points, label, (part, style) in zip(parts, labels, styles, strict=True):
        for k, name in enumerate(work.micro.classes):
            own = (points[label == k] - train.mean(axis=0)) @ components[:2].T
            axes.scatter(*own.T, color=CLASS_COLOURS[k % len(CLASS_COLOURS)], label=f"{part}, {name}", **style)
    axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axes.set(xticks=[], yticks=[])
    first = {"separate": (0,), "extractions": (config.network.extractions or ((0,),))[0]}
    places = first.get(config.network.view_network, ()) if work.micro.views else ()
    views = f" of {' and '.join(work.micro.views[place] for place in places)}" if places else ""
    about = f"{title}; embeddings{views} of one fold, {job.fold.name} held out, first two principal components"
    figure.suptitle(textwrap.fill(about, _TITLE_WIDTH), fontsize=10)
    save_figure(path, figure, dpi=110)


def _embeddings(work: Work, job: TrainedFold, config: TrainConfig) -> tuple[_Points, _Points]:
    """Embeddings of all micro clips, and of those that they are aligned with, by the first group of networks."""
    network, params = config.network, initial_params(job.params)
    if network.views > 1:
        params = jax.tree.map(lambda leaf: leaf[0], params)
    apply = jax.jit(lambda x: apply_branches(params, x, config=network_of_group(network)).embedding)
    auxiliary = config.aligned_with(has_macro=work.macro is not None)

    def of_block(image: jax.Array, label: NDArray[np.int32], rows: NDArray[np.int_], shift: int) -> _Points:
        clips = Clips(image=image, label=jnp.asarray(label[rows]), where=jnp.ones(len(rows), bool))
        if network.views > 1:
            clips = jax.tree.map(lambda x: x[0], group_clips(clips, network, shift))
        where = np.asarray(clips.where)
        places = np.repeat(rows, len(where) // len(rows))
        return _Points(np.asarray(apply(clips.image))[where], np.asarray(clips.label)[where], places[where])

    def embedded(clips: ClipSet, train: NDArray[np.bool_], shift: int = 0, gain: float | None = None) -> _Points:
        read = scaled_reader(clips.image, config, train, views=network.views > 1)
        parts = []
        shown = np.linspace(0, len(clips) - 1, min(len(clips), _MOST_POINTS)).round().astype(int)
        shown = np.union1d(shown, job.fold.test) if clips is work.micro else shown
        for rows in _blocks(clips, shown):
            image = jnp.asarray(read(rows))
            image = image if gain is None else magnify_flow(image, gain)
            parts.append(of_block(image, clips.label, rows, shift))
        return _Points(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    micro = embedded(work.micro, job.fold.train)
    if auxiliary == "macro":
        assert work.macro is not None
        return micro, embedded(work.macro, job.fold.macro_train)
    gain = config.macro_gain if auxiliary == "magnified" else None
    return micro, embedded(work.micro, job.fold.train, int(auxiliary == "views"), gain)


def _add_title(figure: Figure, result: RunResult, text: str) -> None:
    figure.suptitle(f"{result.method} on {result.title}\n{text}", fontsize=10)
    if result.data.stand_in:
        style: dict[str, Any] = {"fontsize": 34, "color": "red", "alpha": 0.18, "rotation": 25}
        figure.text(0.5, 0.5, "STAND-IN DATA", ha="center", va="center", **style)

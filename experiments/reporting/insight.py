"""Two pictures of what the trained networks do: where they look, and how micro clips lie beside macro clips in their embedding."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from numpy.typing import NDArray

from experiments.evaluation.cross_validation import Work
from experiments.reporting.pictures import save_figure
from lightman_jax.meta.inner_loop import initial_params
from lightman_jax.meta.methods import make_method
from lightman_jax.networks.dual_branch import apply_branches
from lightman_jax.preprocessing import magnify_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold

_TITLE = 80
_COLOURS = ("#c53030", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#00838f", "#555555")


def save_saliency_figure(path: Path, work: Work, jobs: Sequence[TrainedFold], config: TrainConfig, title: str) -> None:
    """Draw, for each class, the mean movement of its clips and where a held-out clip's own class score is sensitive.

    Sensitivity is `|x * d logit_c / d x|` summed over channels, mean over the clips of class c, each seen by a network that was
    trained without its subject. Sequences are averaged over frames.
    """
    micro, classes = work.micro, len(work.micro.classes)
    maps = np.zeros((classes, *micro.image.shape[-3:-1]))
    count = np.bincount(micro.label, minlength=classes)[:, None, None]

    logits_of = make_method(config.method, config.network, optax.sgd(0.0)).logits

    @jax.jit
    def sensitivity(params: object, clips: jax.Array, label: jax.Array) -> jax.Array:
        def own_logit(x: jax.Array) -> jax.Array:
            logits = logits_of(params, x)
            return jnp.take_along_axis(logits, label[:, None], axis=1).sum()

        return jnp.abs(clips * jax.grad(own_logit)(clips)).sum(axis=-1)

    scaled = np.asarray(scale_flow(jnp.asarray(micro.image), scaling="clip_rms"))
    longest = max(len(fold.test) for fold in work.folds)
    seeds = set()
    for job in jobs:
        seeds.add(job.seed)
        rows = np.resize(job.fold.test, longest)
        images = scaled
        if config.scaling != "clip_rms":
            train = jnp.asarray(job.fold.train)
            images = np.asarray(scale_flow(jnp.asarray(micro.image), scaling=config.scaling, train=train))
        found = np.asarray(sensitivity(job.params, jnp.asarray(images[rows]), jnp.asarray(micro.label[rows])))
        found = found.reshape(longest, -1, *maps.shape[1:]).mean(axis=1)
        for row, index in enumerate(job.fold.test):
            maps[micro.label[index]] += found[row]
    maps /= np.maximum(count * len(seeds), 1)
    figure, panels = plt.subplots(2, classes, figsize=(2.6 * classes, 5.6), layout="constrained", squeeze=False)
    movement = np.abs(scaled).mean(axis=-1).reshape(len(micro), -1, *maps.shape[1:]).mean(axis=1)
    for k, name in enumerate(micro.classes):
        panels[0, k].imshow(movement[micro.label == k].mean(axis=0) if count[k].sum() else maps[k], cmap="Greys")
        panels[1, k].imshow(maps[k], cmap="magma", vmin=0, vmax=maps.max())
        panels[0, k].set_title(f"{name}, {int(count[k].item())} clips", fontsize=9)
    panels[0, 0].set_ylabel("how much moves")
    panels[1, 0].set_ylabel("what the network uses")
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    figure.suptitle(textwrap.fill(title, _TITLE), fontsize=10)
    save_figure(path, figure, dpi=110)


def save_embedding_figure(path: Path, work: Work, job: TrainedFold, config: TrainConfig, title: str) -> None:
    """Draw training micro clips, held-out micro clips and macro clips of one fold in the first two axes of their embeddings."""
    micro, macro = work.micro, work.macro
    train = jnp.asarray(job.fold.train)
    images = scale_flow(jnp.asarray(micro.image), scaling=config.scaling, train=train)
    if macro is None:
        others, label, shown = magnify_flow(images, config.macro_gain), micro.label, np.asarray(job.fold.train)
    else:
        mask = jnp.asarray(job.fold.macro_train)
        others = scale_flow(jnp.asarray(macro.image), scaling=config.scaling, train=mask)
        label, shown = macro.label, np.asarray(job.fold.macro_train)
    params = initial_params(job.params)
    embed = jax.jit(lambda x: apply_branches(params, x, config=config.network).embedding)
    held_out = np.zeros(len(micro), bool)
    held_out[job.fold.test] = True
    points = [np.asarray(embed(x)) for x in (images, others)]
    kept = [points[0][~held_out], points[1][shown], points[0][held_out]]
    flat = _plane(kept)
    labels = [micro.label[~held_out], label[shown], micro.label[held_out]]
    styles = (
        ("micro, trained on", "o", 14, 0.5),
        ("macro, trained on", "^", 14, 0.5),
        ("micro, held out", "*", 110, 1.0),
    )
    figure, axes = plt.subplots(figsize=(6.6, 5.2), layout="constrained")
    for values, own, (name, marker, size, alpha) in zip(flat, labels, styles, strict=True):
        for k, label_name in enumerate(micro.classes):
            here = values[own == k]
            edge = "black" if marker == "*" else "none"
            colour = _COLOURS[k % len(_COLOURS)]
            axes.scatter(here[:, 0], here[:, 1], s=size, marker=marker, alpha=alpha, color=colour, edgecolors=edge,
                         label=f"{label_name}, {name}")  # fmt: skip
    axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axes.set(xticks=[], yticks=[])
    figure.suptitle(
        textwrap.fill(f"{title}; embeddings of one fold, {job.fold.name} held out, first two principal axes", _TITLE),
        fontsize=10,
    )
    save_figure(path, figure, dpi=110)


def _plane(parts: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """The parts in the two directions of largest variance of the first two."""
    middle = np.concatenate(parts[:2]).mean(axis=0)
    _, _, axes = np.linalg.svd(np.concatenate(parts[:2]) - middle, full_matrices=False)
    return [(part - middle) @ axes[:2].T for part in parts]

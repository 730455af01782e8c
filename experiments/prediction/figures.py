"""Figures of a prediction: one per movement, and the timeline of a long video."""

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.prediction.table import Row, summarize
from experiments.reporting.contact_sheet import flow_colours
from experiments.reporting.figures import CLASS_COLOURS, save_figure
from lightman_jax.data.preparation.representation import MotionConfig, motion_of_faces
from lightman_jax.data.vision.images import grey_image, resize_image
from lightman_jax.data.vision.spotting import Search, SpotConfig, Spotted
from lightman_jax.model.saved_model import Model

_WARNING, _TITLE_WIDTH = "#b7410e", 125
_DIRECTIONS = "red right, green down, cyan left, violet up"


def save_movement_figure(
    path: Path, row: Row, movement: Spotted, saliency: NDArray[np.floating], model: Model, adapted: int
) -> None:
    """Draw onset, apex, the flow between them, the saliency map `[H, W]`, and the probabilities of all networks.

    Of several views, the flow and the saliency map `[V, H, W]` of each are drawn, with one scale of the saliency for all.
    `adapted` is the number of labelled clips that the networks were adapted to.
    """
    assert row.probabilities is not None
    figure = (_draw_views if model.views else _draw_movement)(row, movement, saliency, model)
    figure.suptitle(_title(row.name), fontsize=10)
    _add_origin(figure, model, adapted)
    save_figure(path, figure, dpi=110)


def _draw_movement(row: Row, movement: Spotted, saliency: NDArray[np.floating], model: Model) -> Figure:
    place, side = movement.apex - movement.onset, movement.faces[0].shape[0]
    onset, apex = movement.faces[0], movement.faces[place]
    motion = MotionConfig(views=model.about["motion"]["views"], face_side=side, image_side=side)
    flow = motion_of_faces(movement.faces, place, motion)
    figure = Figure(figsize=(13.5, 3.5), layout="constrained")
    panels = figure.subplots(1, 5, width_ratios=(1, 1, 1, 1, 1.35))
    _draw_image(panels[0], onset, f"onset, {_frame_text(row, 0)}")
    _draw_image(panels[1], apex, f"apex, {_frame_text(row, 1)}")
    _draw_image(panels[2], flow_colours(flow[..., :2]), f"movement, up to {_peak(flow):.1f} px")
    _draw_image(panels[3], _overlay(apex, saliency, saliency.max()), "saliency")
    panels[2].text(0.5, -0.05, _DIRECTIONS, fontsize=7, ha="center", transform=panels[2].transAxes)
    _draw_probabilities(panels[4], row, model)
    return figure


def _draw_views(row: Row, movement: Spotted, saliency: NDArray[np.floating], model: Model) -> Figure:
    """Frames in the first column, a view with its saliency map in each further one, and the probabilities."""
    apex, side = movement.apex - movement.onset, movement.faces[0].shape[0]
    motion = MotionConfig(**model.about["motion"])
    flows = motion_of_faces(
        movement.faces, apex, dataclasses.replace(motion, magnify=1.0, face_side=side, image_side=side)
    )
    places = [f"{part} {name}" for part in ("flow", "saliency") for name in model.views]
    layout: list[Any] = [["onset", *places[: len(model.views)], "p"], ["apex", *places[len(model.views) :], "p"]]
    figure = Figure(figsize=(2.5 * (len(model.views) + 1) + 3.5, 6.2), layout="constrained")
    panels = figure.subplot_mosaic(layout, width_ratios=(*[1] * (len(model.views) + 1), 1.35))
    for place, name in enumerate(("onset", "apex")):
        _draw_image(panels[name], movement.faces[apex * place], f"{name}, {_frame_text(row, place)}")
    for name, flow, own in zip(model.views, flows, saliency, strict=True):
        above, below = panels[f"flow {name}"], panels[f"saliency {name}"]
        if name in row.views:
            _draw_image(above, flow_colours(flow[..., :2]), f"{name}, up to {_peak(flow):.1f} px")
            _draw_image(below, _overlay(movement.faces[apex], own, saliency.max()), "saliency")
        else:
            blank = np.full((side, side, 3), 255, np.uint8)
            _draw_image(above, blank, f"{name}: missing")
            _draw_image(below, blank, "")
    directions = textwrap.fill(f"movement: {_DIRECTIONS}", 35)
    panels["apex"].text(0.5, -0.04, directions, fontsize=7, ha="center", va="top", transform=panels["apex"].transAxes)
    _draw_probabilities(panels["p"], row, model)
    return figure


def _draw_image(panel: Axes, image: NDArray, title: str) -> None:
    panel.imshow(image)
    panel.set_title(title, fontsize=9)
    panel.axis("off")


def _frame_text(row: Row, place: int) -> str:
    """Number of the onset or apex frame, and its time."""
    assert row.span is not None
    return f"frame {row.span[place]}" + (f", {row.span[place] / row.fps:.2f} s" if row.fps else "")


def _peak(flow: NDArray[np.floating]) -> float:
    return float(np.hypot(flow[..., 0], flow[..., 1]).max())


def save_timeline(
    path: Path, search: Search, rows: Sequence[Row], fps: float, model: Model, config: SpotConfig
) -> None:
    """Draw the displacement curve of a long video, its gaps, and the predicted class of each movement (`rows`)."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots()
    window = config.window_seconds
    times = np.array([number / fps - window / 2 for number, _ in search.curve])
    pixels = np.array([size for _, size in search.curve])
    # No line across a gap: nothing was measured there.
    breaks = np.flatnonzero(np.diff(times) > window) + 1
    for part in np.split(np.arange(len(times)), breaks):
        axes.plot(times[part], pixels[part], color="#444444", linewidth=1, marker=".", markersize=3)
    axes.axhline(config.min_pixels, color="#888888", linewidth=0.8, linestyle="--")
    top = max([config.min_pixels, *pixels.tolist()]) * 1.3
    for gap in search.gaps:
        axes.axvspan((gap.first - 1) / fps, gap.last / fps, color="#dddddd", hatch="//", linewidth=0)
        text = textwrap.shorten(gap.reason.split(";")[0], 40)
        middle = (gap.first + gap.last) / 2 / fps
        axes.text(middle, 0.5 * top, text, fontsize=7, rotation=90, ha="center", va="center", clip_on=True)
    for row in rows:
        if row.probabilities is None or row.span is None:
            continue
        mean, _, best, _ = summarize(row.probabilities)
        colour = CLASS_COLOURS[best % len(CLASS_COLOURS)]
        axes.axvspan((row.span[0] - 1) / fps, row.span[2] / fps, color=colour, alpha=0.25, linewidth=0)
        axes.axvline(row.span[1] / fps, color=colour, linewidth=1)
        label = f"{model.classes[best]} {mean[best]:.2f}"
        axes.text(row.span[1] / fps, 0.97 * top, label, color=colour, fontsize=8, rotation=90, ha="right", va="top")
    axes.set(xlim=(0, search.frames / fps), ylim=(0, top), xlabel="seconds", ylabel="pixels on a face 128 wide")
    axes.set_title("peak displacement per window of one second; dashed: threshold of a movement", fontsize=9)
    figure.suptitle(_title(rows[0].name if rows else ""), fontsize=10)
    _add_origin(figure, model, 0)
    save_figure(path, figure, dpi=110)


def _title(name: str) -> str:
    """A file name, its end cut off if it is too long."""
    return name if len(name) <= _TITLE_WIDTH else f"{name[:_TITLE_WIDTH]}..."


def _draw_probabilities(panel: Axes, row: Row, model: Model) -> None:
    probabilities = row.probabilities
    assert probabilities is not None
    mean, sd, _, _ = summarize(probabilities)
    places = np.arange(len(model.classes))
    colours = [to_rgba(CLASS_COLOURS[k % len(CLASS_COLOURS)], 0.75) for k in places]
    panel.barh(places, mean, xerr=sd, color=colours, capsize=3)
    rng = np.random.default_rng(0)
    for k in places:
        jitter = rng.uniform(-0.25, 0.25, len(probabilities))
        panel.scatter(probabilities[:, k], k + jitter, s=3, color="black", alpha=0.35)
    panel.set_yticks(places, model.classes)
    panel.invert_yaxis()
    panel.set(xlim=(0, 1))
    panel.set_title(f"{len(probabilities)} networks: mean, sd and single networks", fontsize=9)
    panel.tick_params(labelsize=8)


def _overlay(face: NDArray[np.uint8], saliency: NDArray[np.floating], most: float) -> NDArray[np.floating]:
    """The face in grey, and in orange the saliency as a share of `most`."""
    grey = np.repeat(grey_image(face)[..., None], 3, axis=2) / 255
    share = resize_image(np.asarray(saliency, np.float32), *face.shape[:2])[..., None] / max(float(most), 1e-9)
    return (1 - 0.65 * share) * grey + 0.65 * share * np.array([1.0, 0.45, 0.0])


def _add_origin(figure: Figure, model: Model, adapted: int) -> None:
    about = model.about
    text = f"{about['networks']} networks by {about['method']}, trained on {about['origin']}"
    text += f"; adapted to {adapted} labelled clips of the subject" if adapted else ""
    colour = "black"
    if about["stand_in"]:
        text, colour = f"TRAINED ON STAND-IN CLIPS: THE PREDICTION HAS NO MEANING FOR REAL FACES. {text}", _WARNING
    figure.supxlabel("\n".join(textwrap.wrap(text, 150)), fontsize=8, color=colour)

"""Figures of a prediction: one per movement, and the timeline of a long video."""

import dataclasses
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from experiments.prediction.origin import caution_of
from experiments.prediction.table import Row, summarize
from experiments.reporting.contact_sheet import flow_colours
from experiments.reporting.figures import CLASS_COLOURS, save_figure
from lightman_jax.data.preparation.representation import MotionConfig, motion_of_faces
from lightman_jax.data.vision.images import grey_image, resize_image
from lightman_jax.data.vision.movement_kinds import KINDS, Kind
from lightman_jax.data.vision.spotting import CurvePoint, Gap, Search, SpotConfig, Spotted
from lightman_jax.model.saved_model import Model
from lightman_jax.types import natural_order

_WARNING, _TITLE_WIDTH = "#b7410e", 125
_BAND = 0.15
KIND_COLOURS: dict[Kind, str] = dict(
    zip(KINDS, ("#d55e00", "#0072b2", "#e6b800", "#009e73", "#cc79a7", "#666666", "#b0b0b0"), strict=True)
)
"""Colours that are distinct in every common colour vision (Okabe and Ito), one per kind."""
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
    figure.suptitle(f"{_title(row.name)}{', ' if row.face_name else ''}{row.face_name}\n{_size(row)}", fontsize=10)
    _add_origin(figure, model, adapted)
    save_figure(path, figure, dpi=110)


def _size(row: Row) -> str:
    """Kind, duration and peak displacement of a movement, where known."""
    seconds = row.times[2] - row.times[0]
    parts = ([] if np.isnan(seconds) else [f"{seconds:.2f} s"]) + ([f"{row.pixels:.1f} px"] if row.pixels > 0 else [])
    return f"{row.kind}: {', '.join(parts)}" if parts else row.kind


def _draw_movement(row: Row, movement: Spotted, saliency: NDArray[np.floating], model: Model) -> Figure:
    place, side = movement.apex_place, movement.faces[0].shape[0]
    onset, apex = movement.faces[0], movement.faces[place]
    motion = MotionConfig(views=model.about["motion"]["views"], face_side=side, image_side=side)
    flow = motion_of_faces(movement.faces, place, motion, movement.without_head).astype(np.float32)
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
    apex, side = movement.apex_place, movement.faces[0].shape[0]
    motion = MotionConfig(**model.about["motion"])
    flows = motion_of_faces(
        movement.faces,
        apex,
        dataclasses.replace(motion, magnify=1.0, face_side=side, image_side=side),
        movement.without_head,
    ).astype(np.float32)
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
    return f"frame {row.span[place]}" + ("" if np.isnan(row.times[place]) else f", {row.times[place]:.2f} s")


def _peak(flow: NDArray[np.floating]) -> float:
    return float(np.hypot(flow[..., 0], flow[..., 1]).max())


def save_timeline(path: Path, search: Search, rows: Sequence[Row], model: Model, config: SpotConfig) -> None:
    """Draw the displacement curve of a long video, its gaps, and the kinds of its movements (`rows`), with one panel per face.

    Classes are written at the movements that have one.
    """
    names = sorted({row.face_name for row in rows}, key=natural_order)
    figure = Figure(figsize=(11, 1.2 + 2.6 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    window = min(config.window_seconds)
    points = [point for point in search.curve if point.window <= window]
    for axes, name in zip(panels, names, strict=True):
        own = [point for point in points if name in ("", point.face_name)]
        top = 1.3 * max([config.min_pixels, *(point.pixels for point in own)])
        _draw_curve(axes, own, window, config.min_pixels)
        _draw_gaps(axes, search.gaps, search.seconds, top)
        _draw_kinds(axes, [row for row in rows if row.face_name == name], model, top)
        axes.set(xlim=(0, search.seconds), ylim=(-_BAND * top, top), ylabel="pixels on a face 128 wide")
        axes.set_title(name, loc="left", fontsize=9)
    about = f"peak displacement per window of {window:g} s; dashed: threshold of a movement"
    panels[0].set_title(f"{_title(rows[0].name if rows else '')}\n{about}", fontsize=9)
    panels[-1].set_xlabel("seconds")
    found = {row.kind for row in rows}
    keys = [Patch(color=colour, label=kind) for kind, colour in KIND_COLOURS.items() if kind in found]
    if keys:
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), fontsize=8, frameon=False)
    _add_origin(figure, model, 0)
    save_figure(path, figure, dpi=110)


def _draw_curve(axes: Axes, points: Sequence[CurvePoint], window: float, min_pixels: float) -> None:
    times = np.array([point.seconds for point in points])
    pixels = np.array([point.pixels for point in points])
    # No line across a gap: nothing was measured there.
    breaks = np.flatnonzero(np.diff(times) > window) + 1
    for part in np.split(np.arange(len(times)), breaks):
        axes.plot(times[part], pixels[part], color="#444444", linewidth=1, marker=".", markersize=3)
    axes.axhline(min_pixels, color="#888888", linewidth=0.8, linestyle="--")


def _draw_gaps(axes: Axes, gaps: Sequence[Gap], seconds: float, top: float) -> None:
    """Hatch the times without a usable face; those that are wide enough get the reason."""
    for gap in gaps:
        area = axes.axvspan(gap.begin, gap.end, ymin=_BAND / (1 + _BAND), hatch="//", linewidth=0)
        area.set(facecolor="#eeeeee", edgecolor="#cccccc")
        if gap.end - gap.begin > 0.01 * seconds:
            text = textwrap.shorten(re.split("[;(]", gap.reason)[0], 40)
            middle = (gap.begin + gap.end) / 2
            axes.text(middle, 0.5 * top, text, fontsize=7, rotation=90, ha="center", va="center", clip_on=True)


def _draw_kinds(axes: Axes, rows: Sequence[Row], model: Model, top: float) -> None:
    """A band below the curve in the colour of each movement's kind, and the class of those that have one."""
    axes.axhspan(-_BAND * top, 0, color="#f4f4f4", zorder=0)
    # Where movements overlap, short ones are drawn over long ones.
    for row in sorted(rows, key=lambda row: row.times[0] - row.times[2]):
        if not row.kind or np.isnan(row.times).any():
            continue
        begin, apex, end = row.times
        colour = KIND_COLOURS[row.kind]
        axes.broken_barh([(begin, end - begin)], (-0.85 * _BAND * top, 0.7 * _BAND * top), color=colour)
        if row.probabilities is not None:
            mean, _, best, _ = summarize(row.probabilities)
            axes.axvspan(begin, end, ymin=_BAND / (1 + _BAND), color=colour, alpha=0.2, linewidth=0)
            label = f"{model.classes[best]} {mean[best]:.2f}"
            axes.text(apex, 0.97 * top, label, color=colour, fontsize=8, rotation=90, ha="center", va="top")


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
    caution = caution_of(model)
    text = f"{caution.line}. {text}" if caution else text
    figure.supxlabel("\n".join(textwrap.wrap(text, 150)), fontsize=8, color=_WARNING if caution else "black")

"""Two pictures of a prediction: the sheet of one movement, and the timeline of a long recording."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.prediction.table import Row, told, trained_on
from experiments.reporting.data_sheet import flow_colours
from experiments.reporting.pictures import save_figure
from lightman_jax.data.preparation.representation import MotionConfig, motion_of_faces
from lightman_jax.data.vision.images import grey_image, resize_image
from lightman_jax.data.vision.spotting import Search, SpotConfig, Spotted
from lightman_jax.model.saved_model import Model

_COLOURS = ("#c53030", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#00838f", "#555555")
_WARNING, _TITLE = "#b7410e", 125


def save_prediction_sheet(
    path: Path, row: Row, spotted: Spotted, look: NDArray[np.floating], model: Model, adapted: int
) -> None:
    """Draw onset and apex, the movement between them, where the networks look, and what each of them says.

    Args:
      path: of the picture.
      row: of the movement, with probabilities.
      spotted: its faces.
      look: `[H, W]` from `Model.look`.
      model: what has predicted.
      adapted: labelled clips that the networks were adapted to.
    """
    assert row.probabilities is not None
    onset, apex = spotted.faces[0], spotted.faces[spotted.apex - spotted.onset]
    side = onset.shape[0]
    flow = motion_of_faces((onset, apex), 1, MotionConfig(face_side=side, image_side=side))
    peak = float(np.hypot(flow[..., 0], flow[..., 1]).max())
    figure, panels = plt.subplots(1, 5, figsize=(13.5, 3.5), layout="constrained", width_ratios=(1, 1, 1, 1, 1.35))
    numbers = [f"frame {number}" + (f", {number / row.rate:.2f} s" if row.rate else "") for number in row.span or ()]
    for panel, title, picture in zip(
        panels,
        (f"onset, {numbers[0]}", f"apex, {numbers[1]}", f"movement, up to {peak:.1f} px", "where the networks look"),
        (onset, apex, flow_colours(flow[..., :2]), _heat(apex, look)),
        strict=False,
    ):
        panel.imshow(picture)
        panel.set_title(title, fontsize=9)
        panel.axis("off")
    way = "red right, green down, cyan left, violet up"
    panels[2].text(0.5, -0.05, way, fontsize=7, ha="center", transform=panels[2].transAxes)
    _draw_probabilities(panels[4], row.probabilities, model)
    figure.suptitle(textwrap.shorten(row.name, _TITLE), fontsize=10)
    _say_origin(figure, model, adapted)
    save_figure(path, figure, dpi=110)


def save_timeline(
    path: Path, search: Search, rows: Sequence[Row], rate: float, model: Model, config: SpotConfig
) -> None:
    """Draw how strongly the face moves over a long recording, and what was predicted of each movement.

    Args:
      path: of the picture.
      search: what was found.
      rows: of its movements, in order.
      rate: frames a second.
      model: what has predicted.
      config: what counts as a movement.
    """
    figure, axes = plt.subplots(figsize=(11, 3.6), layout="constrained")
    window = config.window_seconds
    times = np.array([number / rate - window / 2 for number, _ in search.curve])
    pixels = np.array([size for _, size in search.curve])
    # A line through a stretch without a face would claim that somebody looked.
    gaps = np.flatnonzero(np.diff(times) > window) + 1
    for part in np.split(np.arange(len(times)), gaps):
        axes.plot(times[part], pixels[part], color="#444444", linewidth=1, marker=".", markersize=3)
    axes.axhline(config.least_pixels, color="#888888", linewidth=0.8, linestyle="--")
    top = max([config.least_pixels, *pixels.tolist()]) * 1.3
    for stretch in search.stretches:
        axes.axvspan((stretch.first - 1) / rate, stretch.last / rate, color="#dddddd", hatch="//", linewidth=0)
        text = textwrap.shorten(stretch.reason.split(";")[0], 40)
        middle = (stretch.first + stretch.last) / 2 / rate
        axes.text(middle, 0.5 * top, text, fontsize=7, rotation=90, ha="center", va="center", clip_on=True)
    for row in rows:
        if row.probabilities is None or row.span is None:
            continue
        said = told(row.probabilities)
        colour = _COLOURS[said.best % len(_COLOURS)]
        axes.axvspan((row.span[0] - 1) / rate, row.span[2] / rate, color=colour, alpha=0.25, linewidth=0)
        axes.axvline(row.span[1] / rate, color=colour, linewidth=1)
        label = f"{model.classes[said.best]} {said.mean[said.best]:.2f}"
        axes.text(row.span[1] / rate, 0.97 * top, label, color=colour, fontsize=8, rotation=90, ha="right", va="top")
    axes.set(xlim=(0, search.frames / rate), ylim=(0, top), xlabel="seconds", ylabel="pixels of a face 128 wide")
    axes.set_title("movement that comes and goes within a second; dashed: the least that counts", fontsize=9)
    figure.suptitle(textwrap.shorten(rows[0].name if rows else "", _TITLE), fontsize=10)
    _say_origin(figure, model, 0)
    save_figure(path, figure, dpi=110)


def _draw_probabilities(panel: Axes, probabilities: NDArray[np.floating], model: Model) -> None:
    said = told(probabilities)
    places = np.arange(len(model.classes))
    panel.barh(
        places, said.mean, xerr=said.sd, color=[to_rgba(_COLOURS[k % len(_COLOURS)], 0.75) for k in places], capsize=3
    )
    rng = np.random.default_rng(0)
    for k in places:
        panel.scatter(
            probabilities[:, k], k + rng.uniform(-0.25, 0.25, len(probabilities)), s=3, color="black", alpha=0.35
        )
    panel.set_yticks(places, model.classes)
    panel.invert_yaxis()
    panel.set(xlim=(0, 1))
    panel.set_title(f"{len(probabilities)} networks: mean, sd, and each of them", fontsize=9)
    panel.tick_params(labelsize=8)


def _heat(face: NDArray[np.uint8], look: NDArray[np.floating]) -> NDArray[np.floating]:
    grey = np.repeat(grey_image(face)[..., None], 3, axis=2) / 255
    shown = resize_image(np.asarray(look, np.float32), *face.shape[:2])[..., None] / max(float(look.max()), 1e-9)
    return (1 - 0.65 * shown) * grey + 0.65 * shown * np.array([1.0, 0.45, 0.0])


def _say_origin(figure: Figure, model: Model, adapted: int) -> None:
    about = model.about
    person = f"; adapted to {adapted} labelled clips of the person" if adapted else ""
    text = f"{about['networks']} networks by {about['method']}, trained on {trained_on(model)}{person}"
    if about["data"]["stand_in"]:
        text = f"TRAINED ON INVENTED CLIPS: SAYS NOTHING ABOUT PEOPLE. {text}"
    colour = _WARNING if about["data"]["stand_in"] else "black"
    figure.supxlabel("\n".join(textwrap.wrap(text, 150)), fontsize=8, color=colour)

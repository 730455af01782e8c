"""Contact sheet of prepared clips: faces, flow, strain and every other representation, or all views, to inspect before training."""

import contextlib
import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.reporting.figures import save_figure
from lightman_jax.data.preparation.motion_config import MotionConfig, Representation
from lightman_jax.data.preparation.representation import is_still, motion_image
from lightman_jax.data.preparation.views import FALL, view_of
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic.simulated_au import simulated_faces
from lightman_jax.data.vision.faces import clip_box, crop_face
from lightman_jax.data.vision.video import read_clip_images

_MAX_SHOWN_FRAMES = 3
_OTHERS: tuple[Representation, ...] = ("difference", "dynamic", "frames")

_Panel = tuple[str, NDArray, tuple[float, float]]
"""Title, image, and the values that are black and white."""


def save_contact_sheet(path: Path, clips: Sequence[RawClip], config: MotionConfig, origin: str) -> bool:
    """Draw a micro and a macro clip of one subject: onset, apex, flow as colour, strain, and the other representations.

    A subject with clips of both pools is preferred. The representation of `config` is printed in bold, `origin` at the top. With
    views there is one row per view instead: first and last frame of its leg, flow and strain.

    Returns:
      False if no clip has frames to show, as in the public flow release without views.
    """
    rows: list[tuple[str, list[_Panel]]] = []
    chosen = _choose(clips, kinds=("frames", "video", "simulated", *(("flow",) if config.view_names else ())))
    for clip in chosen:
        label = f"{clip.pool}: {clip.clip}, {clip.emotion or '-'}, units {'+'.join(map(str, clip.action_units)) or '-'}"
        # Frames that the prepared representation did not need may be damaged.
        with contextlib.suppress(ValueError, OSError):
            if config.view_names:
                rows += [(f"{name}, {label}", panels) for name, panels in _view_panels(clip, config).items()]
            else:
                rows.append((label, _panels(clip, config)))
    if not rows:
        return False
    columns = max(len(panels) for _, panels in rows)
    figure = Figure(figsize=(1.75 * columns, 2.2 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (label, panels), line in zip(rows, axes, strict=True):
        for panel in line:
            panel.axis("off")
        for panel, (title, image, limits) in zip(line, panels, strict=False):
            panel.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1])
            weight = "bold" if title.startswith(config.representation) else "normal"
            panel.set_title(title, fontsize=8, fontweight=weight)
        # In the layout the long text would widen its column.
        line[0].text(0, 1.2, label, transform=line[0].transAxes, fontsize=9).set_in_layout(False)
    is_simulated = all(clip.kind == "simulated" for clip in chosen)
    text = origin if is_simulated else f"{origin}. Shows faces: obey the licence of the corpus"
    # A narrow sheet of views needs lines of its own for it.
    figure.suptitle(textwrap.fill(text, 20 * columns) + "\n" * bool(config.view_names), fontsize=9)
    save_figure(path, figure, dpi=110)
    return True


def _choose(clips: Sequence[RawClip], kinds: Sequence[str]) -> list[RawClip]:
    shown = [c for c in clips if c.kind in kinds and not is_still(c)]
    pools = {pool: [clip for clip in shown if clip.pool == pool] for pool in ("micro", "macro")}
    both = {clip.subject for clip in pools["micro"]} & {clip.subject for clip in pools["macro"]}
    chosen = []
    for clips in pools.values():
        own = [clip for clip in clips if clip.subject == min(both)] if both else clips
        chosen += own[:1]
    if len(chosen) == 2:
        # The same emotion in both rows, for comparison.
        same = [c for c in pools["macro"] if (c.subject, c.emotion) == (chosen[1].subject, chosen[0].emotion)]
        chosen[1:] = same[:1] or chosen[1:]
    return chosen


def _view_panels(clip: RawClip, config: MotionConfig) -> dict[str, list[_Panel]]:
    """A row of panels per view."""
    side = config.image_side if clip.kind == "flow" else config.face_side
    motion = motion_image(clip, dataclasses.replace(config, image_side=side))
    images = motion.image.reshape(len(config.view_names), side, side, 3).astype(np.float32)
    rows: dict[str, list[_Panel]] = {}
    for name, image, missing in zip(config.view_names, images, motion.missing or ("",), strict=True):
        if missing:
            rows[f"{name}: none, {missing}"] = [("", np.ones((2, 2)), (0.0, 1.0))]
        elif clip.kind == "flow":
            rows[name] = [(what, image[..., place], (0.0, 255.0)) for place, what in enumerate(("u", "v", "strain"))]
        else:
            rows[name] = _leg_panels(clip, config, image, motion.apex, is_fall=view_of(name).leg == FALL)
    return rows


def _leg_panels(clip: RawClip, config: MotionConfig, flow: NDArray, apex: int, *, is_fall: bool) -> list[_Panel]:
    images = _faces(clip, (0, apex, len(clip.numbers) - 1), config.face_side)
    faces = [(name, image, (0.0, 255.0)) for name, image in zip(("onset", "apex", "offset"), images, strict=True)]
    return [*(faces[1:] if is_fall else faces[:2]), *_flow_panels(flow)]


def _faces(clip: RawClip, places: Sequence[int], side: int) -> list[NDArray[np.uint8]]:
    """The face at the onset, the apex and the offset, or at those of them at `places`; simulated ones are rendered."""
    if clip.kind == "simulated":
        return simulated_faces(clip, side, 3)[: len(places)]
    frames = read_clip_images(clip, places)
    box = clip_box(clip, frames[0])
    return [crop_face(frame, box, side) for frame in frames]


def _flow_panels(flow: NDArray) -> list[_Panel]:
    peak = float(np.hypot(flow[..., 0], flow[..., 1]).max())
    return [
        (f"flow, up to {peak:.1f} px", flow_colours(flow[..., :2]), (0.0, 1.0)),
        ("strain", flow[..., 2], (0.0, float(flow[..., 2].max()) or 1.0)),
    ]


def _panels(clip: RawClip, config: MotionConfig) -> list[_Panel]:
    full = dataclasses.replace(config, image_side=config.face_side)
    flow = motion_image(clip, dataclasses.replace(full, representation="flow", colour="grey"))
    one = {name: motion_image(clip, dataclasses.replace(full, representation=name)).image for name in _OTHERS}
    faces = _faces(clip, (0, flow.apex), config.face_side)
    panels: list[_Panel] = [
        ("onset", faces[0], (0.0, 255.0)),
        (f"apex ({flow.apex_from})", faces[1], (0.0, 255.0)),
        *_flow_panels(flow.image.astype(np.float32)),
    ]
    for name in ("difference", "dynamic"):
        image = one[name].astype(np.float32)
        limit = float(np.abs(image).max()) or 1.0
        # Grey is no change; images of three channels have no colour scale of their own.
        panels.append((name, (image / limit + 1) / 2, (0.0, 1.0)))
    frames = one["frames"]
    places = np.linspace(0, len(frames) - 1, _MAX_SHOWN_FRAMES).round().astype(int)
    return panels + [(f"frames {place + 1}/{len(frames)}", frames[place], (0.0, 255.0)) for place in places]


def flow_colours(flow: NDArray[np.floating]) -> NDArray[np.floating]:
    """Colours of a flow field: direction as hue (right is red, down yellow-green), magnitude as saturation on white."""
    magnitude = np.hypot(flow[..., 0], flow[..., 1])
    hue = (np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)) % 1
    return hsv_to_rgb(np.dstack([hue, magnitude / max(float(magnitude.max()), 1e-9), np.ones_like(hue)]))

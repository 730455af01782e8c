"""One image of the live window: the frame and its faces, a timeline of the last seconds, and the last predicted movement."""

import itertools
import textwrap
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from experiments.cli.terminal import printable
from experiments.prediction.figures import KIND_COLOURS
from experiments.prediction.origin import caution_of
from experiments.prediction.table import Row, summarize
from lightman_jax.data.vision.spotting import CurvePoint
from lightman_jax.model.saved_model import Model
from lightman_jax.types import natural_order

SHOWN_SECONDS = 20.0

Colour = tuple[int, int, int]
"""Blue, green and red, as OpenCV draws."""

_MIN_WIDTH, _MAX_WIDTH = 640, 960
_MARGIN, _CURVE, _BAND, _LINE = 8, 56, 12, 17
_BACKGROUND, _TEXT, _FAINT, _WARNING, _FACE = (
    (32, 32, 32),
    (235, 235, 235),
    (140, 140, 140),
    (64, 160, 255),
    (120, 220, 120),
)
_FONT, _LETTER = 0.42, 7.6
# In MediaPipe's mesh: the edge of the face, the lips, the eyes and the brows.
_OUTLINES = tuple(
    np.array(points.split(), int)
    for points in (
        "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 136 172 58 132 93 234 127 162 "
        "21 54 103 67 109 10",
        "61 146 91 181 84 17 314 405 321 375 291 409 270 269 267 0 37 39 40 185 61",
        "78 95 88 178 87 14 317 402 318 324 308 415 310 311 312 13 82 81 80 191 78",
        "33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246 33",
        "263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466 263",
        "70 63 105 66 107 55 65 52 53 46 70",
        "300 293 334 296 336 285 295 282 283 276 300",
    )
)


class FollowedFace(Protocol):
    """A face to draw: its name, and its points `[478, 2 or 3]` in pixels of the frame."""

    @property
    def name(self) -> str:
        """`face 1`, `face 2` among several; empty for one."""

    @property
    def points(self) -> NDArray[np.floating]:
        """In the order of MediaPipe's face mesh."""


class Live(NamedTuple):
    """What the window shows.

    Attributes:
      image: `[H, W, 3]` uint8 RGB.
      seconds: time of the image.
      faces: the faces that are followed in it.
      curve: peak displacement of windows, in temporal order.
      rows: movements.
      status: a line on the rate.
      is_slow: whether that line is a warning.
    """

    image: NDArray[np.uint8]
    seconds: float
    faces: Sequence[FollowedFace] = ()
    curve: Sequence[CurvePoint] = ()
    rows: Sequence[Row] = ()
    status: str = ""
    is_slow: bool = False


def draw_live(live: Live, model: Model, min_pixels: float) -> NDArray[np.uint8]:
    """Draw the window, `[H, W, 3]` uint8 BGR, 640 to 960 pixels wide; `min_pixels` is the threshold of a movement."""
    frame = _draw_frame(live)
    width = frame.shape[1]
    panels = [
        _text(width, [live.status], _WARNING if live.is_slow else _TEXT),
        _draw_timeline(live, width, min_pixels),
        _draw_legend(width),
        _draw_last(live, model, width),
        _text(width, textwrap.wrap(str(model.about["notice"]), int(width / _LETTER)), _TEXT),
    ]
    if caution := caution_of(model):
        panels.append(_text(width, textwrap.wrap(caution.line, int(width / _LETTER)), _WARNING))
    return np.vstack([frame, *panels])


def _draw_frame(live: Live) -> NDArray[np.uint8]:
    """The frame with an outline and a box of each face."""
    height, width = live.image.shape[:2]
    scale = min(max(width, _MIN_WIDTH), _MAX_WIDTH) / width
    size = (round(scale * width), round(scale * height))
    shown = cv2.resize(live.image, size, interpolation=cv2.INTER_AREA)
    frame = np.asarray(cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), np.uint8)
    for face in live.faces:
        points = np.round(scale * np.asarray(face.points)[:, :2]).astype(np.int32)
        outlines = [points[places][:, None] for places in _OUTLINES]
        cv2.polylines(frame, outlines, isClosed=False, color=_FACE, thickness=1, lineType=cv2.LINE_AA)
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        cv2.rectangle(frame, (left, top), (right, bottom), _FACE, 1)
        _write(frame, face.name, (left, top - 5), _FACE)
    return frame


def _draw_timeline(live: Live, width: int, min_pixels: float) -> NDArray[np.uint8]:
    """The curve of the last seconds, and below it a band of each face with its movements in the colours of their kinds."""
    begin = live.seconds - SHOWN_SECONDS
    place = lambda seconds: round(_MARGIN + (seconds - begin) / SHOWN_SECONDS * (width - 2 * _MARGIN))  # noqa: E731
    rows = [row for row in live.rows if row.times[2] >= begin]
    shown = [point for point in live.curve if point.seconds >= begin]
    seen = {row.face_name for row in rows} | {point.face_name for point in shown} | {face.name for face in live.faces}
    names = sorted(seen, key=natural_order) or [""]
    panel = _blank(_CURVE + _BAND * len(names) + _LINE, width)
    top = max([2 * min_pixels, *(point.pixels for point in shown)])
    level = lambda pixels: round(_CURVE - pixels / top * (_CURVE - 4))  # noqa: E731
    cv2.line(panel, (_MARGIN, level(min_pixels)), (width - _MARGIN, level(min_pixels)), _FAINT, 1)
    for name in names:
        for one, two in itertools.pairwise(point for point in shown if point.face_name == name):
            # No line across a gap: nothing was measured there.
            if two.seconds - one.seconds < 1:
                start, end = ((place(point.seconds), level(point.pixels)) for point in (one, two))
                cv2.line(panel, start, end, _TEXT, 1, cv2.LINE_AA)
    for row in rows:
        upper = _CURVE + 2 + _BAND * names.index(row.face_name)
        corners = (max(_MARGIN, place(row.times[0])), upper), (place(row.times[2]), upper + _BAND - 3)
        if row.kind:
            cv2.rectangle(panel, *corners, _colour(KIND_COLOURS[row.kind]), cv2.FILLED)
    for name, upper in zip(names, itertools.count(_CURVE, _BAND), strict=False):
        _write(panel, name, (_MARGIN, upper + _BAND - 2), _FAINT)
    _write(panel, f"-{SHOWN_SECONDS:.0f} s", (_MARGIN, len(panel) - 4), _FAINT)
    _write(panel, f"pixels on a face 128 wide, up to {top:.1f}", (width // 2 - 130, len(panel) - 4), _FAINT)
    _write(panel, "now", (width - _MARGIN - 26, len(panel) - 4), _FAINT)
    return panel


def _draw_legend(width: int) -> NDArray[np.uint8]:
    """The colours of the kinds, as many in a line as it holds."""
    places, left, line = [], _MARGIN, 0
    for kind in KIND_COLOURS:
        step = 18 + round(_LETTER * len(kind)) + 6
        if left + step > width:
            left, line = _MARGIN, line + 1
        places.append((kind, left, line * _LINE))
        left += step
    panel = _blank((line + 1) * _LINE, width)
    for kind, left, top in places:
        cv2.rectangle(panel, (left, top + 4), (left + 11, top + 13), _colour(KIND_COLOURS[kind]), cv2.FILLED)
        _write(panel, kind, (left + 17, top + 13), _TEXT)
    return panel


def _draw_last(live: Live, model: Model, width: int) -> NDArray[np.uint8]:
    """The last movement that has a class."""
    last = next((row for row in reversed(live.rows) if row.probabilities is not None), None)
    panel = _blank(26, width)
    if last is None or last.probabilities is None or not last.kind:
        _write(panel, "no micro- or macro-expression so far", (_MARGIN, 17), _FAINT)
        return panel
    mean, sd, best, _ = summarize(last.probabilities)
    ago = f", {live.seconds - last.times[1]:.0f} s ago" if live.seconds >= last.times[1] else ""
    size = f"{last.times[2] - last.times[0]:.2f} s" + (f", {last.pixels:.1f} px" if last.pixels > 0 else "")
    text = f"{last.face_name}{': ' if last.face_name else ''}{last.kind} ({size}){ago}:"
    cv2.rectangle(panel, (_MARGIN, 5), (_MARGIN + 11, 18), _colour(KIND_COLOURS[last.kind]), cv2.FILLED)
    end = _write(panel, text, (_MARGIN + 17, 17), _TEXT)
    _write(panel, f"{model.classes[best]} {mean[best]:.2f} +- {sd[best]:.2f}", (end + 8, 18), (255, 255, 255), 0.6)
    return panel


def _text(width: int, lines: Sequence[str], colour: Colour) -> NDArray[np.uint8]:
    panel = _blank(_LINE * len(lines), width)
    for number, line in enumerate(lines):
        _write(panel, line, (_MARGIN, _LINE * number + 13), colour)
    return panel


def _blank(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), _BACKGROUND, np.uint8)


def _write(panel: NDArray[np.uint8], text: str, place: tuple[int, int], colour: Colour, size: float = _FONT) -> int:
    """Write a text, whose lower left corner is `place`; returns its right end."""
    # The fonts of OpenCV have no letters beyond ASCII.
    shown = printable(text, "ascii")
    cv2.putText(panel, shown, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
    return place[0] + cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0]


def _colour(name: str) -> Colour:
    red, green, blue = (round(255 * part) for part in to_rgb(name))
    return blue, green, red

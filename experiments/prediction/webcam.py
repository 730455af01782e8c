"""Live prediction from a webcam: a window shows the movements while they are found, and nothing is stored unless requested.

The newest frame is analysed; frames that arrive meanwhile are skipped. The window closes by q, Esc or its own button.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError
from experiments.prediction.camera import INSTEAD, LiveFrame, Record, open_webcam
from experiments.prediction.live_view import FollowedFace, Live, draw_live
from experiments.prediction.movements import Settings
from experiments.prediction.predictor import Predictor
from experiments.prediction.table import Row
from lightman_jax.data.vision.spotting import CurvePoint, MovementSearch, SpotConfig, Spotted

_TITLE, _ESCAPE = "lightman_jax", 27
_RATE_FRAMES, _CURVE_POINTS = 30, 320
_NO_IMAGE = np.empty(0, np.uint8)


class LiveSearch(Protocol):
    """A search for movements that is given one frame after the other, such as `MovementSearch`."""

    curve: list[CurvePoint]

    @property
    def faces(self) -> Sequence[FollowedFace]:
        """The faces in the last frame."""

    def add(self, number: int, image: NDArray[np.uint8], seconds: float) -> None:
        """Process the next frame."""

    def finish(self) -> object:
        """Process the end."""


def predict_webcam(predictor: Predictor, number: int, settings: Settings, record: Record | None) -> list[Row]:
    """Predict the movements before a webcam until its window is closed; saves the video if there is a `record`.

    Raises:
      ConfigError: the webcam cannot be used.
      OSError: the video cannot be written.
    """
    # Compiled before the window opens, so that the first movement does not stop it.
    predictor.probabilities(np.zeros((1, *predictor.model.about["image_shape"]), np.float32))

    def begin_search(on_movement: Callable[[Spotted], None]) -> LiveSearch:
        # The rate varies, and the frames have times.
        return MovementSearch(0.0, settings.spot, box=settings.box, on_movement=on_movement)

    with open_webcam(number, settings.fps) as frames, open_window() as show:
        return run_webcam(f"webcam {number}", frames, begin_search, predictor, show, settings.spot, record)


def run_webcam(
    name: str,
    frames: Iterable[LiveFrame],
    begin_search: Callable[[Callable[[Spotted], None]], LiveSearch],
    predictor: Predictor,
    show: Callable[[NDArray[np.uint8]], bool],
    config: SpotConfig,
    record: Record | None = None,
) -> list[Row]:
    """Search frames for movements, predict each, and show all until the frames or the window end, or the record is full.

    Args:
      name: of the webcam, in the rows.
      frames: the newest frame at a time.
      begin_search: begins a search that calls its argument with each movement.
      predictor: predicts the movements.
      show: shows an image, uint8 BGR; False ends the search.
      config: thresholds of a movement.
      record: the video to which the frames are appended.

    Returns:
      The movements. Their frames and seconds count from the first analysed frame.
    """
    rows: list[Row] = []
    clock: deque[LiveFrame] = deque(maxlen=_RATE_FRAMES)
    curve: deque[CurvePoint] = deque(maxlen=_CURVE_POINTS)
    search, begin, drawn = begin_search(lambda movement: rows.append(predictor.row_of(Row(name), movement))), 0.0, 0
    for count, frame in enumerate(frames, start=1):
        clock.append(frame._replace(image=_NO_IMAGE))
        begin = frame.seconds if count == 1 else begin
        seconds = frame.seconds - begin
        search.add(count, frame.image, seconds)
        if record is not None:
            record.add(frame)
        curve += [point for point in search.curve[drawn:] if point.window <= min(config.window_seconds)]
        drawn = len(search.curve)
        status, is_slow = _status(clock, config.min_fps, saved=record is not None)
        live = Live(frame.image, seconds, search.faces, curve, rows, status, is_slow)
        if not show(draw_live(live, predictor.model, config.min_pixels)) or (record is not None and record.is_full):
            break
    search.finish()
    return rows


def _status(clock: Sequence[LiveFrame], min_fps: float, *, saved: bool) -> tuple[str, bool]:
    """A line on the frames per second, and whether it is a warning."""
    seconds = clock[-1].seconds - clock[0].seconds
    if seconds <= 0:
        return "q or Esc stops", False
    analysed, arrived = (len(clock) - 1) / seconds, (clock[-1].number - clock[0].number) / seconds
    needed = f" (micro-expressions need {min_fps:.0f})" if analysed < min_fps else ""
    file = ", saved to a file" if saved else ""
    return f"{analysed:.0f} of {arrived:.0f} frames/s analysed{needed}{file}. q or Esc stops", bool(needed)


def webcam_number(inputs: Sequence[str]) -> int | None:
    """The number of the webcam among the inputs of a command; None if there is none. A file of that name is no webcam.

    Raises:
      ConfigError: a webcam and other inputs are given.
    """
    numbers = [one for one in inputs if re.fullmatch(r"[0-9]{1,4}", one) and not os.path.exists(one)]
    if numbers and len(inputs) > 1:
        raise ConfigError(f"{numbers[0]} is a webcam, unless there is a file of that name; give the webcam alone")
    return int(numbers[0]) if numbers else None


@contextlib.contextmanager
def open_window() -> Iterator[Callable[[NDArray[np.uint8]], bool]]:
    """Context with a window: a function that shows an image, uint8 BGR, and returns False once the window shall close."""
    cv2.namedWindow(_TITLE, cv2.WINDOW_AUTOSIZE)

    def show(image: NDArray[np.uint8]) -> bool:
        cv2.imshow(_TITLE, image)
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), _ESCAPE) and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1

    try:
        yield show
    finally:
        cv2.destroyAllWindows()


def refuse_no_display() -> None:
    """Raise a `ConfigError` if no window can be shown."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigError(
            "a webcam needs a display for its window, and neither DISPLAY nor WAYLAND_DISPLAY is set. Run the command on a "
            f"computer with a screen, {INSTEAD}"
        )
    # Qt ends the process if it finds no display, so another process tries.
    trial = [sys.executable, "-c", f"import cv2; cv2.namedWindow({_TITLE!r}); cv2.destroyAllWindows()"]
    tried = subprocess.run(trial, capture_output=True, text=True, errors="replace", check=False)
    if "not implemented" in tried.stderr:
        raise ConfigError(
            "the installed OpenCV shows no windows; run pip uninstall opencv-python-headless, and then "
            f"pip install --force-reinstall opencv-python, {INSTEAD}"
        )
    if tried.returncode:
        reason = next((line for line in tried.stderr.splitlines() if "display" in line), f"status {tried.returncode}")
        raise ConfigError(
            f"no window can be shown ({reason.strip()}). Run the command on a computer with a screen, {INSTEAD}"
        )

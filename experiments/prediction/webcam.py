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
from experiments.prediction.live_view import SHOWN_SECONDS, FollowedFace, Live, draw_live
from experiments.prediction.movements import Settings
from experiments.prediction.predictor import Predictor
from experiments.prediction.table import Row
from lightman_jax.data.vision import spotting
from lightman_jax.data.vision.spotting import SpotConfig, Spotted

_TITLE, _ESCAPE = "lightman_jax", 27
_NOMINAL_FPS, _WARM_UP, _RATE_FRAMES = 30.0, 45, 30


class LiveSearch(Protocol):
    """A search for movements that is given one frame after the other, such as `MovementSearch`."""

    curve: list[tuple[int, float]]

    @property
    def faces(self) -> Sequence[FollowedFace]:
        """The faces in the last frame."""

    def add(self, number: int, image: NDArray[np.uint8], seconds: float) -> None:
        """Process the next frame."""

    def finish(self) -> None:
        """Process the end."""


def predict_webcam(predictor: Predictor, number: int, settings: Settings, record: Record | None) -> list[Row]:
    """Predict the movements before a webcam until its window is closed; saves the video if there is a `record`.

    Raises:
      ConfigError: the webcam cannot be used.
      OSError: the video cannot be written.
    """
    # Compiled before the window opens, so that the first movement does not stop it.
    predictor.probabilities(np.zeros((1, *predictor.model.about["image_shape"]), np.float32))

    def search_at(fps: float, on_movement: Callable[[Spotted], None]) -> LiveSearch:
        return spotting.MovementSearch(fps, settings.spot, box=settings.box, on_movement=on_movement)

    with open_webcam(number, settings.fps) as frames, open_window() as show:
        return run_webcam(f"webcam {number}", frames, search_at, predictor, show, settings.spot, record)


def run_webcam(
    name: str,
    frames: Iterable[LiveFrame],
    search_at: Callable[[float, Callable[[Spotted], None]], LiveSearch],
    predictor: Predictor,
    show: Callable[[NDArray[np.uint8]], bool],
    config: SpotConfig,
    record: Record | None = None,
) -> list[Row]:
    """Search frames for movements, predict each, and show all until the frames or the window end, or the record is full.

    The first frames serve to measure how many are analysed per second; the search begins after them.

    Args:
      name: of the webcam, in the rows.
      frames: the newest frame at a time.
      search_at: begins a search at a number of frames per second; the search calls the second argument with each movement.
      predictor: predicts the movements.
      show: shows an image, uint8 BGR; False ends the search.
      config: thresholds of a movement.
      record: the video to which the frames of the search are appended.

    Returns:
      The movements. Frames and seconds count from the first frame of the search.
    """
    rows: list[Row] = []
    clock: deque[LiveFrame] = deque(maxlen=_RATE_FRAMES)
    curve: deque[tuple[float, float]] = deque(maxlen=int(8 * SHOWN_SECONDS))

    def begin_at(fps: float) -> LiveSearch:
        row = Row(name, fps=round(fps, 2))
        return search_at(fps, lambda movement: rows.append(predictor.row_of(row, movement)))

    search, begin, drawn = search_at(_NOMINAL_FPS, lambda movement: None), 0.0, 0
    for count, frame in enumerate(frames, start=1 - _WARM_UP):
        clock.append(frame._replace(image=np.empty(0, np.uint8)))
        if count == 1:
            search, begin = begin_at(_rates(clock)[0]), frame.seconds
        seconds = frame.seconds - begin
        search.add(count if count > 0 else count + _WARM_UP, frame.image, seconds)
        if count > 0:
            if record is not None:
                record.add(frame)
            curve += [(seconds - config.window_seconds[0] / 2, pixels) for _, pixels in search.curve[drawn:]]
            drawn = len(search.curve)
        status, is_slow = _status(count, clock, config.min_fps, saved=record is not None)
        live = Live(frame.image, seconds, search.faces, curve, rows, status, is_slow)
        if not show(draw_live(live, predictor.model, config.min_pixels)) or (record is not None and record.is_full):
            break
    search.finish()
    return rows


def _rates(clock: Sequence[LiveFrame]) -> tuple[float, float]:
    """Frames per second that were analysed, and that arrived."""
    seconds = clock[-1].seconds - clock[0].seconds
    if seconds <= 0:
        return 0.0, 0.0
    return (len(clock) - 1) / seconds, (clock[-1].number - clock[0].number) / seconds


def _status(count: int, clock: Sequence[LiveFrame], min_fps: float, *, saved: bool) -> tuple[str, bool]:
    """A line on the rate, and whether it is a warning."""
    if count <= 0:
        return "measuring the number of frames per second ...", False
    analysed, arrived = _rates(clock)
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

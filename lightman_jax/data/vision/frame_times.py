"""Times of the frames of a video, from those that its file states."""

import numpy as np

_LONGEST_STEP = 10.0
_ROUNDING = 0.002
_FEW = 0.1


class FrameTimes:
    """Times in seconds from the first frame on, that only increase.

    A frame whose stated time is missing, not after the frame before, or more than 10 s after it follows that frame by `1 / fps`.

    Args:
      fps: frames per second that replace missing times; 0 if unknown.

    Attributes:
      seconds: time of the last frame; NaN if unknown.

    Choice: times are rounded to 1 ms in Matroska and WebM and to 1/600 s in QuickTime, so steps that differ by up to 2 ms are
      equal. OpenCV states no time for the last frames of AVI files with bidirectional prediction, 2 or 3 of any length, so up to
      a tenth of the frames is not worth a note.
    """

    def __init__(self, fps: float) -> None:
        self.seconds, self._fps, self._start = np.nan, fps, 0.0
        self._frames = self._guessed = 0
        self._shortest, self._longest = np.inf, 0.0

    def add(self, stated: float) -> float:
        """Time of the next frame, given the one that the file states, in seconds from any start."""
        self._frames += 1
        if self._frames == 1:
            # Some versions of OpenCV state the time of decoding for a frame shown at 0, which is negative.
            self._start, self.seconds = max(stated, 0.0), 0.0
            return self.seconds
        step = stated - self._start - self.seconds
        if 0 < step <= _LONGEST_STEP:
            self._shortest, self._longest = min(self._shortest, step), max(self._longest, step)
            self.seconds = stated - self._start
        else:
            self._guessed += 1
            self.seconds += 1 / self._fps if self._fps else np.nan
        return self.seconds

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual in the times so far, in words."""
        notes = []
        if self._longest - self._shortest > _ROUNDING:
            span = f"{1000 * self._shortest:.1f} to {1000 * self._longest:.1f} ms"
            notes.append(f"frame rate varies: {span} between frames")
        if self._guessed > _FEW * self._frames:
            source = f"follow from {self._fps:.5g} frames per second" if self._fps else "are unknown (--fps=FPS)"
            notes.append(
                f"{self._guessed} of {self._frames} frames have no usable time in the file; their times {source}"
            )
        return tuple(notes)

"""Settings of movement spotting, and a movement that it finds."""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_segments import RemoveHead
from lightman_jax.data.vision.faces import FaceBox, FaceLimits
from lightman_jax.data.vision.movement_kinds import Kind


@dataclasses.dataclass(frozen=True)
class SpotConfig:
    """Thresholds of a movement and of its video.

    Attributes:
      min_pixels: smallest peak displacement in pixels of a face 128 wide; a movement of more than 1/2 s needs four times as much.
      min_snr: smallest signal-to-noise ratio of the displacement curve.
      clip_seconds: videos up to this length may begin or end within their movement.
      window_seconds: lengths of the windows; a movement must begin and end within one.
      face: what the face needs, and the side of its crop.
      min_fps: fewest frames per second.
      max_rate: most frames per second that are analysed; of a faster video every second or third frame and so on.

    Choice: rendered heads that rest, sway or come nearer, with noise of 1 to 3 grey levels, reach a signal-to-noise ratio of 15 in
      1 of 72 windows, with 0.06 pixels; movements whose largest displacement is 0.3 pixels show 0.10 to 0.16 (the estimate
      is smooth in space and time), of 0.5 pixels 0.16 to 0.32. A micro-expression lasts
      1/25 to 1/2 s, and the slowest corpora have 25 frames per second. What cameras call 24 is 23.976, and 23.81 in a file that
      rounds 1/24 s to 42 ms.
    """

    min_pixels: float = 0.11
    min_snr: float = 15.0
    clip_seconds: float = 1.5
    window_seconds: tuple[float, ...] = (1.0, 2.0, 4.0)
    face: FaceLimits = dataclasses.field(default_factory=FaceLimits)
    min_fps: float = 23.8
    max_rate: float = 60.0


class Spotted(NamedTuple):
    """A movement.

    Attributes:
      onset, apex, offset: numbers of its first, strongest and last frame, from 1.
      pixels: peak displacement without head motion, in pixels of a face 128 wide.
      faces: `[face_side, face_side, 3]` uint8 of analysed frames from onset to offset, aligned to one frame.
      box: box of the face in the rotated frame of the onset; None is the whole frame.
      rotation: counter-clockwise quarter turns that make the frames upright.
      kind: what moves; only `WITH_CLASS` get a class.
      times: seconds of onset, apex and offset from the first frame on; NaN if unknown.
      face_name: `face 1`, `face 2` in order of appearance; empty for a fixed crop.
      numbers: of the frames of `faces`.
      remove_head: removes what remains of the head from the flow between two of `faces`; None if it is unknown.
      per_depth: of each of `faces`, see `AlignedFace`.
    """

    onset: int
    apex: int
    offset: int
    pixels: float
    faces: tuple[NDArray[np.uint8], ...]
    box: FaceBox | None
    rotation: int
    kind: Kind = "micro-expression"
    times: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    face_name: str = ""
    numbers: tuple[int, ...] = ()
    remove_head: RemoveHead | None = None
    per_depth: tuple[NDArray[np.float64], ...] = ()

    @property
    def apex_place(self) -> int:
        """Position of the apex in `faces`."""
        return self.numbers.index(self.apex) if self.numbers else self.apex - self.onset

    def without_head(self, flow: NDArray[np.floating], first: int, second: int) -> NDArray[np.float32]:
        """Remove from the flow between two of `faces`, named by their positions, what remains of the head."""
        if self.remove_head is None:
            return np.asarray(flow, np.float32)
        return self.remove_head(flow, self.per_depth[second] - self.per_depth[first])


class CurvePoint(NamedTuple):
    """Peak displacement in a window.

    Attributes:
      seconds: middle of the window; NaN if unknown.
      window: its length in seconds; NaN if unknown.
      pixels: the peak, in pixels of a face 128 wide.
      face_name: as of `Spotted`.
    """

    seconds: float
    window: float
    pixels: float
    face_name: str

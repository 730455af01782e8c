"""The usable faces of each frame of a video, and the segment that begins with one of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import Landmarks
from lightman_jax.data.vision.face_segments import FaceSegment
from lightman_jax.data.vision.face_tracking import FaceTracker, TrackedFace
from lightman_jax.data.vision.faces import (
    WHOLE,
    FaceBox,
    FaceLimits,
    VisibleFace,
    Whole,
    box_of,
    landmarks_of_square,
    unusable,
    visible_face,
)
from lightman_jax.data.vision.given_landmarks import given_square
from lightman_jax.data.vision.images import grey_image

NO_FACE = "no face was found; show it from the front, or give --face=TOP,LEFT,SIDE or --face=whole"

_UNTIMED_FPS = 30.0

GivenFace = FaceBox | Whole | Mapping[int, NDArray[np.float32]]
"""A given face, as `VisibleFaces` takes it."""


class Beginning(NamedTuple):
    """The first frame of a segment.

    Attributes:
      segment: without samples.
      box: of the face; None is the whole frame.
      reason: why the face cannot be used; empty if it can.
    """

    segment: FaceSegment
    box: FaceBox | None
    reason: str


class VisibleFaces:
    """Follows the faces of one video.

    Args:
      limits: what a face needs, and the side of its crop.
      given: box of the only face, `whole`, or its landmarks in each frame, by the number of the frame; None follows all faces.

    Attributes:
      faces: in the newest frame; empty for a fixed crop.
      fixed: the given crop, if no landmarks are found in it.
    """

    def __init__(self, limits: FaceLimits, given: GivenFace | None) -> None:
        self._limits, self._given = limits, given
        self._square = given.square if isinstance(given, FaceBox) else None
        self._tracker = FaceTracker(self._square)
        self.faces: list[TrackedFace] = []
        self.fixed: VisibleFace | None = None

    @property
    def rotation(self) -> int:
        """Counter-clockwise quarter turns that make the frames upright."""
        return self._tracker.rotation

    def update(self, image: NDArray[np.uint8], number: int, seconds: float) -> tuple[NDArray[np.uint8], str]:
        """Find the faces of the next frame; returns it upright, and why it shows none."""
        if self._given == WHOLE:
            self.fixed = self.fixed or visible_face(image, self._limits, given=WHOLE)
            return image, self.fixed.reason
        if isinstance(self._given, Mapping):
            points = self._given.get(number)
            found = None if points is None else landmarks_of_square(image, given_square(points))
            self.faces = [TrackedFace(1, found)] if found else []
            return image, "" if found else "the given landmarks show no face in these frames"
        self.faces = self._tracker.update(image, number / _UNTIMED_FPS if np.isnan(seconds) else seconds)
        if not self.faces and isinstance(self._given, FaceBox):
            self.fixed = self.fixed or visible_face(image, self._limits, given=self._given)
            return image, self.fixed.reason
        upright = self._tracker.upright(image)
        if self.faces:
            return upright, ""
        dark = grey_image(image).mean()
        if dark < self._limits.min_brightness:
            return upright, f"too dark to find a face (mean grey level {dark:.0f} of 255); use more light"
        return upright, NO_FACE

    def begin(self, upright: NDArray[np.uint8], landmarks: Landmarks | None) -> Beginning:
        """A segment that begins with a frame: of a face with landmarks, or of the fixed crop."""
        if landmarks is None:
            assert self.fixed is not None
            segment = FaceSegment(upright, None, self._limits.side, box=self.fixed.box)
            return Beginning(segment, self.fixed.box, self.fixed.reason)
        segment = FaceSegment(upright, landmarks, self._limits.side, self._square)
        square = segment.square
        assert square is not None
        box = self._given if isinstance(self._given, FaceBox) else box_of(square, "landmarks", self.rotation)
        return Beginning(segment, box, unusable(segment.rest_face, round(square.side), self._limits))

"""A segment of a video in which one face stays visible: each analysed frame aligned to the first, and what is measured in it."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import Landmarks, Region
from lightman_jax.data.vision.face_signals import (
    FaceRegions,
    covered_share,
    eye_openness,
    face_regions,
    gaze,
    head_angles,
    mouth_opening,
)
from lightman_jax.data.vision.faces import FaceBox, crop_face
from lightman_jax.data.vision.head_motion import AlignedFace, HeadMotion, RestFace
from lightman_jax.data.vision.images import grey_image, resize_image
from lightman_jax.data.vision.optical_flow import optical_flow

GRID = 24
"""Points per side of the displacement fields."""

_REFERENCE_SIDE = 128
_MAX_DEGREES, _MAX_ZOOM = 20.0, 1.35
_COVER_SECONDS, _LIGHT_CHANGE = 0.1, 0.1

RemoveHead = Callable[[NDArray[np.floating], NDArray[np.floating]], NDArray[np.float32]]
"""Removes from a flow `[side, side, 2]` what remains of the head, given the difference of `AlignedFace.per_depth`."""


class Sample(NamedTuple):
    """What is measured in one frame.

    Attributes:
      number: of the frame, from 1.
      seconds: time of the frame.
      face: `[side, side, 3]` uint8, aligned to the rest frame.
      field: `[24, 24, 2]` displacement since the rest frame without head motion, in pixels of a face 128 wide.
      motion: of the head since the rest frame.
      per_depth: as of `AlignedFace`.
      openness, gaze: of the eyes, `[2]` each; NaN without landmarks.
      mouth: opening; NaN without landmarks.
      covered: share of the face that something covers or leaves, compared with 0.1 s before; 1 if the light changes by a tenth.
    """

    number: int
    seconds: float
    face: NDArray[np.uint8]
    field: NDArray[np.float32]
    motion: HeadMotion
    per_depth: NDArray[np.float64]
    openness: NDArray[np.float64]
    gaze: NDArray[np.float64]
    mouth: float
    covered: float


class FaceSegment:
    """Frames of one face since a rest frame.

    Args:
      image: the rest frame, upright, `[H, W, 3]` uint8.
      landmarks: of the face; None measures within a fixed crop.
      side: of the aligned faces in pixels.
      square: the crop, None takes `face_square` of the landmarks.
      box: the fixed crop if there are no landmarks; None is the whole frame.

    Attributes:
      samples: of the last seconds; the user drops old ones.
      regions: of the face, on the grid of the fields.
      square: the crop in the rest frame; None is a fixed one.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        landmarks: Landmarks | None,
        side: int,
        square: Region | None = None,
        box: FaceBox | None = None,
    ) -> None:
        self._side, self._box = side, box
        self._rest = None if landmarks is None else RestFace(image, landmarks, side, square, followed=True)
        self.square = self._rest.square if self._rest else None
        self._rest_grey = grey_image(self._rest.face if self._rest else crop_face(image, box, side))
        self._points = self._rest.points if self._rest else None
        self.regions = _inner(face_regions(self._points, side, GRID)) if self._points is not None else _whole_crop()
        self.samples: deque[Sample] = deque()

    @property
    def rest_face(self) -> NDArray[np.uint8]:
        """The grey crop `[side, side]` of the rest frame."""
        return self._rest_grey

    @property
    def remove_head(self) -> RemoveHead | None:
        """How flow between two aligned faces loses what remains of the head; None for a fixed crop."""
        return self._rest.without_head if self._rest else None

    def add(self, number: int, seconds: float, image: NDArray[np.uint8], landmarks: Landmarks | None) -> bool:
        """Measure the next frame, upright; False if the head has moved too far from the rest frame, and another must be taken."""
        if self._rest is None or landmarks is None:
            self.samples.append(self._fixed(number, seconds, image))
            return True
        aligned = self._rest.align(image, landmarks, rounds=1)
        motion = aligned.motion
        if max(abs(motion.turn), abs(motion.nod), abs(motion.tilt)) > _MAX_DEGREES:
            return False
        if not 1 / _MAX_ZOOM <= motion.nearer <= _MAX_ZOOM:
            return False
        field = self._on_grid(self._rest.expression_flow(aligned))
        self.samples.append(
            Sample(
                *(number, seconds, aligned.face, field, motion, aligned.per_depth),
                *(eye_openness(landmarks.points), gaze(landmarks.points), float(mouth_opening(landmarks.points))),
                self._covered(aligned, seconds),
            )
        )
        return True

    def _covered(self, aligned: AlignedFace, seconds: float) -> float:
        earlier = next((one for one in reversed(self.samples) if seconds - one.seconds >= _COVER_SECONDS - 1e-6), None)
        if earlier is None or self._points is None:
            return 0.0
        before, now = grey_image(earlier.face), grey_image(aligned.face)
        if abs(now.mean() / max(float(before.mean()), 1.0) - 1) > _LIGHT_CHANGE:
            return 1.0
        return covered_share(before, now, self._points)

    def _fixed(self, number: int, seconds: float, image: NDArray[np.uint8]) -> Sample:
        """A sample of a fixed crop, whose head motion is the affine part of the flow."""
        face = crop_face(image, self._box, self._side)
        flow = self._on_grid(optical_flow(self._rest_grey, grey_image(face))).astype(np.float64)
        rows, columns = np.mgrid[:GRID, :GRID].reshape(2, -1) / GRID - 0.5
        plane = np.stack([np.ones_like(rows), rows, columns], axis=-1)
        head = (plane @ np.linalg.lstsq(plane, flow.reshape(-1, 2), rcond=None)[0]).reshape(flow.shape)
        right, down = head.mean(axis=(0, 1))
        pixels = float(np.sqrt(np.square(head).sum(axis=-1).mean()))
        motion = HeadMotion(right=float(right), down=float(down), pixels=pixels)
        unknown = np.full(2, np.nan)
        field = (flow - head).astype(np.float32)
        return Sample(number, seconds, face, field, motion, np.zeros(2), unknown, unknown, np.nan, 0.0)

    def _on_grid(self, flow: NDArray[np.floating]) -> NDArray[np.float32]:
        return (resize_image(flow, GRID, GRID) * (_REFERENCE_SIDE / self._side)).astype(np.float32)


def absolute_angles(landmarks: Landmarks) -> tuple[float, float]:
    """Turn and nod of a head in degrees, see `face_signals.head_angles`."""
    turn, nod, _ = head_angles(landmarks.points)
    return float(turn), float(nod)


def _inner(regions: FaceRegions) -> FaceRegions:
    """Regions without the rim of the face, two cells wide.

    Choice: a part of the rim is hidden where the head turns: from 13 degrees on it shows false displacements of up to 6 pixels.
    """
    face = cv2.erode(regions.face.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2, borderValue=0) > 0
    return FaceRegions(face, *(region & face for region in regions[1:]))


def _whole_crop() -> FaceRegions:
    """Regions of a face without landmarks: eyes and mouth where `vision.faces` places them."""
    rows, columns = (np.mgrid[:GRID, :GRID] + 0.5) / GRID
    face = np.ones((GRID, GRID), bool)
    eyes = (np.abs(rows - 0.33) < 0.07) & (np.abs(np.abs(columns - 0.5) - 0.17) < 0.1)
    return FaceRegions(face, eyes, rows > 0.58, face & ~eyes)

"""Movement of 68 landmarks since the onset without that of the head, and the flow between them.

The pose of the head is fitted under perspective to the points that expressions move least. What it does not explain, brought back
to the onset, is the expression; between the points it is interpolated.

Choice: the depth of the mean face. On ten heads of ICT-FaceKit that turn or nod by 8 degrees, tilt by 12 or come 10% nearer, 0.0 to
  0.4 of 4 to 15 pixels remain without an expression (rms of the points of a face 128 wide); for turns and nods, a fit in the image
  plane leaves 2.7. The columns Z_0 to Z_67 of OpenFace are not needed: the true depths of the heads, and those of a shape model
  fitted as OpenFace fits its own, change the error by 0.1 at most, less than the 0.6 that comes from points known to 0.3 pixels.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from lightman_jax.data.vision.face_points import axes_rotated_by
from lightman_jax.data.vision.given_landmarks import given_square

# Points below the temples, corners of the eyes, bridge, tip and base of the nose.
_STABLE = (0, 1, 2, 14, 15, 16, 36, 39, 42, 45, 27, 28, 29, 30, 33)
# Distance of the camera, in sides of the square: as in `head_motion`.
_CAMERA = 4.0
_SMOOTHING, _ANCHORS = 3e-3, 8


class RestPoints:
    """The landmarks of an onset, to which those of other frames are compared.

    Args:
      landmarks: `[68, 2]` in pixels of the frame.

    Attributes:
      square: the crop of the face.
      points: `[68, 2]` from the middle of the square, along the line of the eyes, in its sides; y grows downwards.
    """

    def __init__(self, landmarks: NDArray[np.floating]) -> None:
        self.square = given_square(landmarks)
        self.points = self._in_square(landmarks)
        depth = _posed(mean_points(), self.points)[1][:, 2] - _CAMERA
        self._solid = np.column_stack([self.points * (1 + depth / _CAMERA)[:, None], depth])

    def displacement(self, landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
        """Displacement `[68, 2]` since the onset, that of the head included, as `points`; arguments as of `expression`."""
        return self._in_square(landmarks) - self.points

    def expression(self, landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
        """Displacement `[68, 2]` since the onset without that of the head, as `points`.

        Args:
          landmarks: `[68, 2]` of another frame, in its pixels.
        """
        seen = self._in_square(landmarks)
        rotation, posed = _posed(self._solid, seen, _STABLE)
        expected = _CAMERA * posed[:, :2] / posed[:, 2:]
        in_plane = _CAMERA / posed[:, 2].mean() * rotation[:2, :2]
        return np.asarray(np.linalg.solve(in_plane, (seen - expected).T).T, np.float64)

    def _in_square(self, landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
        turn = axes_rotated_by(self.square.angle)
        return (landmarks.astype(np.float64) - self.square[:2]) @ turn.T / self.square.side


def _posed(
    solid: NDArray[np.floating], seen: NDArray[np.floating], fitted: Sequence[int] = range(68)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation `[3, 3]` of a solid face `[68, 3]`, and its points in the pose whose `fitted` ones best match those seen."""
    chosen, camera = list(fitted), np.diag([_CAMERA, _CAMERA, 1.0])
    start = np.zeros(3), np.array([0.0, 0.0, _CAMERA])
    _, turn, place = cv2.solvePnP(solid[chosen], seen[chosen], camera, None, *start, True)
    rotation = np.asarray(cv2.Rodrigues(turn)[0], np.float64)
    return rotation, solid @ rotation.T + place[:, 0]


def interpolated_flow(
    points: NDArray[np.floating], displacement: NDArray[np.floating], side: int
) -> NDArray[np.float32]:
    """Flow `[side, side, 2]` of a face crop, u to the right and v down in its pixels, from that of landmarks.

    Args:
      points: `[68, 2]` as of `RestPoints`.
      displacement: `[68, 2]` in the same units.
      side: of the crop.

    Choice: a smoothing thin plate with zero displacement around the crop. On four heads of ICT-FaceKit, its correlation with the
      exact field on the face is 0.94 for units 1+2, 0.95 for 4, 0.98 for 12, 0.96 for 15, and 0.93 in the mean of twelve
      expressions of 6 pixels; with 0.3 pixels of noise 0.92, 0.92, 0.96, 0.92 and 0.90. A plate without smoothing has 0.86 then,
      since lips and lids that touch move apart.
    """
    line = np.linspace(-0.5, 0.5, _ANCHORS + 1)[:-1]
    edge = np.column_stack([line, np.full(_ANCHORS, -0.5)])
    around = np.concatenate([edge, edge[:, ::-1] * (-1, 1), -edge, edge[:, ::-1] * (1, -1)])
    known = np.concatenate([displacement, np.zeros_like(around)])
    plate = RBFInterpolator(np.concatenate([points, around]), known, smoothing=_SMOOTHING)
    across = (np.arange(side) + 0.5) / side - 0.5
    places = np.stack(np.meshgrid(across, across), axis=-1)
    return (side * plate(places.reshape(-1, 2)).reshape(side, side, 2)).astype(np.float32)


@functools.cache
def mean_points() -> NDArray[np.float64]:
    """The mean face, `[68, 3]`: x to the right, y down, depth away from the camera, in units of `RestPoints.points`.

    Reference: Li et al. 2020, "Learning Formation of Physically-Based Face Attributes" (ICT-FaceKit, MIT licence).
    """
    return np.load(Path(__file__).parent / "networks" / "mean_points.npy").astype(np.float64)

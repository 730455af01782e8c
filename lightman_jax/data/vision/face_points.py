"""Which landmarks lie where on a face, and the square of its crop."""

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import Region

MESH = 468
"""Points of the face's surface, the first of `Landmarks.points`."""
DEPTH_SCALE = 0.743
"""Depth of the heads of ICT-FaceKit over that of the landmarks, measured on 60 rendered heads."""
STABLE = (
    *(33, 133, 362, 263, 168, 6, 197, 195, 4, 10, 67, 297, 54, 284, 21, 251, 127, 356, 234, 454, 93, 323, 117, 346),
    *(119, 348, 121, 350, 129, 358, 151, 9, 8, 193, 417, 245, 465),
)
"""Points that expressions move least: corners of the eyes, nose, forehead, temples, upper cheeks."""
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Corners of the eyes of the subject."""
MOUTH_CORNERS = (61, 291)

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
EYELIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
NOSE = (168, 193, 417, 122, 351, 129, 358, 98, 327, 2)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)

# Eyes and mouth of the crop: see vision.faces.
_EYE_DISTANCE, _EYE_ROW, _EYE_TO_MOUTH = 0.341, 0.333, 0.36


def face_square(points: NDArray[np.floating]) -> Region:
    """The square around a face whose crop has eyes and mouth where `vision.faces` places them, along the line of the eyes.

    Args:
      points: `[478, 2 or 3]`.
    """
    return square_around(*(points[list(ends), :2].mean(axis=0) for ends in (RIGHT_EYE, LEFT_EYE, MOUTH_CORNERS)))


def square_around(right: NDArray[np.floating], left: NDArray[np.floating], mouth: NDArray[np.floating]) -> Region:
    """The same from the middle `[2]` of each eye of the subject and of the mouth."""
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    turn, eyes = axes_rotated_by(angle), (left + right) / 2
    side = float(np.mean([(turn @ (left - right))[0] / _EYE_DISTANCE, (turn @ (mouth - eyes))[1] / _EYE_TO_MOUTH]))
    x, y = eyes + turn.T @ (0, (0.5 - _EYE_ROW) * side)
    return Region(float(x), float(y), max(side, 1.0), angle)


def axes_rotated_by(angle: float) -> NDArray[np.float64]:
    """Rotates the axes of an image by `angle`: coordinates along the line of the eyes."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

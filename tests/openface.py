"""Invented files of OpenFace, and the movements of 68 points in them."""

import csv

import numpy as np

from lightman_jax.data.vision.point_movement import mean_points

AXES = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
CORNERS_OF_THE_MOUTH, UPPER_BROWS = [48, 54], list(range(17, 27))


def write_openface(path, rows, known=("frame", "face_id", "timestamp", "confidence", "success"), blank=" ", more=()):
    """Rows of the `known` values and points `[68, 2]`, with the 3-D columns that OpenFace adds and some `more`."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([blank + name for name in (*known, *AXES, *(name.upper() for name in AXES), *more)])
        for values, points in rows:
            cells = [*values, *np.round(points.T, 1).ravel(), *np.full(136, 9.0), *[0.5] * len(more)]
            table.writerow([f"{blank}{cell}" for cell in cells])
    return path


def write_points(path, frames):
    """A file of the points `[68, 2]` of consecutive frames from 1 on, with the columns of RAVDESS."""
    rows = [((number, number / 30, 0.98), points) for number, points in enumerate(frames, start=1)]
    return write_openface(path, rows, known=("frame", "timestamp", "confidence"))


def head_points(shape=0.0, side=200.0, *, turn=0.0, nod=0.0, tilt=0.0, nearer=1.0, distance=5.0, depth=1.0):
    """Points `[68, 2]` of a head before a camera, in pixels.

    Args:
      shape: displacement of the points of the mean face, `[68, 2]` in sides of its square, or 0.
      side: of that square in pixels.
      turn, nod, tilt: in degrees.
      nearer: magnification.
      distance: of the camera, in sides.
      depth: of the head over that of the mean face.
    """
    solid = mean_points() * (1, 1, depth)
    solid[:, :2] += shape
    solid[:, 2] -= 0.3
    (across, down, around) = np.deg2rad([turn, nod, tilt])
    about_y = np.array([[np.cos(across), 0, -np.sin(across)], [0, 1, 0], [np.sin(across), 0, np.cos(across)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(down), -np.sin(down)], [0, np.sin(down), np.cos(down)]])
    about_z = np.array([[np.cos(around), -np.sin(around), 0], [np.sin(around), np.cos(around), 0], [0, 0, 1]])
    posed = solid @ (about_z @ about_x @ about_y).T + (0, 0, distance / nearer)
    return side * distance * posed[:, :2] / posed[:, 2:] + (640, 360)


def moved_points(points, right, down):
    """Displacement `[68, 2]` of some points, outwards from the middle of the face and down, in sides of its square."""
    shape = np.zeros((68, 2))
    shape[points] = np.column_stack([right * np.sign(mean_points()[points, 0]), np.full(len(points), down)])
    return shape


SMILE = moved_points([48, 54, 60, 64], 0.03, -0.04) + moved_points([49, 53, 55, 59], 0.02, -0.025)
RAISED_BROWS = moved_points(UPPER_BROWS, 0.0, -0.05)

"""Rotations of a head: from points, and as angles."""

import numpy as np
from numpy.typing import NDArray


def fitted_rotation(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation `[3, 3]` that best turns points `[n, 3]` into others (Kabsch 1976)."""
    left, _, right = np.linalg.svd((second - second.mean(axis=0)).T @ (first - first.mean(axis=0)))
    return left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right


def angles_of(rotation: NDArray[np.floating]) -> tuple[float, float, float]:
    """Turn, nod and tilt in degrees; depth points away from the camera."""
    turn = np.degrees(np.arctan2(-rotation[0, 2], rotation[2, 2]))
    nod = np.degrees(np.arctan2(-rotation[1, 2], np.hypot(rotation[0, 2], rotation[2, 2])))
    tilt = np.degrees(np.arctan2(rotation[1, 0], rotation[1, 1]))
    return float(turn), float(nod), float(tilt)

"""Displacement fields of action units and the noise added to them, for both simulators.

`FACE_UNITS` moves the synthetic faces of the stand-ins, `SIMULATED_UNITS` the corpus `simulated_au`. Directions are
those of the Facial Action Coding System; places, sizes and strengths differ because the two sets were chosen for
different purposes, and results depend on both.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class Patch(NamedTuple):
    """A Gaussian patch of displacement on one half of the face: center, displacement at the center, standard deviation."""

    x: float
    y: float
    dx: float
    dy: float
    reach: float


FACE_UNITS: dict[int, Patch] = {
    1: Patch(0.42, 0.22, 0.0, -1.0, 0.08),
    2: Patch(0.28, 0.22, 0.0, -1.0, 0.08),
    4: Patch(0.36, 0.22, 0.5, 0.9, 0.09),
    5: Patch(0.33, 0.31, 0.0, -0.6, 0.05),
    6: Patch(0.26, 0.45, 0.3, -0.7, 0.09),
    7: Patch(0.33, 0.35, 0.0, -0.5, 0.05),
    9: Patch(0.45, 0.45, 0.1, -0.8, 0.06),
    10: Patch(0.43, 0.62, 0.0, -0.7, 0.06),
    12: Patch(0.32, 0.69, -0.6, -0.9, 0.09),
    14: Patch(0.32, 0.69, 0.8, 0.0, 0.06),
    15: Patch(0.32, 0.71, -0.1, 0.9, 0.07),
    17: Patch(0.47, 0.84, 0.0, -0.8, 0.09),
    26: Patch(0.47, 0.86, 0.0, 1.0, 0.13),
}
"""Patch of each action unit on the left half of the image, in units of the face's side; y grows downwards."""

SIMULATED_UNITS: dict[int, tuple[Patch, ...]] = {
    1: (Patch(2.5, 5.5, 0, -1, 2.2),),
    2: (Patch(6.5, 5.5, 0, -1, 2.2),),
    4: (Patch(3.2, 6, -0.5, 0.9, 2.5),),
    5: (Patch(4.5, 8.3, 0, -0.6, 1.3),),
    6: (Patch(6, 12.5, -0.2, -0.8, 2.5),),
    7: (Patch(4.5, 10, 0, -0.6, 1.5),),
    9: (Patch(1.5, 12, 0, -0.9, 2), Patch(2.5, 7, -0.3, 0.5, 2)),
    10: (Patch(2.5, 17, 0, -0.9, 2),),
    12: (Patch(5, 19.5, 0.7, -0.8, 2.5), Patch(6, 15, 0.1, -0.4, 2.5)),
    14: (Patch(5, 19.5, 0.7, 0, 2),),
    15: (Patch(4.5, 20.5, 0.1, 0.9, 2),),
    17: (Patch(1.5, 23.5, 0, -0.9, 2.5),),
    20: (Patch(5, 20, 0.9, 0.1, 2.2),),
    25: (Patch(1.5, 21.5, 0, 0.7, 1.6),),
    26: (Patch(1.5, 24, 0, 1, 3.2),),
    45: (Patch(4.5, 8.5, 0, 1, 1.4),),
}
"""Patches of each action unit on a face 28 units wide: x is the distance from the midline, dx points outwards; 45 is a blink."""


def gaussian_pull(
    across: NDArray[np.floating],
    down: NDArray[np.floating],
    reach: float,
    weight: float,
    direction: tuple[float, float],
) -> NDArray[np.float64]:
    """Displacement `[H, W, 2]` of one patch: `weight * direction * exp(-(across^2 + down^2) / (2 reach^2))`.

    `across` and `down` are the distances `[H, W]` of each pixel from the center, `direction` is to the right and down.
    """
    pull = weight * np.exp(-(across**2 + down**2) / (2 * reach**2))
    return pull[..., None] * np.array(direction)


def action_unit_field(weights: dict[int, tuple[float, float]], side: int) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of a synthetic face in pixels, u to the right and v down: Gaussian patches on both halves.

    `weights` are the displacement of each of `FACE_UNITS` in pixels, `{unit: (left half of the image, right half)}`.

    Choice: one Gaussian patch per unit; anatomy is far richer, the directions are those of the coding system.
    """
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    field = np.zeros((side, side, 2))
    for number, (left, right) in weights.items():
        unit = FACE_UNITS[number]
        for x, dx, weight in ((unit.x, unit.dx, left), (1 - unit.x, -unit.dx, right)):
            field += gaussian_pull(columns - x, rows - unit.y, unit.reach, weight, (dx, unit.dy))
    return field


def spectral_noise(rng: np.random.Generator, side: int, reach: float) -> NDArray[np.float64]:
    """Noise `[side, side]` of unit variance with a Gaussian spectrum, correlated over `reach` pixels."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) * np.exp(-0.5 * (2 * np.pi * reach * frequency) ** 2)
    noise = np.fft.ifft2(spectrum).real
    return noise / noise.std()


def blurred_noise(rng: np.random.Generator, side: int, reach: float) -> NDArray[np.float64]:
    """A random displacement field `[side, side, 2]` of unit variance: white noise blurred with sd `reach` pixels."""
    noise = np.dstack([cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), reach) for _ in range(2)])
    return noise / noise.std()

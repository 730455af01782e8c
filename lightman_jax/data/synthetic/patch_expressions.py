"""Expressions by patches of displacement: built-in, without measured geometry.

An expression is a combination of action units on a face 28 units wide (brows at row 6, eyes 9, nose tip 15, mouth corners 19.5),
varied by place and size of the face, head motion, smooth noise, and sometimes a blink or an unrelated unit. The sizes of the
variations were chosen by scores on the public flow of SMIC and CASME II.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.action_unit_fields import SIMULATED_UNITS, blurred_noise, gaussian_pull
from lightman_jax.data.synthetic.unit_shapes import BLINK

WIDTH = 28
"""Width of the face in the units of `expression_field`."""

_MIDDLE = 13.5


@dataclasses.dataclass(frozen=True)
class PatchVariation:
    """Variation between simulated expressions; lengths in units of a face 28 wide, strengths in those of a unit's displacement.

    Attributes:
      shift: sd of the face's position along each axis.
      size: sd of the logarithm of its size.
      asymmetry: sd of the difference between the two halves.
      head: sd of rotation and zoom at the face's edge.
      noise: sd of the smooth noise.
      noise_reach: correlation length of that noise.
      stray: fraction of clips with an unrelated unit.
      blink: fraction of clips with a blink.
    """

    shift: float = 2.0
    size: float = 0.12
    asymmetry: float = 0.3
    head: float = 0.1
    noise: float = 0.5
    noise_reach: float = 2.0
    stray: float = 0.5
    blink: float = 0.1


def expression_field(
    rng: np.random.Generator, units: tuple[int, ...], side: int, variation: PatchVariation
) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of one expression, u to the right and v down, in units of a unit's displacement.

    `rng` draws the position of the face, the strength of each of `units` in `SIMULATED_UNITS`, and the disturbances.
    """
    strengths = {unit: rng.uniform(0.6, 1.4) for unit in units}
    if rng.uniform() < variation.stray:
        strengths.setdefault(int(rng.choice(list(SIMULATED_UNITS))), rng.uniform(0.1, 0.4))
    if rng.uniform() < variation.blink:
        strengths[BLINK] = rng.uniform(0.3, 1.2)
    rows, columns = (np.mgrid[:side, :side] + 0.5) * WIDTH / side - 0.5
    across, down = rng.normal(0, variation.shift, 2)
    size, lean = np.exp(rng.normal(0, variation.size)), rng.normal(0, variation.asymmetry)
    field = np.zeros((side, side, 2))
    for unit, strength in strengths.items():
        for patch in SIMULATED_UNITS[unit]:
            x, y = np.array([patch.x, patch.y]) + rng.normal(0, 0.3, 2)
            reach = size * patch.reach * np.exp(rng.normal(0, 0.2))
            for half in (-1, 1):
                weight = strength * (1 + half * lean) * np.exp(rng.normal(0, variation.asymmetry / 2))
                to_right, to_bottom = columns - _MIDDLE - across - half * x * size, rows - 14 - (y - 14) * size - down
                field += gaussian_pull(to_right, to_bottom, reach, weight, (half * patch.dx, patch.dy))
    spin, zoom = rng.normal(0, variation.head, 2)
    y, x = (rows - _MIDDLE) / _MIDDLE, (columns - _MIDDLE) / _MIDDLE
    field += np.dstack([zoom * x - spin * y, zoom * y + spin * x])
    return field + variation.noise * blurred_noise(rng, side, variation.noise_reach * side / WIDTH)

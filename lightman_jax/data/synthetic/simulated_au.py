"""Corpus `simulated_au`: expressions simulated from action units, a macro corpus and training set without a licence.

An expression is a combination of action units on a face 28 units wide (brows at row 6, eyes 9, nose tip 15, mouth
corners 19.5), varied by place and size of the face, head motion, smooth noise, and sometimes a blink or an unrelated
unit. No face was recorded and no parameter is fitted to clips; the sizes of the variations were chosen by scores on the
public flow of SMIC and CASME II.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.records import POOLS, Pool, RawClip, Reading
from lightman_jax.data.synthetic.action_unit_fields import SIMULATED_UNITS, blurred_noise, gaussian_pull
from lightman_jax.data.synthetic.faces import draw_face
from lightman_jax.data.vision.optical_flow import warp_image

NAME = "simulated_au"

COMBINATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "negative": (
        *((4,), (9,), (10,), (14,), (15,), (17,)),
        *((4, 7), (4, 9), (4, 10), (4, 15), (4, 17), (7, 10), (15, 17), (4, 7, 9)),
    ),
    "positive": ((12,), (12,), (6, 12), (6, 12), (12, 25)),
    "surprise": ((1, 2), (1, 2), (1, 2, 5), (1, 2, 25)),
}
"""Combinations of action units by class; each clip draws one."""

_WIDTH, _MIDDLE, _BLINK = 28, 13.5, 45
_INTENSITY: dict[Pool, float] = {"micro": 0.15, "macro": 1.2}
_MACRO_NOISE = 0.2


@dataclasses.dataclass(frozen=True)
class Variation:
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


@dataclasses.dataclass(frozen=True)
class SimulatedAUConfig:
    """Size of the simulated corpus.

    Attributes:
      subjects: number of subjects.
      micro_clips: micro-intensity clips per subject and class.
      macro_clips: macro-intensity clips per subject and class, with a fifth of the noise.
      seed: random seed.
    """

    subjects: int = 60
    micro_clips: int = 10
    macro_clips: int = 2
    seed: int = 0


def simulated_au_reading(config: SimulatedAUConfig) -> Reading:
    """All simulated clips, as the reader of a corpus returns them; images are computed during preparation."""
    clips = []
    counts = {"micro": config.micro_clips, "macro": config.macro_clips}
    for number, pool in itertools.product(range(1, config.subjects + 1), POOLS):
        for index, label in enumerate(np.repeat(EMOTIONS_3, counts[pool]).tolist()):
            subject, numbers = f"simulated_au/p{number:03d}", (config.seed, number, index)
            name, units = f"{subject}/{label}_{index:03d}", _units(_clip_rng(numbers, pool), label)
            clip = RawClip(
                name, subject, pool, "simulated", (), numbers, emotion=label, action_units=units, cropped=True
            )
            clips.append(clip)
    note = "simulated_au is simulated from action units: no face was recorded"
    return Reading(NAME, Path("simulated_au"), tuple(clips), notes=(note,))


def expression_field(
    rng: np.random.Generator, units: tuple[int, ...], side: int, variation: Variation
) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of one expression, u to the right and v down, in units of a unit's displacement.

    `rng` draws the position of the face, the strength of each of `units` in `SIMULATED_UNITS`, and the disturbances.
    """
    strengths = {unit: rng.uniform(0.6, 1.4) for unit in units}
    if rng.uniform() < variation.stray:
        strengths.setdefault(int(rng.choice(list(SIMULATED_UNITS))), rng.uniform(0.1, 0.4))
    if rng.uniform() < variation.blink:
        strengths[_BLINK] = rng.uniform(0.3, 1.2)
    rows, columns = (np.mgrid[:side, :side] + 0.5) * _WIDTH / side - 0.5
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
    return field + variation.noise * blurred_noise(rng, side, variation.noise_reach * side / _WIDTH)


def simulated_field(clip: RawClip, side: int, variation: Variation | None = None) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of a simulated clip from onset to apex, in pixels of a face `side` wide.

    Without a `variation` it is the default, with a fifth of its noise for macro clips.
    """
    rng = _clip_rng(clip.numbers, clip.pool)
    _units(rng, clip.emotion)
    if variation is None:
        variation = Variation(noise=Variation.noise * (1 if clip.pool == "micro" else _MACRO_NOISE))
    return _INTENSITY[clip.pool] * side / _WIDTH * expression_field(rng, clip.action_units, side, variation)


def simulated_faces(clip: RawClip, side: int, frames: int) -> list[NDArray[np.uint8]]:
    """Grey frames `[side, side]` of a simulated clip: a synthetic face moved from onset to the apex in the middle and back."""
    face = draw_face(np.random.default_rng((clip.numbers[0], clip.numbers[1])), side)[..., 1].copy()
    field = simulated_field(clip, side)
    return [warp_image(face, rise * field) for rise in np.sin(np.pi * np.linspace(0, 1, frames)) ** 2]


def _clip_rng(numbers: tuple[int, ...], pool: Pool) -> np.random.Generator:
    return np.random.default_rng((*numbers, int(pool == "macro")))


def _units(rng: np.random.Generator, label: str) -> tuple[int, ...]:
    choices = COMBINATIONS[label]
    return choices[rng.integers(len(choices))]

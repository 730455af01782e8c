"""Corpus `simulated_au`: expressions simulated from action units, a macro corpus (and a training set) without a licence.

The facial action coding system says which way each action unit moves the skin. Here a unit is one or two Gaussian
patches of displacement, mirrored with random asymmetry, on a face 28 units wide (brows at row 6, eyes 9, nose tip
15, mouth corners 19.5); an expression is a usual combination of units, moved by where and how large the face is,
head motion, smooth noise, now and then a blink or a unit that does not belong. Nobody was filmed, and nothing is
fitted to a clip by a program; the size of the variations was chosen while looking at scores on the public flow of
SMIC and CASME II.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.corpora.records import Pool, RawClip, Reading
from lightman_jax.data.synthetic.faces import draw_face
from lightman_jax.data.vision.optical_flow import smooth_noise, warp_image

NAME = "simulated_au"


class Patch(NamedTuple):
    """A Gaussian patch on one half of the face: columns off the middle, row, displacement (outwards, down), reach."""

    x: float
    y: float
    outwards: float
    down: float
    reach: float


PATCHES: dict[int, tuple[Patch, ...]] = {
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
"""Where and which way each unit pulls, on a face 28 wide; 45 is a blink."""

COMBINATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "negative": (
        *((4,), (9,), (10,), (14,), (15,), (17,)),
        *((4, 7), (4, 9), (4, 10), (4, 15), (4, 17), (7, 10), (15, 17), (4, 7, 9)),
    ),
    "positive": ((12,), (12,), (6, 12), (6, 12), (12, 25)),
    "surprise": ((1, 2), (1, 2), (1, 2, 5), (1, 2, 25)),
}
"""Units by which a class is usually shown."""

_WIDTH, _MIDDLE, _BLINK = 28, 13.5, 45


@dataclasses.dataclass(frozen=True)
class Variation:
    """How much simulated expressions differ; lengths in units of a face 28 wide, strengths in those of a unit's displacement.

    Attributes:
      shift: sd of the face's place, each way.
      size: sd of the logarithm of its size.
      asymmetry: sd of one half against the other.
      head: sd of rotation and zoom at the face's edge.
      noise: sd of smooth noise.
      noise_reach: of that noise.
      stray: share of clips with a unit that does not belong.
      blink: share of clips with a blink.
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
    """How much is simulated.

    Attributes:
      people: subjects.
      micro_clips: clips of a person and class at micro intensity.
      macro_clips: clips of a person and class at macro intensity, with a fifth of the noise.
      seed: of all that is random.
    """

    people: int = 60
    micro_clips: int = 10
    macro_clips: int = 2
    seed: int = 0


_INTENSITY: dict[Pool, float] = {"micro": 0.15, "macro": 1.2}
_MACRO_NOISE = 0.2


def simulated_au_reading(config: SimulatedAUConfig) -> Reading:
    """All simulated clips as a layout would hand them on; each is computed when it is prepared."""
    clips = []
    pools: tuple[tuple[Pool, int], ...] = (("micro", config.micro_clips), ("macro", config.macro_clips))
    for person in range(1, config.people + 1):
        for pool, count in pools:
            for index, label in enumerate(label for label in EMOTIONS_3 for _ in range(count)):
                subject = f"simulated_au/p{person:03d}"
                units = _units(_clip_rng((config.seed, person, index), pool), label)
                clips.append(
                    RawClip(
                        clip=f"{subject}/{label}_{index:03d}",
                        subject=subject,
                        pool=pool,
                        kind="simulated",
                        paths=(),
                        numbers=(config.seed, person, index),
                        emotion=label,
                        action_units=units,
                        cropped=True,
                    )
                )
    note = "simulated_au is simulated from action units: nobody was filmed"
    return Reading(NAME, Path("simulated_au"), tuple(clips), notes=(note,))


def expression_field(
    rng: np.random.Generator, units: tuple[int, ...], side: int, variation: Variation
) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of one expression, u to the right and v down, in units of a unit's displacement.

    Args:
      rng: draws where the face is, how strong each unit is, and all that disturbs it.
      units: keys of `PATCHES`.
      side: pixels of the square field.
      variation: how much expressions differ.
    """
    strengths = {unit: rng.uniform(0.6, 1.4) for unit in units}
    if rng.uniform() < variation.stray:
        strengths.setdefault(int(rng.choice(list(PATCHES))), rng.uniform(0.1, 0.4))
    if rng.uniform() < variation.blink:
        strengths[_BLINK] = rng.uniform(0.3, 1.2)
    rows, columns = (np.mgrid[:side, :side] + 0.5) * _WIDTH / side - 0.5
    across, down = rng.normal(0, variation.shift, 2)
    size, lean = np.exp(rng.normal(0, variation.size)), rng.normal(0, variation.asymmetry)
    field = np.zeros((side, side, 2))
    for unit, strength in strengths.items():
        for patch in PATCHES[unit]:
            x, y = np.array([patch.x, patch.y]) + rng.normal(0, 0.3, 2)
            reach = size * patch.reach * np.exp(rng.normal(0, 0.2))
            for half in (-1, 1):
                own = strength * (1 + half * lean) * np.exp(rng.normal(0, variation.asymmetry / 2))
                distance = (columns - _MIDDLE - across - half * x * size) ** 2 + (
                    rows - 14 - (y - 14) * size - down
                ) ** 2
                pull = own * np.exp(-distance / (2 * reach**2))
                field += pull[..., None] * np.array([half * patch.outwards, patch.down])
    spin, zoom = rng.normal(0, variation.head, 2)
    y, x = (rows - _MIDDLE) / _MIDDLE, (columns - _MIDDLE) / _MIDDLE
    field += np.dstack([zoom * x - spin * y, zoom * y + spin * x])
    return field + variation.noise * smooth_noise(rng, side, variation.noise_reach * side / _WIDTH)


def simulated_field(clip: RawClip, side: int, variation: Variation | None = None) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of a clip of `simulated_au_reading` from onset to apex, in pixels of a face `side` wide.

    Args:
      clip: from `simulated_au_reading`.
      side: pixels of the square face.
      variation: how much expressions differ; None takes the default, with a fifth of its noise for macro clips.
    """
    rng = _clip_rng(clip.numbers, clip.pool)
    _units(rng, clip.emotion)
    if variation is None:
        usual = Variation()
        calm = dataclasses.replace(usual, noise=_MACRO_NOISE * usual.noise)
        variation = usual if clip.pool == "micro" else calm
    return _INTENSITY[clip.pool] * side / _WIDTH * expression_field(rng, clip.action_units, side, variation)


def simulated_faces(clip: RawClip, side: int, frames: int) -> list[NDArray[np.uint8]]:
    """Grey faces `[side, side]` of a clip of `simulated_au_reading`: an invented face moved to the apex, in the middle, and back."""
    face = draw_face(np.random.default_rng((clip.numbers[0], clip.numbers[1])), side)[..., 1].copy()
    field = simulated_field(clip, side)
    return [warp_image(face, rise * field) for rise in np.sin(np.pi * np.linspace(0, 1, frames)) ** 2]


def _clip_rng(numbers: tuple[int, ...], pool: Pool) -> np.random.Generator:
    return np.random.default_rng((*numbers, int(pool == "macro")))


def _units(rng: np.random.Generator, label: str) -> tuple[int, ...]:
    choices = COMBINATIONS[label]
    return choices[rng.integers(len(choices))]

"""Synthetic faces moved by action-unit fields: known movements for stand-in data and tests.

A face is drawn from a few random proportions. A clip is one rise and fall of a sum of action units, with head
motion, lighting drift and sensor noise. Micro and macro clips of a subject differ in intensity only. No number was
measured on real faces: results on these clips do not transfer to a corpus.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.records import POOLS, Pool
from lightman_jax.data.synthetic.action_unit_fields import FACE_UNITS, action_unit_field, spectral_noise
from lightman_jax.data.vision.optical_flow import warp_image


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """Size and intensity of a synthetic data set.

    Attributes:
      subjects: number of subjects.
      micro_clips: low-intensity clips per subject and emotion.
      macro_clips: full-intensity clips per subject and emotion.
      frames: frames per clip.
      side: pixels of the square image.
      micro_intensity: mean peak displacement of micro clips, pixels.
      macro_intensity: mean peak displacement of macro clips, pixels.
      subject_variation: spread of strength and symmetry between subjects; 0 makes all subjects move alike.
      apex_spread: largest distance of the apex from the middle of the clip, as a fraction of its length.
      flicker: sd of the frame-to-frame brightness, grey levels.
      seed: random seed.
    """

    subjects: int = 16
    micro_clips: int = 3
    macro_clips: int = 2
    frames: int = 7
    side: int = 96
    micro_intensity: float = 0.25
    macro_intensity: float = 4.0
    subject_variation: float = 1.0
    apex_spread: float = 0.0
    flicker: float = 0.0
    seed: int = 0


class SyntheticClip(NamedTuple):
    """One synthetic clip.

    Attributes:
      pool: `micro` or `macro`.
      label: the emotion.
      number: number of the clip within its subject, pool and emotion, from 1.
      units: action units of the emotion, without the random extra unit.
      apex: position of the strongest frame.
      frames: `[side, side, 3]` uint8, red-green-blue, from onset to offset.
    """

    pool: Pool
    label: str
    number: int
    units: tuple[int, ...]
    apex: int
    frames: list[NDArray[np.uint8]]


UNITS_OF_EMOTION: dict[str, tuple[tuple[int, ...], ...]] = {
    "negative": ((4,), (4, 7), (4, 9), (4, 15), (10,), (14,), (15, 17)),
    "positive": ((12,), (6, 12), (6,)),
    "surprise": ((1, 2), (1, 2, 5), (1, 2, 26), (2,)),
    "anger": ((4, 7), (4, 5, 7), (4,)),
    "contempt": ((14,),),
    "disgust": ((9,), (4, 9), (10,)),
    "fear": ((1, 2, 4), (1, 4, 5)),
    "happiness": ((12,), (6, 12), (6,)),
    "sadness": ((1, 4), (15, 17), (1, 4, 15)),
    "repression": ((14,), (15,), (17,)),
    "tense": ((4, 7), (7,)),
    "others": ((7,), (17,), (4, 14)),
    "neutral": ((),),
}
"""Combinations of action units by emotion; each clip draws one."""


def draw_face(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw a synthetic face `[side, side, 3]`: oval, brows, eyes, nose, mouth, and skin texture that flow can track."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    half = np.abs(columns - 0.5)
    skin = np.array([0.80, 0.62, 0.52]) * rng.uniform(0.55, 1.1)
    texture = 0.10 * spectral_noise(rng, side, 3.0) + 0.06 * rng.standard_normal((side, side))
    image = skin * (1 + texture[..., None]) * (1 - 0.35 * np.square(half / 0.5))[..., None]

    def paint(distance: NDArray[np.float64], colour: tuple[float, float, float], softness: float = 0.15) -> None:
        nonlocal image
        cover = 1 / (1 + np.exp(np.clip((distance - 1) / softness, -50, 50)))
        image = image * (1 - cover[..., None]) + np.asarray(colour) * cover[..., None]

    hair = tuple(rng.uniform(0.05, 0.35) * np.array([1.0, 0.8, 0.6]))
    brow_y, eye_y, mouth_y = (y + rng.normal(0, 0.008) for y in (0.22, 0.33, 0.69))
    eye_x, mouth_width = 0.16 + rng.normal(0, 0.008), 0.15 + rng.normal(0, 0.012)
    paint(np.hypot((half - eye_x) / 0.10, (rows - brow_y - 0.3 * (half - eye_x) ** 2 / 0.1) / 0.018), hair)
    paint(np.hypot((half - eye_x) / 0.065, (rows - eye_y) / 0.026), (0.93, 0.93, 0.93))
    paint(np.hypot((half - eye_x) / 0.024, (rows - eye_y) / 0.024), (0.1, 0.08, 0.06))
    paint(np.hypot((half - 0.045) / 0.018, (rows - 0.54) / 0.012), (0.25, 0.12, 0.1))
    paint(np.hypot(half / 0.012, (rows - 0.45) / 0.10), tuple(0.9 * skin), softness=0.5)
    paint(np.hypot(half / mouth_width, (rows - mouth_y) / 0.030), (0.62, 0.28, 0.28))
    paint(np.hypot(half / (0.9 * mouth_width), (rows - mouth_y) / 0.006), (0.25, 0.1, 0.1))
    oval = np.hypot(half / 0.46, (rows - 0.5) / 0.56)
    background = 0.35 * (1 + 0.05 * spectral_noise(rng, side, 6.0))[..., None] * np.ones(3)
    edge = 1 / (1 + np.exp(np.clip((oval - 1) / 0.02, -50, 50)))[..., None]
    return np.clip(255 * (edge * image + (1 - edge) * background), 0, 255).astype(np.uint8)


def subject_clips(
    subject: int, config: SimulatorConfig, emotions: tuple[str, ...] = EMOTIONS_3
) -> Iterator[SyntheticClip]:
    """All clips of one synthetic subject, of `emotions` in `UNITS_OF_EMOTION`; the same number and settings give the same clips."""
    rng = np.random.default_rng((config.seed, subject))
    face = draw_face(rng, config.side)
    # Subjects differ in the strength of each unit and in the balance of the two halves of the face.
    spread = 0.4 * config.subject_variation
    strength = {number: rng.uniform(1 - spread, 1 + spread) for number in FACE_UNITS}
    asymmetry = rng.normal(0, 0.15 * config.subject_variation)
    clips = {"micro": config.micro_clips, "macro": config.macro_clips}
    intensity = {"micro": config.micro_intensity, "macro": config.macro_intensity}
    for pool, label in itertools.product(POOLS, emotions):
        for number in range(1, clips[pool] + 1):
            units, weights = _draw_units(rng, label, intensity[pool], strength, asymmetry)
            apex, frames = _draw_frames(rng, face, weights, config)
            yield SyntheticClip(pool, label, number, units, apex, frames)


def _draw_units(
    rng: np.random.Generator, label: str, intensity: float, strength: dict[int, float], asymmetry: float
) -> tuple[tuple[int, ...], dict[int, tuple[float, float]]]:
    """The action units of one clip and the displacement of each, for `action_unit_field`."""
    choices = UNITS_OF_EMOTION[label]
    units = choices[rng.integers(len(choices))]
    peak = intensity * rng.uniform(0.6, 1.4)
    tilt = asymmetry + rng.normal(0, 0.2)
    weights = {unit: (peak * strength[unit] * (1 + tilt), peak * strength[unit] * (1 - tilt)) for unit in units}
    # One random unit at a third of the strength: real clips are rarely pure.
    weights.setdefault(int(rng.choice(list(FACE_UNITS))), (0.35 * peak, 0.35 * peak))
    return units, weights


def _draw_frames(
    rng: np.random.Generator, face: NDArray[np.uint8], weights: dict[int, tuple[float, float]], config: SimulatorConfig
) -> tuple[int, list[NDArray[np.uint8]]]:
    """Position of the apex and the frames of one clip."""
    field = action_unit_field(weights, config.side)
    shift, spin, zoom = rng.normal(0, 0.5, 2), rng.normal(0, 0.006), rng.normal(0, 0.004)
    rows, columns = np.mgrid[: config.side, : config.side] - (config.side - 1) / 2
    head = np.dstack([shift[0] + zoom * columns - spin * rows, shift[1] + zoom * rows + spin * columns])
    drift = 0.15 * np.dstack([spectral_noise(rng, config.side, 8.0) for _ in range(2)])
    light = rng.normal(0, 2.0)
    top = 0.5 + (config.apex_spread * rng.uniform(-1, 1) if config.apex_spread else 0.0)
    frames, rises = [], []
    for time in np.linspace(0, 1, config.frames):
        rise = np.sin(np.pi * np.interp(time, [0, top, 1], [0, 0.5, 1])) ** 2
        moved = warp_image(face, rise * field + time * (head + drift)).astype(np.float64)
        flicker = rng.normal(0, config.flicker) if config.flicker else 0.0
        noisy = moved + light * time + flicker + rng.normal(0, 1.5, moved.shape)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
        rises.append(rise)
    return int(np.argmax(rises)), frames

"""Invented people whose faces are moved by action-unit fields: known movements, for stand-ins and tests.

A face is drawn from a few random proportions and moved by action-unit fields: each unit pulls the skin around a
point of the face in the direction the facial action coding system describes, mirrored with some asymmetry. An
emotion is a choice of units, a clip one rise and fall of their sum beside head motion, lighting drift and sensor
noise. Micro clips have low intensity, macro clips full intensity of the same units and the same people. Nothing
here was measured on a person: results on it say nothing about a corpus.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.corpora.records import Pool
from lightman_jax.data.vision.optical_flow import warp_image


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """How much is invented, and how strong it is.

    Attributes:
      subjects: how many people.
      micro_clips: clips of a person and emotion at low intensity.
      macro_clips: clips of a person and emotion at full intensity.
      frames: pictures of a clip.
      side: pixels of the square picture.
      micro_intensity: mean peak displacement of micro clips, pixels.
      macro_intensity: mean peak displacement of macro clips, pixels.
      subject_variation: how much people differ in the strength and symmetry of their units; 0 makes them alike.
      apex_spread: how far the apex may lie from the middle of a clip, as a share of it.
      flicker: sd of the brightness from one picture to the next, grey levels.
      seed: of all that is random.
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


class InventedClip(NamedTuple):
    """One invented clip.

    Attributes:
      pool: `micro` or `macro`.
      label: its emotion.
      number: counts the clips of a person, pool and emotion from 1.
      units: action units that were moved on purpose.
      apex: position of the strongest frame.
      frames: `[side, side, 3]` uint8, red-green-blue, from onset to offset.
    """

    pool: Pool
    label: str
    number: int
    units: tuple[int, ...]
    apex: int
    frames: list[NDArray[np.uint8]]


class ActionUnit(NamedTuple):
    """Pull of one unit on the left half of the picture, in units of the face's side: place, direction, reach."""

    x: float
    y: float
    dx: float
    dy: float
    reach: float


ACTION_UNITS: dict[int, ActionUnit] = {
    1: ActionUnit(0.42, 0.22, 0.0, -1.0, 0.08),
    2: ActionUnit(0.28, 0.22, 0.0, -1.0, 0.08),
    4: ActionUnit(0.36, 0.22, 0.5, 0.9, 0.09),
    5: ActionUnit(0.33, 0.31, 0.0, -0.6, 0.05),
    6: ActionUnit(0.26, 0.45, 0.3, -0.7, 0.09),
    7: ActionUnit(0.33, 0.35, 0.0, -0.5, 0.05),
    9: ActionUnit(0.45, 0.45, 0.1, -0.8, 0.06),
    10: ActionUnit(0.43, 0.62, 0.0, -0.7, 0.06),
    12: ActionUnit(0.32, 0.69, -0.6, -0.9, 0.09),
    14: ActionUnit(0.32, 0.69, 0.8, 0.0, 0.06),
    15: ActionUnit(0.32, 0.71, -0.1, 0.9, 0.07),
    17: ActionUnit(0.47, 0.84, 0.0, -0.8, 0.09),
    26: ActionUnit(0.47, 0.86, 0.0, 1.0, 0.13),
}
"""Fields by number of the facial action coding system; y grows downwards."""

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
"""Choices of units an emotion is shown by."""


def action_unit_field(weights: dict[int, tuple[float, float]], side: int) -> NDArray[np.float64]:
    """Displacement of the skin, the sum of Gaussian pulls on both halves of the face.

    Args:
      weights: peak pixels of each unit, `{unit: (left of the picture, right of the picture)}`.
      side: pixels of the square face.

    Returns:
      `[side, side, 2]` pixels: u to the right, v downwards.

    Choice: a Gaussian patch a unit; anatomy is far richer, the directions are those of the coding system.
    """
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    field = np.zeros((side, side, 2))
    for number, halves in weights.items():
        unit = ACTION_UNITS[number]
        for x, dx, weight in ((unit.x, unit.dx, halves[0]), (1 - unit.x, -unit.dx, halves[1])):
            patch = np.exp(-((columns - x) ** 2 + (rows - unit.y) ** 2) / (2 * unit.reach**2))
            field += weight * patch[..., None] * np.array([dx, unit.dy])
    return field


def draw_face(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw an invented face `[side, side, 3]`: oval, brows, eyes, nose, mouth, and skin texture that flow can follow."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    half = np.abs(columns - 0.5)
    skin = np.array([0.80, 0.62, 0.52]) * rng.uniform(0.55, 1.1)
    texture = 0.10 * _smooth_noise(rng, side, 3.0) + 0.06 * rng.standard_normal((side, side))
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
    background = 0.35 * (1 + 0.05 * _smooth_noise(rng, side, 6.0))[..., None] * np.ones(3)
    edge = 1 / (1 + np.exp(np.clip((oval - 1) / 0.02, -50, 50)))[..., None]
    return np.clip(255 * (edge * image + (1 - edge) * background), 0, 255).astype(np.uint8)


def subject_clips(
    subject: int, config: SimulatorConfig, emotions: tuple[str, ...] = EMOTIONS_3
) -> Iterator[InventedClip]:
    """All clips of one invented person, the same for the same number and settings.

    Args:
      subject: any number; it seeds the person's face and habits.
      config: how many clips, and how strong.
      emotions: keys of `UNITS_OF_EMOTION`.
    """
    rng = np.random.default_rng((config.seed, subject))
    face = draw_face(rng, config.side)
    # A person has habits: some units come easily, one half of the face is livelier.
    spread = 0.4 * config.subject_variation
    habit = {number: rng.uniform(1 - spread, 1 + spread) for number in ACTION_UNITS}
    lean = rng.normal(0, 0.15 * config.subject_variation)
    pools: tuple[tuple[Pool, int, float], ...] = (
        ("micro", config.micro_clips, config.micro_intensity),
        ("macro", config.macro_clips, config.macro_intensity),
    )
    for pool, clips, intensity in pools:
        for label in emotions:
            for number in range(1, clips + 1):
                units, apex, frames = _clip_frames(rng, face, label, intensity, habit, lean, config)
                yield InventedClip(pool, label, number, units, apex, frames)


def _clip_frames(
    rng: np.random.Generator,
    face: NDArray[np.uint8],
    label: str,
    intensity: float,
    habit: dict[int, float],
    lean: float,
    config: SimulatorConfig,
) -> tuple[tuple[int, ...], int, list[NDArray[np.uint8]]]:
    choices = UNITS_OF_EMOTION[label]
    units = choices[rng.integers(len(choices))]
    peak = intensity * rng.uniform(0.6, 1.4)
    tilt = lean + rng.normal(0, 0.2)
    weights = {unit: (peak * habit[unit] * (1 + tilt), peak * habit[unit] * (1 - tilt)) for unit in units}
    # A unit of no emotion at a third of the strength: clips are not pure.
    stray = int(rng.choice(list(ACTION_UNITS)))
    weights.setdefault(stray, (0.35 * peak, 0.35 * peak))
    field = action_unit_field(weights, config.side)
    shift, spin, zoom = rng.normal(0, 0.5, 2), rng.normal(0, 0.006), rng.normal(0, 0.004)
    rows, columns = np.mgrid[: config.side, : config.side] - (config.side - 1) / 2
    head = np.dstack([shift[0] + zoom * columns - spin * rows, shift[1] + zoom * rows + spin * columns])
    drift = 0.15 * np.dstack([_smooth_noise(rng, config.side, 8.0) for _ in range(2)])
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
    return units, int(np.argmax(rises)), frames


def _smooth_noise(rng: np.random.Generator, side: int, reach: float) -> NDArray[np.float64]:
    """`[side, side]` noise of unit variance whose spectrum falls as a Gaussian, `reach` pixels wide in space."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) * np.exp(-0.5 * (2 * np.pi * reach * frequency) ** 2)
    noise = np.fft.ifft2(spectrum).real
    return noise / noise.std()

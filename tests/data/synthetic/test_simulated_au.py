"""Simulated expressions: units pull the way the coding system says, clips are drawn anew alike, and real clips are recognised."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.claims import simulated_training
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.data.synthetic.simulated_au import (
    COMBINATIONS,
    PATCHES,
    SimulatedAUConfig,
    Variation,
    expression_field,
    simulated_au_reading,
    simulated_field,
)

STILL = Variation(shift=0, size=0, asymmetry=0, head=0, noise=0, stray=0, blink=0)
SMALL = SimulatedAUConfig(people=3, micro_clips=4, macro_clips=2)


@pytest.mark.parametrize(
    ("unit", "row", "column", "out", "down"),
    [(1, 5.5, 2.5, 0, -1), (4, 6, 3.2, -1, 1), (12, 19.5, 5, 1, -1), (15, 20.5, 4.5, 0, 1), (26, 24, 1.5, 0, 1)],
)
def test_units_pull_where_and_which_way_the_coding_system_says(unit, row, column, out, down):
    field = np.mean([expression_field(np.random.default_rng(n), (unit,), 28, STILL) for n in range(40)], axis=0)
    np.testing.assert_allclose(field[:, ::-1] * [-1, 1], field, atol=0.12)
    right = field[:, 14:]
    top, across = np.unravel_index(np.hypot(*np.moveaxis(right, -1, 0)).argmax(), right.shape[:2])
    assert abs(top - row) <= 2
    assert abs(across + 0.5 - column) <= 2
    u, v = right[top, across]
    assert np.sign(v) == down
    assert out == 0 or np.sign(u) == out


def test_every_combination_is_of_known_units():
    assert {unit for choices in COMBINATIONS.values() for choice in choices for unit in choice} <= set(PATCHES)


def test_clips_are_drawn_anew_alike_and_macro_ones_move_further():
    one, two = simulated_au_reading(SMALL), simulated_au_reading(SMALL)
    assert one == two
    assert len({(clip.pool, clip.clip) for clip in one.clips}) == len(one.clips) == 3 * 3 * 6
    np.testing.assert_array_equal(simulated_field(one.clips[0], 28), simulated_field(two.clips[0], 28))
    other = simulated_au_reading(dataclasses.replace(SMALL, seed=1))
    assert np.abs(simulated_field(one.clips[0], 28) - simulated_field(other.clips[0], 28)).max() > 0
    size = {
        pool: np.mean([np.abs(simulated_field(clip, 28)).mean() for clip in one.clips if clip.pool == pool])
        for pool in ("micro", "macro")
    }
    assert size["macro"] > 3 * size["micro"]


@pytest.mark.parametrize("representation", ["flow", "difference", "apex", "dynamic", "frames"])
@pytest.mark.parametrize("side", [20, 28])
def test_any_representation_and_size_can_be_made_of_them(representation, side):
    clip = simulated_au_reading(SMALL).clips[-1]
    config = MotionConfig(representation=representation, image_side=side, face_side=64, frame_count=4)
    image = motion_image(clip, config).image
    channels = 3 if representation == "flow" else 1
    assert image.shape == ((4, side, side, 1) if representation == "frames" else (side, side, channels))
    assert np.isfinite(image).all()
    assert image.std() > 0


def test_the_field_of_a_rendered_clip_is_the_one_that_was_drawn():
    clip = next(c for c in simulated_au_reading(SMALL).clips if c.pool == "macro" and c.emotion == "surprise")
    config = MotionConfig(face_side=128, image_side=128)
    true = motion_image(clip, config).image
    rendered = dataclasses.replace(config, representation="difference")
    assert np.abs(motion_image(clip, rendered).image).max() > 0.05
    np.testing.assert_allclose(true[..., :2], simulated_field(clip, 128), atol=1e-5)


@pytest.mark.skipif(
    not os.environ.get("LIGHTMAN_FLOW"), reason="LIGHTMAN_FLOW names no folder of the real flow release"
)
def test_a_machine_trained_on_simulated_expressions_alone_recognises_real_ones():
    real = simulated_training.read_real(Path(os.environ["LIGHTMAN_FLOW"]))
    micro, _, _ = simulated_training.simulate(0)
    guess = simulated_training.train_classical(micro.image[::2], micro.label[::2], real.image)
    assert simulated_training._scores(real, guess)["all"] > 0.62

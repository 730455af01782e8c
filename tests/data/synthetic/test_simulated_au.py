"""The corpus `simulated_au`: reproducible clips of every representation, from which real clips can be recognised."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.claims import simulated_training, subjects
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, simulated_au_reading, simulated_field

SMALL = SimulatedAUConfig(subjects=3, micro_clips=4, macro_clips=2)


def test_the_same_seed_gives_the_same_clips_and_macro_clips_move_further():
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
def test_every_representation_and_size_can_be_computed(representation, side):
    clip = simulated_au_reading(SMALL).clips[-1]
    config = MotionConfig(representation=representation, image_side=side, face_side=64, frame_count=4)
    image = motion_image(clip, config).image
    channels = 3 if representation == "flow" else 1
    assert image.shape == ((4, side, side, 1) if representation == "frames" else (side, side, channels))
    assert np.isfinite(image).all()
    assert image.std() > 0


def test_the_flow_of_a_clip_is_its_exact_field():
    clip = next(c for c in simulated_au_reading(SMALL).clips if c.pool == "macro" and c.emotion == "surprise")
    config = MotionConfig(face_side=128, image_side=128)
    true = motion_image(clip, config).image
    rendered = dataclasses.replace(config, representation="difference")
    assert np.abs(motion_image(clip, rendered).image).max() > 0.05
    np.testing.assert_allclose(true[..., :2], simulated_field(clip, 128), atol=1e-5)


@pytest.mark.skipif(
    not os.environ.get("LIGHTMAN_FLOW"), reason="LIGHTMAN_FLOW is not set to a folder of the real flow release"
)
def test_a_classical_baseline_trained_on_simulated_expressions_recognises_real_ones():
    real = subjects.read_flow_release(Path(os.environ["LIGHTMAN_FLOW"]))
    micro, _, _ = simulated_training.simulate(0)
    guess = simulated_training.train_classical(micro.image[::2], micro.label[::2], real.image)
    row = next(simulated_training.rows_by_corpus("", "", real, [guess]))
    assert row.uf1[0] > 0.62

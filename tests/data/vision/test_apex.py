"""The displacement curve of invented fields: rest at both ends, duration, and movements that a window cuts."""

import numpy as np
import pytest

from lightman_jax.data.vision.apex import field_curve

FRAMES, FPS, HALF = 30, 30.0, 2


def fields(rise):
    """Fields of one pattern over time, with noise."""
    rng = np.random.default_rng(0)
    pattern = np.exp(-np.square(np.linspace(-3, 3, 60)))[:, None] * np.array([0.3, -1.0])
    return np.asarray(rise)[:, None, None] * pattern + rng.normal(0, 0.01, (len(rise), 60, 2))


def bump(apex, half):
    """A movement that rises and falls as a cosine."""
    away = np.clip(np.abs(np.arange(FRAMES) - apex) / half, 0, 1)
    return np.cos(np.pi * away / 2) ** 2


def test_a_movement_within_the_frames_rests_and_its_duration_is_that_of_the_movement():
    curve = field_curve(fields(bump(14, 6)), np.arange(FRAMES) / FPS, HALF)
    assert curve.rests
    assert curve.returns
    assert abs(curve.apex - 14) <= 1
    assert curve.duration == pytest.approx(12 / FPS, abs=3 / FPS)


@pytest.mark.parametrize(("apex", "half"), [(3, 5), (4, 6), (25, 6), (26, 5)])
def test_a_movement_that_a_window_cuts_does_not_rest(apex, half):
    """Steady drift is removed, so that the first and the last frame are 0 whatever they show."""
    shown = fields(bump(apex, half))
    curve = field_curve(shown - shown[0], np.arange(FRAMES) / FPS, HALF)
    assert curve.returns
    assert not curve.rests

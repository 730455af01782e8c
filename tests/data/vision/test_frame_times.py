"""Times of frames: those of the file where they increase, the frame rate elsewhere."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightman_jax.data.vision.frame_times import FrameTimes

TICKS = np.arange(10) / 25


def seconds(stated, fps=25.0):
    times = FrameTimes(fps)
    return [times.add(value) for value in stated], times.notes


@pytest.mark.parametrize("start", [0.0, 0.08, 3600.0])
def test_times_count_from_the_first_frame(start):
    found, notes = seconds(start + TICKS)
    np.testing.assert_allclose(found, TICKS, atol=1e-9)
    assert notes == ()


def test_a_first_time_before_zero_is_zero():
    found, _ = seconds([-0.0167, *TICKS[1:]])
    np.testing.assert_allclose(found, TICKS)


@pytest.mark.parametrize("missing", [0.0, -1.0, np.nan, 1e9])
def test_missing_times_follow_from_the_frame_rate(missing):
    found, notes = seconds([0.0] + [missing] * 9)
    np.testing.assert_allclose(found, TICKS)
    assert notes == ("9 of 10 frames have no usable time in the file; their times follow from 25 frames per second",)
    found, notes = seconds([*TICKS[:9], missing])
    np.testing.assert_allclose(found, TICKS)
    assert notes == ()


def test_without_times_and_frame_rate_they_are_unknown():
    found, notes = seconds([0.0, 0.0, 0.0], fps=0.0)
    assert found[0] == 0
    assert np.isnan(found[1:]).all()
    assert "2 of 3 frames have no usable time in the file; their times are unknown (--fps=FPS)" in notes[0]


def test_varying_steps_are_noted_with_their_range_and_rounded_ones_are_not():
    _, notes = seconds([0.0, 0.0137, 0.0554, 0.0887])
    assert notes == ("frame rate varies: 13.7 to 41.7 ms between frames",)
    assert seconds(np.round(np.arange(60) / 29.97, 3))[1] == ()
    assert seconds(np.round(np.arange(60) / 29.97 * 600) / 600)[1] == ()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_times_increase_whatever_the_file_states(stated):
    found, _ = seconds(stated)
    assert found[:1] in ([], [0.0])
    assert all(after > before for before, after in itertools.pairwise(found))

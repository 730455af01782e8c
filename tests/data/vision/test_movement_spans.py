"""Spans of invented series of landmarks' signals, at several frame rates."""

import numpy as np
import pytest

from lightman_jax.data.vision.movement_kinds import COVERED_SHARE
from lightman_jax.data.vision.movement_spans import blink_spans, covered_spans, head_spans

OPEN = 0.3


def clock(fps, seconds=6.0):
    return np.arange(round(seconds * fps)) / fps


def closed(times, *spans, share=1.0):
    """Openness of both eyes, which lack a share of it within the spans."""
    inside = np.any([(first <= times) & (times <= last) for first, last in spans], axis=0)
    return np.repeat(np.where(inside, (1 - share) * OPEN, OPEN)[:, None], 2, axis=1)


def ramp(times, first, last, degrees, axis=0):
    """Angles of a head that moves at constant speed within a span."""
    angles = np.zeros((len(times), 3))
    angles[:, axis] = degrees * np.clip((times - first) / (last - first), 0, 1)
    return angles


@pytest.mark.parametrize("fps", [24, 25, 60])
def test_each_blink_is_a_span_that_reaches_one_frame_beyond_it(fps):
    times = clock(fps)
    blinks = [(1.5, 1.7), (4.0, 4.35)]
    found = blink_spans(times, closed(times, *blinks))
    assert len(found) == len(blinks)
    for span, blink in zip(found, blinks, strict=True):
        assert blink[0] - 1.01 / fps <= span[0] < blink[0]
        assert blink[1] < span[1] <= blink[1] + 1.01 / fps


@pytest.mark.parametrize(
    ("span", "share"),
    [((2.0, 3.0), 1.0), ((2.0, 2.3), 0.25), ((0.0, 0.2), 1.0), ((2.0, 2.9), 0.25)],
    ids=["closed for long", "narrowed", "closed from the start", "smile"],
)
def test_other_changes_of_the_lids_are_no_blink(span, share):
    times = clock(30)
    assert blink_spans(times, closed(times, span, share=share)) == []


def test_a_blink_of_a_narrow_eye_counts_and_noise_of_a_closed_one_does_not():
    times = clock(30)
    noise = np.random.default_rng(0).normal(0, 0.01, (len(times), 2))
    assert len(blink_spans(times, 0.7 * closed(times, (3.0, 3.2)) + noise)) == 1
    assert blink_spans(times, 0.02 + noise) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("fps", "degrees"), [(25, 15.0), (60, -8.0)])
def test_motion_of_the_head_is_a_span_around_it(fps, degrees, axis):
    times = clock(fps)
    ((first, last),) = head_spans(times, ramp(times, 2.0, 2.5, degrees, axis))
    assert first == pytest.approx(2.0, abs=0.15)
    assert last == pytest.approx(2.5, abs=0.15)


def test_drift_noise_and_small_motion_of_the_head_are_none():
    times = clock(30)
    noise = np.random.default_rng(1).uniform(-0.4, 0.4, (len(times), 3))
    for angles in (ramp(times, 0.0, 6.0, 30.0), ramp(times, 2.0, 2.3, 4.0), noise):
        assert head_spans(times, angles) == []


@pytest.mark.parametrize(("pause", "count"), [(0.2, 1), (1.5, 2)])
def test_motions_of_the_head_are_joined_across_a_short_pause(pause, count):
    times = clock(30)
    angles = ramp(times, 1.0, 1.5, 12.0) + ramp(times, 1.5 + pause, 2.0 + pause, -12.0)
    assert len(head_spans(times, angles)) == count


def test_covered_frames_are_joined_and_the_rest_is_left_out():
    times = clock(25)
    covered = np.full(len(times), 0.9 * COVERED_SHARE)
    for second in (1.0, 1.4, 4.0):
        covered[round(25 * second)] = COVERED_SHARE
    np.testing.assert_allclose(covered_spans(times, covered), [(0.96, 1.44), (3.96, 4.04)])
    assert covered_spans(times, np.zeros(len(times))) == []


def test_a_span_at_the_end_of_a_video_ends_with_it():
    times = clock(25, 1.0)
    assert covered_spans(times, (times > 0.9).astype(float))[0][1] == times[-1]


def test_a_single_frame_has_no_span():
    one = np.zeros(1)
    assert blink_spans(one, np.full((1, 2), OPEN)) == []
    assert head_spans(one, np.zeros((1, 3))) == []
    assert covered_spans(one, one) == []

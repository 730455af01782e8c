"""Kinds of movement: decisions from evidence, speech from the opening of the mouth."""

import numpy as np
import pytest

from lightman_jax.data.vision.movement_kinds import KINDS, MAX_TURN, Evidence, movement_kind, refused_pose, speech_spans

BROWS = Evidence(seconds=0.3, pixels=1.0, eye_pixels=0.8)


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [
        ("micro-expression", BROWS),
        ("micro-expression", BROWS._replace(seconds=np.nan)),
        ("macro-expression", BROWS._replace(seconds=0.8)),
        ("macro-expression", BROWS._replace(pixels=5.0)),
        ("blink or gaze", BROWS._replace(lid_closure=0.7, eye_pixels=1.5)),
        ("blink or gaze", BROWS._replace(gaze_shift=0.1, eye_pixels=1.5)),
        ("blink or gaze", BROWS._replace(eye_pixels=2.5)),
        # Lids that tighten are part of an expression.
        ("micro-expression", BROWS._replace(eye_pixels=1.5, lid_closure=0.1)),
        # Brows that rise together with a blink.
        ("macro-expression", BROWS._replace(pixels=4.0, lid_closure=0.7, eye_pixels=3.0)),
        ("head motion", BROWS._replace(head_degrees=12.0)),
        # The eyes turn back while the head turns, and a blink during a turn.
        ("head motion", BROWS._replace(head_degrees=16.0, eye_pixels=1.5, gaze_shift=0.08)),
        ("blink or gaze", BROWS._replace(head_degrees=16.0, eye_pixels=3.5, lid_closure=0.7)),
        ("head motion", BROWS._replace(head_pixels=60.0)),
        # Sway of the head.
        ("micro-expression", BROWS._replace(head_pixels=5.0, head_degrees=1.0)),
        ("macro-expression", BROWS._replace(head_degrees=12.0, pixels=6.0)),
        ("speech", BROWS._replace(in_speech=True, mouth_share=0.9)),
        # Brows rise while the mouth speaks.
        ("micro-expression", BROWS._replace(in_speech=True, mouth_share=0.2)),
        # A single opening of the mouth.
        ("macro-expression", BROWS._replace(pixels=6.0, mouth_share=0.9)),
        ("face covered", BROWS._replace(covered=0.2, lid_closure=0.7, eye_pixels=2.5, head_degrees=10.0)),
        # A fast nod, in which lights on the skin change.
        ("head motion", BROWS._replace(covered=0.2, pixels=9.0, head_degrees=20.0)),
    ],
)
def test_the_kind_follows_from_the_evidence(kind, evidence):
    assert kind in KINDS
    assert movement_kind(evidence) == kind


def mouth(fps, seconds=6.0, rate=4.0, first=2.0, last=4.0, height=0.1):
    """Opening of a mouth that opens and closes `rate` times per second from `first` to `last`."""
    times = np.arange(round(fps * seconds)) / fps
    speaks = (times >= first) & (times < last)
    return times, 0.02 + height * np.where(speaks, 0.5 - 0.5 * np.cos(2 * np.pi * rate * (times - first)), 0)


@pytest.mark.parametrize("fps", [24, 30, 60, 200])
@pytest.mark.parametrize("rate", [2.0, 4.0, 6.0])
def test_repeated_openings_of_the_mouth_are_speech_at_every_frame_rate(fps, rate):
    ((start, end),) = speech_spans(*mouth(fps, rate=rate))
    assert start == pytest.approx(2.0, abs=0.3)
    assert end == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize(
    "video",
    [
        mouth(25, rate=1.0, last=3.0),
        mouth(25, rate=4.0, last=2.5),
        mouth(25, rate=1.0, last=6.0),
        mouth(25, height=0.03),
    ],
    ids=["one opening", "two openings", "slow openings", "slight openings"],
)
def test_few_slow_or_slight_openings_are_not_speech(video):
    assert speech_spans(*video) == []


@pytest.mark.parametrize("fps", [25, 60, 200])
def test_noise_of_the_landmarks_is_not_speech(fps):
    times = np.arange(60 * fps) / fps
    assert speech_spans(times, 0.05 + 0.011 * np.random.default_rng(0).normal(size=len(times))) == []


def test_a_short_pause_does_not_end_speech_but_a_long_one_does():
    times, first = mouth(25, seconds=10.0, first=1.0, last=2.5)
    near, far = (first + mouth(25, seconds=10.0, first=start, last=start + 2)[1] for start in (3.0, 5.0))
    assert len(speech_spans(times, near)) == 1
    assert len(speech_spans(times, far)) == 2


def test_speech_is_found_around_lost_frames_but_not_across_them():
    times, opening = mouth(25)
    assert speech_spans(times, np.where((times > 2.4) & (times < 3.6), np.nan, opening)) == []
    assert speech_spans(times, np.where(times > 3.5, np.nan, opening))
    assert speech_spans(times, np.full(len(times), np.nan)) == []
    assert speech_spans([], []) == []


def test_a_profile_is_refused_with_its_angle():
    assert refused_pose(20, -15) == ""
    assert refused_pose(-60, 0) == f"a profile view (60 degrees; at most {MAX_TURN:.0f})"
    assert "from above (50 degrees" in refused_pose(0, 50)
    assert "from below (50 degrees" in refused_pose(0, -50)

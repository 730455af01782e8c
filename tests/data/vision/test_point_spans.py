"""Onset, apex and offset by the points: rests at both ends, and an expression among speech, blinks and head motion."""

import dataclasses

import numpy as np
import pytest

from lightman_jax.data.records import UNKNOWN_SPAN, RawClip
from lightman_jax.data.vision.point_spans import point_span
from tests.openface import SMILE, head_points, moved_points, write_openface, write_points

LIDS, LOWER_LIP = [37, 38, 43, 44], [55, 56, 57, 58, 59, 65, 66, 67]


def spoken(seed=0, count=100):
    """Points of a subject who smiles in frames 35 to 70 while speaking, blinks before it, and turns; and the share of the smile."""
    rng = np.random.default_rng(seed)
    time = np.arange(count)
    smile = np.interp(time, (25, 35, 70, 80), (0, 1, 1, 0))
    speech = np.where((time > 22) & (time < 82), np.clip(np.sin(time * 0.9), 0, None), 0)
    blink = np.exp(-(((time - 12) / 2) ** 2)) + np.exp(-(((time - 50) / 2) ** 2))
    lips, lids = moved_points(LOWER_LIP, 0.0, 0.06), moved_points(LIDS, 0.0, 0.06)
    shapes = (smile[:, None, None] * SMILE) + speech[:, None, None] * lips + blink[:, None, None] * lids
    turns = 5 * np.sin(time / 30)
    return [
        head_points(shape, turn=turn) + rng.normal(0, 0.3, (68, 2)) for shape, turn in zip(shapes, turns, strict=True)
    ], smile


def clip_of(path, numbers=UNKNOWN_SPAN, apex=None, fps=30.0):
    return RawClip("t/s/a", "t/s", "macro", "landmarks", (path,), numbers, apex, fps)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_smile_is_found_while_the_subject_speaks_blinks_and_turns(tmp_path, seed):
    points, smile = spoken(seed)
    numbers, apex = point_span(clip_of(write_points(tmp_path / "a.csv", points)))
    assert smile[numbers[0] - 1] == smile[numbers[-1] - 1] == 0
    assert smile[numbers[apex] - 1] > 0.9
    assert abs(numbers[0] - 12) > 2, "a blink is no rest"
    assert list(numbers) == list(range(numbers[0], numbers[-1] + 1))


def test_given_numbers_count_and_missing_ones_are_found(tmp_path):
    path = write_points(tmp_path / "a.csv", spoken()[0])
    numbers, apex = point_span(clip_of(path, (20, 40, 0), 1))
    assert (numbers[0], numbers[apex]) == (20, 40)
    assert numbers[-1] > 80
    numbers, apex = point_span(clip_of(path, (0, 40, 60), 1))
    assert numbers[0] <= 15
    assert (numbers[apex], numbers[-1]) == (40, 60)
    whole = clip_of(path, tuple(range(20, 91)))
    numbers, apex = point_span(whole)
    assert (numbers[0], numbers[-1]) == (20, 90)
    assert 33 <= numbers[apex] <= 73
    given = dataclasses.replace(whole, apex=3)
    assert point_span(given).apex == 3
    assert point_span(given, spot=True).apex == apex


def test_a_movement_that_stays_ends_at_its_apex_or_after_it(tmp_path):
    frames = [head_points(share * SMILE) for share in np.interp(np.arange(30), (8, 22), (0, 1))]
    numbers, apex = point_span(clip_of(write_points(tmp_path / "a.csv", frames)))
    assert numbers[0] < 9
    assert numbers[apex] > 21
    two = point_span(clip_of(write_points(tmp_path / "b.csv", [frames[0], frames[-1]])))
    assert two == ((1, 2), 1)
    first = point_span(clip_of(write_points(tmp_path / "c.csv", frames), (0, 1, 0), 1))
    assert (first.numbers[0], first.apex) == (1, 0)


def test_frames_without_a_face_are_left_out_and_named_where_they_are_needed(tmp_path):
    points, _ = spoken()
    rows = [((n, 0, n / 30, 0.98, int(n not in (5, 60))), one) for n, one in enumerate(points, start=1)]
    path = write_openface(tmp_path / "a.csv", rows)
    numbers, apex = point_span(clip_of(path, tuple(range(4, 61)), 36))
    assert (numbers[:2], numbers[-1], numbers[apex]) == ((4, 6), 59, 40)
    with pytest.raises(ValueError, match=r"a\.csv has no landmarks of the onset, frame 5; choose a frame with a face"):
        point_span(clip_of(path, tuple(range(5, 61))))
    with pytest.raises(ValueError, match="no landmarks of the apex, frame 60"):
        point_span(clip_of(path, (0, 60, 0), 1))
    nobody = write_openface(tmp_path / "b.csv", [((1, 0, 0.1, 0.98, 0), points[0])])
    with pytest.raises(ValueError, match="has landmarks in 0 frames from its first to its last; 2 or more are needed"):
        point_span(clip_of(nobody))

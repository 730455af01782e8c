"""One video or folder under two subjects, and movements that are listed twice."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.data.preparation.overlap import Overlaps
from lightman_jax.data.records import RawClip


def clip(subject, span, kind="video", file="a.avi", pool="micro", box=None, name="c"):
    numbers = tuple(range(span[0], span[1] + 1))
    paths = (Path(file),) if kind == "video" else tuple(Path(f"{file}/{number}.png") for number in numbers)
    return RawClip(f"table/{subject}/{name}", f"table/{subject}", pool, kind, paths, numbers, box=box)


def found(*clips):
    overlaps = Overlaps()
    return [overlaps.add(one, {str(path): str(path) for path in one.paths}) for one in clips]


@pytest.mark.parametrize("kind", ["video", "frames"])
@pytest.mark.parametrize("pool", ["micro", "macro"])
@pytest.mark.parametrize("span", [(11, 31), (9, 29), (5, 60), (14, 18)])
def test_a_span_of_another_subject_is_lost_and_names_both(kind, pool, span):
    first, problem = found(clip("ann", (10, 30), kind), clip("ben", span, kind, pool=pool))
    assert first is None
    assert problem.lost
    assert problem.where == "table/ben/c"
    assert "table/ann/c of subject table/ann" in problem.found
    assert "subject table/ben" in problem.expected


def test_copied_files_count_as_their_content():
    first, second = clip("ann", (1, 9), "frames", "a"), clip("ben", (2, 10), "frames", "b")
    overlaps = Overlaps()
    overlaps.add(first, {str(path): path.name for path in first.paths})
    assert overlaps.add(second, {str(path): path.name for path in second.paths}).lost


@pytest.mark.parametrize(
    "other",
    [
        clip("ben", (30, 50)),
        clip("ben", (10, 30), file="b.avi"),
        clip("ann", (20, 40), name="d"),
        clip("ann", (10, 30), pool="macro"),
        clip("ben", (10, 30), box=(0, 200, 90)),
    ],
    ids=["after one another", "another video", "two movements", "both pools", "two faces"],
)
def test_other_overlaps_are_accepted(other):
    assert found(clip("ann", (10, 30), box=(0, 0, 90)), other) == [None, None]


def test_a_movement_that_is_listed_twice_is_reported_and_used():
    _, problem = found(clip("ann", (10, 40)), clip("ann", (11, 41), name="d"))
    assert not problem.lost
    assert "table/ann/c" in problem.found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 12)), max_size=12))
def test_kept_clips_of_two_subjects_never_share_half_of_their_frames(rows):
    spans = [clip(f"s{who}", (start, start + length), name=f"c{row}") for row, (who, start, length) in enumerate(rows)]
    problems = found(*spans)
    kept = [one for one, problem in zip(spans, problems, strict=True) if problem is None or not problem.lost]
    for first in kept:
        for second in kept:
            shared = len(set(first.numbers) & set(second.numbers))
            assert first.subject == second.subject or 2 * shared < min(len(first.numbers), len(second.numbers))

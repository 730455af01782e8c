"""Search of invented samples of a face: fields, poses and signals of a minute cost no image."""

from collections import deque

import numpy as np
import pytest

from lightman_jax.data.vision.face_search import FaceSearch, SpotConfig
from lightman_jax.data.vision.face_segments import GRID, Sample
from lightman_jax.data.vision.face_signals import FaceRegions
from lightman_jax.data.vision.head_motion import HeadMotion

FPS = 25
ROWS, COLUMNS = (np.mgrid[:GRID, :GRID] + 0.5) / GRID
MOUTH = np.dstack([np.zeros((GRID, GRID)), -np.exp(-((COLUMNS - 0.5) ** 2 + (ROWS - 0.7) ** 2) / 0.02)])
FACE, OPEN = np.zeros((2, 2, 3), np.uint8), np.full(2, 0.3)


class Segment:
    """A segment whose samples are given."""

    remove_head = None

    def __init__(self):
        face, eyes = np.ones((GRID, GRID), bool), (np.abs(ROWS - 0.33) < 0.07)
        self.regions = FaceRegions(face, eyes, ROWS > 0.58, face & ~eyes)
        self.samples = deque()


def sample(number, field, *, openness=OPEN, turn=0.0, mouth=0.0, covered=0.0):
    motion = HeadMotion(turn=turn, pixels=abs(turn))
    signals = (openness, np.zeros(2), mouth, covered)
    return Sample(number, (number - 1) / FPS, FACE, field.astype(np.float32), motion, np.zeros(2), *signals)


def search(seconds, movements, *, timed=True, config=None, changes=None):
    """Movements `(seconds, duration, pixels)` of a mouth; returns those reported at each time, and most samples kept."""
    rng, segment, curve = np.random.default_rng(0), Segment(), []
    faces = FaceSearch(segment, config or SpotConfig(), (None, 0, "face 1"), timed, curve)
    reported, most = [], 0
    for number in range(1, round(seconds * FPS) + 1):
        now = (number - 1) / FPS
        field = 0.01 * rng.standard_normal((GRID, GRID, 2))
        for first, duration, pixels in movements:
            field += pixels * MOUTH * np.sin(np.pi * np.clip((now - first) / duration, 0, 1)) ** 2
        segment.samples.append(sample(number, field, **(changes(now) if changes else {})))
        reported += [(now, one) for one in faces.update()]
        most = max(most, len(segment.samples))
    reported += [(seconds, one) for one in faces.finish(is_clip=True)]
    return reported, most, curve


def test_movements_of_a_long_video_are_reported_in_order_once_and_old_samples_are_dropped():
    config = SpotConfig(window_seconds=(1.0, 2.0))
    truths = [(2.0, 0.4, 1.0), (5.0, 0.4, 1.5), (8.0, 1.2, 5.0), (12.0, 0.4, 1.0)]
    reported, most, curve = search(15.0, truths, config=config)
    assert [one.kind for _, one in reported] == ["micro-expression"] * 2 + ["macro-expression", "micro-expression"]
    for (when, one), (first, duration, _) in zip(reported, truths, strict=True):
        assert one.times[1] == pytest.approx(first + duration / 2, abs=0.09)
        assert first - 0.05 <= one.times[0] < one.times[1] < one.times[2] <= first + duration + 0.05
        assert one.times == tuple((number - 1) / FPS for number in one[:3])
        assert one.numbers == tuple(range(one.onset, one.offset + 1))
        assert len(one.faces) == len(one.numbers)
        assert when <= first + duration + 2 + 1
    assert most <= FPS * (2 * 2 + 0.5)
    assert {point.face_name for point in curve} == {"face 1"}


def test_noise_is_no_movement():
    assert search(3.0, [])[0] == []


@pytest.mark.parametrize("timed", [True, False])
def test_a_clip_may_begin_within_its_movement_but_not_at_the_apex(timed):
    begun = [(-0.15, 0.8, 1.5)]
    ((_, found),) = search(0.8, begun, timed=timed)[0]
    assert found.times[1] == pytest.approx(0.25, abs=0.09)
    assert search(2.5, [(-0.4, 0.8, 1.5)])[0] == []


def blink(now):
    return {"openness": np.full(2, 0.05) if 2.0 <= now <= 2.2 else OPEN}


def turn(now):
    return {"turn": 15 * np.clip((now - 2.0) / 0.5, 0, 1)}


def cover(now):
    return {"covered": 0.3 if 2.0 <= now <= 2.4 else 0.0}


def talk(now):
    return {"mouth": 0.2 * np.sin(np.pi * 4 * now) ** 2 if 2.0 <= now <= 4.0 else 0.0}


@pytest.mark.parametrize(
    ("changes", "kind"), [(blink, "blink or gaze"), (turn, "head motion"), (cover, "face covered"), (talk, "speech")]
)
def test_what_the_landmarks_show_is_reported_without_faces(changes, kind):
    ((_, found),) = search(6.0, [], changes=changes)[0]
    assert found.kind == kind
    assert found.faces == ()
    assert found.times[0] == pytest.approx(2.0, abs=0.3)


def test_a_movement_behind_an_object_gets_no_class():
    kinds = {one.kind for _, one in search(5.0, [(2.0, 0.4, 1.5)], changes=cover)[0]}
    assert kinds == {"face covered"}

"""Faces of the public-domain portrait that come, go, cross and hide: each keeps its number."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from lightman_jax.data.vision.face_landmarks import find_landmarks, region_of
from lightman_jax.data.vision.face_tracking import FaceTracker

TOP, LEFT, SIDE = 20, 120, 210
STEP = 1 / 25


@pytest.fixture(scope="module")
def face():
    return np.ascontiguousarray(astronaut()[TOP : TOP + SIDE, LEFT : LEFT + SIDE])


def scene(*places, size=(240, 640)):
    """A wall with faces at places `(left, face)`, the last one in front."""
    image = np.full((*size, 3), 120, np.uint8)
    for left, patch in places:
        height, width = patch.shape[:2]
        image[10 : 10 + height, left : left + width] = patch
    return image


def numbers(faces):
    return [one.number for one in faces]


def middles(faces):
    return {one.number: region_of(one.landmarks.points).x for one in faces}


def track(frames, tracker=None):
    tracker = tracker or FaceTracker()
    return [tracker.update(image, place * STEP) for place, image in enumerate(frames)]


def test_a_face_is_followed_as_it_moves(face):
    found = track([scene((40 + 12 * step, face)) for step in range(8)])
    assert [numbers(faces) for faces in found] == [[1]] * 8
    steps = np.diff([middles(faces)[1] for faces in found])
    np.testing.assert_allclose(steps, 12, atol=1.5)


def test_a_face_keeps_its_number_through_a_short_loss_at_its_place_alone(face):
    tracker, size = FaceTracker(), (225, 430)
    wall = scene(size=size)
    assert numbers(tracker.update(scene((5, face), size=size), 0.0)) == [1]
    assert tracker.update(wall, 0.5) == []
    assert tracker.update(wall, 0.6) == []
    assert numbers(tracker.update(scene((25, face), size=size), 1.5)) == [1]
    assert tracker.update(wall, 2.0) == []
    assert numbers(tracker.update(scene((215, face), size=size), 3.0)) == [2]
    assert tracker.count == 2
    # After a long loss it may be someone else.
    for seconds in (3.5, 5.0, 6.5):
        assert tracker.update(wall, seconds) == []
    assert numbers(tracker.update(scene((215, face), size=size), 8.0)) == [3]


def test_one_of_two_faces_leaves_and_the_other_keeps_its_number(face):
    other = np.ascontiguousarray(face[:, ::-1])
    both, alone = scene((20, face), (400, other)), scene((400, other))
    tracker = FaceTracker()
    places = middles(tracker.update(both, 0.0))
    assert sorted(places) == [1, 2]
    right = max(places, key=places.get)
    assert numbers(tracker.update(alone, STEP)) == [right]
    assert middles(tracker.update(both, 1.0)) == pytest.approx(places, abs=4)


def test_a_face_that_passes_before_another_keeps_its_number_and_so_does_the_other(face):
    other = np.ascontiguousarray(face[:190, ::-1])
    tracker = FaceTracker()
    found = track([scene((190, other), (20 * step, face)) for step in range(21)], tracker)
    found += [tracker.update(scene((190, other), (400, face)), seconds) for seconds in (1.4, 1.5)]
    first, last = middles(found[0]), middles(found[-1])
    moves, stays = sorted(first, key=first.get)
    assert last.keys() == {1, 2}
    assert last[moves] - first[moves] == pytest.approx(400, abs=10)
    assert last[stays] == pytest.approx(first[stays], abs=10)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_video_is_set_upright_once(face, turns):
    image = scene((40, face), size=(240, 320))
    tracker = FaceTracker()
    frames = [np.ascontiguousarray(np.rot90(image, turns))] * 2
    for faces in track(frames, tracker):
        assert tracker.rotation == 4 - turns
        np.testing.assert_array_equal(tracker.upright(frames[0]), image)
        expected = region_of(find_landmarks(image)[0].points)
        assert region_of(faces[0].landmarks.points)[:3] == pytest.approx(expected[:3], abs=4)


def test_of_several_faces_a_given_one_alone_is_followed(face):
    image = scene((20, face), (400, np.ascontiguousarray(face[:, ::-1])))
    right = max((region_of(one.points) for one in find_landmarks(image)), key=lambda region: region.x)
    given = right._replace(side=right.side / 1.5)
    for faces in track([image] * 2, FaceTracker(given)):
        assert numbers(faces) == [1]
        assert middles(faces)[1] == pytest.approx(right.x, abs=4)
    assert track([scene()], FaceTracker(given)) == [[]]


def test_faces_far_smaller_than_the_largest_are_left_out(face):
    small = cv2.resize(face, None, fx=0.33, fy=0.33, interpolation=cv2.INTER_AREA)
    image = scene((20, small), (90, face), size=(220, 300))
    assert len(find_landmarks(image)) == 2
    assert [numbers(faces) for faces in track([image])] == [[1]]

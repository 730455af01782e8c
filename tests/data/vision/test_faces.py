"""Where a face is found, and what its crop shows."""

import numpy as np
import pytest
import skimage.data

from lightman_jax.data.synthetic.faces import draw_face
from lightman_jax.data.vision.face_landmarks import find_landmarks, landmarks_in
from lightman_jax.data.vision.face_points import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, face_square
from lightman_jax.data.vision.faces import FaceBox, box_of, crop_face, face_box, find_upright_landmarks

SIDE = 128


@pytest.fixture(scope="module")
def portrait():
    return skimage.data.astronaut()


def places(crop):
    """Columns and rows of the eyes and the middle of the mouth, as shares of the side of a crop."""
    found = find_landmarks(crop)[0]
    return np.array([found.points[list(ends), :2].mean(axis=0) for ends in (RIGHT_EYE, LEFT_EYE, MOUTH_CORNERS)]) / SIDE


def test_a_real_face_is_found_by_its_landmarks_and_a_wall_falls_back_to_the_centre(portrait):
    box = face_box(portrait, cropped=False)
    assert box.finder == "landmarks"
    # The face lies around row 115, column 222 of this public-domain image.
    assert np.hypot(box.square.x - 222, box.square.y - 118) < 8
    assert face_box(np.full((60, 80, 3), 99, np.uint8), cropped=False) == FaceBox(12, 22, 36, "centre")
    assert face_box(portrait, cropped=True) is None


@pytest.mark.parametrize("turns", range(4))
def test_eyes_and_mouth_of_a_face_lie_at_the_same_places_of_its_crop(portrait, turns):
    turned = np.ascontiguousarray(np.rot90(portrait[:300, 60:380], turns))
    box = face_box(turned, cropped=False)
    assert (box.finder, box.rotation) == ("landmarks", -turns % 4)
    # The side is the mean of those by the distance of the eyes and of the mouth, which differ from face to face.
    expected = [[0.33, 0.333], [0.67, 0.333], [0.5, 0.693]]
    np.testing.assert_allclose(places(crop_face(turned, box, SIDE)), expected, atol=0.04)


def test_a_tilted_face_is_cropped_along_its_eyes(portrait):
    box = face_box(portrait, cropped=False)
    tilted = box_of(box.square._replace(angle=box.angle - np.pi / 6), "given")
    crop = crop_face(portrait, tilted, SIDE)
    found = face_box(crop, cropped=False)
    assert found.angle == pytest.approx(np.pi / 6, abs=0.05)
    assert (found.square.x, found.square.y) == pytest.approx(((SIDE - 1) / 2, (SIDE - 1) / 2), abs=4)


def test_drawn_faces_are_found_where_they_are_drawn():
    for seed in range(3):
        box = face_box(draw_face(np.random.default_rng(seed), 128), cropped=False)
        assert box.finder == "landmarks"
        assert np.hypot(box.square.x - 63.5, box.square.y - 63.5) < 6
        assert 112 < box.side < 136


def test_texture_is_no_face():
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 215, size=(60, 80, 3)).astype(np.uint8)
    assert find_upright_landmarks(np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)) is None


def test_a_box_that_exceeds_the_image_repeats_its_edge(portrait):
    part = portrait[:, 190:]
    box = face_box(part, cropped=False)
    assert box.left < 0
    crop = crop_face(part, box, SIDE)
    np.testing.assert_array_equal(crop[SIDE // 2, 0], crop[SIDE // 2, 2])


def test_an_upright_box_is_the_same_crop_by_slicing_and_by_turning(portrait):
    box = FaceBox(60, 160, SIDE, "given")
    turned = crop_face(portrait, box._replace(angle=1e-9), SIDE)
    np.testing.assert_array_equal(crop_face(portrait, box, SIDE), portrait[60:188, 160:288])
    np.testing.assert_allclose(turned, portrait[60:188, 160:288], atol=1)


def test_the_landmarks_of_a_face_have_the_square_of_its_box(portrait):
    box = face_box(portrait, cropped=False)
    found = landmarks_in(portrait, box.square._replace(side=1.4 * box.side))
    assert face_square(found.points)[:3] == pytest.approx(box.square[:3], abs=2)

"""Landmarks of the public-domain portrait, moved, rotated, scaled and doubled in known ways, and images without a face."""

import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, brick, grass

from lightman_jax.data.vision import face_landmarks
from lightman_jax.data.vision.face_landmarks import (
    POINTS,
    Region,
    find_landmarks,
    follow_landmarks,
    landmarks_in,
    overlap,
    region_of,
)

NETWORKS = Path(face_landmarks.__file__).parent / "networks"
FACE = np.array([224.0, 125.0])
"""Middle of the face, which is 89 pixels wide."""
WIDTH = 89
NOSE, RIGHT_EYE, LEFT_EYE, CHIN, EARS = 4, 33, 263, 152, (234, 454)
WALL = np.full((480, 640, 3), 99, np.uint8)


@pytest.fixture(scope="module")
def portrait():
    return astronaut()


@pytest.fixture(scope="module")
def found(portrait):
    (face,) = find_landmarks(portrait)
    return face


def moved(image, zoom=1.0, degrees=0.0, center=(256.0, 256.0), size=(512, 512)):
    """The portrait with its face at another place, and how its points move."""
    turn = zoom * cv2.getRotationMatrix2D((0.0, 0.0), -degrees, 1.0)[:, :2]
    if zoom < 1:
        # A small image is a mean over pixels; its pixel centers lie at half a pixel.
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    sampled = turn / min(zoom, 1.0)
    shift = np.array(center) - turn @ FACE
    affine = np.column_stack([sampled, shift + (sampled - turn) @ np.full(2, 0.5)])
    frame = cv2.warpAffine(image, affine, size[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return frame, lambda points: points[:, :2] @ turn.T + shift


def error(points, truth, width=128.0):
    """Mean distance in pixels of a face 128 wide."""
    return float(np.hypot(*(points[:, :2] - truth).T).mean() * 128 / width)


def test_the_networks_are_those_of_the_readme():
    stated = dict(re.findall(r"`(\w+\.tflite)`.*`([0-9a-f]{64})`", (NETWORKS / "README.md").read_text()))
    assert stated.keys() == {path.name for path in NETWORKS.glob("*.tflite")}
    for name, digest in stated.items():
        assert hashlib.sha256((NETWORKS / name).read_bytes()).hexdigest() == digest


def test_points_have_the_order_of_the_mesh(found):
    points = found.points
    assert points.shape == (POINTS, 3)
    assert points.dtype == np.float32
    assert found.presence > 0.99
    assert points[RIGHT_EYE, 0] < points[NOSE, 0] < points[LEFT_EYE, 0]
    assert points[RIGHT_EYE, 1] < points[NOSE, 1] < points[CHIN, 1]
    assert points[NOSE, 2] < points[list(EARS), 2].min()


@pytest.mark.parametrize("shift", [(12.0, 7.0), (0.5, 0.25), (-30.5, 11.0)])
def test_landmarks_move_with_the_face(portrait, found, shift):
    frame, truth = moved(portrait, center=FACE + shift)
    (face,) = find_landmarks(frame)
    assert error(face.points, truth(found.points), WIDTH) < 0.7


@pytest.mark.parametrize("degrees", [-40, 25, 60])
def test_a_tilted_face_is_found_with_the_angle_of_its_eyes(portrait, found, degrees):
    frame, truth = moved(portrait, degrees=degrees)
    (face,) = find_landmarks(frame)
    assert error(face.points, truth(found.points), WIDTH) < 1.5
    turned = np.degrees(region_of(face.points).angle - region_of(found.points).angle)
    assert turned == pytest.approx(degrees, abs=3)


@pytest.mark.parametrize(
    ("width", "size"),
    [(40, (720, 1280)), (40, (1080, 1920)), (150, (480, 640)), (600, (1080, 1920)), (1000, (1600, 1400))],
)
def test_faces_from_40_to_1000_pixels_are_found(portrait, found, width, size):
    frame, truth = moved(portrait, width / WIDTH, center=(0.45 * size[1], 0.45 * size[0]), size=size)
    face = find_landmarks(frame)[0]
    assert error(face.points, truth(found.points), width) < 2


def test_a_small_face_needs_the_thorough_search(portrait):
    frame, _ = moved(portrait, 30 / WIDTH, center=(400.0, 200.0), size=(720, 1280))
    frame[:, 500:], frame[300:] = 99, 99
    assert find_landmarks(frame, thorough=False) == []
    assert len(find_landmarks(frame)) == 1


def test_several_faces_are_found_once_each_with_the_largest_first(portrait, found):
    small = cv2.resize(portrait[:300], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    frame = np.full((300, 512 + small.shape[1], 3), 120, np.uint8)
    frame[: small.shape[0], : small.shape[1]] = small[:, ::-1]
    frame[:, small.shape[1] :] = portrait[:300]
    first, second = find_landmarks(frame)
    assert error(first.points, found.points[:, :2] + (small.shape[1], 0), WIDTH) < 1.5
    assert second.points[NOSE, 0] < small.shape[1]
    assert overlap(first.points, second.points) == 0


@pytest.mark.parametrize("name", ["wall", "dark", "noise", "brick", "grass", "one pixel"])
def test_images_without_a_face_have_no_landmarks(name):
    image = {
        "wall": lambda: WALL,
        "dark": lambda: np.zeros((480, 640, 3), np.uint8),
        "noise": lambda: np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8),
        "brick": lambda: np.dstack([brick()] * 3),
        "grass": lambda: np.dstack([grass()] * 3),
        "one pixel": lambda: np.zeros((1, 1, 3), np.uint8),
    }[name]()
    assert find_landmarks(image) == []


def test_a_face_that_has_gone_is_lost(found):
    assert follow_landmarks(WALL, found) is None


@pytest.mark.parametrize("side", [0.0, 1e5])
def test_a_region_without_pixels_and_one_far_larger_than_the_image_show_no_face(portrait, side):
    assert landmarks_in(portrait, Region(224.0, 125.0, side, 0.0)) is None


def test_a_face_cut_off_by_the_border_of_the_image_is_followed_beyond_it(portrait, found):
    cut = np.ascontiguousarray(portrait[:, 190:])
    face = landmarks_in(cut, region_of(found.points - np.float32([190, 0, 0])))
    assert face is not None
    assert face.points[:, 0].min() < 0
    assert error(face.points, found.points[:, :2] - [190, 0], WIDTH) < 6


def test_the_region_of_landmarks_follows_shift_scale_and_rotation(found):
    points = found.points.astype(np.float64)
    region = region_of(points)
    turn = 2 * cv2.getRotationMatrix2D((0.0, 0.0), -30, 1.0)[:, :2]
    other = region_of(points[:, :2] @ turn.T + [5, -7])
    np.testing.assert_allclose((other.x, other.y), turn @ region[:2] + [5, -7])
    assert other.side == pytest.approx(2 * region.side)
    assert np.degrees(other.angle - region.angle) == pytest.approx(30)


def test_overlap_is_the_intersection_over_union_of_rectangles():
    square, right = np.array([[0.0, 0.0], [2.0, 2.0]]), np.array([1.0, 0.0])
    assert overlap(square, square) == pytest.approx(1)
    assert overlap(square, square + right) == overlap(square + right, square) == pytest.approx(1 / 3)
    assert overlap(square, square + 2 * right) == 0

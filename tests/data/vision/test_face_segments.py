"""Segments of a rendered head: what is measured in a frame, when a segment ends, and fixed crops."""

import cv2
import numpy as np
import pytest

from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.moving_head import HeadPose, portrait_head
from lightman_jax.data.vision.face_landmarks import find_landmarks, follow_landmarks
from lightman_jax.data.vision.face_segments import GRID, FaceSegment
from lightman_jax.data.vision.face_signals import FaceRegions, face_regions
from lightman_jax.data.vision.faces import FaceBox, crop_face
from lightman_jax.data.vision.head_motion import RestFace
from lightman_jax.data.vision.images import grey_image
from lightman_jax.data.vision.movement_kinds import COVERED_SHARE

SIDE = 128


@pytest.fixture(scope="module")
def head():
    return portrait_head(140, (300, 400))


@pytest.fixture(scope="module")
def rest(head):
    image = head.frame(HeadPose())
    return image, find_landmarks(image)[0]


@pytest.fixture
def segment(rest):
    segment = FaceSegment(*rest, SIDE)
    assert segment.add(1, 0.0, *rest)
    return segment


def add(segment, rest, image, number=2, seconds=0.2):
    return segment.add(number, seconds, image, follow_landmarks(image, rest[1]))


def test_a_still_face_shows_nothing(segment):
    (sample,) = segment.samples
    assert sample[:2] == (1, 0.0)
    assert sample.field.shape == (GRID, GRID, 2)
    assert np.abs(sample.field[segment.regions.face]).max() < 0.2
    assert sample.motion.pixels < 0.2
    assert sample.covered == 0
    assert (sample.openness > 0.15).all()
    np.testing.assert_array_equal(segment.rest_face, grey_image(sample.face))


def test_a_movement_is_measured_where_it_is_on_a_head_that_moves(head, segment, rest):
    field = action_unit_field({4: (1.0, 1.0)}, 140)
    field *= 3 * 140 / SIDE / np.hypot(*np.moveaxis(field, -1, 0)).max()
    assert add(segment, rest, head.frame(HeadPose(right=8, tilt=3), field))
    sample = segment.samples[-1]
    size = np.hypot(*np.moveaxis(sample.field, -1, 0)) * segment.regions.face
    assert 1 < size.max() < 4
    assert np.unravel_index(size.argmax(), size.shape)[0] < 0.5 * GRID
    assert sample.motion.right == pytest.approx(8 * SIDE / segment.square.side, abs=2)


@pytest.mark.parametrize(
    ("pose", "stays"),
    [
        (HeadPose(tilt=12), True),
        (HeadPose(tilt=26), False),
        (HeadPose(nearer=1.2), True),
        (HeadPose(nearer=1.5), False),
    ],
)
def test_a_segment_ends_when_the_head_has_moved_far(head, segment, rest, pose, stays):
    assert add(segment, rest, head.frame(pose)) == stays
    assert len(segment.samples) == 1 + stays


@pytest.mark.parametrize(("seconds", "is_seen"), [(0.04, False), (0.2, True)])
def test_an_object_before_the_face_is_seen_after_a_tenth_of_a_second(segment, rest, seconds, is_seen):
    image = cv2.ellipse(rest[0].copy(), (170, 150), (30, 60), 10, 0, 360, (205, 160, 135), -1)
    assert segment.add(2, seconds, image, rest[1])
    assert (segment.samples[-1].covered >= COVERED_SHARE) == is_seen


@pytest.mark.parametrize("box", [FaceBox(60, 130, 140, "given"), None])
def test_a_fixed_crop_takes_the_affine_part_of_the_flow_for_motion_of_the_head(rest, box):
    image = rest[0]
    segment = FaceSegment(image, None, SIDE, box=box)
    assert segment.square is segment.remove_head is None
    moved = cv2.warpAffine(
        image, np.float64([[1, 0, 2], [0, 1, -1]]), image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
    )
    assert segment.add(1, np.nan, moved, None)
    (sample,) = segment.samples
    np.testing.assert_array_equal(sample.face, crop_face(moved, box, SIDE))
    side = np.array([box.side, box.side]) if box else np.array(image.shape[1::-1])
    np.testing.assert_allclose((sample.motion.right, sample.motion.down), np.array([2, -1]) * SIDE / side, atol=0.3)
    assert np.sqrt(np.square(sample.field).mean()) < 0.3
    assert np.isnan([*sample.openness, *sample.gaze, sample.mouth]).all()


def test_the_rim_of_a_face_does_not_count_since_a_turn_hides_it(head, segment, rest):
    """At 14 degrees the rim shows twice the displacement of the rest of the face, which does not move."""
    whole = face_regions(RestFace(*rest, SIDE).points, SIDE, GRID)
    for name in FaceRegions._fields:
        inner, outer = getattr(segment.regions, name), getattr(whole, name)
        assert not (inner & ~outer).any()
        assert not (inner & ~segment.regions.face).any()
    assert 0.4 < segment.regions.face.sum() / whole.face.sum() < 0.9
    assert add(segment, rest, head.frame(HeadPose(turn=14)))
    size = np.hypot(*np.moveaxis(segment.samples[-1].field, -1, 0))
    rim = whole.face & ~segment.regions.face
    assert np.sort(size[segment.regions.face])[-12:].mean() < 0.75 * np.sort(size[rim])[-12:].mean()


def test_a_sudden_change_of_light_counts_as_covered(segment, rest):
    dark = (0.8 * rest[0]).astype(np.uint8)
    assert add(segment, rest, dark)
    assert segment.samples[-1].covered == 1

"""Alignment and flow of a rendered head with exact 3-D motion: the portrait's, 160 pixels wide."""

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.moving_head import HeadPose, MovingHead, portrait_head
from lightman_jax.data.vision.face_landmarks import Landmarks, find_landmarks, follow_landmarks
from lightman_jax.data.vision.face_points import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, face_square
from lightman_jax.data.vision.head_motion import RestFace
from lightman_jax.data.vision.images import grey_image
from lightman_jax.data.vision.optical_flow import optical_flow

SIDE, PEAK = 128, 3.0
POSES = {
    "turn": HeadPose(turn=10),
    "nod": HeadPose(nod=-8),
    "tilt": HeadPose(tilt=12),
    "nearer": HeadPose(nearer=1.1),
    "moved": HeadPose(right=20, down=-12),
    "all": HeadPose(turn=-7, nod=5, tilt=-6, nearer=0.93, right=-10, down=5),
}


class Scene(NamedTuple):
    head: MovingHead
    image: NDArray[np.uint8]
    landmarks: Landmarks
    rest: RestFace


@pytest.fixture(scope="module")
def resting():
    head = portrait_head(160, (360, 480))
    image = head.frame(HeadPose())
    (landmarks,) = find_landmarks(image)
    return head, image, landmarks


@pytest.fixture
def scene(resting):
    """With a rest face that no other test has taught."""
    return Scene(*resting, RestFace(*resting[1:], SIDE))


@pytest.fixture
def inner(scene):
    """Well within the face, where head motion is removed completely."""
    return cv2.erode(scene.rest.visible.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0


def align(scene, pose, expression=None, rest=None):
    image = scene.head.frame(pose, expression)
    return (rest or scene.rest).align(image, follow_landmarks(image, scene.landmarks))


def expression_of(scene, units):
    """The field of an expression in its square, and in the crop."""
    top, left, side = scene.head.face
    field = action_unit_field(dict.fromkeys(units, (1.0, 1.0)), side)
    field = field * (PEAK * side / SIDE / np.hypot(*np.moveaxis(field, -1, 0)).max())
    frame = np.zeros((*scene.image.shape[:2], 2))
    frame[top : top + side, left : left + side] = field
    return field, in_crop(scene, frame)


def in_crop(scene, field):
    """A field of the frame `[H, W, 2]` in pixels of the crop."""
    square = scene.rest.square
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    x, y = (
        (place + grid * square.side / SIDE).astype(np.float32)
        for place, grid in ((square.x, columns), (square.y, rows))
    )
    field = np.ascontiguousarray(field, np.float32)
    return np.dstack([cv2.remap(field[..., axis], x, y, cv2.INTER_LINEAR) for axis in (0, 1)]) * (SIDE / square.side)


def rms(field, mask):
    return float(np.sqrt(np.square(field[mask]).sum(axis=-1).mean()))


def flow_to(scene, face):
    return optical_flow(grey_image(scene.rest.face), grey_image(face))


def crop_at_rest(scene, image):
    """The crop of a frame at the place of the rest face."""
    square = scene.rest.square
    zoom = SIDE / square.side
    affine = np.array([[zoom, 0, SIDE / 2 - zoom * square.x - 0.5], [0, zoom, SIDE / 2 - zoom * square.y - 0.5]])
    return np.asarray(cv2.warpAffine(image, affine, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


@pytest.mark.parametrize("name", POSES)
def test_a_known_motion_is_recovered(scene, name):
    """To 4 degrees, 3.5% of the size, and 2 pixels of displacement in a face 128 wide."""
    pose, motion = POSES[name], align(scene, POSES[name]).motion
    np.testing.assert_allclose(motion[:3], [pose.turn, pose.nod, pose.tilt], atol=4)
    assert motion.nearer == pytest.approx(pose.nearer, abs=0.035)
    truth = in_crop(scene, scene.head.fields(pose))[scene.rest.visible].mean(axis=0)
    np.testing.assert_allclose((motion.right, motion.down), truth, atol=2)
    assert motion.pixels >= np.hypot(motion.right, motion.down) - 1e-6


def test_an_equal_frame_has_no_motion(scene):
    aligned = scene.rest.align(scene.image, scene.landmarks)
    np.testing.assert_allclose(aligned.motion, (0, 0, 0, 1, 0, 0, 0), atol=0.01)
    assert np.abs(aligned.face.astype(int) - scene.rest.face).max() <= 1


@pytest.mark.parametrize(
    ("name", "share"), [("nod", 0.35), ("tilt", 0.1), ("nearer", 0.1), ("moved", 0.05), ("all", 0.4)]
)
def test_an_aligned_face_is_close_to_the_rest_face(scene, inner, name, share):
    image = scene.head.frame(POSES[name])
    difference = [
        np.abs(face.astype(float) - scene.rest.face)[inner].mean()
        for face in (align(scene, POSES[name]).face, crop_at_rest(scene, image))
    ]
    assert difference[0] < share * difference[1]


@pytest.mark.parametrize(("name", "bound"), [("turn", 1.7), ("nod", 1.1)])
def test_the_pose_alone_places_the_face_by_its_depth(scene, inner, name, bound):
    """Flow that remains without corrections; a flat face leaves 1.96 pixels of the turn and 1.37 of the nod."""
    image = scene.head.frame(POSES[name])
    aligned = scene.rest.align(image, follow_landmarks(image, scene.landmarks), rounds=0)
    assert rms(flow_to(scene, aligned.face), inner) < bound


@pytest.mark.parametrize(("name", "bound"), [("nod", 1.2), ("tilt", 0.7), ("nearer", 0.7), ("moved", 0.7)])
def test_the_flow_of_an_expression_is_found_on_a_moving_head(scene, inner, name, bound):
    """Mean error over the face in pixels of one 128 wide; without alignment it is 3 or more."""
    field, truth = expression_of(scene, (4, 7))
    aligned = align(scene, POSES[name], field)
    assert rms(scene.rest.expression_flow(aligned) - truth, inner) < bound
    unaligned = crop_at_rest(scene, scene.head.frame(POSES[name], field))
    assert rms(flow_to(scene, unaligned) - truth, inner) > 3


@pytest.mark.parametrize(("units", "least"), [((1, 2), 0.75), ((4, 7), 0.65), ((6, 12), 0.5)])
def test_an_expression_of_a_resting_head_is_kept(scene, inner, units, least):
    """The share of the field that remains: landmarks and fit take a part of each for motion of the head."""
    field, truth = expression_of(scene, units)
    aligned = align(scene, HeadPose(), field)
    found = scene.rest.expression_flow(aligned)
    assert (found * truth)[inner].sum() / np.square(truth)[inner].sum() > least
    assert np.abs(aligned.motion[:3]).max() < 2.5


def test_a_rigid_remainder_is_removed_from_a_flow_and_a_local_movement_is_kept(scene, inner):
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    rigid = np.dstack([0.6 - 0.012 * rows + 0.006 * columns, -0.4 + 0.012 * columns + 0.006 * rows])
    rest, still = RestFace(scene.image, scene.landmarks, SIDE, followed=True), np.zeros(2)
    assert rms(rest.without_head(rigid, still), inner) < 0.1 * rms(rigid, inner)
    x, y = scene.rest.points[MOUTH_CORNERS[0], :2] - SIDE / 2
    local = np.dstack([np.zeros((SIDE, SIDE)), -1.5 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 128)])
    kept = rest.without_head(rigid + local, still)
    assert rms(kept - local, inner) < 0.3 * rms(local, inner)
    np.testing.assert_array_equal(rest.without_head(np.zeros((SIDE, SIDE, 2)), still), 0)


def test_a_depth_error_is_removed_along_the_rotation_alone(scene, inner):
    """What a wrong depth leaves of a turn is smooth and horizontal."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    left = np.dstack([1.2 * np.exp(-((columns - 8) ** 2 + rows**2) / (2 * 20.0**2)), np.zeros((SIDE, SIDE))])
    removed, kept = (scene.rest.without_head(left, np.array(along)) for along in ((0.4, 0.0), (0.0, 0.0)))
    assert rms(removed, inner) < 0.8 * rms(kept, inner)


def test_motion_does_not_depend_on_the_side_of_the_crop(scene):
    small = RestFace(scene.image, scene.landmarks, SIDE // 2)
    assert small.face.shape == (SIDE // 2, SIDE // 2, 3)
    large, half = (align(scene, POSES["all"], rest=rest) for rest in (scene.rest, small))
    np.testing.assert_allclose(half.motion, large.motion, atol=0.3)
    assert small.expression_flow(half).shape == (SIDE // 2, SIDE // 2, 2)


@pytest.mark.parametrize(
    "cut", [np.s_[:, 190:], np.s_[:, :250], np.s_[100:], np.s_[:160]], ids=["left", "right", "top", "bottom"]
)
def test_a_face_at_the_border_of_the_frame_is_aligned(scene, cut):
    rows, columns = (cut, slice(None)) if isinstance(cut, slice) else cut
    corner = np.float32([columns.start or 0, rows.start or 0, 0])
    moved = scene.head.frame(HeadPose(right=6))
    landmarks = [
        Landmarks(one.points - corner, one.presence)
        for one in (scene.landmarks, follow_landmarks(moved, scene.landmarks))
    ]
    rest = RestFace(np.ascontiguousarray(scene.image[cut]), landmarks[0], SIDE)
    aligned = rest.align(np.ascontiguousarray(moved[cut]), landmarks[1])
    assert np.isfinite(aligned.motion).all()
    assert aligned.motion.right == pytest.approx(6 * SIDE / rest.square.side, abs=1.5)
    assert np.isfinite(rest.expression_flow(aligned)).all()


@pytest.mark.parametrize(("degrees", "zoom"), [(0, 1.0), (25, 0.5), (-40, 3.0)])
def test_the_square_places_eyes_and_mouth_along_the_line_of_the_eyes(scene, degrees, zoom):
    turn = zoom * cv2.getRotationMatrix2D((0.0, 0.0), -degrees, 1.0)[:, :2]
    points = scene.landmarks.points.astype(np.float64)
    flat = face_square(points)
    square = face_square(np.column_stack([points[:, :2] @ turn.T, zoom * points[:, 2]]))
    assert square.side == pytest.approx(zoom * flat.side)
    assert np.degrees(square.angle - flat.angle) == pytest.approx(degrees, abs=1e-6)
    np.testing.assert_allclose(square[:2], turn @ flat[:2], atol=1e-6)
    eyes, mouth = (
        scene.rest.points[list(ends), :2].mean(axis=0) / SIDE for ends in (RIGHT_EYE + LEFT_EYE, MOUTH_CORNERS)
    )
    np.testing.assert_allclose([eyes[1], mouth[1]], [0.333, 0.693], atol=0.05)
    assert eyes[0] == pytest.approx(0.5, abs=0.02)


def test_a_given_square_is_the_crop(scene):
    square = scene.rest.square._replace(side=1.3 * scene.rest.square.side)
    rest = RestFace(scene.image, scene.landmarks, SIDE, square)
    assert rest.square == square
    assert np.ptp(rest.points[:, 0]) == pytest.approx(np.ptp(scene.rest.points[:, 0]) / 1.3)

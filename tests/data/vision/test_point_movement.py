"""Movement of 68 points: the head is removed, the expression stays where and as large as it is."""

import numpy as np
import pytest

from lightman_jax.data.vision.point_movement import RestPoints, interpolated_flow, mean_points
from tests.openface import CORNERS_OF_THE_MOUTH, RAISED_BROWS, SMILE, UPPER_BROWS, head_points, moved_points

POSES = {
    "turned": {"turn": 8.0},
    "nodding": {"nod": -8.0},
    "tilted": {"tilt": 12.0},
    "nearer": {"nearer": 1.1},
    "all": {"turn": -6.0, "nod": 5.0, "tilt": -7.0, "nearer": 0.94},
}


def pixels(displacement):
    """Root mean square of points in pixels of a face 128 wide."""
    return 128 * np.sqrt(np.square(displacement).sum(axis=1).mean())


def test_the_mean_face_is_symmetrical_and_its_square_is_the_crop():
    points = mean_points()
    assert points.shape == (68, 3)
    np.testing.assert_allclose(points[:17], points[16::-1] * (-1, 1, 1), atol=1e-6)
    square = RestPoints(100 * points[:, :2] + (50, 60)).square
    np.testing.assert_allclose(square, (50, 60, 100, 0), atol=0.1)
    assert points[30, 2] < points[[0, 16, 27, 36], 2].min(), "the tip of the nose is nearest to the camera"


@pytest.mark.parametrize("pose", POSES.values(), ids=list(POSES))
@pytest.mark.parametrize("depth", [0.85, 1.0, 1.15])
def test_a_head_without_an_expression_leaves_little(pose, depth):
    still, moved = head_points(depth=depth), head_points(depth=depth, **pose)
    raw = pixels((moved - still) / 200)
    assert raw > 3.5
    assert pixels(RestPoints(still).expression(moved)) < 0.1 * raw


@pytest.mark.parametrize(
    "start", [{}, {"turn": 15.0}, {"nod": 10.0, "tilt": -20.0}], ids=["frontal", "turned", "tilted"]
)
@pytest.mark.parametrize("pose", [{}, *POSES.values()], ids=["still", *POSES])
def test_an_expression_is_measured_on_a_moving_head(start, pose):
    smile = moved_points(CORNERS_OF_THE_MOUTH, 0.03, -0.04)
    first = head_points(**start)
    sums = {name: start.get(name, 0) + pose.get(name, 0) for name in ("turn", "nod", "tilt")}
    moved = head_points(smile, **sums, nearer=pose.get("nearer", 1.0))
    found = RestPoints(first).expression(moved)
    np.testing.assert_allclose(found[CORNERS_OF_THE_MOUTH], smile[CORNERS_OF_THE_MOUTH], atol=0.012)
    assert pixels(np.delete(found, CORNERS_OF_THE_MOUTH, axis=0)) < 0.6


def test_size_and_place_of_the_face_in_the_frame_do_not_matter():
    shape = RAISED_BROWS
    still, moved = (np.add(head_points(one, side=60), (30, -40)) for one in (0.0, shape))
    small = RestPoints(still).expression(moved)
    large = RestPoints(head_points(side=500)).expression(head_points(shape, side=500))
    np.testing.assert_allclose(small, large, atol=1e-3)


def test_a_smile_moves_the_corners_of_the_mouth_up_and_out_in_the_image():
    points = mean_points()[:, :2]
    flow = interpolated_flow(points, SMILE, 128)
    right, left = (flow[tuple(((points[corner][::-1] + 0.5) * 128).astype(int))] for corner in CORNERS_OF_THE_MOUTH)
    assert right[0] < -2, "the right corner of the subject is on the left of the image"
    assert left[0] > 2
    assert max(right[1], left[1]) < -2.5
    np.testing.assert_allclose(flow[:, ::-1] * (-1, 1), flow, atol=0.02)


def test_raised_brows_move_up_and_the_border_of_the_crop_rests():
    points = mean_points()[:, :2]
    flow = interpolated_flow(points, RAISED_BROWS, 128)
    rows = ((points[UPPER_BROWS] + 0.5) * 128).astype(int)
    assert flow[rows[:, 1], rows[:, 0], 1].max() < -5
    assert np.abs(flow[85:]).max() < 0.7
    border = np.concatenate([flow[0], flow[-1], flow[:, 0], flow[:, -1]])
    assert np.abs(border).max() < 0.5


def test_lips_that_touch_and_part_do_not_tear_the_field():
    points = mean_points()[:, :2]
    points[[61, 62, 63]] = points[[67, 66, 65]]
    flow = interpolated_flow(points, moved_points([56, 57, 58, 65, 66, 67], 0.0, 0.06), 128)
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < 128 * 0.075


def test_flow_of_any_side_is_one_field():
    points, moved = mean_points()[:, :2], moved_points(UPPER_BROWS, 0.01, -0.05)
    large, small = (interpolated_flow(points, moved, side) for side in (96, 32))
    np.testing.assert_allclose(large[1::3, 1::3] / 3, small, atol=1e-3)
    assert not interpolated_flow(points, 0 * moved, 16).any()

"""Rendered heads: exact fields, frames that show them, invariance and determinism."""

import cv2
import numpy as np
import pytest

from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.moving_head import (
    FEATURES,
    HeadPose,
    Light,
    MovingHead,
    drawn_head,
    face_depth,
    portrait_head,
)

SIDE = 96
REST = HeadPose()
MIXED = HeadPose(turn=7, nod=-5, tilt=6, right=4, down=-3, nearer=1.05)


@pytest.fixture(scope="module")
def head() -> MovingHead:
    return portrait_head(SIDE, (160, 192), np.random.default_rng(1))


@pytest.fixture(scope="module")
def smile() -> np.ndarray:
    return action_unit_field({6: (1.5, 1.0), 12: (2.0, 2.5)}, SIDE)


def test_rest_is_the_texture_and_expressions_alone_move_by_their_field(head: MovingHead, smile: np.ndarray) -> None:
    top, left, side = head.face
    np.testing.assert_array_equal(head.frame(REST), MovingHead(head.frame(REST), head.face).frame(REST))
    np.testing.assert_allclose(head.fields(REST), 0, atol=1e-3)
    inside = head.fields(REST, smile)[top : top + side, left : left + side]
    np.testing.assert_allclose(inside[head.mask[top : top + side, left : left + side]], smile[_mask(head)], atol=1e-3)
    with pytest.raises(ValueError, match=r"\(10, 10, 2\); the face's square needs \(96, 96, 2\)"):
        head.fields(REST, np.zeros((10, 10, 2)))


def _mask(head: MovingHead) -> np.ndarray:
    top, left, side = head.face
    return head.mask[top : top + side, left : left + side]


def test_depth_is_that_of_a_face() -> None:
    nose, forehead, lip, cheek, chin, ear = (float(face_depth(*np.array([[x], [y]]))[0]) for x, y in _PLACES)
    # Neutral face of ICT-FaceKit at the landmarks of the portrait, in units of 19.1 cm.
    np.testing.assert_allclose([nose, forehead, lip, cheek, chin], [0.684, 0.563, 0.608, 0.500, 0.575], atol=0.025)
    assert ear < 0.25
    grid = np.meshgrid(np.linspace(-0.4, 0.4, 81), np.linspace(-0.45, 0.4, 86))
    depth = face_depth(*grid)
    np.testing.assert_allclose(depth, depth[:, ::-1], atol=1e-12)
    drawn = np.stack([face_depth(*grid, np.random.default_rng(seed)) for seed in range(60)])
    assert 0.015 < np.median(drawn.std(axis=0)) / 0.89 < 0.035
    assert all(feature.x >= 0 for feature in FEATURES.values())


_PLACES = ((0, 0.01), (0, -0.27), (0, 0.16), (0.25, 0.08), (0, 0.38), (0.42, -0.1))


@pytest.mark.parametrize(
    ("pose", "first", "second", "sign"),
    [
        (HeadPose(turn=10), (0.0, -0.02), (0.0, -0.35), (1, 0)),
        (HeadPose(nod=10), (0.0, 0.14), (0.0, 0.14), (0, 1)),
        (HeadPose(tilt=10), (0.0, -0.3), (0.0, -0.3), (1, 0)),
        (HeadPose(right=5), (0.2, 0.1), (0.2, 0.1), (1, 0)),
        (HeadPose(nearer=1.1), (-0.3, 0.0), (-0.3, 0.0), (-1, 0)),
    ],
)
def test_points_move_as_a_rigid_body_seen_by_a_camera(
    pose: HeadPose, first: tuple[float, float], second: tuple[float, float], sign: tuple[int, int]
) -> None:
    """The oracle: rotate and project single points of the mean face by plain trigonometry, axis by axis."""
    head = portrait_head(SIDE, (160, 192))
    top, left, side = head.face
    field = head.fields(pose)
    for x, y in (first, second):
        column, row = round((x + 0.5) * side - 0.5), round((y + 0.5) * side - 0.5)
        x, y = (column + 0.5) / side - 0.5, (row + 0.5) / side - 0.5
        z = float(face_depth(np.array([x]), np.array([y]))[0])
        focal, distance = 2.6, 3.1
        point = np.array([x * (distance - z) / focal, y * (distance - z) / focal, z])
        for axes, degrees in (((2, 1), pose.nod), ((2, 0), pose.turn), ((0, 1), pose.tilt)):
            before, angle = point[list(axes)].copy(), np.deg2rad(degrees)
            point[axes[0]] = np.cos(angle) * before[0] - np.sin(angle) * before[1]
            point[axes[1]] = np.sin(angle) * before[0] + np.cos(angle) * before[1]
        seen = focal * point[:2] / (distance / pose.nearer - point[2])
        expected = (seen - (x, y)) * side + (pose.right, pose.down)
        np.testing.assert_allclose(field[top + row, left + column], expected, atol=2e-3)
        assert np.dot(expected, sign) > 0


def test_frames_show_the_fields(smile: np.ndarray) -> None:
    """Places of a smooth texture are found again where the field says, to a few hundredths of a pixel."""
    rows, columns = np.mgrid[:160, :192].astype(np.float64)
    waves = 128 + 50 * np.sin(columns / 4) + 50 * np.sin(rows / 4.5)
    head = MovingHead(np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2), (32, 48, SIDE), np.random.default_rng(2))
    for pose in (MIXED, HeadPose(turn=12), HeadPose(nod=-12), HeadPose(tilt=12)):
        field, frame = head.fields(pose, smile), head.frame(pose, smile)[..., 0].astype(np.float32)
        places = np.dstack([columns, rows]).astype(np.float32) + field
        found = cv2.remap(frame, places[..., 0], places[..., 1], cv2.INTER_CUBIC)
        slope = np.hypot(50 / 4 * np.cos(columns / 4), 50 / 4.5 * np.cos(rows / 4.5))
        clear = head.mask & (slope > 6)
        error = np.abs(found - head.frame(REST)[..., 0])[clear] / slope[clear]
        assert np.median(error) < 0.05
        assert np.percentile(error, 99) < 0.3


def test_places_of_the_texture_are_exact(head: MovingHead, smile: np.ndarray) -> None:
    """The frame of a texture that holds its own coordinates shows where each pixel comes from."""
    rows, columns = np.mgrid[:160, :192]
    ramps = MovingHead(np.dstack([columns, rows, 0 * rows]).astype(np.uint8), head.face)
    field = ramps.fields(MIXED, smile)
    came = ramps.frame(MIXED, smile)[..., :2].astype(np.float32)
    moved = cv2.remap(field, came[..., 0], came[..., 1], cv2.INTER_LINEAR)
    error = came + moved - np.dstack([columns, rows])
    # Rounded to grey levels twice: the mean is exact, a pixel is not.
    assert np.abs(error[ramps.mask].mean(axis=0)).max() < 0.02
    assert np.abs(error[ramps.mask]).max() < 1.25


def test_background_stays_and_the_motion_fades(head: MovingHead) -> None:
    field = portrait_head(48, (240, 256)).fields(MIXED)
    assert np.abs(field[-1]).max() == 0
    assert np.abs(field[:, 0]).max() == 0
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1)) < 0.8
    assert np.abs(head.fields(MIXED)[head.mask]).min() > 0


def test_frames_depend_on_seed_noise_and_light_alone(head: MovingHead, smile: np.ndarray) -> None:
    again = portrait_head(SIDE, (160, 192), np.random.default_rng(1))
    draw = lambda one, seed: one.frame(MIXED, smile, noise=2.0, rng=np.random.default_rng(seed))  # noqa: E731
    np.testing.assert_array_equal(draw(head, 0), draw(again, 0))
    plain = head.frame(MIXED, smile)
    difference = draw(head, 0).astype(float) - plain
    assert 1.8 < difference[head.mask].std() < 2.2
    assert (
        abs(np.corrcoef(difference[head.mask].ravel(), (draw(head, 1) - plain.astype(float))[head.mask].ravel())[0, 1])
        < 0.05
    )
    np.testing.assert_array_equal(head.frame(MIXED, smile, light=Light()), plain)
    brighter = head.frame(MIXED, smile, light=Light(gain=1.1))
    np.testing.assert_allclose(brighter, np.minimum(1.1 * plain, 255), atol=1)
    np.testing.assert_array_equal(head.frame(REST, light=Light(lambert=0.5)), head.frame(REST))
    # The light comes from the upper left: a head turned to the right loses light on its right half.
    turned, half = HeadPose(turn=10), np.arange(192) > head.face[1] + SIDE / 2
    change = head.frame(turned, light=Light(lambert=0.5)).astype(float) - head.frame(turned)
    assert change[head.mask & half].mean() < -1


def test_drawn_faces_fill_their_square() -> None:
    head = drawn_head(64, (128, 128), np.random.default_rng(0))
    top, left, side = head.face
    assert (side, head.frame(REST).shape) == (64, (128, 128, 3))
    assert head.mask[top : top + side, left : left + side].sum() == head.mask.sum() > 2000

"""Expressions of measured heads: exact displacements against formulas, and the directions of the coding system."""

import dataclasses

import numpy as np
import pytest

from lightman_jax.data.synthetic.face_geometry import FaceGeometry
from lightman_jax.data.synthetic.measured_expressions import (
    OWN_CROP,
    RELEASED_CROPS,
    Crop,
    MeasuredVariation,
    Moment,
    draw_crop,
    draw_expression,
    exact_field,
    in_crop,
    moment_between,
    project,
    vertices_at,
    with_errors,
)
from lightman_jax.data.synthetic.moving_head import HeadPose
from lightman_jax.data.synthetic.unit_shapes import UNIT_SHAPES

STILL = MeasuredVariation(**{field.name: 0.0 for field in dataclasses.fields(MeasuredVariation)})
CM = 2 * OWN_CROP.half_width / 128


@pytest.fixture(scope="module")
def plane():
    """A flat square before the camera, at the depth at which the scale is 1."""
    x, y = np.meshgrid(np.linspace(-14, 14, 7), np.linspace(14, -14, 7))
    neutral = np.stack([x, y, np.full_like(x, 7.0)], axis=-1).reshape(-1, 3).astype(np.float32)
    grid = np.arange(49).reshape(7, 7)
    first = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:]], axis=-1).reshape(-1, 3)
    second = np.stack([grid[:-1, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=-1).reshape(-1, 3)
    all_, none = np.ones(49, bool), np.zeros(49, bool)
    triangles = np.concatenate([first, second])
    return FaceGeometry(neutral, triangles, {}, neutral[None] * 0, all_, all_, none, none, np.zeros(68, int))


def moved_by(geometry, pose):
    return vertices_at(geometry, geometry.neutral, Moment({}, pose))


def points_of_pixels(crop, side):
    """Places `[side, side, 2]` on the image plane, centimetres to the right and up."""
    across = (np.arange(side) + 0.5) / side * 2 - 1
    return np.stack(np.meshgrid(crop.x + across * crop.half_width, crop.y - across * crop.half_height), axis=-1)


@pytest.mark.parametrize("crop", [OWN_CROP, RELEASED_CROPS["causalnet"]], ids=["own", "released"])
def test_the_field_of_a_tilt_and_an_approach_is_a_rotation_and_a_magnification(plane, crop):
    angle, nearer, side = np.deg2rad(4.0), 1.05, 32
    field = exact_field(plane, plane.neutral, moved_by(plane, HeadPose(tilt=4.0, nearer=nearer)), crop, side)
    x, y = np.moveaxis(points_of_pixels(crop, side), -1, 0)
    # Clockwise about a point half a centimetre above the origin, then larger about the origin.
    to_x = nearer * (np.cos(angle) * x + np.sin(angle) * (y - 0.5))
    to_y = nearer * (np.cos(angle) * (y - 0.5) - np.sin(angle) * x + 0.5)
    expected = np.stack([(to_x - x) / crop.half_width, -(to_y - y) / crop.half_height], axis=-1) * side / 2
    np.testing.assert_allclose(field, expected, atol=2e-3)


def test_the_field_of_a_turn_and_a_nod_has_perspective(plane):
    side, (turn, nod) = 32, np.deg2rad([3.0, -2.0])
    x, y = np.moveaxis(points_of_pixels(OWN_CROP, side), -1, 0)
    for pose, place in (
        (
            HeadPose(turn=3.0),
            lambda x, y, z: (np.cos(turn) * x + np.sin(turn) * z, y, np.cos(turn) * z - np.sin(turn) * x),
        ),
        (HeadPose(nod=-2.0), lambda x, y, z: (x, np.cos(nod) * y - np.sin(nod) * z, np.cos(nod) * z + np.sin(nod) * y)),
    ):
        to_x, to_y, to_z = place(x, y - 0.5, np.full_like(x, 7.0))
        scale = (60.0 - 7.0) / (60.0 - to_z)
        expected = np.stack([to_x * scale - x, y - (to_y + 0.5) * scale], axis=-1) / CM * side / 128
        field = exact_field(plane, plane.neutral, moved_by(plane, pose), OWN_CROP, side)
        # Between vertices the field of a tilted plane is interpolated along straight lines of the first frame.
        np.testing.assert_allclose(field, expected, atol=0.02)


def test_the_nose_moves_with_the_head_and_what_is_behind_the_face_is_not_shown(geometry):
    nose, side = geometry.landmarks[30], 64
    place = lambda vertices: in_crop(project(vertices), OWN_CROP, side)  # noqa: E731
    for pose, axis, sign in ((HeadPose(turn=5), 0, 1), (HeadPose(nod=5), 1, 1), (HeadPose(turn=-5), 0, -1)):
        before, after = geometry.neutral, moved_by(geometry, pose)
        assert sign * (place(after) - place(before))[nose, axis] > 1
    column, row = np.rint(place(geometry.neutral)[nose]).astype(int)
    field = exact_field(geometry, geometry.neutral, moved_by(geometry, HeadPose(turn=5)), OWN_CROP, side)
    np.testing.assert_allclose(
        field[row, column], (place(moved_by(geometry, HeadPose(turn=5))) - place(geometry.neutral))[nose], atol=0.15
    )
    assert not field[:2, :2].any(), "the background does not move"


# Where a unit moves the face: landmarks of the right side of the image, and the direction, x to the right and y up.
LEFT = {
    "inner brow": [22],
    "outer brow": [25, 26],
    "corner": [54],
    "upper lip": [52, 63],
    "lower lip": [56, 65],
    "chin": [8],
}
DIRECTIONS = {
    1: ("inner brow", 1, 1),
    2: ("outer brow", 1, 1),
    4: ("inner brow", 1, -1),
    10: ("upper lip", 1, 1),
    12: ("corner", 1, 1),
    14: ("corner", 0, 1),
    15: ("corner", 1, -1),
    16: ("lower lip", 1, -1),
    17: ("chin", 1, 1),
    20: ("corner", 0, 1),
    25: ("lower lip", 1, -1),
    26: ("chin", 1, -1),
    27: ("chin", 1, -1),
}


@pytest.mark.parametrize("unit", DIRECTIONS)
def test_units_move_the_face_as_the_coding_system_says(geometry, unit):
    place, axis, sign = DIRECTIONS[unit]
    apex = draw_expression(np.random.default_rng(0), geometry, (unit,), 3.0, STILL).apex
    moved = (vertices_at(geometry, geometry.neutral, apex) - geometry.neutral)[geometry.landmarks]
    assert sign * moved[LEFT[place], axis].mean() > 0.02
    if unit == 12:
        assert moved[54, 0] > 0.02 > -0.02 > moved[48, 0], "both corners move outwards"
    # Alike on both sides.
    np.testing.assert_allclose(moved[[48, 31, 36]] * (-1, 1, 1), moved[[54, 35, 45]], atol=0.05)


@pytest.mark.parametrize(("unit", "axis", "sign"), [(61, 0, 1), (62, 0, -1), (63, 1, 1), (64, 1, -1)])
def test_a_gaze_turns_both_eyes(geometry, unit, axis, sign):
    apex = draw_expression(np.random.default_rng(0), geometry, (unit,), 3.0, STILL).apex
    moved = vertices_at(geometry, geometry.neutral, apex) - geometry.neutral
    for eye in (geometry.neutral[:, 0] < 0, geometry.neutral[:, 0] > 0):
        assert sign * moved[geometry.irises & eye, axis].mean() > 0.05


def test_the_displacement_is_that_in_pixels(geometry):
    for unit in (4, 12, 15):
        for seed in range(4):
            apex = draw_expression(np.random.default_rng(seed), geometry, (unit,), 1.5, STILL).apex
            moved = (vertices_at(geometry, geometry.neutral, apex) - geometry.neutral)[geometry.skin, :2]
            assert 0.59 * 1.5 <= np.percentile(np.linalg.norm(moved, axis=1), 99) / CM <= 1.41 * 1.5


def test_no_shape_exceeds_its_full_intensity(geometry):
    variation = MeasuredVariation(blink=1.0, stray=1.0, gaze=1.0, asymmetry=0.6)
    for seed in range(10):
        one = draw_expression(np.random.default_rng(seed), geometry, (6, 12, 25), 100.0, variation)
        assert max(one.apex.shapes.values()) == 1.0
        assert all(0 <= share <= 1 for moment in one for share in moment.shapes.values())


def test_one_sided_expressions_move_one_side(geometry):
    ratios = []
    for seed in range(12):
        apex = draw_expression(
            np.random.default_rng(seed), geometry, (12,), 1.0, dataclasses.replace(STILL, one_sided=1.0)
        ).apex
        ratios.append(np.log((apex.shapes["mouthSmile_L"] + 1e-3) / (apex.shapes["mouthSmile_R"] + 1e-3)))
    assert np.abs(ratios).min() > np.log(1.5)
    assert min(ratios) < 0 < max(ratios)
    alike = draw_expression(np.random.default_rng(0), geometry, (12,), 1.0, STILL).apex.shapes
    assert alike["mouthSmile_L"] == alike["mouthSmile_R"]


def test_the_offset_keeps_a_part_of_the_expression(geometry):
    for seed in range(10):
        one = draw_expression(np.random.default_rng(seed), geometry, (1, 2), 2.0, STILL)
        assert set(one.offset.shapes) == set(one.apex.shapes)
        assert all(0 <= one.offset.shapes[name] <= 0.6 * share for name, share in one.apex.shapes.items())


def test_disturbances_happen_as_often_as_stated(geometry):
    seen = {"eyeBlink_L": 0, "eyeLookUp_L": 0}
    variation = dataclasses.replace(STILL, blink=0.5, gaze=0.8)
    for seed in range(200):
        shapes = draw_expression(np.random.default_rng(seed), geometry, (12,), 1.0, variation).apex.shapes
        for name in seen:
            seen[name] += name in shapes
    assert 0.4 < seen["eyeBlink_L"] / 200 < 0.6
    assert 0.1 < seen["eyeLookUp_L"] / 200 < 0.3, "a gaze has four directions"


def test_moments_between_two_times():
    end = Moment({"a": 0.8}, HeadPose(turn=2.0, nearer=1.2))
    assert moment_between(None, end, 0.0) == Moment({"a": 0.0}, HeadPose())
    assert moment_between(None, end, 1.0) == end
    middle = moment_between(Moment({"b": 0.4}, HeadPose(turn=4.0)), end, 0.25)
    assert middle.shapes == pytest.approx({"a": 0.2, "b": 0.3})
    assert middle.pose.turn == pytest.approx(3.5)


def test_crops_and_errors_have_the_stated_spread():
    rng = np.random.default_rng(0)
    crops = np.array([draw_crop(rng, OWN_CROP, MeasuredVariation(shift=6.0, size=0.12)) for _ in range(600)])
    np.testing.assert_allclose(crops[:, :2].std(axis=0) / CM, 6.0, rtol=0.1)
    np.testing.assert_allclose(np.log(crops[:, 2]).std(), 0.12, rtol=0.1)
    half = Crop(0.0, 0.0, OWN_CROP.half_width / 2, OWN_CROP.half_height / 2)
    still, variation = np.zeros((64, 64, 2), np.float32), MeasuredVariation(blur=0.0, noise=0.5, drift=0.0)
    # In pixels of a face 128 wide: half as many in an image of 64, and as many again in half of the crop.
    for crop, expected in ((OWN_CROP, 0.25), (half, 0.5)):
        errors = np.concatenate([with_errors(rng, still, crop, variation) for _ in range(20)])
        np.testing.assert_allclose(errors.std(), expected, rtol=0.05)
    field = rng.normal(size=(64, 64, 2)).astype(np.float32)
    np.testing.assert_array_equal(with_errors(rng, field, OWN_CROP, no_errors()), field)
    blurred = with_errors(rng, field, OWN_CROP, dataclasses.replace(no_errors(), blur=4.0))
    assert blurred.std() < field.std() / 3


def no_errors():
    return MeasuredVariation(blur=0.0, noise=0.0, drift=0.0)


def test_every_unit_has_a_shape(geometry):
    for unit in UNIT_SHAPES:
        apex = draw_expression(np.random.default_rng(0), geometry, (unit,), 1.0, STILL).apex
        assert np.abs(vertices_at(geometry, geometry.neutral, apex) - geometry.neutral).max() > 0.01

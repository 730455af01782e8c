"""Signals from the landmarks of the public-domain portrait, moved in known ways, and of a face that is covered."""

import numpy as np
import pytest
from skimage.data import astronaut

from lightman_jax.data.vision.face_landmarks import find_landmarks, follow_landmarks
from lightman_jax.data.vision.face_points import DEPTH_SCALE
from lightman_jax.data.vision.face_signals import (
    covered_share,
    eye_distance,
    eye_openness,
    face_regions,
    field_size,
    gaze,
    gaze_shift,
    head_angles,
    lid_closure,
    mouth_opening,
    mouth_width,
)
from lightman_jax.data.vision.images import grey_image, resize_image
from lightman_jax.data.vision.optical_flow import warp_image

SIDE = 128
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)


@pytest.fixture(scope="module")
def portrait():
    return astronaut()


@pytest.fixture(scope="module")
def landmarks(portrait):
    return find_landmarks(portrait)[0]


@pytest.fixture(scope="module")
def mesh(landmarks):
    return landmarks.points.astype(np.float64)


@pytest.fixture(scope="module")
def face(portrait, mesh):
    """A crop of the face 128 wide, grey, and its points."""
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    side = int(1.25 * (high - low).max())
    left, top = ((low + high - side) / 2).astype(int)
    points = (mesh[:, :2] - [left, top]) * SIDE / side
    return resize_image(grey_image(portrait[top : top + side, left : left + side]), SIDE, SIDE), points


def rotated(mesh, axis, degrees):
    """The mesh turned about an axis through its middle, with the depth as the network scales it."""
    scale = np.array([1, 1, DEPTH_SCALE])
    mesh = mesh * scale
    angle = np.radians(degrees)
    matrix, (first, second) = np.eye(3), [other for other in range(3) if other != axis]
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return ((mesh - mesh.mean(axis=0)) @ matrix.T + mesh.mean(axis=0)) / scale


def signals(points):
    return np.concatenate([eye_openness(points), [mouth_opening(points), mouth_width(points)]])


@pytest.mark.parametrize(("axis", "degrees"), [(0, 15), (1, 20), (2, -30)])
def test_lengths_do_not_depend_on_the_turn_or_the_size_of_the_face(mesh, axis, degrees):
    np.testing.assert_allclose(signals(3 * rotated(mesh, axis, degrees)), signals(mesh), rtol=1e-9)
    assert eye_distance(3 * rotated(mesh, axis, degrees)) == pytest.approx(3 * eye_distance(mesh))


def test_signals_of_several_frames_are_those_of_each(mesh):
    frames = np.stack([mesh, rotated(mesh, 1, 10)])
    for signal in (eye_distance, eye_openness, gaze, mouth_opening, mouth_width, head_angles):
        np.testing.assert_allclose(signal(frames)[1], signal(frames[1]))


@pytest.mark.parametrize(("axis", "which"), [(1, 0), (0, 1), (2, 2)])
def test_the_angles_of_the_head_follow_a_known_rotation(mesh, axis, which):
    change = head_angles(rotated(mesh, axis, 12)) - head_angles(mesh)
    assert abs(change[which]) == pytest.approx(12, abs=0.5)
    assert np.abs(np.delete(change, which)).max() < 1.5


def test_the_signs_of_the_angles_are_those_of_the_image(mesh):
    nose = mesh[4] - mesh.mean(axis=0)
    turned, nodded, tilted = (rotated(mesh, axis, 12) for axis in (1, 0, 2))
    for moved, axis, which in ((turned, 0, 0), (nodded, 1, 1)):
        to = (moved[4] - moved.mean(axis=0) - nose)[axis]
        assert np.sign(head_angles(moved)[which] - head_angles(mesh)[which]) == np.sign(to)
    assert head_angles(tilted)[2] - head_angles(mesh)[2] == pytest.approx(12, abs=0.1)


def test_a_known_shift_of_the_irises_is_the_shift_of_the_gaze(mesh):
    moved = mesh.copy()
    for iris, (start, end) in ((468, RIGHT_EYE), (473, LEFT_EYE)):
        moved[iris, :2] += 0.1 * (mesh[end] - mesh[start])[:2]
    np.testing.assert_allclose(gaze(moved) - gaze(mesh), [0.1, 0], atol=1e-9)
    assert gaze_shift(np.stack([gaze(mesh)] * 3 + [gaze(moved)] * 3)) == pytest.approx(0.1)


def test_the_lids_close_by_the_share_that_they_move():
    open_eyes = np.full((12, 2), 0.3)
    blink = open_eyes.copy()
    blink[4:8] = 0.06
    assert lid_closure(blink) == pytest.approx(0.8)
    assert lid_closure(open_eyes) == 0
    assert lid_closure(np.full((5, 2), np.nan)) == 0
    # A single frame is an error of the landmarks.
    single = open_eyes.copy()
    single[5] = 0.06
    assert lid_closure(single) == 0


def test_a_face_at_rest_with_noise_neither_blinks_nor_looks_aside(portrait, landmarks):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(8):
        noisy = np.clip(portrait + rng.normal(0, 8, portrait.shape), 0, 255).astype(np.uint8)
        landmarks = follow_landmarks(noisy, landmarks)
        found.append(landmarks.points)
    points = np.stack(found)
    assert lid_closure(eye_openness(points)) < 0.1
    assert gaze_shift(gaze(points)) < 0.025
    assert np.ptp(mouth_opening(points)) < 0.05
    assert np.ptp(head_angles(points), axis=0).max() < 3


def warped_between(portrait, mesh, lids=0.0, irises=0.0, lip=0.0):
    """The portrait with lids that close, irises that move to the right (in eye widths) and a lower lip (in eye distances)."""
    rows, columns = np.mgrid[: portrait.shape[0], : portrait.shape[1]].astype(np.float64)
    field = np.zeros((*portrait.shape[:2], 2))
    for corners, iris, upper, lower in ((RIGHT_EYE, 468, 159, 145), (LEFT_EYE, 473, 386, 374)):
        middle, width = mesh[list(corners), 0].mean(), abs(np.diff(mesh[list(corners), 0]))[0]
        top, bottom = mesh[upper, 1], mesh[lower, 1]
        across = np.clip(1 - ((columns - middle) / (0.62 * width)) ** 2, 0, 1)
        lid = top + lids * (bottom - top) * across
        skin = top - 1.6 * (bottom - top)
        above = (rows - skin) * (lid - top) / (lid - skin)
        below = (bottom - rows) * (lid - top) / np.maximum(bottom - lid, 0.5)
        field[..., 1] += np.where((rows > skin) & (rows < lid), above, 0) + np.where(
            (rows >= lid) & (rows < bottom), below, 0
        )
        near = np.exp(
            -(((columns - mesh[iris, 0]) / (0.4 * width)) ** 2) - ((rows - mesh[iris, 1]) / (0.16 * width)) ** 2
        )
        field[..., 0] += irises * width * near
    unit, (x, y) = eye_distance(mesh), mesh[14, :2]
    jaw = np.exp(-(((columns - x) / (0.5 * unit)) ** 2) - ((rows - y) / unit) ** 2) * (rows > y)
    field[..., 1] += lip * unit * jaw
    return warp_image(portrait, field)


def test_the_networks_landmarks_show_a_blink_a_glance_and_an_open_mouth(portrait, landmarks, mesh):
    def moved(**amounts):
        return follow_landmarks(warped_between(portrait, mesh, **amounts), landmarks).points

    def clip(points):
        return np.stack([mesh] * 3 + [points] * 3 + [mesh] * 3)

    assert lid_closure(eye_openness(clip(moved(lids=0.9)))) > 0.2
    assert gaze(moved(irises=0.2))[0] - gaze(mesh)[0] > 0.04
    assert mouth_opening(moved(lip=0.15)) - mouth_opening(mesh) > 0.05
    # None of them changes the signals of the others much.
    assert lid_closure(eye_openness(clip(moved(irises=0.2)))) < 0.1
    assert lid_closure(eye_openness(clip(moved(lip=0.15)))) < 0.1
    assert abs(mouth_opening(moved(lids=0.9)) - mouth_opening(mesh)) < 0.03


def test_regions_contain_what_they_are_named_for(face):
    points = face[1]
    regions = face_regions(points, SIDE, 24)
    cells = np.floor(points * 24 / SIDE).astype(int)

    def inside(mask, *numbers):
        return [bool(mask[cells[number, 1], cells[number, 0]]) for number in numbers]

    assert all(inside(regions.eyes, 468, 473, 159, 386, 145, 374))
    assert all(inside(regions.mouth, 0, 17, 61, 291, 199))
    assert not any(inside(regions.mouth, 4, 50, 280, 468))
    assert all(inside(regions.skin, 50, 280, 151, 199))
    assert not any(inside(regions.skin, 468, 13, 14))
    assert not (regions.eyes & regions.mouth).any()
    assert not (regions.skin & ~regions.face).any()


def test_a_field_is_measured_where_it_is(face):
    regions = face_regions(face[1], SIDE, 24)
    blink = field_size(2.0 * regions.eyes[..., None] * [0.0, 1.0], regions)
    assert blink == (0, pytest.approx(2), 0)
    smile = field_size(1.5 * regions.mouth[..., None] * [0.6, 0.8], regions)
    assert smile == (pytest.approx(1.5), 0, pytest.approx(1))


def patched(face, top, left, seed=1):
    """A textured object, as bright as the skin, over a part of the face."""
    covered = face.copy()
    texture = np.kron(np.random.default_rng(seed).normal(0, 18, (10, 12)), np.ones((4, 4)))
    covered[top : top + 40, left : left + 48] = np.clip(face.mean() + texture, 0, 255)
    return covered


@pytest.mark.parametrize(("top", "left"), [(72, 20), (72, 60), (50, 10), (80, 40)])
def test_an_object_that_comes_or_goes_covers_the_face(face, top, left):
    image, points = face
    assert covered_share(image, patched(image, top, left), points) > 0.12
    assert covered_share(patched(image, top, left), image, points) > 0.12


def test_noise_light_and_expressions_do_not_cover_the_face(face):
    image, points = face
    rng = np.random.default_rng(0)
    noisy = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    brighter = np.clip(1.2 * image.astype(float) + 10, 0, 255).astype(np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mouth = np.exp(-(((rows - points[14, 1]) / 14) ** 2) - ((columns - points[14, 0]) / 22) ** 2)
    opened = warp_image(image, np.dstack([0 * mouth, 6 * mouth]))
    for later in (image, noisy, brighter, opened):
        assert covered_share(image, later, points) < 0.02

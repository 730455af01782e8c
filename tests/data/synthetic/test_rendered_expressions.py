"""Rendered frames: they show the movement, differ in skin and light, and have any size."""

import cv2
import numpy as np
import pytest

from lightman_jax.data.synthetic.measured_expressions import (
    OWN_CROP,
    Moment,
    exact_field,
    in_crop,
    project,
    vertices_at,
)
from lightman_jax.data.synthetic.moving_head import HeadPose
from lightman_jax.data.synthetic.painted_skin import TEXTURE_SIDE, draw_texture, portrait_texture, texture_places
from lightman_jax.data.synthetic.rendered_expressions import draw_studio, render
from lightman_jax.data.vision.optical_flow import optical_flow

SIDE = 128


def plain_studio(rng, geometry):
    """A drawn skin in light from before the face, without noise."""
    skin = draw_texture(rng, texture_places(project(geometry.neutral[geometry.landmarks])))
    studio = draw_studio(rng, geometry, geometry.neutral)
    return studio._replace(texture=skin, toward=np.array([0.0, 0.0, 1.0]), noise=0.0, quality=0, flicker=0.0)


@pytest.mark.parametrize("method", ["farneback", "dis"])
def test_optical_flow_of_rendered_frames_is_near_the_exact_displacement(geometry, method):
    rest = geometry.neutral
    smile = Moment({"mouthSmile_L": 0.4, "mouthSmile_R": 0.4, "browInnerUp_L": 0.4, "browInnerUp_R": 0.4}, HeadPose())
    after = vertices_at(geometry, rest, smile)
    studio = plain_studio(np.random.default_rng(0), geometry)
    rng = np.random.default_rng(1)
    frames = [render(rng, geometry, rest, one, studio, (OWN_CROP, SIDE)) for one in (rest, after)]
    flow = optical_flow(*frames, method)
    exact = exact_field(geometry, rest, after, OWN_CROP, SIDE)
    column, row = np.rint(in_crop(project(rest), OWN_CROP, SIDE)[geometry.landmarks]).astype(int).T
    blurred = [cv2.GaussianBlur(one, (0, 0), 3.0)[row, column] for one in (flow, exact)]
    corner, brow = [place[54] for place in blurred], [place[21] for place in blurred]
    for found, true in (corner, brow):
        assert found @ true > 0.4 * (true @ true) > 0.05
    assert corner[0][0] > 0.2
    assert blurred[0][48, 0] < -0.2
    assert corner[0][1] < -0.2
    face = exact.any(axis=-1)
    assert np.corrcoef(flow[face].ravel(), exact[face].ravel())[0, 1] > 0.6


def test_skins_and_lights_differ_and_one_studio_gives_one_image(geometry):
    rest, studios = (
        geometry.neutral,
        [draw_studio(np.random.default_rng(seed), geometry, geometry.neutral) for seed in range(4)],
    )
    images = [
        render(np.random.default_rng(0), geometry, rest, rest, one, (OWN_CROP, 48)).astype(float) for one in studios
    ]
    again = render(np.random.default_rng(0), geometry, rest, rest, studios[0], (OWN_CROP, 48))
    np.testing.assert_array_equal(images[0], again)
    for number, image in enumerate(images):
        assert image[16:32, 12:36].std() > 4, "a face has a texture"
        assert all(np.abs(image - other).mean() > 4 for other in images[:number])
    lit = [studios[0]._replace(toward=np.array([side, 0.0, 1.0]) / np.sqrt(2), ambient=0.1) for side in (-1.0, 1.0)]
    left, right = (render(np.random.default_rng(0), geometry, rest, rest, one, (OWN_CROP, 48)) for one in lit)
    assert left[24, 10:20].mean() > right[24, 10:20].mean() + 10
    assert right[24, 28:38].mean() > left[24, 28:38].mean() + 10


@pytest.mark.parametrize("side", [16, 200, 256])
def test_frames_have_any_size(geometry, side):
    studio = draw_studio(np.random.default_rng(3), geometry, geometry.neutral)
    small = render(np.random.default_rng(0), geometry, geometry.neutral, geometry.neutral, studio, (OWN_CROP, 128))
    image = render(np.random.default_rng(0), geometry, geometry.neutral, geometry.neutral, studio, (OWN_CROP, side))
    assert image.shape == (side, side)
    alike = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(alike.ravel(), image.ravel())[0, 1] > 0.8


def test_the_portrait_lies_over_the_landmarks_of_a_head(geometry):
    landmarks = texture_places(project(geometry.neutral[geometry.landmarks]))
    skin = portrait_texture(landmarks)
    assert skin.shape == (TEXTURE_SIDE, TEXTURE_SIDE)
    assert 0 <= skin.min() < skin.max() <= 1
    mean = lambda points: np.mean([skin[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].mean() for x, y in points])  # noqa: E731
    pupils = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    cheeks = [(landmarks[39] + landmarks[31]) / 2 + (-12, 8), (landmarks[42] + landmarks[35]) / 2 + (12, 8)]
    assert mean(pupils) < mean(cheeks) - 0.1

"""Rasterized meshes against a z-buffer that is written pixel by pixel."""

import numpy as np
import pytest

from lightman_jax.data.synthetic.rasterize import rasterize


def z_buffer(points, depth, triangles, side):
    """Depth of the frontmost triangle at every pixel; -inf where there is none."""
    nearest = np.full((side, side), -np.inf)
    for corners in triangles:
        matrix = np.vstack([points[corners].T, np.ones(3)])
        if abs(np.linalg.det(matrix)) < 1e-9:
            continue
        for row in range(side):
            for column in range(side):
                weights = np.linalg.solve(matrix, [column, row, 1.0])
                if weights.min() >= -1e-6:
                    nearest[row, column] = max(nearest[row, column], weights @ depth[corners])
    return nearest


@pytest.mark.parametrize("seed", range(3))
def test_every_pixel_shows_the_nearest_triangle(seed):
    rng = np.random.default_rng(seed)
    side, points, depth = 12, rng.uniform(-4, 16, size=(20, 2)), rng.normal(size=20)
    triangles = np.stack([rng.choice(20, 3, replace=False) for _ in range(15)])
    raster = rasterize(points, depth, triangles, side)
    nearest = z_buffer(points, depth, triangles, side)
    np.testing.assert_array_equal(raster.shown, np.isfinite(nearest))
    np.testing.assert_allclose(raster.values(depth[:, None])[:, 0], nearest[raster.shown], atol=1e-4)


def test_values_are_interpolated_to_the_centres_of_the_pixels():
    rng = np.random.default_rng(0)
    points = np.array([[-1.0, -1.0], [9.0, -2.0], [3.0, 9.0], [20.0, 20.0]])
    raster = rasterize(points, rng.normal(size=4), np.array([[0, 1, 2], [2, 1, 3]]), 8)
    rows, columns = np.nonzero(raster.shown)
    np.testing.assert_allclose(raster.values(points), np.stack([columns, rows], axis=1), atol=1e-5)
    np.testing.assert_allclose(raster.weights.sum(axis=1), 1, atol=1e-6)
    image = raster.image(points + 1)
    assert image.shape == (8, 8, 2)
    np.testing.assert_array_equal(image.any(axis=-1), raster.shown)


def test_triangles_without_area_or_outside_the_image_are_not_shown():
    points = np.array([[1.0, 1.0], [5.0, 5.0], [3.0, 3.0], [-9.0, -9.0], [-5.0, -9.0], [-9.0, -5.0]])
    raster = rasterize(points, np.zeros(6), np.array([[0, 1, 2], [3, 4, 5]]), 8)
    assert not raster.shown.any()
    assert raster.image(points).shape == (8, 8, 2)

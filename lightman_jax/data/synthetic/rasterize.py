"""Which triangle of a mesh each pixel shows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Raster(NamedTuple):
    """The pixels that show a mesh.

    Attributes:
      shown: `[H, W]`.
      corners: `[P, 3]` vertices of the frontmost triangle of each of these pixels, in the order of `shown`.
      weights: `[P, 3]` barycentric coordinates of the pixel's centre.
    """

    shown: NDArray[np.bool_]
    corners: NDArray[np.int64]
    weights: NDArray[np.float32]

    def values(self, of_vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values `[P, C]` at the pixels, interpolated from those of the vertices `[N, C]`."""
        first, second, third = (
            of_vertices[corner] * weight[:, None] for corner, weight in zip(self.corners.T, self.weights.T, strict=True)
        )
        return (first + second + third).astype(np.float32)

    def image(self, of_vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """The same as an image `[H, W, C]`, 0 elsewhere."""
        image = np.zeros((*self.shown.shape, of_vertices.shape[1]), np.float32)
        image[self.shown] = self.values(of_vertices)
        return image


def rasterize(
    points: NDArray[np.floating], depth: NDArray[np.floating], triangles: NDArray[np.int64], side: int
) -> Raster:
    """The frontmost triangle at the centre of each pixel of a square image.

    Args:
      points: `[N, 2]` vertices in pixels, x to the right and y down; the centre of the first pixel is (0, 0).
      depth: `[N]`, larger is nearer.
      triangles: `[T, 3]` vertex indices.
      side: pixels of the image along an axis.
    """
    a, b, c = (points[corner] for corner in triangles.T)
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)), 0).astype(np.int64)
    high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)), side - 1).astype(np.int64)
    size = np.maximum(high - low + 1, 0)
    # Every triangle with every pixel in its bounding box.
    counts = np.where(np.abs(area) > 1e-9, size[:, 0] * size[:, 1], 0)
    own = np.repeat(np.arange(len(triangles)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    pixel = low[own] + np.stack([place % size[own, 0], place // size[own, 0]], axis=1)
    x, y = (pixel - c[own]).T
    first = ((b[own, 1] - c[own, 1]) * x + (c[own, 0] - b[own, 0]) * y) / area[own]
    second = ((c[own, 1] - a[own, 1]) * x + (a[own, 0] - c[own, 0]) * y) / area[own]
    third = 1 - first - second
    inside = np.minimum(np.minimum(first, second), third) >= -1e-6
    weights = np.stack([first[inside], second[inside], third[inside]], axis=1).astype(np.float32)
    own, pixel = own[inside], pixel[inside]
    order = np.argsort(np.einsum("pk,pk->p", depth[triangles[own]], weights), kind="stable")
    front = np.full((side, side), -1)
    # The last one written, the nearest, remains.
    front[pixel[order, 1], pixel[order, 0]] = order
    shown = front >= 0
    kept = front[shown]
    return Raster(shown, triangles[own[kept]], weights[kept])

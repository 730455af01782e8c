"""A textured 3-D face before a perspective camera: frames with exactly known motion of the head and the expression.

The surface is a depth over a frontal texture: a smooth bump for the head and Gaussians for its features, with a few random
proportions. Expressions move the surface within the frontal plane; then the head turns, nods, tilts and moves as a rigid body.

Choice: the numbers of the surface are a least-squares fit to the neutral face of ICT-FaceKit (Li et al. 2020, MIT licence), brought
  to the landmarks of the portrait. The residual is 0.8% of the face's width in the median (1.8% rms); identities differ by 2.5%
  (sd). The steepest slope is 3.1, so that no part hides another up to 17 degrees. Next to the head the motion fades, and the
  background stays.
"""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.faces import draw_face

# Everything of the surface is in sides of the face's square: 19.1 cm. The pivot lies between the ears, in the centre of the square.
_DEPTH, _HALF_WIDTH, _HALF_HEIGHT, _POWER, _CENTER = 0.634, 0.404, 0.541, 3.30, -0.118
_DISTANCE, _MEAN_DEPTH = 3.1, 0.5
# The standard deviation of an identity's proportions.
_DEPTH_SPREAD, _SIZE_SPREAD, _FEATURE_SPREAD = 0.03, 0.05, 0.08
# The head, its hair included, and where the background begins, as radii around the centre of the square.
_HEAD, _BACKGROUND = 0.75, 1.6
_FACE = (0.40, 0.48)
# Grids on which the map from a frame back to the texture is solved, one after the other: pixels between points, and iterations.
_GRIDS = ((8, 12), (4, 3), (2, 2), (1, 2))
# Light falls from the upper left, from before the face; the rest is diffuse.
_LIGHT = (-0.4, -0.5, 0.77)
# The portrait: center, side and clockwise tilt in degrees of the square in which its landmarks lie as those of the surface.
_PORTRAIT_CENTER, _PORTRAIT_SIDE, _PORTRAIT_TILT = (224.1, 125.4), 121.6, 2.9


class Feature(NamedTuple):
    """A Gaussian on the surface, and its mirror image where `x` is not 0: height, center and standard deviations."""

    height: float
    x: float
    y: float
    wide: float
    high: float


FEATURES = {
    "nose": Feature(0.155, 0.0, -0.078, 0.064, 0.100),
    "upper lip": Feature(0.025, 0.0, 0.180, 0.065, 0.041),
    "lower lip": Feature(0.114, 0.0, 0.320, 0.171, 0.092),
    "chin": Feature(0.250, 0.0, 0.438, 0.138, 0.086),
    "eye socket": Feature(-0.156, 0.098, -0.164, 0.092, 0.130),
    "brows": Feature(0.054, 0.0, -0.278, 0.181, 0.043),
}
"""Features of the mean face, from the centre of the face's square in units of its side; y grows downwards."""


class HeadPose(NamedTuple):
    """Rigid motion of a head from its frontal rest.

    Attributes:
      turn, nod, tilt: degrees; the nose moves to the right of the image, down, and the head clockwise. The tilt is the last.
      right, down: pixels.
      nearer: magnification by moving towards the camera.
    """

    turn: float = 0.0
    nod: float = 0.0
    tilt: float = 0.0
    right: float = 0.0
    down: float = 0.0
    nearer: float = 1.0

    def rotation(self) -> NDArray[np.float64]:
        """The matrix `[3, 3]`; x to the right, y down, z towards the camera."""
        (turn, nod, tilt) = np.deg2rad([self.turn, self.nod, self.tilt])
        about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(nod), np.sin(nod)], [0, -np.sin(nod), np.cos(nod)]])
        about_z = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
        return about_z @ about_y @ about_x


class Light(NamedTuple):
    """Change of the light: the image is `255 (x / 255)^gamma gain`, and `lambert` is the share of light from one direction."""

    gain: float = 1.0
    gamma: float = 1.0
    lambert: float = 0.0


def face_depth(
    across: NDArray[np.floating], down: NDArray[np.floating], rng: np.random.Generator | None = None
) -> NDArray[np.float64]:
    """Height of a face over the plane through the ears, in sides of its square.

    Args:
      across, down: `[...]`, from the centre of the square, in its sides.
      rng: draws an identity; None is the mean face.
    """
    spread = (lambda sd: 1.0) if rng is None else (lambda sd: 1 + sd * rng.standard_normal())
    half_width, half_height = _HALF_WIDTH * spread(_SIZE_SPREAD), _HALF_HEIGHT * spread(_SIZE_SPREAD)
    radius = np.abs(across / half_width) ** _POWER + np.abs((down - _CENTER) / half_height) ** _POWER
    depth = _DEPTH * spread(_DEPTH_SPREAD) * np.exp(-radius)
    for feature in FEATURES.values():
        height, vertical = feature.height * spread(_FEATURE_SPREAD), ((down - feature.y) / feature.high) ** 2
        for x in {feature.x, -feature.x}:
            depth += height * np.exp(-0.5 * (((across - x) / feature.wide) ** 2 + vertical))
    return np.asarray(depth, np.float64)


class MovingHead:
    """A head that can be rendered in any pose; at rest its frame is the texture.

    Args:
      texture: `[H, W, 3]` uint8 with a frontal face.
      face: `(top, left, side)` of the face's square: eyes at 0.33 of its height, mouth at 0.69.
      rng: draws the proportions; None is the mean face.

    Attributes:
      face: the square.
      mask: `[H, W]`, the face without ears, hair and neck.
    """

    def __init__(
        self, texture: NDArray[np.uint8], face: tuple[int, int, int], rng: np.random.Generator | None = None
    ) -> None:
        self.face = face
        self._texture = _doubled(texture)
        top, left, side = face
        height, width = texture.shape[:2]
        self._center = np.array([left + (side - 1) / 2, top + (side - 1) / 2])
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        x, y = columns - self._center[0], rows - self._center[1]
        self._grid = np.dstack([columns, rows])
        depth = face_depth(x / side, y / side, rng)
        self._focal = side * (_DISTANCE - _MEAN_DEPTH)
        scale = (_DISTANCE - depth) / self._focal
        self._scale = scale.astype(np.float32)
        self._points = np.dstack([x * scale, y * scale, depth]).astype(np.float32)
        self.mask = np.asarray(np.hypot(x / side / _FACE[0], y / side / _FACE[1]) < 1)
        fade = np.clip((_BACKGROUND - np.hypot(x, y) / side) / (_BACKGROUND - _HEAD), 0, 1)
        follows = (fade * fade * (3 - 2 * fade)).astype(np.float32)
        self._follows = cv2.merge([follows, follows])
        down, across = np.gradient(depth * side)
        normals = np.dstack([-across, -down, np.ones_like(depth)])
        self._normals = (normals / np.linalg.norm(normals, axis=2, keepdims=True)).astype(np.float32)

    def fields(self, pose: HeadPose, expression: NDArray[np.floating] | None = None) -> NDArray[np.float32]:
        """Exact displacement `[H, W, 2]` of every pixel of the frame at rest, in pixels, u to the right and v down.

        Args:
          pose: motion of the head.
          expression: displacement `[side, side, 2]` of the frontal face in its square, in pixels; None is a neutral face.

        Raises:
          ValueError: the expression has another shape.
        """
        top, left, side = self.face
        points = self._points
        if expression is not None:
            if expression.shape != (side, side, 2):
                raise ValueError(
                    f"an expression of shape {expression.shape}; the face's square needs {(side, side, 2)}"
                )
            points, square = points.copy(), np.s_[top : top + side, left : left + side]
            points[square][..., :2] += expression * self._scale[square][..., None]
        # The camera: the last row is the distance from it; the others are scaled to pixels from the frame's corner.
        rotation, distance = pose.rotation(), _DISTANCE / pose.nearer
        camera = np.column_stack([rotation * [[self._focal], [self._focal], [-1]], [0, 0, distance]])
        camera[:2] += np.outer(self._center + np.array([pose.right, pose.down]), camera[2])
        across, down, away = cv2.split(cv2.transform(points, camera.astype(np.float32)))
        moved = cv2.merge([cv2.divide(across, away), cv2.divide(down, away)])
        return np.asarray(cv2.multiply(cv2.subtract(moved, self._grid), self._follows), np.float32)

    def frame(
        self,
        pose: HeadPose,
        expression: NDArray[np.floating] | None = None,
        *,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
        light: Light | None = None,
    ) -> NDArray[np.uint8]:
        """Render a frame `[H, W, 3]`.

        Args:
          pose, expression: as in `fields`.
          noise: standard deviation of the sensor's noise, in grey levels; needs `rng`.
          rng: draws the noise.
          light: change of the light; None is none.

        Choice: the texture is doubled by bicubic interpolation, then sampled linearly, at places that are exact to 0.02 pixels on
          99% of a face rotated by 12 degrees. Bicubic interpolation alone shifts by up to 0.05 pixels.
        """
        sources = self._sources(self.fields(pose, expression))
        image = _sample(self._texture, 2 * sources)
        if light is not None:
            image = self._lit(image, pose, sources, light)
        if noise:
            assert rng is not None
            image = cv2.add(image, noise * _noise(rng, *image.shape[:2]), dtype=cv2.CV_8U)
        return np.asarray(image, np.uint8)

    def _sources(self, displacement: NDArray[np.float32]) -> NDArray[np.float32]:
        """The place `[H, W, 2]` in the texture that each pixel of the frame shows: solves `place + displacement(place) = pixel`."""
        moved, last = -displacement[:: _GRIDS[0][0], :: _GRIDS[0][0]], _GRIDS[0][0]
        for step, iterations in _GRIDS:
            pixels, shifts = (np.ascontiguousarray(values[::step, ::step]) for values in (self._grid, displacement))
            moved, last = _sample(moved, pixels / np.float32(last)), step
            for _ in range(iterations):
                moved = -_sample(shifts, (pixels + moved) / np.float32(step))
        return self._grid + moved

    def _lit(
        self, image: NDArray[np.uint8], pose: HeadPose, sources: NDArray[np.float32], light: Light
    ) -> NDArray[np.uint8]:
        lit = image
        if light.lambert:
            toward = np.stack([np.array(_LIGHT), pose.rotation().T @ _LIGHT]).astype(np.float32)
            before, after = cv2.split(
                1 - light.lambert + light.lambert * np.maximum(cv2.transform(self._normals, toward), 0)
            )
            ratio = _sample(1 + (after / before - 1) * self._follows[..., 0], sources)
            lit = np.asarray(cv2.multiply(image, cv2.merge([ratio] * 3), dtype=cv2.CV_8U), np.uint8)
        levels = 255 * light.gain * np.linspace(0, 1, 256) ** light.gamma
        return np.asarray(cv2.LUT(lit, np.clip(levels.round(), 0, 255).astype(np.uint8)), np.uint8)


def portrait_head(
    side: int = 206, size: tuple[int, int] = (480, 640), rng: np.random.Generator | None = None
) -> MovingHead:
    """The head of scikit-image's public-domain portrait of Eileen Collins.

    Args:
      side: pixels of the face's square.
      size: height and width of the frames; the face is in the middle of their upper two thirds.
      rng: draws the proportions and the colours, and whether the portrait is mirrored; None is the portrait and the mean face.
    """
    from skimage.data import astronaut

    image, (x, y), tilt = astronaut(), _PORTRAIT_CENTER, _PORTRAIT_TILT
    if rng is not None:
        image = np.clip(image * rng.uniform(0.7, 1.1) * rng.uniform(0.93, 1.07, 3), 0, 255).astype(np.uint8)
        if rng.uniform() < 0.5:
            image, x, tilt = np.ascontiguousarray(image[:, ::-1]), image.shape[1] - 1 - x, -tilt
    zoom = side / _PORTRAIT_SIDE
    cosine, sine = zoom * np.cos(np.deg2rad(tilt)), zoom * np.sin(np.deg2rad(tilt))
    return _placed(image, np.array([[cosine, sine], [-sine, cosine]]), (x, y), side, size, rng)


def drawn_head(side: int, size: tuple[int, int], rng: np.random.Generator) -> MovingHead:
    """A head with the drawn face of the stand-ins; arguments as in `portrait_head`."""
    center = (side - 1) / 2
    return _placed(draw_face(rng, side), np.eye(2), (center, center), side, size, rng)


def _placed(
    image: NDArray[np.uint8],
    turn: NDArray[np.float64],
    center: tuple[float, float],
    side: int,
    size: tuple[int, int],
    rng: np.random.Generator | None,
) -> MovingHead:
    """A head whose texture is an image, transformed by `turn` `[2, 2]`; `center` of its face comes to the place in the frame."""
    height, width = size
    top, left = max(0, round(0.42 * height - side / 2)), (width - side) // 2
    shift = np.array([left, top]) + (side - 1) / 2 - turn @ center
    affine = np.column_stack([turn, shift])
    texture = cv2.warpAffine(image, affine, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return MovingHead(np.asarray(texture, np.uint8), (top, left, side), rng)


def _noise(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Noise `[height, width, 3]` of unit variance: a random part of one large image; drawing it takes 9 ms."""
    bank = _noise_bank(2 * height, 2 * width)
    top, left = rng.integers(0, height), rng.integers(0, width)
    return bank[top : top + height, left : left + width]


@functools.lru_cache(maxsize=1)
def _noise_bank(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((height, width, 3), np.float32)


def _doubled(texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The texture `[2 H - 1, 2 W - 1, 3]` with a pixel between each two."""
    height, width = texture.shape[:2]
    rows, columns = np.mgrid[: 2 * height - 1, : 2 * width - 1].astype(np.float32) / 2
    return _sample(texture, np.dstack([columns, rows]), cv2.INTER_CUBIC)


def _sample(values: NDArray[Any], places: NDArray[np.floating], interpolation: int = cv2.INTER_LINEAR) -> NDArray[Any]:
    x, y = cv2.split(places.astype(np.float32, copy=False))
    return np.asarray(cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE), values.dtype)

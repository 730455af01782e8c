"""Skin for measured heads: textures with brows, eyes, lips and pores, drawn at random or from a public-domain portrait.

A texture is a grey image of the frontal head at rest, 22 cm wide, with values about 0..1 before light falls on it.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.action_unit_fields import spectral_noise
from lightman_jax.data.vision.face_landmarks import find_landmarks
from lightman_jax.data.vision.images import grey_image

Texture = NDArray[np.float32]

TEXTURE_SIDE, TEXTURE_CM = 352, 22.0

_PIXELS = TEXTURE_SIDE / TEXTURE_CM
_BROWS, _EYES = ((17, 22), (22, 27)), ((36, 42), (42, 48))
# Points of the mesh of `face_landmarks` at some of the 68 points, by which the portrait is laid over a head.
_SAME_POINT = {
    **{0: 127, 4: 172, 8: 152, 12: 397, 16: 356, 17: 70, 21: 107, 22: 336, 26: 300, 27: 168, 30: 4, 31: 98, 35: 327},
    **{36: 33, 39: 133, 42: 362, 45: 263, 48: 61, 51: 0, 54: 291, 57: 17},
}


def texture_places(places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Pixels `[N, 2]` of a texture for places on the image plane, centimetres to the right and up."""
    return ((places * (1, -1) + TEXTURE_CM / 2) * _PIXELS - 0.5).astype(np.float32)


def draw_texture(rng: np.random.Generator, landmarks: NDArray[np.floating]) -> Texture:
    """Draw the skin of a head with the 68 landmarks `[68, 2]`, in pixels of the texture."""
    blurred = lambda reach: spectral_noise(rng, TEXTURE_SIDE, reach)  # noqa: E731
    pores = 0.06 * blurred(26.0) + 0.035 * blurred(9.0) + 0.025 * rng.uniform(0.3, 1.5) * blurred(3.0)
    skin = rng.uniform(0.35, 0.85) * np.exp(pores)
    hair, thickness = rng.uniform(0.15, 0.7), rng.uniform(4.4, 10.0)
    for first, last in _BROWS:
        line = landmarks[first:last]
        edges = [line + np.array([0, share * thickness]) for share in (-0.3, 0.7)]
        brow = _filled(np.concatenate([edges[0], edges[1][::-1]]), 2.0)
        skin *= 1 - brow * (1 - hair) * np.clip(1 + 0.35 * blurred(2.0), 0.3, 1.6)
    lashes = rng.uniform(0.2, 0.6)
    for first, last in _EYES:
        lid = _filled(landmarks[first:last], 2.6)
        skin *= 1 - lashes * np.clip(4 * lid * (1 - lid), 0, 1)
    skin *= 1 - rng.uniform(0.1, 0.4) * _filled(landmarks[48:60], 2.2)
    upper, lower = landmarks[60:65], landmarks[[60, 67, 66, 65, 64]]
    skin *= 1 - 0.5 * _line(np.concatenate([landmarks[48:49], (upper + lower) / 2, landmarks[54:55]]))
    for point, outwards in ((32, -1.0), (34, 1.0)):
        skin *= 1 - 0.55 * _dot(landmarks[point] + (outwards, -1.0), 4.8)
    return skin.astype(np.float32)


def portrait_texture(landmarks: NDArray[np.floating]) -> Texture:
    """Scikit-image's public-domain portrait of Eileen Collins, laid over a head with the 68 landmarks `[68, 2]` of its texture."""
    from scipy.interpolate import RBFInterpolator

    portrait, points = _portrait()
    own, others = list(_SAME_POINT), list(_SAME_POINT.values())
    to_portrait = RBFInterpolator(landmarks[own], points[others], smoothing=2.0)
    step = 8
    grid = np.stack(np.meshgrid(*[np.arange(0, TEXTURE_SIDE + step, step)] * 2), axis=-1)
    coarse = to_portrait(grid.reshape(-1, 2).astype(float)).reshape(grid.shape).astype(np.float32)
    rows, columns = np.mgrid[:TEXTURE_SIDE, :TEXTURE_SIDE].astype(np.float32) / step
    places = cv2.remap(coarse, columns, rows, cv2.INTER_LINEAR)
    return cv2.remap(portrait, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.float32) / 255  # type: ignore[call-overload]


@functools.cache
def _portrait() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The grey portrait, enlarged, and the landmarks of its face."""
    from skimage.data import astronaut

    image = cv2.resize(astronaut()[:300, 25:425], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return grey_image(np.asarray(image, np.uint8)), find_landmarks(np.asarray(image, np.uint8))[0].points[:, :2].astype(
        float
    )


def _filled(polygon: NDArray[np.floating], blur: float) -> NDArray[np.float64]:
    """A filled polygon of 1 with soft edges."""
    mask = np.zeros((TEXTURE_SIDE, TEXTURE_SIDE))
    cv2.fillPoly(mask, [_eighths(polygon)], 1.0, cv2.LINE_AA, 3)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), blur))


def _line(points: NDArray[np.floating]) -> NDArray[np.float64]:
    mask = np.zeros((TEXTURE_SIDE, TEXTURE_SIDE))
    cv2.polylines(mask, [_eighths(points)], False, 1.0, 4, cv2.LINE_AA, 3)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.8))


def _dot(center: NDArray[np.floating], radius: float) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:TEXTURE_SIDE, :TEXTURE_SIDE]
    distance = np.hypot(columns - center[0], rows - center[1])
    return 1 / (1 + np.exp(np.clip(distance - radius, -50, 50)))


def _eighths(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Points as OpenCV draws them with 3 bits of fraction."""
    return np.rint(points * 8).astype(np.int32)

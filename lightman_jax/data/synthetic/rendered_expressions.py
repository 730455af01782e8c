"""Grey frames of measured heads with painted skin under light, with sensor noise and compression, for optical flow."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.face_geometry import FaceGeometry
from lightman_jax.data.synthetic.measured_expressions import Crop, Vertices, project, raster_in_crop
from lightman_jax.data.synthetic.painted_skin import Texture, draw_texture, portrait_texture, texture_places

_PORTRAIT_SHARE, _PORES_BLUR = 0.3, 0.6
_EYEBALL, _IRIS, _MOUTH = 0.7, 0.12, 0.12


class Studio(NamedTuple):
    """What a camera sees besides the movement, the same in all frames of a clip.

    Attributes:
      texture: skin.
      toward: `[3]` direction to the light; x to the right, y up, z towards the camera.
      ambient: share of light from everywhere.
      background: grey level, 0..1.
      noise: sd of the sensor's noise in grey levels.
      quality: of JPEG compression, 1 to 100; 0 is none.
      flicker: sd of the gain of a frame.
    """

    texture: Texture
    toward: NDArray[np.float64]
    ambient: float
    background: float
    noise: float
    quality: int
    flicker: float


def draw_studio(rng: np.random.Generator, geometry: FaceGeometry, rest: Vertices) -> Studio:
    """Draw skin, light and camera for an identity with the vertices `rest`."""
    landmarks = texture_places(project(rest[geometry.landmarks]))
    is_portrait = rng.uniform() < _PORTRAIT_SHARE
    texture = rng.uniform(0.7, 1.1) * portrait_texture(landmarks) if is_portrait else draw_texture(rng, landmarks)
    toward = np.array([rng.normal(0, 0.5), rng.normal(0.3, 0.4), 1.0])
    return Studio(
        texture=texture.astype(np.float32),
        toward=toward / np.linalg.norm(toward),
        ambient=rng.uniform(0.3, 0.7),
        background=rng.uniform(0.1, 0.9),
        noise=rng.uniform(0.5, 2.5),
        quality=int(rng.integers(85, 99)) if rng.uniform() < 0.5 else 0,
        flicker=0.005,
    )


def render(
    rng: np.random.Generator,
    geometry: FaceGeometry,
    rest: Vertices,
    vertices: Vertices,
    studio: Studio,
    view: tuple[Crop, int],
) -> NDArray[np.uint8]:
    """A grey frame `[side, side]` of a head.

    Args:
      rng: draws noise and flicker.
      geometry: the heads.
      rest: vertices of the identity at rest, on which the skin is painted.
      vertices: vertices at the time of the frame.
      studio: skin, light and camera.
      view: crop, and pixels of the frame along an axis.
    """
    crop, side = view
    raster = raster_in_crop(geometry, vertices, crop, side)
    light = studio.ambient + (1 - studio.ambient) * np.maximum(_normals(geometry, vertices) @ studio.toward, 0)
    parts = np.stack([light, geometry.eyes, geometry.irises, geometry.socket], axis=1)
    values = np.concatenate([texture_places(project(rest)), parts], axis=1)
    x, y, light, eye, iris, mouth = np.moveaxis(raster.image(values), -1, 0).copy()
    albedo = cv2.remap(studio.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    albedo = np.where(eye > 0.5, _EYEBALL + (_IRIS - _EYEBALL) * iris, np.where(mouth > 0.5, _MOUTH, albedo))
    image = np.where(raster.shown, albedo * light, np.float32(studio.background))
    image = cv2.GaussianBlur(image, (0, 0), _PORES_BLUR) * (1 + rng.normal(0, studio.flicker))
    frame = np.clip(np.rint(255 * image + rng.normal(0, studio.noise, image.shape)), 0, 255).astype(np.uint8)
    if studio.quality:
        packed = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, studio.quality])[1]
        frame = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
    return frame


def _normals(geometry: FaceGeometry, vertices: Vertices) -> NDArray[np.float64]:
    """Outward unit normals `[N, 3]` of the vertices."""
    a, b, c = np.moveaxis(vertices[geometry.triangles], 1, 0)
    faces = np.cross(b - a, c - a)
    corners = geometry.triangles.ravel()
    sums = [np.bincount(corners, np.repeat(faces[:, axis], 3), len(vertices)) for axis in range(3)]
    normals = np.stack(sums, axis=1)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9))

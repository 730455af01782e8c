"""Face landmarks: 478 points with depth of each face in an image, by two networks that OpenCV runs on the CPU.

The networks are Google's BlazeFace detector and Face Landmarker, in the folder `networks` with their licence.

Choice: they need no further package and no download, and give depth, eyelids and irises. On one core the detector takes 2 ms and
  the landmarks of a face 8 ms. Compared: MTCNN (five points, no depth) and the same networks by LiteRT (3 ms, a further 22 MB),
  whose results differ by less than 0.001 pixels.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

POINTS = 478
"""Number of points; the last ten are the irises. `Landmarks.points` has their order."""

_NETWORKS = Path(__file__).parent / "networks"
_DETECTOR, _DETECTOR_SIDE = "face_detector.tflite", 128
_LANDMARKER, _LANDMARKER_SIDE = "face_landmarks_detector.tflite", 256
# Anchors of the detector: rows and columns of a grid, and how many of them lie on each point.
_GRIDS = ((16, 2), (8, 6))
_MIN_SCORE, _MIN_PRESENCE, _NEW_PRESENCE = 0.5, 0.5, 0.9
_OVERLAP, _GROWTH = 0.3, 1.5
_EYES = (33, 263)
# Sides of the square tiles that are searched, as a share of the shorter side of the image.
_TILES, _TILE_STEP = (1.0, 0.5, 0.25), 0.6


class Landmarks(NamedTuple):
    """Points of a face in an image.

    Attributes:
      points: float32 `[478, 3]` in the order of MediaPipe's face mesh: x to the right, y down, z away from the camera relative to
        the middle of the head, all in pixels of the image.
      presence: probability that they show a face.
    """

    points: NDArray[np.float32]
    presence: float


class Region(NamedTuple):
    """A rotated square around a face: center, side, and angle of the line of the eyes in radians."""

    x: float
    y: float
    side: float
    angle: float


def find_landmarks(image: NDArray[np.uint8], *, thorough: bool = True) -> list[Landmarks]:
    """Landmarks of every upright face, the largest first.

    Args:
      image: `[H, W, 3]` uint8 RGB.
      thorough: if the whole image shows no face, search square tiles of it for small ones.

    Choice: the detector sees 128x128 pixels, in which it needs a face of about 16. The whole image is searched first, then its
      squares, then squares of half and a quarter of their side, until a face is found.
    """
    height, width = image.shape[:2]
    found = _faces_in(image, [(0, 0, height, width)])
    for share in _TILES if thorough else ():
        if not found:
            found = _faces_in(image, _tiles(height, width, share))
    return found


def follow_landmarks(image: NDArray[np.uint8], last: Landmarks) -> Landmarks | None:
    """Landmarks of a face from those in the frame before; None if the face is lost.

    Args:
      image: `[H, W, 3]` uint8 RGB.
      last: landmarks in a frame shortly before.
    """
    return landmarks_in(image, region_of(last.points))


def landmarks_in(image: NDArray[np.uint8], region: Region) -> Landmarks | None:
    """Landmarks of the face in a region of an image `[H, W, 3]` uint8 RGB; None if it shows none."""
    if not 4 <= region.side <= 8 * max(image.shape[:2]):
        return None
    side, scale = _LANDMARKER_SIDE, _LANDMARKER_SIDE / region.side
    cosine, sine = scale * np.cos(region.angle), scale * np.sin(region.angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = side / 2 - turn @ (region.x, region.y)
    face = _warped(image, np.hstack([turn, shift[:, None]]), side, scale)
    points, presence = _run(_LANDMARKER, face / 255, ("Identity", "Identity_1"))
    probability = _sigmoid(float(presence.ravel()[0]))
    if probability < _MIN_PRESENCE:
        return None
    mesh = points.reshape(POINTS, 3).astype(np.float64)
    flat = (mesh[:, :2] - shift) @ np.linalg.inv(turn).T
    return Landmarks(np.column_stack([flat, mesh[:, 2] / scale]).astype(np.float32), probability)


def region_of(points: NDArray[np.floating]) -> Region:
    """The region in which the landmarks of a face are found again: 1.5 times its extent, along its eyes."""
    right, left = points[_EYES[0], :2], points[_EYES[1], :2]
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    across = points[:, :2] @ turn.T
    low, high = across.min(axis=0), across.max(axis=0)
    x, y = (low + high) / 2 @ turn
    return Region(float(x), float(y), _GROWTH * float((high - low).max()), angle)


def _faces_in(image: NDArray[np.uint8], tiles: list[tuple[int, int, int, int]]) -> list[Landmarks]:
    """Landmarks of the faces that are detected in tiles `(top, left, height, width)` of an image, without doubles."""
    found: list[Landmarks] = []
    for top, left, height, width in tiles:
        for region in _detect(image[top : top + height, left : left + width]):
            face = landmarks_in(image, region._replace(x=region.x + left, y=region.y + top))
            # Found again in their own region, landmarks deviate half as much: 0.4 pixels of a face 128 wide.
            face = face and (follow_landmarks(image, face) or face)
            # Faces of 30 to 300 pixels in noise have 1.0, what an animated letter shows 0.7.
            if face is None or face.presence < _NEW_PRESENCE:
                continue
            if all(overlap(face.points, other.points) < _OVERLAP for other in found):
                found.append(face)
    return sorted(found, key=lambda face: -region_of(face.points).side)


def overlap(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Intersection over union of the upright rectangles around two faces `[n, 2 or 3]`."""
    low = [points[:, :2].min(axis=0) for points in (first, second)]
    high = [points[:, :2].max(axis=0) for points in (first, second)]
    shared = float(np.prod(np.clip(np.minimum(*high) - np.maximum(*low), 0, None)))
    return shared / (float(np.prod(high[0] - low[0])) + float(np.prod(high[1] - low[1])) - shared)


def _tiles(height: int, width: int, share: float) -> list[tuple[int, int, int, int]]:
    side = max(1, round(share * min(height, width)))
    rows, columns = (
        np.linspace(0, most - side, 1 + int(np.ceil((most - side) / (_TILE_STEP * side)))).round().astype(int)
        for most in (height, width)
    )
    return [(int(top), int(left), side, side) for top in rows for left in columns]


def _detect(image: NDArray[np.uint8]) -> list[Region]:
    """Regions of the faces in an image, the most probable first."""
    height, width = image.shape[:2]
    side, scale = _DETECTOR_SIDE, _DETECTOR_SIDE / max(height, width)
    shift = (side - np.array([width, height]) * scale) / 2
    small = _warped(image, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), side, scale)
    scores, values = _run(_DETECTOR, small / 127.5 - 1, ("classificators", "regressors"))
    logits, values = scores.ravel(), values.reshape(len(scores.ravel()), -1)
    candidates = np.flatnonzero(logits > np.log(_MIN_SCORE / (1 - _MIN_SCORE)))
    regions: list[Region] = []
    for index in candidates[np.argsort(-logits[candidates])]:
        center, size = _anchors()[index] * side + values[index, :2], values[index, 2:4]
        right, left = (_anchors()[index] * side + values[index, place : place + 2] for place in (4, 6))
        angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        x, y = (center - shift) / scale
        region = Region(float(x), float(y), _GROWTH * float(size.max()) / scale, angle)
        if all(np.hypot(region.x - one.x, region.y - one.y) > one.side / 4 for one in regions):
            regions.append(region)
    return regions


@functools.cache
def _anchors() -> NDArray[np.float64]:
    """Centers `[896, 2]` of the detector's anchors, as shares of the image's side."""
    grids = []
    for count, repeats in _GRIDS:
        rows, columns = (np.mgrid[:count, :count] + 0.5) / count
        grids.append(np.repeat(np.stack([columns.ravel(), rows.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(grids)


def _warped(image: NDArray[np.uint8], affine: NDArray[np.floating], side: int, scale: float) -> NDArray[np.uint8]:
    """An affine view of an image; a smaller one is blurred first, as its pixels are means over several."""
    if scale < 0.5:
        shrunk = max(scale, 1 / max(1, min(image.shape[:2])))
        height, width = (max(1, round(size * shrunk)) for size in image.shape[:2])
        ratio = np.array([image.shape[1] / width, image.shape[0] / height])
        # Pixel centers lie at half a pixel.
        affine = np.column_stack([affine[:, :2] * ratio, affine[:, 2] + affine[:, :2] @ (ratio - 1) / 2])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.warpAffine(image, affine, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def _run(name: str, image: NDArray[np.floating], outputs: tuple[str, ...]) -> list[NDArray[np.float32]]:
    network = _network(name)
    network.setInput(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))
    return list(network.forward(outputs))


@functools.cache
def _network(name: str) -> Any:
    # From version 5 on OpenCV has a second engine, which gives only the last output of a TFLite network.
    engine = {"engine": cv2.dnn.ENGINE_CLASSIC} if hasattr(cv2.dnn, "ENGINE_CLASSIC") else {}
    return cv2.dnn.readNetFromTFLite(str(_NETWORKS / name), **engine)


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(value, -50, 50))))

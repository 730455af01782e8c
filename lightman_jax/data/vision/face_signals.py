"""What landmarks and aligned faces show besides an expression: lids, gaze, mouth opening, turn of the head, and a covered face.

Points are those of `face_landmarks`: `[..., 478, 3]` with x to the right, y down and z away from the camera, in pixels. Lengths are
divided by the distance of the eyes or of the eye corners, so results do not depend on the size of the face.

Choice: the deviations at rest that the functions state are of the public-domain portrait with sensor noise of 2 and 10 grey
  levels, at eye distances of 25 to 170 pixels, and, in brackets, of a compressed video at an eye distance of 30.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_points import DEPTH_SCALE
from lightman_jax.data.vision.images import resize_image

# The subject's right eye (left in the image), then the left one: outer and inner corner, lids, iris centre.
_CORNERS = ((33, 133), (263, 362))
_UPPER_LIDS, _LOWER_LIDS = ((160, 159, 158), (387, 386, 385)), ((144, 145, 153), (373, 374, 380))
_IRISES = (468, 473)
_UPPER_LIP, _LOWER_LIP = (82, 13, 312), (87, 14, 317)
_LIPS = (61, 39, 37, 0, 267, 269, 291, 321, 405, 17, 181, 91)
_LOWER_FACE = (164, 216, 172, 150, 152, 379, 397, 436)
# Right and left points, and midline points of forehead and nose, that neither lids, brows nor jaw move.
_RIGHT, _LEFT = (33, 133, 127, 234, 93, 54, 103), (263, 362, 356, 454, 323, 284, 332)
_FOREHEAD, _NOSE_BASE = (10, 151), (2, 164)
# The line from forehead to nose base is inclined by this angle in a face that looks straight ahead.
_STRAIGHT_NOD = 5.0
_NARROW_EYE = 0.2
# The region of an eye in eye widths, and the margins of lips and face in eye distances.
_EYE_HALF_WIDTH, _EYE_HALF_HEIGHT, _LIP_MARGIN, _FACE_MARGIN = 0.8, 0.6, 0.17, 0.1
_STRONGEST_POINTS = 12
_COVER_SIDE, _COVER_WINDOW, _GREY_NOISE, _UNEXPLAINED, _CORRELATION = 64, 7, 3.0, 0.2, 0.6


class FaceRegions(NamedTuple):
    """Boolean masks `[cells, cells]` of an aligned face.

    Attributes:
      face: within the outline of the face.
      eyes: what lids and irises move.
      mouth: below the nose, with the chin.
      skin: the face without eyes and lips.
    """

    face: NDArray[np.bool_]
    eyes: NDArray[np.bool_]
    mouth: NDArray[np.bool_]
    skin: NDArray[np.bool_]


class FieldSize(NamedTuple):
    """Size of a displacement field in its own pixels.

    Attributes:
      pixels: largest displacement outside the eyes.
      eye_pixels: largest displacement in the region of the eyes.
      mouth_share: share of the squared displacement outside the eyes that lies below the nose.
    """

    pixels: float
    eye_pixels: float
    mouth_share: float


def eye_distance(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance `[...]` between the centres of the eyes in pixels, with depth, so that a turn does not shorten it."""
    right, left = (_metric(points)[..., corners, :].mean(axis=-2) for corners in _CORNERS)
    return np.linalg.norm(left - right, axis=-1)


def eye_openness(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance of the lids over the width of the eye, `[..., 2]`: the subject's right eye, then the left one.

    Measured: a turn by 15 degrees takes 0.04 from 0.32, raised brows add 0.03 to 0.08, smiles take 0.05 to 0.08. Deviation at rest
    0.003, 0.011 (0.017).
    """
    eyes = []
    for corners, upper, lower in zip(_CORNERS, _UPPER_LIDS, _LOWER_LIDS, strict=True):
        lids = _lengths(points, upper, lower).mean(axis=-1)
        eyes.append(lids / _lengths(points, corners[:1], corners[1:])[..., 0])
    return np.stack(eyes, axis=-1)


def gaze(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Position of the irises between the eye corners, `[..., 2]`: along the line of the corners and across it, in eye widths.

    The mean of both eyes; positive is to the right and down in the image. Deviation at rest 0.003, 0.010 (0.009).
    """
    both = []
    for corners, iris in zip(_CORNERS, _IRISES, strict=True):
        ends = points[..., corners, :2].astype(np.float64)
        along = ends[..., 1, :] - ends[..., 0, :] if iris == _IRISES[0] else ends[..., 0, :] - ends[..., 1, :]
        width = np.linalg.norm(along, axis=-1, keepdims=True)
        x, y = np.moveaxis(along / width, -1, 0)
        u, v = np.moveaxis((points[..., iris, :2] - ends.mean(axis=-2)) / width, -1, 0)
        both.append(np.stack([u * x + v * y, v * x - u * y], axis=-1))
    return np.mean(both, axis=0)


def mouth_opening(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Gap `[...]` of the inner lips over the distance of the eyes. Deviation at rest 0.003, 0.016 (0.011)."""
    return _lengths(points, _UPPER_LIP, _LOWER_LIP).mean(axis=-1) / eye_distance(points)


def mouth_width(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance `[...]` of the mouth corners over that of the eyes. Deviation at rest 0.004, 0.013 (0.024)."""
    return _lengths(points, _LIPS[:1], _LIPS[6:7])[..., 0] / eye_distance(points)


def head_angles(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn, nod and tilt of the head in degrees, `[..., 3]`.

    Positive turns are to the right in the image, positive nods down, positive tilts clockwise in the image.

    Choice: the axes of the mesh itself need no model of a head. Deviation at rest 0.1, 0.4 (0.8) degrees; nods 0.3, 0.6 (0.8).
    """
    mesh = _metric(points)
    across = _unit((mesh[..., _LEFT, :] - mesh[..., _RIGHT, :]).sum(axis=-2))
    down = mesh[..., _NOSE_BASE, :].mean(axis=-2) - mesh[..., _FOREHEAD, :].mean(axis=-2)
    down = _unit(down - (down * across).sum(axis=-1, keepdims=True) * across)
    back = np.cross(across, down)
    turn = -np.arctan2(back[..., 0], back[..., 2])
    nod = -np.arctan2(back[..., 1], np.hypot(back[..., 0], back[..., 2]))
    tilt = np.arctan2(across[..., 1], across[..., 0])
    return np.stack([np.degrees(turn), np.degrees(nod) + _STRAIGHT_NOD, np.degrees(tilt)], axis=-1)


def lid_closure(openness: NDArray[np.floating]) -> float:
    """How far the eyes close between two moments, as a share of their opening: 0 is not at all, 1 completely.

    Args:
      openness: `[T, 2]` of consecutive frames, NaN where the face is lost.

    Choice: the median of three frames removes single errors of the landmarks; the difference is divided by 0.2 at least, since
      noise of 0.02 would be a large share of a narrow eye. Three blinks in videos of 25 to 30 frames per second reach 0.51 to 0.72.
    """
    smooth = _median_of_three(openness.mean(axis=1, keepdims=True))
    if not len(smooth):
        return 0.0
    widest = float(np.maximum(smooth[0], smooth[-1])[0])
    return max(0.0, widest - float(smooth.min())) / max(widest, _NARROW_EYE)


def gaze_shift(directions: NDArray[np.floating]) -> float:
    """Largest change of the gaze `[T, 2]` since the first frame, in eye widths; NaN rows are ignored."""
    smooth = _median_of_three(directions)
    return float(np.linalg.norm(smooth - smooth[0], axis=1).max()) if len(smooth) else 0.0


def face_regions(points: NDArray[np.floating], side: float, cells: int) -> FaceRegions:
    """Regions of an aligned face on a grid.

    Args:
      points: `[478, 2 or 3]` in pixels of the aligned face.
      side: of the aligned face, in the same pixels.
      cells: of the grid per side.
    """
    flat = points[:, :2].astype(np.float64) * cells / side
    unit = float(np.linalg.norm(flat[list(_CORNERS[0])].mean(axis=0) - flat[list(_CORNERS[1])].mean(axis=0)))
    y, x = np.mgrid[:cells, :cells] + 0.5
    eyes = np.zeros((cells, cells), bool)
    for corners in _CORNERS:
        (across, down), width = flat[list(corners)].mean(axis=0), np.linalg.norm(flat[corners[0]] - flat[corners[1]])
        eyes |= (np.abs(x - across) < _EYE_HALF_WIDTH * width) & (np.abs(y - down) < _EYE_HALF_HEIGHT * width)
    face = _hull(flat, cells, -_FACE_MARGIN * unit)
    mouth = _hull(flat[list(_LOWER_FACE)], cells, 0)
    return FaceRegions(
        face, eyes & face, mouth & face, face & ~eyes & ~_hull(flat[list(_LIPS)], cells, _LIP_MARGIN * unit)
    )


def field_size(field: NDArray[np.floating], regions: FaceRegions) -> FieldSize:
    """Size of a displacement field `[cells, cells, 2]`; the largest displacement is the mean of the twelve strongest points."""
    length = np.linalg.norm(field, axis=-1)
    elsewhere = regions.face & ~regions.eyes
    energy = float(np.square(length[elsewhere]).sum())
    share = float(np.square(length[elsewhere & regions.mouth]).sum()) / energy if energy else 0.0
    return FieldSize(_strongest(length[elsewhere]), _strongest(length[regions.eyes]), share)


def covered_share(earlier: NDArray[np.uint8], later: NDArray[np.uint8], points: NDArray[np.floating]) -> float:
    """Share of the skin that an object covers or leaves between two aligned faces.

    What flow, brightness and contrast explain is not covered. Eyes and lips are left out, where lids, teeth and tongue appear.

    Args:
      earlier, later: grey faces `[side, side]` about 0.1 s apart, both aligned to one rest frame.
      points: `[478, 2 or 3]` of the rest frame's face in pixels of the aligned one.

    Choice: over a longer time the errors of the alignment grow. Hands that come or go give 0.12 to 0.35, expressions, mouthed words
      and turns by up to 25 degrees per second at most 0.08, fast nods up to 0.28. It takes 1 ms.
    """
    skin = face_regions(points, earlier.shape[0], _COVER_SIDE).skin
    if not skin.any():
        return 0.0
    first, second = (resize_image(face, _COVER_SIDE, _COVER_SIDE) for face in (earlier, later))
    flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 11, 3, 5, 1.2, 0)  # type: ignore[call-overload]
    rows, columns = np.mgrid[:_COVER_SIDE, :_COVER_SIDE].astype(np.float32)
    back = cv2.remap(
        second, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    a, b = first.astype(np.float32), back.astype(np.float32)
    mean_a, mean_b, noise = _local(a), _local(b), _GREY_NOISE**2
    var_a, var_b = _local(a * a) - mean_a**2, _local(b * b) - mean_b**2
    shared = np.maximum(_local(a * b) - mean_a * mean_b, 0)
    correlation = shared / np.sqrt((var_a + noise) * (var_b + noise))
    rest = np.maximum(var_a - shared**2 / (var_b + noise), var_b - shared**2 / (var_a + noise))
    unexplained = np.sqrt(np.maximum(rest, 0))
    contrast = max(float(a[skin].std()), _GREY_NOISE)
    return float(np.mean((unexplained > _UNEXPLAINED * contrast)[skin] & (correlation < _CORRELATION)[skin]))


def _local(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.boxFilter(values, -1, (_COVER_WINDOW, _COVER_WINDOW)))


def _lengths(points: NDArray[np.floating], first: Sequence[int], second: Sequence[int]) -> NDArray[np.float64]:
    """Distances `[..., n]` between n points and n others."""
    mesh = _metric(points)
    return np.linalg.norm(mesh[..., second, :] - mesh[..., first, :], axis=-1)


def _metric(points: NDArray[np.floating]) -> NDArray[np.float64]:
    return points * np.array([1.0, 1.0, DEPTH_SCALE])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _strongest(lengths: NDArray[np.floating]) -> float:
    return float(np.sort(lengths)[-_STRONGEST_POINTS:].mean()) if len(lengths) else 0.0


def _median_of_three(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Running median over the known rows of `[T, n]`; the ends are repeated."""
    known = values[~np.isnan(values).any(axis=1)].astype(np.float64)
    if len(known) < 3:
        return known
    padded = np.concatenate([known[:1], known, known[-1:]])
    return np.median([padded[:-2], padded[1:-1], padded[2:]], axis=0)


def _hull(points: NDArray[np.float64], cells: int, margin: float) -> NDArray[np.bool_]:
    """Cells whose centres lie within the convex hull of points, which is wider by a margin."""
    hull = cv2.convexHull(points.astype(np.float32)).reshape(-1, 2)
    centre = hull.mean(axis=0)
    reach = np.linalg.norm(hull - centre, axis=1, keepdims=True)
    hull = centre + (hull - centre) * np.maximum(reach + margin, 0) / np.maximum(reach, 1e-6)
    mask = np.zeros((cells, cells), np.uint8)
    # Four bits of a pixel's fraction; the centre of the first cell is at half a pixel.
    cv2.fillConvexPoly(mask, np.round((hull - 0.5) * 16).astype(np.int32), 1, shift=4)
    return mask.astype(bool)

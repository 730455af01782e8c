"""Head motion of a face followed by landmarks: frames aligned to a rest frame, and flow without what remains of the head.

A frame is aligned in two stages. The rigid pose between the landmarks of the two frames, with the depth of the mesh, gives the
place of every pixel of the rest face under perspective. The flow from the rest face to the frame sampled there is then fitted by
a small rigid motion and a smooth error of the depth, and the places are corrected; this is repeated. What the fit finds last is
head motion that remains in the flow.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.tri import LinearTriInterpolator, Triangulation
from numpy.typing import NDArray
from scipy.interpolate import NearestNDInterpolator

from lightman_jax.data.vision.face_landmarks import Landmarks, Region
from lightman_jax.data.vision.face_points import (
    BROWS,
    DEPTH_SCALE,
    EYELIDS,
    LIPS,
    MESH,
    NOSE,
    STABLE,
    axes_rotated_by,
    face_square,
)
from lightman_jax.data.vision.images import grey_image
from lightman_jax.data.vision.one_thread import one_thread
from lightman_jax.data.vision.optical_flow import FlowMethod, optical_flow
from lightman_jax.data.vision.rigid_rotation import angles_of, fitted_rotation

_REFERENCE_SIDE = 128
# The distance of the camera is in widths of the face.
_DEPTH_FILE, _CAMERA = "mesh_depth.npy", 4.0
# Pixels of a face 128 wide: rotation and size that the landmarks show of a resting face, and deviations of the rotation and size
# that are left at rest, per pixel of their displacement, and per `per_depth`.
_UNTRUSTED, _LEFT, _LEFT_PER_PIXEL, _LEFT_PER_DEPTH, _FREE = 0.5, 0.1, 5.0, 100.0, 1000.0
# Points of the fit per side; those of the depth's errors, with their reach, deviation and slope as shares of the side.
_GRID, _DEPTH_GRID, _DEPTH_REACH, _DEPTH_SD = 20, 5, 0.16, 2.5 / 128
_SLOPE_SD = 12 / 128
_PERSPECTIVE_SD = 0.2 / 128
# Corrections; steps of each fit between two widths; independent points that share an error, for the priors.
_ROUNDS, _FITS, _WIDEST, _NARROWEST = 2, 7, 2.0 / 128, 0.1 / 128
_PRIOR_WEIGHT, _CORRELATED = 2.0, 20.0
# Weights of the face without the nose at rest, of its moving parts, and of the lids; the `per_depth` of a half sure rotation.
_STILL, _MOVING, _BLINKING, _ROTATED = 0.06, 0.3, 0.1, 0.035
_EDGE, _SOFT_EDGE = 6 / 128, 6 / 128


class HeadMotion(NamedTuple):
    """Rigid motion of a head since the rest frame.

    Attributes:
      turn, nod, tilt: degrees; positive to the right of the image, down, and clockwise.
      nearer: size over the size at rest.
      right, down: mean displacement of the face in pixels of a face 128 wide.
      pixels: root mean square displacement of the face, in the same pixels.
    """

    turn: float = 0.0
    nod: float = 0.0
    tilt: float = 0.0
    nearer: float = 1.0
    right: float = 0.0
    down: float = 0.0
    pixels: float = 0.0


class AlignedFace(NamedTuple):
    """A face aligned to the rest frame.

    Attributes:
      face: `[side, side, 3]` uint8, with the rest frame around the face.
      motion: of the head since the rest frame.
      per_depth: displacement of a pixel per unit of depth, `(right, down)`.
    """

    face: NDArray[np.uint8]
    motion: HeadMotion
    per_depth: NDArray[np.float64]


class RestFace:
    """The face of a rest frame, to which other frames of the same face are aligned.

    Args:
      image: the rest frame, `[H, W, 3]` uint8 RGB.
      landmarks: of its face.
      side: side of the crop in pixels.
      square: the crop; None takes `face_square`.
      followed: whether every frame of a video is aligned: each pose then counts alike, so that nothing changes while the head
        passes its pose at rest. Otherwise a small rotation is not trusted, which keeps more of the expression.

    Attributes:
      face: the crop, `[side, side, 3]` uint8.
      square: its place in the frame.
      points: its landmarks in pixels of the crop, `[478, 3]`.
      visible: `[side, side]`, where the landmarks span the face.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        landmarks: Landmarks,
        side: int,
        square: Region | None = None,
        *,
        followed: bool = False,
    ) -> None:
        self.square = square or face_square(landmarks.points)
        self._followed = followed
        self._side = side
        self._rows, self._columns = np.mgrid[:side, :side].astype(np.float64)
        self.points = self._in_face(landmarks)
        mesh = self.points[:MESH]
        # Not SciPy's: on several cores its many small LAPACK calls take up to 50 times as long.
        surface = LinearTriInterpolator(Triangulation(mesh[:, 0], mesh[:, 1]), mesh[:, 2])
        depth = surface(self._columns, self._rows).filled(np.nan)
        self.visible = ~np.isnan(depth)
        outside = self._columns[~self.visible], self._rows[~self.visible]
        depth[~self.visible] = NearestNDInterpolator(mesh[:, :2], mesh[:, 2])(*outside)
        self._depth = cv2.GaussianBlur(depth, (0, 0), side / 85)
        self._middle = float(self._depth[self.visible].mean()) if self.visible.any() else 0.0
        self.face = self._sampled(image, np.dstack([self._columns, self._rows]))
        self._grey = grey_image(self.face)
        inside = cv2.distanceTransform(np.pad(self.visible.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        self._inside = np.clip(inside / max(1.0, _SOFT_EDGE * side), 0, 1).astype(np.float32)
        self._weights = tuple(
            self._fit_weights(inside > _EDGE * side, weight) for weight in (1.0 if followed else _STILL, 1.0)
        )
        self._rigid, self._errors = self._fields()
        self._pick = ((np.arange(_GRID) + 0.5) * side / _GRID).astype(int)

    def align(
        self,
        image: NDArray[np.uint8],
        landmarks: Landmarks,
        method: FlowMethod = "farneback",
        rounds: int = _ROUNDS,
    ) -> AlignedFace:
        """Align another frame of the same face.

        Args:
          image: `[H, W, 3]` uint8 RGB, of any size.
          landmarks: of the face in it.
          method: of the flow that the alignment is corrected by.
          rounds: number of corrections.
        """
        places, rotation, scale = self._posed(landmarks)
        places, spread = self._trusted(places)
        per_depth = scale * rotation[:2, 2]
        for _ in range(rounds):
            flow = optical_flow(self._grey, grey_image(self._without_background(self._sampled(image, places))), method)
            head = self._head_flow(flow, per_depth, spread)
            across, down = (
                (self._columns + head[..., 0]).astype(np.float32),
                (self._rows + head[..., 1]).astype(np.float32),
            )
            places = np.asarray(
                cv2.remap(places.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            )
        moved = (places - np.dstack([self._columns, self._rows]))[self.visible]
        moved = (moved if len(moved) else np.zeros((1, 2))) * (_REFERENCE_SIDE / self._side)
        pixels = float(np.sqrt(np.square(moved).sum(axis=1).mean()))
        right, low = map(float, moved.mean(axis=0))
        motion = HeadMotion(*angles_of(rotation), scale, right, low, pixels)
        return AlignedFace(self._without_background(self._sampled(image, places)), motion, per_depth)

    def expression_flow(self, aligned: AlignedFace, method: FlowMethod = "farneback") -> NDArray[np.float32]:
        """Flow `[side, side, 2]` from the rest face to an aligned one, in pixels of the crop, without what remains of the head."""
        return self.without_head(optical_flow(self._grey, grey_image(aligned.face), method), aligned.per_depth)

    def without_head(self, flow: NDArray[np.floating], per_depth: NDArray[np.floating]) -> NDArray[np.float32]:
        """Remove the fitted head motion from a flow `[side, side, 2]`; `per_depth` as of `AlignedFace`."""
        rotated = _LEFT_PER_DEPTH * _share(per_depth) * float(np.hypot(*per_depth))
        spread = _FREE if self._followed else _LEFT + rotated
        head = self._head_flow(flow, per_depth, spread)
        return (flow - self._inside[..., None] * head).astype(np.float32)

    def _trusted(self, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Places by the landmarks, with less of their rotation and size the smaller it is, and the deviation left, in pixels.

        Choice: expressions move the landmarks too: of a resting face with fields of 1 pixel they show a nod of 0.8 degrees.
        """
        if self._followed:
            return places, _FREE
        moved = places - np.dstack([self._columns, self._rows])
        shift = moved[self.visible].mean(axis=0) if self.visible.any() else np.zeros(2)
        rest = moved - shift
        pixels = float(np.sqrt(np.square(rest[self.visible]).sum(axis=-1).mean())) if self.visible.any() else 0.0
        pixels *= _REFERENCE_SIDE / self._side
        trust = pixels**2 / (pixels**2 + _UNTRUSTED**2)
        return places - (1 - trust) * rest, _LEFT + trust * _LEFT_PER_PIXEL * pixels + (1 - trust) * pixels / 2

    def _in_face(self, landmarks: Landmarks) -> NDArray[np.float64]:
        """Points in pixels of the crop, `[478, 3]`, with the depth corrected."""
        scale = self._side / self.square.side
        points = landmarks.points.astype(np.float64)
        flat = (points[:, :2] - self.square[:2]) @ axes_rotated_by(self.square.angle).T * scale + (self._side - 1) / 2
        depth = DEPTH_SCALE * scale * points[:, 2]
        depth[:MESH] += _mesh_depth() * self._side
        return np.column_stack([flat, depth])

    def _sampled(self, image: NDArray[np.uint8], places: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The frame at places `[side, side, 2]` that are given in pixels of the crop."""
        scale, center = self.square.side / self._side, (self._side - 1) / 2
        x, y = np.moveaxis(scale * (places - center) @ axes_rotated_by(self.square.angle) + self.square[:2], -1, 0)
        x, y = x.astype(np.float32), y.astype(np.float32)
        if scale > 2:
            # A pixel of the crop is a mean over several of the frame.
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), scale / 3), np.uint8)
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def _without_background(self, face: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A face with the rest frame around it, so that the background's own motion does not reach into the face."""
        inside = self._inside[..., None]
        return (inside * face + (1 - inside) * self.face).round().astype(np.uint8)

    @one_thread
    def _posed(self, landmarks: Landmarks) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Place of every pixel of the rest face in another frame, in pixels of the crop, by the landmarks; rotation and scale.

        Choice: a camera at four times the width of the face, as in front of a screen.
        """
        center, far = (self._side - 1) / 2, _CAMERA * self._side
        stable = list(STABLE)
        found = self._in_face(landmarks)[stable] - (center, center, self._middle)
        metric = lambda points: points * np.array([1.0, 1.0, 0.0]) * (1 + points[..., 2:] / far) + points * (0, 0, 1)  # noqa: E731
        rest = metric(self.points[stable] - (center, center, self._middle))
        rotation = fitted_rotation(rest, metric(found))
        turned = rest @ rotation.T
        shown = turned[:, :2] / (1 + turned[:, 2:] / far)
        spread = shown - shown.mean(axis=0)
        flat = found[:, :2]
        scale = float((spread * (flat - flat.mean(axis=0))).sum() / np.square(spread).sum())
        shift = flat.mean(axis=0) - scale * shown.mean(axis=0)
        surface = (
            metric(np.dstack([self._columns - center, self._rows - center, self._depth - self._middle])) @ rotation.T
        )
        places = scale * surface[..., :2] / (1 + scale * surface[..., 2:] / far) + shift + center
        return places, rotation, scale

    def _fit_weights(self, inside: NDArray[np.bool_], elsewhere: float) -> NDArray[np.float32]:
        """Weights `[grid^2, 2]` of the two components of the flow: less where expressions move the face or it has no texture.

        `elsewhere` is the weight of the face without the nose.
        """
        side = self._side
        reach = max(1, round(0.06 * side))
        rows = self._rows[:, :1]
        moving = np.where((rows < self.points[list(BROWS), 1].max()) | (rows > self.points[LIPS[5], 1]), _MOVING, 1.0)
        weights = np.where(self._area(NOSE, reach // 2), 1.0, elsewhere) * moving * inside
        lids = ((lid, max(1, reach // 4), _BLINKING) for lid in EYELIDS)
        for points, margin, weight in ((LIPS, reach, _MOVING), *lids):
            area = self._area(points, margin)
            weights[area] = np.minimum(weights[area], elsewhere * weight)
        texture = [
            cv2.GaussianBlur(np.square(cv2.Sobel(self._grey, cv2.CV_32F, *order)), (0, 0), side / 32)
            for order in ((1, 0), (0, 1))
        ]
        typical = [max(float(np.median(one[self.visible])), 1e-3) if self.visible.any() else 1.0 for one in texture]
        textured = [np.clip(one / middle, 0.05, 1) for one, middle in zip(texture, typical, strict=True)]
        return np.stack([_on_grid(weights * one).ravel() for one in textured], axis=1) + 1e-6

    def _area(self, points: Sequence[int], margin: int) -> NDArray[np.bool_]:
        """Where the hull of some points lies, with a margin in pixels."""
        area = np.zeros((self._side, self._side), np.uint8)
        cv2.fillConvexPoly(area, cv2.convexHull(self.points[list(points), :2].astype(np.float32)).astype(np.int32), 1)
        return cv2.dilate(area, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0

    def _fields(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Flow `[side, side, 2, 8]` of small rigid motions and perspective, and errors of the depth `[side, side, n]`."""
        half = self._side / 2
        x, y, z = (self._columns - half) / half, (self._rows - half) / half, (self._depth - self._middle) / half
        none, one = np.zeros_like(x), np.ones_like(x)
        columns = [
            (one, none),
            (none, one),
            (x, y),
            (-y, x),
            (z, none),
            (none, z),
            (z * x, z * y),
            (x * x, x * y),
            (x * y, y * y),
        ]
        rigid = np.stack([np.stack(column, axis=-1) for column in columns], axis=-1)
        rows_seen, columns_seen = np.nonzero(self.visible)
        ends = [
            (int(seen.min()), int(seen.max())) if len(seen) else (0, self._side) for seen in (columns_seen, rows_seen)
        ]
        centers = [(a, b) for a in np.linspace(*ends[0], _DEPTH_GRID) for b in np.linspace(*ends[1], _DEPTH_GRID)]
        reach = 2 * (_DEPTH_REACH * self._side) ** 2
        bumps = np.stack(
            [np.exp(-((self._columns - a) ** 2 + (self._rows - b) ** 2) / reach) for a, b in centers], axis=-1
        )
        spread = np.sqrt(np.square(bumps[self.visible]).sum(axis=-1).mean()) if len(rows_seen) else 1.0
        errors = np.concatenate([bumps * (_DEPTH_SD / spread), _SLOPE_SD * np.stack([x, y], axis=-1)], axis=-1)
        return rigid.astype(np.float32), (errors * self._side).astype(np.float32)

    @one_thread
    def _head_flow(
        self, flow: NDArray[np.floating], per_depth: NDArray[np.floating], spread: float
    ) -> NDArray[np.float32]:
        """The part of a flow `[side, side, 2]` that a small rigid motion and a smooth error of the depth explain.

        A robust fit (Geman-McClure) whose width narrows, so that expressions are outliers. Depth errors have a standard deviation
        of 2.5 pixels of a face 128 wide and act along `per_depth`, so that they explain nothing without a rotation.
        """
        share = _share(per_depth)
        along = np.asarray(per_depth, np.float32) * np.float32(1 if self._followed else share)
        pick = self._pick
        bumps = self._errors[np.ix_(pick, pick)].reshape(len(pick) ** 2, 1, -1) * along[:, None]
        design = np.concatenate([self._rigid[np.ix_(pick, pick)].reshape(len(pick) ** 2, 2, -1), bumps], axis=-1)
        design = design.reshape(2 * len(pick) ** 2, -1)
        found = flow[np.ix_(pick, pick)].reshape(-1).astype(np.float32)
        own = ((1 - share) * self._weights[0] + share * self._weights[1]).reshape(-1)
        rigid = self._rigid.shape[-1]
        inverse_variance = np.ones(design.shape[1])
        inverse_variance[:2] = 1e-4
        inverse_variance[2:6] = _CORRELATED / (spread * self._side / _REFERENCE_SIDE) ** 2
        inverse_variance[6:rigid] = 1 / (_PERSPECTIVE_SD * self._side) ** 2
        weights, solution = own, np.zeros(design.shape[1])
        for width in np.geomspace(_WIDEST * self._side, _NARROWEST * self._side, _FITS):
            weighted = (design * weights[:, None]).T
            prior = np.diag(_PRIOR_WEIGHT * width**2 * inverse_variance)
            solution = np.linalg.solve((weighted @ design).astype(np.float64) + prior, weighted @ found)
            rest = np.square((found - design @ solution.astype(np.float32)).reshape(-1, 2)).sum(axis=1)
            weights = own * np.repeat(1 / np.square(1 + rest / np.float32(width) ** 2), 2)
        factors = solution.astype(np.float32)
        return self._rigid @ factors[:rigid] + (self._errors @ factors[rigid:])[..., None] * along


def _share(per_depth: NDArray[np.floating]) -> float:
    """How much a rotation is trusted: 0 at rest, 1/2 at 2 degrees, nearly 1 from 8 degrees on."""
    rotated = float(np.square(per_depth).sum())
    return rotated / (rotated + _ROTATED**2)


def _on_grid(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values.astype(np.float32), (_GRID, _GRID), interpolation=cv2.INTER_AREA), np.float32)


@functools.cache
def _mesh_depth() -> NDArray[np.float64]:
    """Mean error `[468]` of the scaled depth of the mesh, as a share of the side of the crop.

    Measured on 60 heads rendered from ICT-FaceKit (Li et al. 2020, MIT licence): the network's depth is 1.35 times too large, and
    differs from the scans by 1.8 pixels of a face 128 wide in the mean and by 1.5 more between heads.
    """
    return np.load(Path(__file__).parent / "networks" / _DEPTH_FILE).astype(np.float64)

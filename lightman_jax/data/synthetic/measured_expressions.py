"""Expressions of measured heads before a camera: their vertices over time, and the exact displacement between two times.

Lengths are in pixels of a face 128 wide where no unit is named; such a pixel is 0.155 cm of the geometry.
"""

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.action_unit_fields import blurred_noise
from lightman_jax.data.synthetic.face_geometry import FaceGeometry
from lightman_jax.data.synthetic.moving_head import HeadPose
from lightman_jax.data.synthetic.rasterize import Raster, rasterize
from lightman_jax.data.synthetic.unit_shapes import BLINK, GAZE, UNIT_SHAPES

Vertices = NDArray[np.float32]

# Centimetres: from the camera to the origin and to the depth at which the scale is 1, and the point around which the head turns.
_DISTANCE, _FRONT, _PIVOT = 60.0, 7.0, (0.0, 0.5, 0.0)
_FACE_SIDE, _GAZE_DEGREES = 128, 25.0
# A `HeadPose` has y down, the geometry up.
_FLIP = np.diag([1.0, -1.0, 1.0])


class Crop(NamedTuple):
    """The part of the frontal mean head that an image shows, in centimetres: centre, and half of its width and height."""

    x: float
    y: float
    half_width: float
    half_height: float


OWN_CROP = Crop(0.0, 0.15, 9.9, 9.9)
"""Crop of `vision.face_points`, measured on 40 identities."""
RELEASED_CROPS = {"megc2019": Crop(0.0, 0.0, 7.0, 8.05), "causalnet": Crop(0.0, 2.2, 7.6, 10.3)}
"""Crops of the flow releases, which are not published, by extraction.

Choice: by the scores of simulated clips on released ones. Chosen on one corpus alone, the other's scores are in the study
  `simulated_training`.
"""
_CM = 2 * OWN_CROP.half_width / _FACE_SIDE


@dataclasses.dataclass(frozen=True)
class MeasuredVariation:
    """Variation between expressions of measured heads.

    Attributes:
      shift: sd of the crop's position along each axis.
      size: sd of the logarithm of its size.
      asymmetry: sd of the difference between the two sides of the face.
      one_sided: fraction of clips on one side.
      stray: fraction of clips with an unrelated unit.
      blink: fraction of clips with a blink.
      gaze: fraction of clips with a movement of the eyes.
      rotation: sd of the head's rotation about each axis, in degrees.
      nearer: sd of the logarithm of its magnification.
      blur: sd of the Gaussian by which an estimator smooths the flow.
      noise: sd of the estimator's error.
      noise_reach: its correlation length.
      drift: sd of a second error.
      drift_reach: its correlation length.
    """

    shift: float = 6.0
    size: float = 0.12
    asymmetry: float = 0.35
    one_sided: float = 0.1
    stray: float = 0.4
    blink: float = 0.2
    gaze: float = 0.1
    rotation: float = 0.3
    nearer: float = 0.002
    blur: float = 2.5
    noise: float = 0.4
    noise_reach: float = 5.0
    drift: float = 0.25
    drift_reach: float = 17.0


class Moment(NamedTuple):
    """A head at one time: shares of shapes, and the pose from its rest."""

    shapes: dict[str, float]
    pose: HeadPose


class Expression(NamedTuple):
    """A movement from onset over apex to offset, of which the onset is the rest."""

    apex: Moment
    offset: Moment


def draw_expression(
    rng: np.random.Generator,
    geometry: FaceGeometry,
    units: tuple[int, ...],
    pixels: float,
    variation: MeasuredVariation,
) -> Expression:
    """Draw an expression of action units.

    Args:
      rng: draws strengths, sides, disturbances and poses.
      geometry: the heads.
      units: action units in `UNIT_SHAPES`.
      pixels: displacement of each unit, as 99th percentile over the skin of the mean head; 0.6 to 1.4 times it is drawn.
      variation: sizes of the variations.
    """
    strengths = {unit: rng.uniform(0.6, 1.4) for unit in units}
    if rng.uniform() < variation.stray:
        strengths.setdefault(int(rng.choice(list(UNIT_SHAPES))), rng.uniform(0.1, 0.4))
    if rng.uniform() < variation.gaze:
        strengths[int(rng.choice(GAZE))] = rng.uniform(0.3, 1.2)
    blinks, blink = rng.uniform(size=2) < variation.blink, rng.uniform(0.3, 1.2, size=2)
    lean = rng.normal(0, variation.asymmetry)
    if rng.uniform() < variation.one_sided:
        lean = rng.choice([-1, 1]) * rng.uniform(0.6, 1.0)
    shapes: dict[str, float] = {}
    for unit, strength in strengths.items():
        own = _unit_shapes(rng, unit, lean, variation.asymmetry)
        _add(shapes, own, strength * pixels / _peak(geometry, unit))
    left = {name: share * rng.uniform(0.0, 0.6) for name, share in shapes.items()}
    for moment, is_blink, strength in zip((shapes, left), blinks, blink, strict=True):
        if is_blink:
            _add(moment, {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0}, strength * pixels / _peak(geometry, BLINK))
    rises, stays = _draw_pose(rng, variation), _draw_pose(rng, variation)
    turn, nod, tilt = np.add(rises[:3], stays[:3]).tolist()
    last = HeadPose(turn, nod, tilt, nearer=rises.nearer * stays.nearer)
    return Expression(Moment(shapes, rises), Moment(left, last))


def _unit_shapes(rng: np.random.Generator, unit: int, lean: float, asymmetry: float) -> dict[str, float]:
    """Shares of the shapes of one unit, stronger on one side by `lean`."""
    shapes: dict[str, float] = {}
    for part in UNIT_SHAPES[unit]:
        if part.sides:
            for side, sign in (("L", 1), ("R", -1)):
                share = part.share * max(1 + sign * lean, 0.0) * np.exp(rng.normal(0, asymmetry / 2))
                shapes[f"{part.shape}_{side}"] = float(share)
        else:
            shapes[part.shape] = part.share
    return shapes


def _add(shapes: dict[str, float], more: dict[str, float], times: float) -> None:
    """Add shapes; none exceeds its full intensity."""
    for name, share in more.items():
        shapes[name] = min(shapes.get(name, 0.0) + share * times, 1.0)


def _draw_pose(rng: np.random.Generator, variation: MeasuredVariation) -> HeadPose:
    turn, nod, tilt = rng.normal(0, variation.rotation, 3)
    return HeadPose(turn, nod, tilt, nearer=float(np.exp(rng.normal(0, variation.nearer))))


def _peak(geometry: FaceGeometry, unit: int) -> float:
    """Displacement of a unit at full intensity on the mean head."""
    shares = _unit_shapes(np.random.default_rng(0), unit, 0.0, 0.0)
    moved = sum(share * geometry.shapes[name][geometry.skin, :2] for name, share in shares.items())
    return float(np.percentile(np.linalg.norm(moved, axis=1), 99)) / _CM


def vertices_at(geometry: FaceGeometry, rest: Vertices, moment: Moment) -> Vertices:
    """Vertices `[N, 3]` of a head at one time; `rest` are those of its identity at rest."""
    moved = rest + sum(
        (share * geometry.shapes[name] for name, share in moment.shapes.items()), np.zeros(3, np.float32)
    )
    for side, inwards in (("L", -1), ("R", 1)):
        share = lambda name, side=side: moment.shapes.get(f"eyeLook{name}_{side}", 0.0)  # noqa: E731
        _turn_eye(
            moved,
            geometry.eyes & (rest[:, 0] * inwards < 0),
            inwards * (share("In") - share("Out")),
            share("Up") - share("Down"),
        )
    pose = moment.pose
    rotation = _FLIP @ pose.rotation() @ _FLIP
    turned = (moved - _PIVOT) @ rotation.T + _PIVOT
    # Nearer by a factor is closer to the camera by it.
    turned[:, 2] += (_DISTANCE - _FRONT) * (1 - 1 / pose.nearer)
    return turned.astype(np.float32)


def moment_between(start: Moment | None, end: Moment, share: float) -> Moment:
    """The moment a share of the way from one to another; a start of None is the rest."""
    start = start or Moment({}, HeadPose())
    names = {*start.shapes, *end.shapes}
    shapes = {name: (1 - share) * start.shapes.get(name, 0.0) + share * end.shapes.get(name, 0.0) for name in names}
    return Moment(shapes, HeadPose(*((1 - share) * np.array(start.pose) + share * np.array(end.pose))))


def _turn_eye(vertices: Vertices, eyeball: NDArray[np.bool_], right: float, up: float) -> None:
    """Turn an eyeball about its centre; the shapes of a gaze move the lids only."""
    turn = HeadPose(_GAZE_DEGREES * right, -_GAZE_DEGREES * up)
    center = vertices[eyeball].mean(axis=0)
    vertices[eyeball] = (vertices[eyeball] - center) @ (_FLIP @ turn.rotation() @ _FLIP).T + center


def project(vertices: Vertices) -> Vertices:
    """Places `[N, 2]` on the image plane, centimetres to the right and up."""
    return vertices[:, :2] * ((_DISTANCE - _FRONT) / (_DISTANCE - vertices[:, 2:]))


def in_crop(places: Vertices, crop: Crop, side: int) -> Vertices:
    """Pixels `[N, 2]` of places on the image plane, x to the right and y down, in a crop of `side` pixels."""
    right, down = (places[:, 0] - crop.x) / crop.half_width, (crop.y - places[:, 1]) / crop.half_height
    return ((np.stack([right, down], axis=1) + 1) * (side / 2) - 0.5).astype(np.float32)


def draw_crop(rng: np.random.Generator, crop: Crop, variation: MeasuredVariation) -> Crop:
    """The crop displaced and resized at random."""
    x, y = rng.normal(0, variation.shift * _CM, 2)
    size, height = np.exp(rng.normal(0, variation.size)), np.exp(rng.normal(0, variation.size / 3))
    return Crop(crop.x + x, crop.y + y, crop.half_width * size, crop.half_height * size * height)


def raster_in_crop(geometry: FaceGeometry, vertices: Vertices, crop: Crop, side: int) -> Raster:
    """Which vertices each pixel of a crop shows."""
    return rasterize(in_crop(project(vertices), crop, side), vertices[:, 2], geometry.triangles, side)


def exact_field(
    geometry: FaceGeometry, first: Vertices, second: Vertices, crop: Crop, side: int
) -> NDArray[np.float32]:
    """Displacement `[side, side, 2]` of what the pixels of a crop show at the first time, in its pixels; 0 on the background.

    u to the right, v down. A point that is hidden at the second time counts like the others.
    """
    places = [in_crop(project(vertices), crop, side) for vertices in (first, second)]
    return raster_in_crop(geometry, first, crop, side).image(places[1] - places[0])


def with_errors(
    rng: np.random.Generator, field: NDArray[np.float32], crop: Crop, variation: MeasuredVariation
) -> NDArray[np.float32]:
    """The field `[side, side, 2]` as an estimator of optical flow may find it: smoothed, with correlated noise."""
    side = len(field)
    pixel = side * _CM / (2 * crop.half_width)
    found = cv2.GaussianBlur(field, (0, 0), variation.blur * pixel) if variation.blur else field
    errors = np.zeros((side, side, 2))
    for sd, reach in ((variation.noise, variation.noise_reach), (variation.drift, variation.drift_reach)):
        errors += sd * pixel * blurred_noise(rng, side, reach * pixel)
    return np.asarray(found + errors, np.float32)

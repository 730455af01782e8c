"""From a clip to the image a network sees: flow and strain from onset to apex, or another representation of the movement."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.records import RawClip
from lightman_jax.data.synthetic.simulated_au import simulated_faces, simulated_field
from lightman_jax.data.vision.apex import APEX_POLICIES, ApexPolicy, middle_apex, spot_apex
from lightman_jax.data.vision.faces import crop_face, face_box
from lightman_jax.data.vision.footage import read_pictures
from lightman_jax.data.vision.images import grey_image, read_image, resize_image
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, FlowMethod, magnify_motion, optical_flow, optical_strain

_SIMULATED_FRAMES = 9

Representation = Literal["flow", "difference", "apex", "dynamic", "frames"]


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """How a clip becomes an image.

    Attributes:
      representation: flow (u, v, strain), difference (apex minus onset), apex (that picture), dynamic (rank
        pooling) or frames.
      flow_method: farneback, dis or tvl1.
      apex_policy: given (middle where the corpus names none), middle, or spot.
      magnify: Eulerian magnification of the movement before anything else; 1 is none.
      face_side: pixels of the square face on which motion is computed.
      image_side: H = W of the stored image.
      frame_count: pictures of the representation frames.
    """

    representation: Representation = "flow"
    flow_method: FlowMethod = "farneback"
    apex_policy: ApexPolicy = "given"
    magnify: float = 1.0
    face_side: int = 128
    image_side: int = 28
    frame_count: int = 8

    def __post_init__(self) -> None:
        choices = {
            "representation": get_args(Representation),
            "flow_method": FLOW_METHODS,
            "apex_policy": APEX_POLICIES,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(allowed)}")
        for name, least in {"magnify": 0, "face_side": 15, "image_side": 3, "frame_count": 1}.items():
            if getattr(self, name) <= least:
                raise ValueError(f"{name} {getattr(self, name)} is too small; choose more than {least}")


def is_still(clip: RawClip) -> bool:
    """Whether a clip is a single picture, from which nothing but the representation `apex` can be made."""
    return clip.kind not in ("flow", "simulated") and len(clip.numbers) < 2


class MotionImage(NamedTuple):
    """What is stored of a clip.

    Attributes:
      image: float32 `[H, W, 3]` of u (right), v (down) and strain; `[H, W, 1]` grey of the other representations,
        0..1 or a difference of such; `[frames, H, W, 1]` of frames.
      apex: position of the apex used.
      apex_from: `given`, `middle` or `spot`.
      face: how the face was found.
    """

    image: NDArray[np.float32]
    apex: int
    apex_from: str
    face: str


def motion_image(clip: RawClip, config: MotionConfig) -> MotionImage:
    """Compute, or read, the image of one clip.

    Flow is in pixels of a face `face_side` pixels wide, amplitude and sign kept. A picture of the public flow
    release is 8-bit and min-max scaled per clip: it is read as it is, 0..255.

    Args:
      clip: from a layout.
      config: what to compute.

    Raises:
      ValueError: a file is no picture, frames differ in size, or the clip cannot give the representation.
    """
    if clip.kind == "flow":
        return _released_flow(clip, config)
    if clip.kind == "simulated":
        return _simulated(clip, config)
    count = len(clip.numbers)
    if count < 2:
        if config.representation != "apex":
            raise ValueError(f"a single picture has no {config.representation}; choose --representation=apex")
        return _still(clip, config)
    apex = clip.apex if config.apex_policy == "given" else None
    apex_from = "given" if apex is not None else "middle"
    if config.apex_policy == "spot" or config.representation in ("dynamic", "frames"):
        faces, face = _faces(clip, range(count), config)
        if config.apex_policy == "spot":
            apex, apex_from = spot_apex(faces), "spot"
        apex = middle_apex(count) if apex is None else apex
        image = _from_faces(magnify_motion(faces, config.magnify), clip.numbers, apex, config)
    else:
        # Only two pictures are needed: the rest is not decoded.
        apex = middle_apex(count) if apex is None else apex
        faces, face = _faces(clip, (0, apex), config)
        image = _from_pair(*_pair(faces, config.magnify), config)
    return MotionImage(_resized(image, config.image_side), apex, apex_from, face)


def motion_between(first: NDArray[np.uint8], second: NDArray[np.uint8], config: MotionConfig) -> NDArray[np.float32]:
    """Representation of the movement from one picture of a face to another, `[image_side, image_side, C]`.

    Args:
      first: `[side, side, 3]` uint8, for example the onset frame's face.
      second: the same of the apex frame.
      config: `flow`, `difference` or `apex`.
    """
    pair = _pair((grey_image(first), grey_image(second)), config.magnify)
    return _resized(_from_pair(*pair, config), config.image_side)


def motion_of_faces(
    faces: Sequence[NDArray[np.uint8]], apex: int, config: MotionConfig, numbers: Sequence[int] | None = None
) -> NDArray[np.float32]:
    """Representation of a movement whose faces were cut out before, of the shape of `MotionImage.image`.

    Args:
      faces: `[face_side, face_side, 3]` uint8 of every frame from onset to offset, at least two.
      apex: position of the strongest one, from 1.
      config: what to compute.
      numbers: frame number of each; None counts them.
    """
    grey = magnify_motion([grey_image(face) for face in faces], config.magnify)
    image = _from_faces(grey, tuple(numbers or range(len(faces))), apex, config)
    return _resized(image, config.image_side)


def _faces(
    clip: RawClip, positions: range | tuple[int, ...], config: MotionConfig
) -> tuple[list[NDArray[np.uint8]], str]:
    pictures = read_pictures(clip, positions)
    box = face_box(pictures[0], cropped=clip.cropped, given=clip.box)
    faces = [grey_image(crop_face(picture, box, config.face_side)) for picture in pictures]
    return faces, box.finder if box else "given"


def _pair(faces: Sequence[NDArray[np.uint8]], magnify: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    onset, apex = magnify_motion(faces, magnify)
    return onset, apex


def _from_pair(onset: NDArray[np.uint8], apex: NDArray[np.uint8], config: MotionConfig) -> NDArray[np.floating]:
    if config.representation == "flow":
        flow = optical_flow(onset, apex, config.flow_method)
        return np.dstack([flow, optical_strain(flow)])
    if config.representation == "difference":
        return ((apex.astype(np.float32) - onset) / 255)[..., None]
    return (apex.astype(np.float32) / 255)[..., None]


def _dynamic_image(faces: list[NDArray[np.uint8]]) -> NDArray[np.floating]:
    """Approximate rank pooling of the rise: `sum_t (2 t - T - 1) frame_t` over the sum of the positive weights, t from 1.

    Choice: onset to apex alone, since a movement that comes and goes cancels out.
    Reference: Bilen et al. 2016, "Dynamic Image Networks for Action Recognition".
    """
    weights = 2.0 * np.arange(1, len(faces) + 1) - len(faces) - 1
    total = np.tensordot(weights, np.stack(faces).astype(np.float64) / 255, axes=1)
    return (total / weights[weights > 0].sum())[..., None]


def _in_time(faces: list[NDArray[np.uint8]], numbers: tuple[int, ...], count: int) -> NDArray[np.floating]:
    """Pictures at evenly spaced times from onset to offset, linear between the frames there are: dropped ones leave no jump."""
    times = np.linspace(numbers[0], numbers[-1], count)
    after = np.clip(np.searchsorted(numbers, times), 1, len(numbers) - 1)
    stamps, stack = np.asarray(numbers, np.float64), np.stack(faces).astype(np.float32) / 255
    share = ((times - stamps[after - 1]) / (stamps[after] - stamps[after - 1]))[:, None, None].astype(np.float32)
    return ((1 - share) * stack[after - 1] + share * stack[after])[..., None]


def _still(clip: RawClip, config: MotionConfig) -> MotionImage:
    faces, face = _faces(clip, (0,), config)
    image = _resized((faces[0].astype(np.float32) / 255)[..., None], config.image_side)
    return MotionImage(image, 0, "given", face)


def _simulated(clip: RawClip, config: MotionConfig) -> MotionImage:
    """The true field for `flow`; for the rest an invented face moved by it, through the same functions as a filmed one."""
    apex = _SIMULATED_FRAMES // 2
    if config.representation == "flow":
        field = config.magnify * simulated_field(clip, config.image_side)
        pixels = field * config.face_side / config.image_side
        image = np.dstack([pixels, optical_strain(field)]).astype(np.float32)
        return MotionImage(image, apex, "given", "given")
    faces = magnify_motion(simulated_faces(clip, config.face_side, _SIMULATED_FRAMES), config.magnify)
    image = _from_faces(faces, tuple(range(_SIMULATED_FRAMES)), apex, config)
    return MotionImage(_resized(image, config.image_side), apex, "given", "given")


def _from_faces(
    faces: list[NDArray[np.uint8]], numbers: tuple[int, ...], apex: int, config: MotionConfig
) -> NDArray[np.floating]:
    if config.representation == "dynamic":
        return _dynamic_image(faces[: apex + 1])
    if config.representation == "frames":
        return _in_time(faces, numbers, config.frame_count)
    return _from_pair(faces[0], faces[apex], config)


def _released_flow(clip: RawClip, config: MotionConfig) -> MotionImage:
    if config.representation != "flow" or config.magnify != 1:
        raise ValueError(f"the release holds flow alone; it has no {config.representation} and cannot be magnified")
    picture = read_image(clip.paths[0])
    if picture.shape[:2] != (config.image_side, config.image_side):
        height, width = picture.shape[:2]
        side = config.image_side
        raise ValueError(f"{clip.paths[0].name} is {height}x{width} pixels; the release has {side}x{side}")
    return MotionImage(picture.astype(np.float32), 0, "given", "given")


def _resized(image: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    stack = image if image.ndim == 4 else image[None]
    resized = np.stack([resize_image(one, side, side).reshape(side, side, -1) for one in stack]).astype(np.float32)
    return resized if image.ndim == 4 else resized[0]

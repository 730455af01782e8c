"""From a clip to the network's input image: flow and strain from onset to apex, or another representation of the movement."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic.simulated_au import simulated_faces, simulated_field
from lightman_jax.data.vision.apex import APEX_POLICIES, ApexPolicy, middle_apex, spot_apex
from lightman_jax.data.vision.faces import clip_box, crop_face
from lightman_jax.data.vision.images import grey_image, read_image, resize_image
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, FlowMethod, magnify_motion, optical_flow, optical_strain
from lightman_jax.data.vision.video import read_clip_images
from lightman_jax.data.vision.video_file import SharedFrames

_SIMULATED_FRAMES, _ROUNDING = 9, 1

Representation = Literal["flow", "difference", "apex", "dynamic", "frames"]
Moves = Literal["face", "outside", "nowhere"]
_CHANGES = ("flow", "difference", "dynamic")


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """Settings of the motion image.

    Attributes:
      representation: flow (u, v, strain), difference (apex minus onset), apex (the apex frame), dynamic (rank
        pooling) or frames.
      flow_method: farneback, dis or tvl1.
      views: several motion images per clip, a comma-separated list of EXTRACTION_LEG: an extraction (farneback, dis, tvl1, or one
        of a flow release) and a leg (rise, onset to apex; fall, apex to offset), or all. Empty means flow_method_rise for videos
        and images, and every view that is present for a flow release.
      apex_policy: given (by the corpus, else the middle frame), middle, or spot.
      magnify: factor of Eulerian motion magnification, applied first; 1 is none.
      face_side: pixels of the square face on which motion is computed.
      image_side: H = W of the stored image.
      frame_count: number of images of the representation frames.
    """

    representation: Representation = "flow"
    flow_method: FlowMethod = "farneback"
    views: str = ""
    apex_policy: ApexPolicy = "given"
    magnify: float = 1.0
    face_side: int = 128
    image_side: int = 28
    frame_count: int = 8

    def __post_init__(self) -> None:
        representations = get_args(Representation)
        choices = {"representation": representations, "flow_method": FLOW_METHODS, "apex_policy": APEX_POLICIES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(allowed)}")
        for name, limit in {"magnify": 0, "face_side": 15, "image_side": 3, "frame_count": 1}.items():
            if getattr(self, name) <= limit:
                raise ValueError(f"{name} {getattr(self, name)} is too small; choose more than {limit}")


def is_still(clip: RawClip) -> bool:
    """Whether a clip is a single image, which allows the representation `apex` only."""
    return clip.kind not in ("flow", "simulated") and len(clip.numbers) < 2


class MotionImage(NamedTuple):
    """The image of a clip and how it was made.

    Attributes:
      image: float32 `[H, W, 3]`: u (right), v (down), strain. `[H, W, 1]` for other representations: grey levels 0..1, or
        their difference. `[frames, H, W, 1]` for frames.
      apex: position of the apex.
      apex_from: source of the apex: `given`, `middle` or `spot`.
      face: source of the face box: see `FaceBox.finder`.
      moves: where the frames of the image differ: `face`, `outside` (of the face box alone) or `nowhere`; always `face` for a
        single image and a simulated clip.
    """

    image: NDArray[np.float32]
    apex: int
    apex_from: str
    face: str
    moves: Moves = "face"


def needed_positions(clip: RawClip, config: MotionConfig) -> Sequence[int]:
    """Positions in `clip.numbers` of the frames that `motion_image` decodes: as few as the settings allow."""
    if len(clip.numbers) < 2 or _needs_all_frames(config):
        return range(len(clip.numbers))
    return 0, _annotated_apex(clip, config)[0]


def _needs_all_frames(config: MotionConfig) -> bool:
    return config.apex_policy == "spot" or config.representation in ("dynamic", "frames")


def motion_image(clip: RawClip, config: MotionConfig, shared: SharedFrames | None = None) -> MotionImage:
    """Compute the motion image of one clip.

    Flow is in pixels of a face `face_side` pixels wide, with amplitude and sign. Images of the public flow release are
    8-bit and min-max scaled per clip; they are returned unchanged, 0..255.

    Args:
      clip: the clip.
      config: settings of the image.
      shared: the frames of its video, if several clips share them.

    Raises:
      ValueError: a file cannot be decoded, frames differ in size, or the clip does not allow the representation.
    """
    if clip.kind == "flow":
        return _released_flow(clip, config)
    if clip.kind == "simulated":
        return _simulated(clip, config)
    if len(clip.numbers) < 2 and config.representation != "apex":
        raise ValueError(f"a single image has no {config.representation}; choose --representation=apex")
    images = read_clip_images(clip, needed_positions(clip, config), shared)
    faces, face = _faces(clip, images, config)
    if len(clip.numbers) < 2:
        return MotionImage(_from_faces(faces, (0,), 0, config), 0, "given", face)
    apex, apex_from = _annotated_apex(clip, config)
    if not _needs_all_frames(config):
        return MotionImage(_from_faces(faces, (0, 1), 1, config), apex, apex_from, face, _moves(faces, images))
    if config.apex_policy == "spot":
        apex, apex_from = spot_apex(faces), "spot"
    moves = _moves(*(_frames_used(frames, apex, config.representation) for frames in (faces, images)))
    return MotionImage(_from_faces(faces, clip.numbers, apex, config), apex, apex_from, face, moves)


def _annotated_apex(clip: RawClip, config: MotionConfig) -> tuple[int, str]:
    """Position of the apex without looking at the frames, and its source."""
    if config.apex_policy == "given" and clip.apex is not None:
        return clip.apex, "given"
    return middle_apex(len(clip.numbers)), "middle"


def motion_of_faces(faces: Sequence[NDArray[np.uint8]], apex: int, config: MotionConfig) -> NDArray[np.float32]:
    """Representation of a movement from cropped faces, in the shape of `MotionImage.image`.

    Args:
      faces: `[side, side, 3]` uint8 of every frame from onset to offset, at least two.
      apex: position of the apex, 1 or more.
      config: settings of the image.
    """
    return _from_faces([grey_image(face) for face in faces], tuple(range(len(faces))), apex, config)


def is_movement(faces: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether images of one shape differ from the first by more than one grey level.

    Choice: one level is rounding; a movement whose peak is 0.15 pixels changes a face of 128 pixels by 4 levels or more. Noise and
    movement are not separated here: the RMS flow of a still face with sensor noise of 2 levels is 0.04 to 0.06 pixels, with such a
    movement 0.05 to 0.07. `vision.spotting` uses all frames.
    """
    first = faces[0].astype(np.int16)
    return any(int(np.abs(face - first).max()) > _ROUNDING for face in faces[1:])


def _moves(faces: Sequence[NDArray[np.uint8]], images: Sequence[NDArray[np.uint8]]) -> Moves:
    return "face" if is_movement(faces) else "outside" if is_movement(images) else "nowhere"


def _frames_used(faces: list[NDArray[np.uint8]], apex: int, representation: Representation) -> list[NDArray[np.uint8]]:
    """The frames from onset to offset that a representation shows."""
    if representation == "frames":
        return faces
    return faces[: apex + 1] if representation == "dynamic" else [faces[0], faces[apex]]


def _faces(
    clip: RawClip, images: Sequence[NDArray[np.uint8]], config: MotionConfig
) -> tuple[list[NDArray[np.uint8]], str]:
    """Grey faces of the frames, and the source of the face box."""
    box = clip_box(clip, images[0])
    faces = [grey_image(crop_face(image, box, config.face_side)) for image in images]
    return faces, box.finder if box else "given"


def _dynamic_image(faces: list[NDArray[np.uint8]]) -> NDArray[np.floating]:
    """Approximate rank pooling of the rise: `sum_t (2 t - T - 1) frame_t` over the sum of the positive weights, t from 1.

    Choice: onset to apex only, because a rise and a fall cancel out.
    Reference: Bilen et al. 2016, "Dynamic Image Networks for Action Recognition".
    """
    weights = 2.0 * np.arange(1, len(faces) + 1) - len(faces) - 1
    total = np.tensordot(weights, np.stack(faces).astype(np.float64) / 255, axes=1)
    # One frame has no rise.
    return (total / max(weights[weights > 0].sum(), 1))[..., None]


def _in_time(faces: list[NDArray[np.uint8]], numbers: tuple[int, ...], count: int) -> NDArray[np.floating]:
    """Images at evenly spaced times from onset to offset, interpolated linearly, so that dropped frames leave no jump."""
    times = np.linspace(numbers[0], numbers[-1], count)
    after = np.clip(np.searchsorted(numbers, times), 1, len(numbers) - 1)
    stamps, stack = np.asarray(numbers, np.float64), np.stack(faces).astype(np.float32) / 255
    share = ((times - stamps[after - 1]) / (stamps[after] - stamps[after - 1]))[:, None, None].astype(np.float32)
    return ((1 - share) * stack[after - 1] + share * stack[after])[..., None]


def _simulated(clip: RawClip, config: MotionConfig) -> MotionImage:
    """The exact field for `flow`; otherwise a synthetic face moved by it, processed like a recorded clip."""
    apex = _SIMULATED_FRAMES // 2
    if config.representation == "flow":
        field = config.magnify * simulated_field(clip, config.image_side)
        pixels = field * config.face_side / config.image_side
        image = np.dstack([pixels, optical_strain(field)]).astype(np.float32)
        return MotionImage(image, apex, "given", "given")
    faces = simulated_faces(clip, config.face_side, _SIMULATED_FRAMES)
    image = _from_faces(faces, tuple(range(_SIMULATED_FRAMES)), apex, config)
    return MotionImage(image, apex, "given", "given")


def _from_faces(
    faces: list[NDArray[np.uint8]], numbers: tuple[int, ...], apex: int, config: MotionConfig
) -> NDArray[np.float32]:
    """Representation of a movement from grey faces, magnified and resized as configured; zero if nothing differs from the onset."""
    side = config.image_side
    used = _frames_used(faces, apex, config.representation)
    if config.representation in _CHANGES and all(np.array_equal(face, faces[0]) for face in used):
        # The flow between equal images is not zero.
        return np.zeros((side, side, 3 if config.representation == "flow" else 1), np.float32)
    faces = magnify_motion(faces, config.magnify)
    if config.representation == "frames":
        return np.stack([_resized(one, side) for one in _in_time(faces, numbers, config.frame_count)])
    if config.representation == "dynamic":
        return _resized(_dynamic_image(faces[: apex + 1]), side)
    if config.representation == "flow":
        flow = optical_flow(faces[0], faces[apex], config.flow_method)
        return _resized(np.dstack([flow, optical_strain(flow)]), side)
    reference = faces[0] if config.representation == "difference" else np.float32(0)
    return _resized(((faces[apex].astype(np.float32) - reference) / 255)[..., None], side)


def _released_flow(clip: RawClip, config: MotionConfig) -> MotionImage:
    if config.representation != "flow" or config.magnify != 1:
        raise ValueError(f"the release holds flow only; it has no {config.representation} and cannot be magnified")
    image = read_image(clip.paths[0])
    moves: Moves = "face" if np.ptp(image, axis=(0, 1)).any() else "nowhere"
    (height, width), side = image.shape[:2], config.image_side
    if (height, width) != (side, side):
        raise ValueError(f"{clip.paths[0].name} is {height}x{width} pixels; the release has {side}x{side}")
    return MotionImage(image.astype(np.float32), 0, "given", "given", moves)


def _resized(image: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    return resize_image(image, side, side).reshape(side, side, -1).astype(np.float32)

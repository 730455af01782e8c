"""From a clip to the network's input image: flow and strain from onset to apex, or another representation of the movement."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.preparation.clip_faces import ClipFaces, WithoutHead, clip_faces
from lightman_jax.data.preparation.face_images import RemoveHead, as_stored, image_of_faces, in_channels, places_used
from lightman_jax.data.preparation.motion_config import MotionConfig
from lightman_jax.data.preparation.point_flow import PointFlow
from lightman_jax.data.preparation.views import FALL, RELEASED_VIEWS, Joined, Moves, join_views, view_of
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic.simulated_au import simulated_faces, simulated_flow
from lightman_jax.data.vision.apex import middle_apex, spot_apex
from lightman_jax.data.vision.images import grey_image, read_image
from lightman_jax.data.vision.optical_flow import FlowMethod
from lightman_jax.data.vision.video import read_clip_images
from lightman_jax.data.vision.video_file import SharedFrames

_SIMULATED_FRAMES, _ROUNDING = 9, 1


def is_still(clip: RawClip) -> bool:
    """Whether a clip is a single image, which allows the representation `apex` only."""
    return clip.kind not in ("flow", "landmarks", "simulated") and len(clip.numbers) < 2


class MotionImage(NamedTuple):
    """The image of a clip and how it was made.

    Attributes:
      image: `[H, W, 3]` of `MotionConfig.dtype`: u (right), v (down), strain; `[V, H, W, 3]` of several views, NaN where the clip
        lacks one. For other representations grey levels 0..255 or their differences, `[H, W, C]` with C = 1 (grey) or 3 (rgb),
        `[frames, H, W, C]` for frames.
      apex: position of the apex.
      apex_from: source of the apex: `given`, `middle` or `spot`.
      face: source of the face box: see `FaceBox.finder`.
      moves: where the frames of the image differ: `face`, `outside` (of the face box alone) or `nowhere`; always `face` for a
        single image and a simulated clip. Of several views, those of the one that moves most.
      missing: for each view why the clip lacks it, empty where it has it; empty for a single image.
      aligned: whether head motion is removed.
    """

    image: NDArray[Any]
    apex: int
    apex_from: str
    face: str
    moves: Moves = "face"
    missing: tuple[str, ...] = ()
    aligned: bool = False


def needed_positions(clip: RawClip, config: MotionConfig) -> Sequence[int]:
    """Positions in `clip.numbers` of the frames that `motion_image` decodes: as few as the settings allow."""
    if len(clip.numbers) < 2 or _needs_all_frames(config):
        return range(len(clip.numbers))
    apex, last = _annotated_apex(clip, config)[0], len(clip.numbers) - 1
    return (0, apex, last) if _has_fall(config) else (0, apex)


def _has_fall(config: MotionConfig) -> bool:
    return any(view_of(name).leg == FALL for name in config.view_names)


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
    image = _motion_image(clip, config, shared)
    return image._replace(image=as_stored(image.image, config))


def _motion_image(clip: RawClip, config: MotionConfig, shared: SharedFrames | None) -> MotionImage:
    if clip.kind == "flow":
        return _released_flow(clip, config)
    if clip.kind == "simulated":
        return _simulated(clip, config)
    if clip.kind == "landmarks":
        return _of_landmarks(clip, config)
    if len(clip.numbers) < 2 and config.representation != "apex":
        raise ValueError(f"a single image has no {config.representation}; choose --representation=apex")
    positions = needed_positions(clip, config)
    images = dict(zip(positions, read_clip_images(clip, positions, shared), strict=True))
    frames = clip_faces(clip, images, config.face_side, align=config.head_motion == "remove")
    image = _image_of(clip, frames, positions, config)
    return image._replace(face=frames.finder, aligned=frames.still or frames.without_head is not None)


def _image_of(clip: RawClip, frames: ClipFaces, positions: Sequence[int], config: MotionConfig) -> MotionImage:
    """The motion image of a clip from its needed frames."""
    faces = [in_channels(frames.faces[position], config) for position in positions]
    if len(clip.numbers) < 2:
        return MotionImage(image_of_faces(faces, (0,), 0, config), 0, "given", "")
    apex, apex_from = _annotated_apex(clip, config)
    if config.apex_policy == "spot":
        apex, apex_from = spot_apex([grey_image(frames.faces[position]) for position in positions]), "spot"
    if config.view_names:
        end = apex if clip.apex == len(clip.numbers) - 1 else max(positions)
        return _with_views(_views(frames, (apex, end), config), apex, apex_from)
    remove_head = _between(frames.without_head, 0, apex)
    if not _needs_all_frames(config):
        image = image_of_faces(faces, (0, 1), 1, config, remove_head)
        return MotionImage(image, apex, apex_from, "", _moves(frames, positions))
    used = [positions[place] for place in places_used(len(faces), apex, config.representation)]
    image = image_of_faces(faces, clip.numbers, apex, config, remove_head)
    return MotionImage(image, apex, apex_from, "", _moves(frames, used))


def _annotated_apex(clip: RawClip, config: MotionConfig) -> tuple[int, str]:
    """Position of the apex without looking at the frames, and its source."""
    if config.apex_policy == "given" and clip.apex is not None:
        return clip.apex, "given"
    return middle_apex(len(clip.numbers)), "middle"


def motion_of_faces(
    faces: Sequence[NDArray[np.uint8]], apex: int, config: MotionConfig, without_head: WithoutHead | None = None
) -> NDArray[Any]:
    """Representation of a movement from cropped faces, in the shape and dtype of `MotionImage.image`.

    Args:
      faces: `[side, side, 3]` uint8 of every frame from onset to offset, at least two.
      apex: position of the apex, 1 or more.
      config: settings of the image. The views of a flow release are computed by `flow_method`. A view is NaN where the movement
        lacks it, such as `fall` if the apex is the last frame.
      without_head: removes from a flow between two of the faces what remains of the head.

    Raises:
      ValueError: the movement has none of the views.
    """
    if not config.view_names:
        shown, numbers = [in_channels(face, config) for face in faces], tuple(range(len(faces)))
        return as_stored(image_of_faces(shown, numbers, apex, config, _between(without_head, 0, apex)), config)
    if not any(first < second for first, second in (_leg(name, apex, len(faces) - 1) for name in config.view_names)):
        raise ValueError(
            f"the apex is the last frame, so the movement has no view {', '.join(config.view_names)}; give a later offset"
        )
    at = dict(enumerate(faces))
    frames = ClipFaces(at, {place: grey_image(face) for place, face in at.items()}, at, without_head=without_head)
    return as_stored(_with_views(_views(frames, (apex, len(faces) - 1), config), apex, "given").image, config)


def _between(without_head: WithoutHead | None, first: int, second: int) -> RemoveHead | None:
    """The removal for the flow between two faces."""
    if without_head is None:
        return None
    return lambda flow: without_head(flow, first, second)


def is_movement(faces: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether images of one shape differ from the first by more than one grey level.

    Choice: one level is rounding; a movement whose peak is 0.15 pixels changes a face of 128 pixels by 4 levels or more. Noise and
    movement are not separated here: the RMS flow of a still face with sensor noise of 2 levels is 0.04 to 0.06 pixels, with such a
    movement 0.05 to 0.07. `vision.spotting` uses all frames.
    """
    first = faces[0].astype(np.int16)
    return any(int(np.abs(face - first).max()) > _ROUNDING for face in faces[1:])


def _leg(name: str, apex: int, last: int) -> tuple[int, int]:
    """Positions of the first and the last frame of the leg of a view."""
    return (apex, last) if view_of(name).leg == FALL else (0, apex)


def _views(frames: ClipFaces, ends: tuple[int, int], config: MotionConfig) -> Joined:
    """The views of a movement.

    `ends` are the positions of the apex and of the end of the way back: the apex itself if the corpus has none, whatever apex is
    used.

    Choice: both legs are flow between faces aligned to the onset, so that their pixels show the same places of the face.
    """
    legs = {name: _leg(name, *ends) for name in config.view_names}

    @functools.cache
    def image(method: FlowMethod, leg: tuple[int, int]) -> NDArray[np.float32]:
        own = dataclasses.replace(config, flow_method=method, views="")
        faces = [grey_image(frames.faces[end]) for end in leg]
        return image_of_faces(faces, (0, 1), 1, own, _between(frames.without_head, *leg))

    return _join_legs(
        legs,
        lambda name: image(view_of(name).method or config.flow_method, legs[name]),
        lambda name: _moves(frames, legs[name]),
    )


def _join_legs(
    legs: Mapping[str, tuple[int, int]], image: Callable[[str], NDArray[np.float32]], moves: Callable[[str], Moves]
) -> Joined:
    """The views of a movement from the positions between which each is, and functions of its name."""
    given = [name for name, (first, last) in legs.items() if first < last] or list(legs)
    return join_views(
        list(legs),
        {name: image(name) for name in given},
        {name: moves(name) for name in given},
        {name: f"their apex is the {'last' if view_of(name).leg == FALL else 'first'} frame" for name in legs},
        still="their frames show no movement of the face",
    )


def _with_views(joined: Joined, apex: int, apex_from: str) -> MotionImage:
    """The views of a clip; a single one without an axis."""
    if len(joined.missing) == 1:
        return MotionImage(joined.image[0], apex, apex_from, "given", joined.moves)
    return MotionImage(joined.image, apex, apex_from, "given", joined.moves, joined.missing)


def _moves(frames: ClipFaces, used: Sequence[int]) -> Moves:
    """Where the frames at some positions differ; aligned faces differ by their resampling alone."""
    crops, images = ([shown[position] for position in used] for shown in (frames.crops, frames.images))
    return "face" if is_movement(crops) else "outside" if is_movement(images) else "nowhere"


def _simulated(clip: RawClip, config: MotionConfig) -> MotionImage:
    """The simulated flow of each view for `flow`; otherwise simulated frames, processed like those of a corpus."""
    apex = _SIMULATED_FRAMES // 2
    if config.representation == "flow":
        names = config.view_names or (f"{config.flow_method}_rise",)
        sides = config.face_side, config.image_side
        images = [simulated_flow(clip, *sides, view_of(name), config.magnify) for name in names]
        if not config.view_names:
            return MotionImage(images[0], apex, "given", "given")
        return _with_views(Joined(np.stack(images), "face", ("",) * len(names)), apex, "given")
    faces = simulated_faces(clip, config.face_side, _SIMULATED_FRAMES)
    if config.channels == "rgb":
        faces = [np.repeat(face[..., None], 3, axis=2) for face in faces]
    image = image_of_faces(faces, tuple(range(_SIMULATED_FRAMES)), apex, config)
    return MotionImage(image, apex, "given", "given")


def _of_landmarks(clip: RawClip, config: MotionConfig) -> MotionImage:
    """Flow between the landmarks of a clip; every extraction of it is the same."""
    points = PointFlow(clip, config)
    falls = {name: view_of(name).leg == FALL for name in config.view_names or (f"{config.flow_method}_rise",)}
    joined = _join_legs(
        {name: _leg(name, points.apex, points.last) for name in falls},
        lambda name: points.image(falls[name]),
        lambda name: "face" if points.moves(falls[name]) else "nowhere",
    )
    image = _with_views(joined, points.apex, points.apex_from)
    return image._replace(face="landmarks", aligned=config.head_motion == "remove")


def _released_flow(clip: RawClip, config: MotionConfig) -> MotionImage:
    if config.representation != "flow" or config.magnify != 1:
        raise ValueError(f"the release holds flow only; it has no {config.representation} and cannot be magnified")
    paths = dict(zip(clip.views or RELEASED_VIEWS[:1], clip.paths, strict=True))
    names = config.view_names or tuple(paths)
    images: dict[str, NDArray[np.float32]] = {}
    moves: dict[str, Moves] = {}
    reasons = dict.fromkeys(names, "the release has no such image of them")
    refused = ValueError(f"it has no view {', '.join(names)}, only {', '.join(paths)}")
    for name in names:
        try:
            image = read_image(paths[name])
            (height, width), side = image.shape[:2], config.image_side
            if (height, width) != (side, side):
                reasons[name] = f"their image has {height}x{width} pixels"
                raise ValueError(f"{paths[name].name} is {height}x{width} pixels; the release has {side}x{side}")
        except KeyError:
            continue
        except (ValueError, OSError) as error:
            refused = ValueError(str(error))
            continue
        images[name] = image.astype(np.float32)
        moves[name] = "face" if np.ptp(image, axis=(0, 1)).any() else "nowhere"
    if not images:
        raise refused
    return _with_views(join_views(names, images, moves, reasons, still="their image is constant"), 0, "given")

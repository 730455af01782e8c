"""From a clip to its motion image: optical flow from onset to apex and the optical strain of it."""

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.clips import RawClip
from lightman_jax.data.faces import crop_face, face_box
from lightman_jax.data.images import grey_image, read_image, resize_image


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """How a clip becomes an image.

    Attributes:
      face_side: pixels of the square face on which flow is computed.
      image_side: H = W of the stored image.
    """

    face_side: int = 128
    image_side: int = 28


class MotionImage(NamedTuple):
    """`[H, W, 3]` float32 of u (right), v (down) and strain; the apex position used; how the face was found."""

    image: NDArray[np.float32]
    apex: int
    face: str


def motion_image(clip: RawClip, config: MotionConfig) -> MotionImage:
    """Compute, or read, the motion image of one clip.

    Frames give flow in pixels of a face `face_side` pixels wide, amplitude and sign kept. A picture of the public flow
    release is 8-bit and min-max scaled per clip: it is read as it is, 0..255.

    Args:
      clip: from a layout. Without an apex the frame halfway from onset to offset is taken (Choice: SMIC names none).
      config: sizes.

    Raises:
      ValueError: a file is no picture, or frames differ in size.
    """
    if clip.kind == "flow":
        picture = read_image(clip.paths[0])
        if picture.shape[:2] != (config.image_side, config.image_side):
            height, width = picture.shape[:2]
            side = config.image_side
            raise ValueError(f"{clip.paths[0].name} is {height}x{width} pixels; the release has {side}x{side}")
        return MotionImage(picture.astype(np.float32), 0, "given")
    apex = clip.apex if clip.apex is not None else (clip.onset + clip.offset) // 2
    first, second = read_image(clip.paths[clip.onset]), read_image(clip.paths[apex])
    if first.shape != second.shape:
        raise ValueError(f"{clip.paths[apex].name} is {second.shape[:2]}, the onset frame {first.shape[:2]} pixels")
    box = face_box(first, cropped=clip.cropped)
    side = config.face_side
    image = motion_between(crop_face(first, box, side), crop_face(second, box, side), config)
    return MotionImage(image, apex, box.finder if box else "given")


def motion_between(first: NDArray[np.uint8], second: NDArray[np.uint8], config: MotionConfig) -> NDArray[np.float32]:
    """Optical flow and strain from one picture of a face to another, `[image_side, image_side, 3]`.

    Args:
      first: `[side, side, 3]` uint8, for example the onset frame's face.
      second: the same of the apex frame.
      config: sizes.
    """
    flow = optical_flow(grey_image(first), grey_image(second))
    stacked = np.dstack([flow, optical_strain(flow)])
    return resize_image(stacked, config.image_side, config.image_side).astype(np.float32)


def optical_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Dense displacement from the first to the second frame by dense inverse search.

    Args:
      first: `[H, W]` uint8.
      second: `[H, W]` uint8.

    Returns:
      `[H, W, 2]` pixels: u to the right, v downwards.

    Reference: Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search"; OpenCV's medium preset.
    """
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return finder.calc(first, second, None)  # type: ignore[call-overload]


def optical_strain(flow: NDArray[np.floating]) -> NDArray[np.floating]:
    """Norm of the strain tensor, `sqrt(e_xx^2 + e_yy^2 + 2 e_xy^2)` with `e_xy = (u_y + v_x) / 2`.

    Args:
      flow: `[H, W, 2]` pixels.

    Returns:
      `[H, W]`, no unit; derivatives by central differences.

    Reference: the tensor norm. Choice: loaders of the field differ in the cross term.

    >>> y, x = np.mgrid[:4, :4].astype(float)
    >>> float(optical_strain(np.dstack([0.1 * x, 0.2 * y]))[1, 1].round(6))
    0.223607
    """
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)


def warp_image(image: NDArray[np.uint8], flow: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Move a picture by a displacement field, `out(x) = image(x - flow(x))`, linear, edges repeated.

    Args:
      image: `[H, W, 3]` uint8.
      flow: `[H, W, 2]` pixels.
    """
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    x, y = columns - flow[..., 0].astype(np.float32), rows - flow[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)

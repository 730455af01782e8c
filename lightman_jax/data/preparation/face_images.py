"""The input image of a movement from the faces of its frames: flow and strain, the apex, a change, or a sequence."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.preparation.motion_config import MotionConfig, Representation
from lightman_jax.data.vision.images import grey_image, resize_image
from lightman_jax.data.vision.optical_flow import magnify_motion, optical_flow, optical_strain

_CHANGES = ("flow", "difference", "dynamic")

RemoveHead = Callable[[NDArray[np.floating]], NDArray[np.float32]]
"""Removes what remains of the head from the flow `[side, side, 2]` between two faces."""


def in_channels(face: NDArray[np.uint8], config: MotionConfig) -> NDArray[np.uint8]:
    """A face `[side, side, 3]` in the channels of the representation, `[side, side]` if grey."""
    return face if config.channels == "rgb" else grey_image(face)


def image_of_faces(
    faces: list[NDArray[np.uint8]],
    numbers: tuple[int, ...],
    apex: int,
    config: MotionConfig,
    remove_head: RemoveHead | None = None,
) -> NDArray[np.float32]:
    """Representation of a movement from grey faces or colour ones, magnified and resized as configured.

    It is zero if nothing differs from the onset.
    """
    side = config.image_side
    used = places_used(len(faces), apex, config.representation)
    if config.representation in _CHANGES and all(np.array_equal(faces[place], faces[0]) for place in used):
        # The flow between equal images is not zero.
        return np.zeros(config.image_shape, np.float32)
    faces = magnify_motion(faces, config.magnify)
    if config.representation == "frames":
        return np.stack([_resized(one, side) for one in _in_time(faces, numbers, config.frame_count)])
    if config.representation == "dynamic":
        return _resized(_dynamic_image(faces[: apex + 1]), side)
    if config.representation == "flow":
        flow = optical_flow(faces[0], faces[apex], config.flow_method)
        flow = flow if remove_head is None else remove_head(flow)
        return _resized(np.dstack([flow, optical_strain(flow)]), side)
    reference = faces[0] if config.representation == "difference" else np.float32(0)
    return _resized(faces[apex].astype(np.float32) - reference, side)


def as_stored(image: NDArray[np.floating], config: MotionConfig) -> NDArray[Any]:
    """An image as `config.dtype`; whole numbers are rounded."""
    return (image if config.dtype.kind == "f" else np.rint(image)).astype(config.dtype)


def places_used(count: int, apex: int, representation: Representation) -> Sequence[int]:
    """Which of the faces from onset to offset a representation shows."""
    if representation == "frames":
        return range(count)
    return range(apex + 1) if representation == "dynamic" else (0, apex)


def _dynamic_image(faces: list[NDArray[np.uint8]]) -> NDArray[np.floating]:
    """Approximate rank pooling of the rise: `sum_t (2 t - T - 1) frame_t` over the sum of the positive weights, t from 1.

    Choice: onset to apex only, because a rise and a fall cancel out.
    Reference: Bilen et al. 2016, "Dynamic Image Networks for Action Recognition".
    """
    weights = 2.0 * np.arange(1, len(faces) + 1) - len(faces) - 1
    total = np.tensordot(weights, np.stack(faces).astype(np.float64), axes=1)
    # One frame has no rise.
    return total / max(weights[weights > 0].sum(), 1)


def _in_time(faces: list[NDArray[np.uint8]], numbers: tuple[int, ...], count: int) -> NDArray[np.floating]:
    """Images at evenly spaced times from onset to offset, interpolated linearly, so that dropped frames leave no jump."""
    times = np.linspace(numbers[0], numbers[-1], count)
    after = np.clip(np.searchsorted(numbers, times), 1, len(numbers) - 1)
    stamps, stack = np.asarray(numbers, np.float64), np.stack(faces).astype(np.float32)
    share = ((times - stamps[after - 1]) / (stamps[after] - stamps[after - 1])).astype(np.float32)
    share = share.reshape(-1, *[1] * (stack.ndim - 1))
    return (1 - share) * stack[after - 1] + share * stack[after]


def _resized(image: NDArray[np.floating], side: int) -> NDArray[np.float32]:
    return resize_image(image, side, side).reshape(side, side, -1).astype(np.float32)

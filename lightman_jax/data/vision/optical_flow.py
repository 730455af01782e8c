"""Dense optical flow by three methods, optical strain, warping and motion magnification."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

FlowMethod = Literal["farneback", "dis", "tvl1"]
FLOW_METHODS: tuple[FlowMethod, ...] = ("farneback", "dis", "tvl1")

_BLUR_SHARE = 1 / 24


def optical_flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], method: FlowMethod = "farneback"
) -> NDArray[np.float32]:
    """Dense displacement `[H, W, 2]` from the first to the second grey frame `[H, W]`: pixels, u to the right, v downwards.

    `farneback`: polynomial expansion (Farneback 2003), 3 levels, window 15. `dis`: dense inverse search (Kroeger et al.
    2016), OpenCV's medium preset. `tvl1`: total variation with an L1 data term (Zach et al. 2007) by scikit-image.

    Raises:
      ValueError: the method is unknown.

    Choice: the default recovers small movements best. Of fields of 0.3, 1 and 1.5 pixels on a face 128 pixels wide it estimates
      0.89, DIS (which stops at half the resolution) 0.62 to 0.67 and TV-L1 0.80 to 0.83; the README of `lightman_jax.data` has
      the errors and times.
    """
    if method == "dis":
        finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return finder.calc(first, second, None)  # type: ignore[call-overload]
    if method == "farneback":
        flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]
        return np.asarray(flow, np.float32)
    if method == "tvl1":
        from skimage.registration import optical_flow_tvl1

        rows, columns = optical_flow_tvl1(first, second, dtype=np.float32)
        return np.dstack([columns, rows])
    raise ValueError(f"flow method {method!r} is unknown; choose one of {', '.join(FLOW_METHODS)}")


def optical_strain(flow: NDArray[np.floating]) -> NDArray[np.floating]:
    """Norm of the strain tensor, `sqrt(e_xx^2 + e_yy^2 + 2 e_xy^2)` with `e_xy = (u_y + v_x) / 2`.

    `[H, W]`, dimensionless, from a flow `[H, W, 2]` in pixels; derivatives by central differences.

    Choice: the Frobenius norm; published loaders differ in the cross term.

    >>> y, x = np.mgrid[:4, :4].astype(float)
    >>> float(optical_strain(np.dstack([0.1 * x, 0.2 * y]))[1, 1].round(6))
    0.223607
    """
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)


def warp_image(image: NDArray[np.uint8], flow: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Warp an image by `[H, W, 2]` pixels, `out(x) = image(x - flow(x))`, with linear interpolation and repeated edges."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    x, y = columns - flow[..., 0].astype(np.float32), rows - flow[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def magnify_motion(frames: Sequence[NDArray[np.uint8]], factor: float) -> list[NDArray[np.uint8]]:
    """Linear Eulerian magnification: multiply the spatially smooth change of each pixel since the onset by a factor.

    `out_t = frame_t + (factor - 1) * blur(frame_t - frame_0)`, clipped to 0..255, of grey frames `[H, W]` from the onset on.

    Reference: Wu et al. 2012, "Eulerian Video Magnification". Choice: a clip that begins at its onset has no slow drift to filter
      out, so the temporal band is everything but the onset; one spatial scale, 1/24 of the face, suppresses sensor noise.
    """
    if factor == 1:
        return list(frames)
    onset = frames[0].astype(np.float32)
    sigma = frames[0].shape[0] * _BLUR_SHARE / 2
    moved = [frame.astype(np.float32) for frame in frames]
    blurred = [cv2.GaussianBlur(frame - onset, (0, 0), sigma) for frame in moved]
    return [
        np.clip(frame + (factor - 1) * change, 0, 255).round().astype(np.uint8)
        for frame, change in zip(moved, blurred, strict=True)
    ]

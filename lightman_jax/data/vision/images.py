"""Read, write and resize images. OpenCV's BGR order is converted to RGB here and in `video`, nowhere else."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.trees import MAX_IMAGE_PIXELS

try:
    import cv2
except ImportError as error:  # The wheel needs the system's libGL, which servers often lack.
    raise ImportError(
        f"OpenCV does not load ({error}). If libGL is missing, install it (Debian: apt-get install libgl1) "
        "or use the headless build: pip uninstall opencv-python && pip install opencv-python-headless"
    ) from error


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image to `[H, W, 3]` uint8 RGB.

    Raises:
      ValueError: the file is empty, is not an image, or exceeds `MAX_IMAGE_PIXELS`.
    """
    # Not cv2.imread: it prints to the terminal on failure and cannot open every path on every system.
    data = np.fromfile(path, dtype=np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:
        raise ValueError(f"{path.name} has more than {MAX_IMAGE_PIXELS} pixels, or is damaged") from error
    if image is None:
        raise ValueError(f"{path.name} is not an image that OpenCV can decode ({data.size} bytes)")
    return np.ascontiguousarray(image[:, :, ::-1])


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Encode `[H, W, 3]` uint8 RGB in the format of the path's suffix."""
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[:, :, ::-1]))
    if not encoded:
        raise OSError(f"{path} could not be encoded as {path.suffix}")
    path.write_bytes(data.tobytes())


def resize_image(image: NDArray, height: int, width: int) -> NDArray:
    """Resize `[H, W, ...]` by area averaging when shrinking, linearly when growing."""
    shrinking = image.shape[0] >= height and image.shape[1] >= width
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), image.dtype)


def grey_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luminance `[H, W]` of `[H, W, 3]`."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

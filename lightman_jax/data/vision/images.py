"""Read, write and resize images. OpenCV's BGR order is converted to RGB here and in `video`, nowhere else."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.folders.trees import MAX_IMAGE_PIXELS

try:
    import cv2
except ImportError as error:  # The wheel needs the system's libGL, which servers often lack.
    raise ImportError(
        f"OpenCV does not load ({error}). If libGL is missing, install it (Debian: apt-get install libgl1) "
        "or use the headless build: pip uninstall opencv-python && pip install opencv-python-headless"
    ) from error

from lightman_jax.data.vision.image_depth import decode_page, deep_page, stated_white, white_value


class StoredImage(NamedTuple):
    """A decoded image of any depth.

    Attributes:
      values: `[H, W, 3]` RGB as stored, upright.
      white: the value that is white, see `white_value`; 255 for 8-bit images.
    """

    values: NDArray[Any]
    white: float


def decode_image(data: bytes) -> StoredImage:
    """Decode the content of an image file of any depth, rotated as its metadata specify.

    Raises:
      ValueError: it is empty, is not an image, exceeds `MAX_IMAGE_PIXELS`, or stores something other than brightness.

    Choice: transparent areas are black, whatever colours they hide. Transparency that is the same everywhere is ignored.
    """
    stated, page = 0.0, deep_page(data)
    try:
        if page is not None:
            stored = decode_page(data, page)
            stated = stated_white(page, stored.dtype)
            values = stored[..., :3] if stored.shape[2] > 2 else np.repeat(stored[..., :1], 3, axis=2)
            alpha = stored[..., -1] if stored.shape[2] in (2, 4) else None
        else:
            # Not cv2.imread: it prints to the terminal on failure and cannot open every path on every system.
            buffer = np.frombuffer(data, np.uint8)
            image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data else None
            if image is None:
                raise ValueError(f"{len(data)} bytes that OpenCV cannot decode")
            values, alpha = cv2.cvtColor(image, cv2.COLOR_BGR2RGB), _transparency(data)
    except cv2.error as error:
        raise ValueError(f"more than {MAX_IMAGE_PIXELS} pixels, or damaged") from error
    if values.dtype != np.uint8 and not (np.isfinite(values).all() and values.min() >= 0):
        raise ValueError(f"{values.dtype} values below 0 or not finite; save brightness as values from 0")
    if alpha is not None and alpha.min() < alpha.max():
        shown = values * (alpha / alpha.max())[..., None]
        values = np.asarray(shown if values.dtype.kind == "f" else np.rint(shown), values.dtype)
    return StoredImage(np.ascontiguousarray(values), white_value(data, values, stated))


def load_image(path: Path) -> StoredImage:
    """Decode an image file without scaling; errors as `decode_image`, with the name of the file."""
    try:
        return decode_image(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name} is not an image that can be used: {error}") from error


def eight_bits(image: StoredImage, white: float) -> NDArray[np.uint8]:
    """Scale an image to `[H, W, 3]` uint8, so that `white` and all above it becomes 255."""
    if image.values.dtype == np.uint8 and white == 255:
        return image.values
    return np.clip(np.rint(image.values * (255 / white)), 0, 255).astype(np.uint8)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decode an image to `[H, W, 3]` uint8 RGB, scaled by its own `white`; errors as `load_image`.

    The images of one clip are scaled together: see `read_clip_images`.
    """
    image = load_image(path)
    return eight_bits(image, image.white)


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


def _transparency(data: bytes) -> NDArray[np.uint8] | None:
    """`[H, W]`, upright, 0 where an image is transparent; None if it is opaque."""
    if data.startswith(b"\xff\xd8"):
        return None  # JPEG.
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            if not image.has_transparency_data:
                return None
            return np.asarray(ImageOps.exif_transpose(image).convert("RGBA").getchannel("A"))
    except Image.UnidentifiedImageError:
        return None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its transparency cannot be decoded ({error})") from error

"""TIFF images whose values are deeper than 8 bits: integers of 10 to 32 bits, and floats."""

import io
import logging
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.trees import MAX_IMAGE_PIXELS
from lightman_jax.data.vision.image_depth import next_range

if TYPE_CHECKING:
    from tifffile import TiffPage

# Damaged files are reported by exceptions alone.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_SIGNATURES = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
_BLACK_IS_ZERO, _RGB = 1, 2
_UNSIGNED, _UNDEFINED = 1, 4
_ORIENTATION, _MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 274, 281, 341


def deep_page(data: bytes) -> "TiffPage | None":
    """The first image of a TIFF file if its values are deeper than 8 bits or have a sign; None for all other files."""
    if not data.startswith(_SIGNATURES):
        return None
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            return None if page.bitspersample <= 8 and page.sampleformat in (_UNSIGNED, _UNDEFINED) else page
    except Exception:
        return None  # Damaged; OpenCV decides.


def decode_page(data: bytes, page: "TiffPage") -> NDArray[Any]:
    """Decode to `[H, W, C]` as stored, upright: grey, grey and alpha, RGB or RGBA.

    Raises:
      ValueError: the page is damaged, or stores something other than brightness from black.
      cv2.error: it exceeds `MAX_IMAGE_PIXELS`.
    """
    if page.photometric not in (_BLACK_IS_ZERO, _RGB):
        raise ValueError(f"a TIFF image of {page.bitspersample} bits whose values are not brightness; save it as RGB")
    interleaved = page.samplesperpixel in (1, 3, 4) and (page.samplesperpixel == 1 or page.planarconfig == 1)
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if interleaved else None
    if values is not None:
        # OpenCV shifts packed values of 10, 12 and 14 bits.
        if page.bitspersample < 16:
            values = values.astype(np.uint16) >> np.uint16(16 - page.bitspersample)
        return values[..., None] if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]
    import tifffile

    orientation = page.tags.get(_ORIENTATION)
    try:
        if page.imagewidth * page.imagelength > MAX_IMAGE_PIXELS or (orientation and orientation.value != 1):
            raise ValueError("too large, or stored in another orientation")
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            values = file.pages.first.asarray()
    except Exception as error:
        raise ValueError(f"a TIFF image of {page.bitspersample} bits that cannot be decoded ({error})") from error
    values = np.moveaxis(values, 0, -1) if page.planarconfig == 2 and values.ndim == 3 else values
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] > 4:
        raise ValueError(f"a TIFF image of shape {values.shape}; save it as grey or RGB")
    return values


def stated_white(page: "TiffPage", dtype: np.dtype) -> float:
    """The value that is white by the tags of the file; 0 if they do not state it."""
    if page.bitspersample < 16:
        return float((1 << page.bitspersample) - 1)
    tags = [page.tags.get(code) for code in (_MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE)]
    greatest = max((float(np.max(tag.value)) for tag in tags if tag is not None), default=0.0)
    # The tag may hold the largest value of this image alone.
    return next_range(greatest, dtype) if greatest > 0 else 0.0

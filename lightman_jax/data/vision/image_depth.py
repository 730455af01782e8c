"""Depth of images: the stored value that is white, and TIFF images deeper than 8 bits (integers of 10 to 32 bits, and floats)."""

import io
import logging
import re
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.folders.trees import MAX_IMAGE_PIXELS

if TYPE_CHECKING:
    from tifffile import TiffPage

# Damaged files are reported by exceptions alone.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_JPEG_2000_SIZE = b"\xff\x4f\xff\x51"
# Bytes from the start of the code stream to the depth of its first component.
_JPEG_2000_DEPTH = 42
_OVERSHOOT = 1.05
_WHOLE_RANGE = 65535.0
_SIGNATURES = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")
_BLACK_IS_ZERO, _RGB = 1, 2
_UNSIGNED, _UNDEFINED = 1, 4
_ORIENTATION, _MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 274, 281, 341


def white_value(data: bytes, values: NDArray[Any], stated: float = 0.0) -> float:
    """The stored value that is white.

    Args:
      data: the file. `sBIT` of PNG, the maximum of PGM and PPM, and the precision of JPEG 2000 count.
      values: the decoded image as stored.
      stated: the same by other metadata; 0 if unknown.

    Choice: without metadata, the next power of two above the largest value, minus one, and at least 255, so that 12-bit values
      in 16-bit files have their real range. A header that states 16 bits is no evidence: most writers state nothing else. Floats
      may also be 0..1.
    """
    signature = data[:2]
    # OpenCV scales 8-bit values of PGM and PPM that are stored as text, and no others.
    if values.dtype == np.uint8 and signature not in (b"P5", b"P6"):
        return 255.0
    greatest = float(values.max())
    if signature in (b"P2", b"P3", b"P5", b"P6"):
        header = re.match(rb"P\d\s+\d+\s+\d+\s+(\d{1,5})\s", re.sub(rb"#[^\n]*", b"", data[:4096]))
        stated = float(header.group(1)) if header else 0.0
    elif bits := _significant_bits(data):
        stated = float((1 << bits) - 1)
        if greatest > stated:
            return _WHOLE_RANGE  # Scaled to 16 bits, as the standard demands; other writers store the bits as they are.
    elif (start := data.find(_JPEG_2000_SIZE, 0, 4096)) >= 0:
        stated = float((2 << (data[start + _JPEG_2000_DEPTH] & 0x7F)) - 1)
    return stated if stated and greatest <= stated < _WHOLE_RANGE else next_range(greatest, values.dtype)


def next_range(greatest: float, dtype: np.dtype) -> float:
    """The range of images whose largest value is `greatest`."""
    if np.issubdtype(dtype, np.floating):
        # Interpolation overshoots a little.
        greatest /= _OVERSHOOT
        if greatest < 2:
            return 1.0
    return float((1 << max(8, int(greatest).bit_length())) - 1)


def _significant_bits(data: bytes) -> int:
    """Bits by the chunk `sBIT` of a PNG file; 0 if unknown."""
    if not data.startswith(b"\x89PNG"):
        return 0
    chunk = re.search(rb"\0\0\0[\x01-\x04]sBIT([\x01-\x10]{1,4})", data[: data.find(b"IDAT")])
    return max(chunk.group(1)) if chunk else 0


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

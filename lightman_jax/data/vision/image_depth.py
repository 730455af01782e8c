"""The value of full brightness in an image file: by its header, else by its largest value."""

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_JPEG_2000_SIZE = b"\xff\x4f\xff\x51"
# Bytes from the start of the code stream to the depth of its first component.
_JPEG_2000_DEPTH = 42
_MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 281, 341
_OVERSHOOT = 1.05


def full_brightness(data: bytes, values: NDArray[Any]) -> float:
    """The stored value that is white.

    A header that states the depth counts: `sBIT` of PNG, the maximum of PGM and PPM, the precision of JPEG 2000, and
    `MaxSampleValue` of TIFF. Otherwise 12-bit values in 16-bit files are recognised by the largest value.

    Args:
      data: the file.
      values: the decoded image, 8-bit or deeper, as stored.
    """
    if data.startswith((b"P5", b"P6")) or (data.startswith((b"P2", b"P3")) and values.dtype != np.uint8):
        # OpenCV scales 8-bit values that are stored as text, and no others.
        header = re.match(rb"P\d\s+\d+\s+\d+\s+(\d+)", re.sub(rb"#[^\n]*", b"", data[:4096]))
        return float(header.group(1)) if header and 0 < int(header.group(1)) < 1 << 16 else _range_of(values)
    if values.dtype == np.uint8:
        return 255.0
    if data.startswith(b"\x89PNG"):
        return _png_range(data, values)
    if (start := data.find(_JPEG_2000_SIZE, 0, 4096)) >= 0:
        return float((2 << (data[start + _JPEG_2000_DEPTH] & 0x7F)) - 1)
    return _tiff_range(data, values) if data.startswith((b"II", b"MM")) else _range_of(values)


def _png_range(data: bytes, values: NDArray[Any]) -> float:
    """Some writers store the significant bits as they are; others scale them to 16 bits, as the standard demands."""
    significant = re.search(rb"\0\0\0[\x01-\x04]sBIT([\x01-\x10]{1,4})", data[: data.find(b"IDAT")])
    if not significant:
        return _range_of(values)
    peak = (1 << max(significant.group(1))) - 1
    return float(peak) if values.max() <= peak else 65535.0


def _tiff_range(data: bytes, values: NDArray[Any]) -> float:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if page.bitspersample < 16:
            return 65535.0  # OpenCV shifts packed values of 10, 12 and 14 bits.
        stated = [page.tags[code].value for code in (_MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE) if code in page.tags]
    greatest = float(np.max(stated)) if stated else 0.0
    # The tag may hold the largest value of this image alone.
    return _range_of(np.asarray(greatest, values.dtype)) if greatest >= values.max() else _range_of(values)


def _range_of(values: NDArray[Any]) -> float:
    """The next power of two above the largest value, minus one, and at least 255; floats may also be 0..1."""
    greatest = float(values.max())
    if np.issubdtype(values.dtype, np.floating):
        # Interpolation overshoots a little.
        greatest /= _OVERSHOOT
        if greatest < 2:
            return 1.0
    return float((1 << max(8, int(greatest).bit_length())) - 1)

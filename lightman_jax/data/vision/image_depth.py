"""The stored value that is white: by the header of an image file, else by its largest value."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_JPEG_2000_SIZE = b"\xff\x4f\xff\x51"
# Bytes from the start of the code stream to the depth of its first component.
_JPEG_2000_DEPTH = 42
_OVERSHOOT = 1.05
_WHOLE_RANGE = 65535.0


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
    greatest, signature = float(values.max()), data[:2]
    if signature in (b"P5", b"P6") or (signature in (b"P2", b"P3") and values.dtype != np.uint8):
        # OpenCV scales 8-bit values that are stored as text, and no others.
        header = re.match(rb"P\d\s+\d+\s+\d+\s+(\d{1,5})\s", re.sub(rb"#[^\n]*", b"", data[:4096]))
        stated = float(header.group(1)) if header else 0.0
    elif values.dtype == np.uint8:
        return 255.0
    elif bits := _significant_bits(data):
        stated = float((1 << bits) - 1)
        if greatest > stated:
            return _WHOLE_RANGE  # Scaled to 16 bits, as the standard demands; other writers store the bits as they are.
    elif (start := data.find(_JPEG_2000_SIZE, 0, 4096)) >= 0:
        stated = float((2 << (data[start + _JPEG_2000_DEPTH] & 0x7F)) - 1)
    return stated if greatest <= stated < _WHOLE_RANGE else next_range(greatest, values.dtype)


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

"""Where the face is: found once per clip, on the onset frame, and used for all its frames.

A box found anew in every frame would jitter by more than a micro-expression moves.
"""

import functools
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.images import grey_image, resize_image

Finder = Literal["given", "cascade", "centre"]

_SEARCH_SIDE = 320
_CENTRE_SHARE = 0.6


class FaceBox(NamedTuple):
    """A square in pixels and how it was found: `given` (cropped pictures), `cascade`, or `centre` as a last resort."""

    top: int
    left: int
    side: int
    finder: Finder


def face_box(image: NDArray[np.uint8], *, cropped: bool, given: tuple[int, int, int] | None = None) -> FaceBox | None:
    """Find the face in a clip's onset frame.

    Args:
      image: `[H, W, 3]` uint8.
      cropped: the picture shows the face alone; None is returned and the whole picture used.
      given: `(top, left, side)` from the corpus; it wins, moved and cut to what lies in the picture.

    Returns:
      The given square, else the largest face of scikit-image's local-binary-pattern cascade, else the centred
      square of 60% of the shorter side.
    """
    if cropped:
        return None
    height, width = image.shape[:2]
    if given is not None:
        side = max(2, min(given[2], height, width))
        top, left = (max(0, min(place, most - side)) for place, most in zip(given[:2], (height, width), strict=True))
        return FaceBox(top, left, side, "given")
    scale = min(1.0, _SEARCH_SIDE / max(height, width))
    small = resize_image(grey_image(image), max(1, round(height * scale)), max(1, round(width * scale)))
    smallest = max(24, min(small.shape) // 8)
    found = _cascade().detect_multi_scale(
        img=small, scale_factor=1.1, step_ratio=1, min_size=(smallest, smallest), max_size=(min(small.shape),) * 2
    )
    if found:
        face = max(found, key=lambda item: item["width"])
        side = min(round(face["width"] / scale), height, width)
        top, left = round(face["r"] / scale), round(face["c"] / scale)
        return FaceBox(min(top, height - side), min(left, width - side), side, "cascade")
    side = max(2, round(_CENTRE_SHARE * min(height, width)))
    return FaceBox((height - side) // 2, (width - side) // 2, side, "centre")


def crop_face(image: NDArray[np.uint8], box: FaceBox | None, side: int) -> NDArray[np.uint8]:
    """Cut the box (None takes the whole picture) and resize it to `[side, side, 3]`."""
    cut = image if box is None else image[box.top : box.top + box.side, box.left : box.left + box.side]
    return resize_image(cut, side, side)


@functools.cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())

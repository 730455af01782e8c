"""Where the face is: found once per clip, on the onset frame, and used for all its frames.

A box found anew in every frame would jitter by more than a micro-expression moves. A face that was searched for is cut as the
public flow release and the stand-in are: brows at 0.21 of the square's side, eyes at a third, corners of the mouth at 0.7.
"""

import functools
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.images import grey_image, resize_image

Finder = Literal["given", "cascade", "centre"]

_SEARCH_SIDE = 320
_CENTRE_SHARE = 0.6
# The cascade's square begins at the forehead and ends at the lower lip, with eyes at 0.39 and mouth at 0.82 of it.
_GROWTH = 1.2


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
      The given square, else the largest of `find_faces`, else the centred square of 60% of the shorter side.
    """
    if cropped:
        return None
    height, width = image.shape[:2]
    if given is not None:
        side = max(2, min(given[2], height, width))
        top, left = (max(0, min(place, most - side)) for place, most in zip(given[:2], (height, width), strict=True))
        return FaceBox(top, left, side, "given")
    found = find_faces(image)
    if found:
        return found[0]
    side = max(2, round(_CENTRE_SHARE * min(height, width)))
    return FaceBox((height - side) // 2, (width - side) // 2, side, "centre")


def find_faces(image: NDArray[np.uint8]) -> list[FaceBox]:
    """All upright faces that scikit-image's local-binary-pattern cascade finds, the largest first.

    Args:
      image: `[H, W, 3]` uint8; it is searched at 320 pixels on its longer side, for faces from an eighth of its shorter side up.

    Returns:
      Squares from the forehead to below the mouth, cut to what lies in the picture.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SEARCH_SIDE / max(height, width))
    small = resize_image(grey_image(image), max(1, round(height * scale)), max(1, round(width * scale)))
    smallest = max(24, min(small.shape) // 8)
    found = _cascade().detect_multi_scale(
        img=small, scale_factor=1.1, step_ratio=1, min_size=(smallest, smallest), max_size=(min(small.shape),) * 2
    )
    boxes: list[FaceBox] = []
    for face in sorted(found, key=lambda item: item["width"], reverse=True):
        side = min(round(_GROWTH * face["width"] / scale), height, width)
        top, left = face["r"] / scale, face["c"] / scale - (side - face["width"] / scale) / 2
        top, left = (max(0, min(round(place), most - side)) for place, most in ((top, height), (left, width)))
        box = FaceBox(top, left, side, "cascade")
        # A square within a larger one is a part of the same face.
        if not any(_holds_middle(larger, box) for larger in boxes):
            boxes.append(box)
    return boxes


def _holds_middle(larger: FaceBox, box: FaceBox) -> bool:
    row, column = box.top + box.side / 2 - larger.top, box.left + box.side / 2 - larger.left
    return 0 <= row <= larger.side and 0 <= column <= larger.side


def crop_face(image: NDArray[np.uint8], box: FaceBox | None, side: int) -> NDArray[np.uint8]:
    """Cut the box (None takes the whole picture) and resize it to `[side, side, 3]`."""
    cut = image if box is None else image[box.top : box.top + box.side, box.left : box.left + box.side]
    return resize_image(cut, side, side)


@functools.cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())

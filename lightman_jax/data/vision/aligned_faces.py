"""The faces of a clip's frames without head motion: each frame aligned to the first by landmarks that are followed from there."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import Landmarks, follow_landmarks, region_of
from lightman_jax.data.vision.faces import FaceBox, crop_face, landmarks_of_square
from lightman_jax.data.vision.head_motion import AlignedFace, HeadMotion, RestFace

_STILL = HeadMotion()
_MOVED = 0.05


class AlignedFaces(NamedTuple):
    """Faces aligned to the first one.

    Attributes:
      rest: the first face.
      frames: of every frame, the first among them.
    """

    rest: RestFace
    frames: tuple[AlignedFace, ...]


def align_faces(images: Sequence[NDArray[np.uint8]], box: FaceBox, side: int) -> AlignedFaces | None:
    """Align the face of a box to the first frame; None if its landmarks are not found there or are lost in a later frame.

    Args:
      images: `[H, W, 3]` uint8, in the order of time.
      box: of the face in the first frame; also its crop.
      side: side of the aligned faces in pixels.

    Frames that are equal within the box have equal results, so that a still face stays still.
    """
    upright = [np.ascontiguousarray(np.rot90(image, box.rotation)) for image in images]
    found = landmarks_of_square(upright[0], box.square)
    if found is None:
        return None
    rest = RestFace(upright[0], found, side, box.square)
    known = {crop_face(images[0], box, side).tobytes(): AlignedFace(rest.face, _STILL, np.zeros(2))}
    frames = []
    for image, upright_image in zip(images, upright, strict=True):
        crop = crop_face(image, box, side).tobytes()
        if crop not in known:
            found = _followed(upright_image, found)
            if found is None:
                return None
            known[crop] = rest.align(upright_image, found)
        frames.append(known[crop])
    return AlignedFaces(rest, tuple(frames))


def _followed(image: NDArray[np.uint8], last: Landmarks) -> Landmarks | None:
    """Landmarks from those in another frame; found once more where the face has moved, since they depend on their region."""
    found = follow_landmarks(image, last)
    if found is None:
        return None
    old, new = region_of(last.points), region_of(found.points)
    moved = np.hypot(new.x - old.x, new.y - old.y) + abs(new.side - old.side)
    return follow_landmarks(image, found) if moved > _MOVED * old.side else found

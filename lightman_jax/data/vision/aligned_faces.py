"""The faces of a clip's frames without head motion: each frame aligned to the first by landmarks that are followed from there."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import Landmarks, Region, follow_landmarks, landmarks_in, region_of
from lightman_jax.data.vision.faces import FaceBox, crop_face
from lightman_jax.data.vision.head_motion import AlignedFace, HeadMotion, RestFace

_GROWTHS = (1.4, 0.8)
_STILL = HeadMotion(0.0, 0.0, 0.0, 1.0, 0.0)
_MOVED = 0.05


class AlignedFaces(NamedTuple):
    """Faces aligned to the first one.

    Attributes:
      rest: the first face.
      frames: of every frame, the first among them.
    """

    rest: RestFace
    frames: tuple[AlignedFace, ...]

    def without_head(self, flow: NDArray[np.floating], first: int, second: int) -> NDArray[np.float32]:
        """Remove from the flow `[side, side, 2]` between two of the faces what remains of the head."""
        return self.rest.without_head(flow, self.frames[second].per_depth - self.frames[first].per_depth)


def align_faces(images: Sequence[NDArray[np.uint8]], box: FaceBox, side: int) -> AlignedFaces | None:
    """Align the face of a box to the first frame; None if its landmarks are not found there or are lost in a later frame.

    Args:
      images: `[H, W, 3]` uint8, in the order of time.
      box: of the face in the first frame; also its crop.
      side: side of the aligned faces in pixels.

    Frames that are equal within the box have equal results, so that a still face stays still.
    """
    upright = [np.ascontiguousarray(np.rot90(image, box.rotation)) for image in images]
    found = landmarks_of_box(upright[0], box.square)
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


def landmarks_of_box(image: NDArray[np.uint8], square: Region) -> Landmarks | None:
    """Landmarks of the face in a square that is about the crop of a face; None if it shows none.

    Choice: the region of the landmarks is 1.38 times `face_square` on photographs, rendered heads and videos (1.32 to 1.48). In
      1.4 times the square and, from there, in their own region they differ by 0.1 pixels of a face 128 wide from those found again and
      again, and by 0.2 if the square is off by 15% of its side. A square of twice the size is searched at 0.8 times its side.
    """
    for growth in _GROWTHS:
        found = landmarks_in(image, square._replace(side=growth * square.side))
        if found is not None:
            return follow_landmarks(image, found)
    return None


def _followed(image: NDArray[np.uint8], last: Landmarks) -> Landmarks | None:
    """Landmarks from those in another frame, found once more where the face has moved, since their region decides on their accuracy."""
    found = follow_landmarks(image, last)
    if found is None:
        return None
    old, new = region_of(last.points), region_of(found.points)
    moved = np.hypot(new.x - old.x, new.y - old.y) + abs(new.side - old.side)
    return follow_landmarks(image, found) if moved > _MOVED * old.side else found

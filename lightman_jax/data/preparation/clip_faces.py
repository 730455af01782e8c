"""Faces of the frames of a clip: cropped by the box of its onset frame, and aligned to that frame where landmarks are found."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.aligned_faces import align_faces
from lightman_jax.data.vision.faces import clip_box, crop_face
from lightman_jax.data.vision.images import grey_image

WithoutHead = Callable[[NDArray[np.floating], int, int], NDArray[np.float32]]
"""Removes what remains of the head from the flow `[side, side, 2]` between two faces, given their positions."""

_STILL_PIXELS = 1.0


class ClipFaces(NamedTuple):
    """Images of a movement by the positions of their frames, from 0.

    Attributes:
      faces: `[side, side, 3]`, aligned to the onset if `without_head` is known.
      crops: the faces as they are in the box, grey `[side, side]`.
      images: whole frames.
      finder: source of the box.
      without_head: None if the faces are not aligned.
      still: whether the head does not move, so that there is nothing to align.
    """

    faces: Mapping[int, NDArray[np.uint8]]
    crops: Mapping[int, NDArray[np.uint8]]
    images: Mapping[int, NDArray[np.uint8]]
    finder: str = "given"
    without_head: WithoutHead | None = None
    still: bool = False


def clip_faces(clip: RawClip, images: Mapping[int, NDArray[np.uint8]], side: int, *, align: bool) -> ClipFaces:
    """Faces of some frames of a clip, the onset first.

    Args:
      clip: the clip.
      images: `[H, W, 3]` uint8 by position.
      side: side of the faces in pixels.
      align: align them to the onset if the images show more than the face, and its landmarks are found in each.

    Choice: a head that moves by less than a pixel of a face 128 wide is still. Alignment takes a third of a field of 1 pixel
      with it, more than such a motion adds.
    """
    shown = list(images.values())
    box = clip_box(clip, shown[0])
    faces = {place: crop_face(image, box, side) for place, image in images.items()}
    crops = {place: grey_image(face) for place, face in faces.items()}
    finder = box.finder if box else "given"
    searched = align and box is not None and box.finder != "centre" and len(shown) > 1
    aligned = align_faces(shown, box, side) if searched and box else None
    if aligned is None:
        return ClipFaces(faces, crops, images, finder)
    if max(one.motion.pixels for one in aligned.frames) < _STILL_PIXELS:
        return ClipFaces(faces, crops, images, finder, still=True)
    at = dict(zip(images, aligned.frames, strict=True))
    faces = {place: one.face for place, one in at.items()}

    def without_head(flow: NDArray[np.floating], first: int, second: int) -> NDArray[np.float32]:
        return aligned.rest.without_head(flow, at[second].per_depth - at[first].per_depth)

    return ClipFaces(faces, crops, images, finder, without_head)

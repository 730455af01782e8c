"""The one face of a frame, upright and well visible, or why there is none."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.faces import FaceBox, crop_face, face_box, find_faces
from lightman_jax.data.vision.images import grey_image

Whole = Literal["whole"]
WHOLE: Whole = "whole"
"""In place of a face's square: every frame shows the face alone."""

_SECOND_FACE = 0.6


class Visibility(NamedTuple):
    """What a face must have, or it is too poor to be looked at.

    Attributes:
      side: pixels of the square that is cut out.
      least_face: its smallest side in the frame, pixels.
      least_light: its smallest mean grey level, of 255.
      least_contrast: the smallest sd of its grey levels.
    """

    side: int = 128
    least_face: int = 48
    least_light: float = 20.0
    least_contrast: float = 6.0


class VisibleFace(NamedTuple):
    """Where a face is.

    Attributes:
      box: its square in the frame once turned; None is the whole frame.
      turned: quarter turns to the left that set it upright.
      why: why it cannot be looked at; empty if it can.
    """

    box: FaceBox | None
    turned: int
    why: str

    @property
    def visible(self) -> bool:
        """Whether it can be looked at."""
        return not self.why


def visible_face(
    frame: NDArray[np.uint8],
    least: Visibility,
    *,
    given: FaceBox | Whole | None = None,
    turned: int = 0,
) -> VisibleFace:
    """Find the one face of a frame.

    Args:
      frame: `[H, W, 3]` uint8.
      least: what it must have.
      given: where it is; None searches all four quarter turns.
      turned: the turn that is tried first.

    Choice: of faces at several turns the largest is taken, since hair and collars are now and then taken for a small face upside
      down. A second face of 60% of the largest one's side is another person.
    """
    if given is not None:
        square = None if given == WHOLE else given[:3]
        box = face_box(frame, cropped=given == WHOLE, given=square)
        return VisibleFace(box, 0, _poor(frame, box, least))
    tried = []
    for turn in (turned, *(turn for turn in range(4) if turn != turned)):
        upright = np.ascontiguousarray(np.rot90(frame, turn))
        tried.append((turn, upright, find_faces(upright)))
    # Of faces of one size the one at the first turn.
    turn, upright, faces = max(tried, key=lambda one: one[2][0].side if one[2] else 0)
    if not faces:
        light = grey_image(frame).mean()
        if light < least.least_light:
            return VisibleFace(None, 0, f"too dark to find a face (mean grey level {light:.0f} of 255); light it")
        return VisibleFace(
            None, 0, "no face was found; show it from the front, or type --face=TOP,LEFT,SIDE or --face=whole"
        )
    if len(faces) > 1 and faces[1].side >= _SECOND_FACE * faces[0].side:
        places = " or ".join(f"--face={face.top},{face.left},{face.side}" for face in faces)
        return VisibleFace(None, turn, f"{len(faces)} faces; choose one of them: {places}")
    return VisibleFace(faces[0], turn, _poor(upright, faces[0], least))


def _poor(frame: NDArray[np.uint8], box: FaceBox | None, least: Visibility) -> str:
    """Why a face is too poor to be looked at; empty if it is not."""
    side = min(frame.shape[:2]) if box is None else box.side
    if side < least.least_face:
        return f"the face is {side} pixels wide; film it at {least.least_face} or more"
    grey = grey_image(crop_face(frame, box, least.side))
    if grey.mean() < least.least_light:
        return f"the face is too dark (mean grey level {grey.mean():.0f} of 255); light it"
    if grey.std() < least.least_contrast:
        return f"the face has no contrast (sd {grey.std():.1f} grey levels); light and focus it"
    return ""

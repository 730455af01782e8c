"""Face detection: the box of a face, its crop, and whether it is visible well enough.

A clip has one box, found in its onset frame: boxes detected per frame jitter by more than a micro-expression moves. Detected
faces are cropped like those of the public flow release and the stand-in: brows at 0.21 of the side, eyes at 0.33, mouth corners
at 0.7. By landmarks the crop lies along the line of the eyes.
"""

import functools
from typing import Any, Literal, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.face_landmarks import (
    Landmarks,
    Region,
    find_landmarks,
    follow_landmarks,
    landmarks_in,
    overlap,
)
from lightman_jax.data.vision.face_points import face_square
from lightman_jax.data.vision.images import grey_image, resize_image

Finder = Literal["given", "landmarks", "cascade", "centre"]

Whole = Literal["whole"]
WHOLE: Whole = "whole"
"""In place of a box: every frame shows the face alone."""

_SEARCH_SIDE = 320
_CENTRE_SHARE = 0.6
# The cascade's square runs from the forehead to the lower lip, with the eyes at 0.39 of its side and the mouth at 0.82.
_GROWTH = 1.2
_SECOND_FACE = 0.6
# Detections in neighbouring windows: the default of scikit-image, and enough to turn the image.
_DETECTIONS, _CLEAR_DETECTIONS, _NEIGHBOURING_SIZE = 4, 8, 0.6
_SMALLEST, _SMALLEST_SHARE, _UPRIGHT, _SAME_FACE = 24, 1 / 8, np.pi / 4, 0.6
_REGION_GROWTHS = (1.4, 0.8)


class FaceBox(NamedTuple):
    """A square in pixels.

    Attributes:
      top, left, side: the square, in the rotated frame.
      finder: its source: `given` (annotated or cropped images), `landmarks` or `cascade` (detected), or `centre` (fallback).
      rotation: counter-clockwise quarter turns that make the frame upright.
      angle: of the line of the eyes in the rotated frame, in radians; the square is rotated by it around its center.
    """

    top: int
    left: int
    side: int
    finder: Finder
    rotation: int = 0
    angle: float = 0.0

    @property
    def square(self) -> Region:
        """Center, side and angle in the rotated frame; pixel centers are whole numbers."""
        return Region(self.left + (self.side - 1) / 2, self.top + (self.side - 1) / 2, self.side, self.angle)


def box_of(square: Region, finder: Finder, rotation: int = 0) -> FaceBox:
    """A square in whole pixels."""
    side = max(2, round(square.side))
    top, left = (round(place - (side - 1) / 2) for place in (square.y, square.x))
    return FaceBox(top, left, side, finder, rotation, square.angle)


def face_box(image: NDArray[np.uint8], *, cropped: bool, given: tuple[int, int, int] | None = None) -> FaceBox | None:
    """Find the face in the onset frame of a clip.

    Args:
      image: `[H, W, 3]` uint8.
      cropped: the image shows the face alone; the result is None, the whole image.
      given: `(top, left, side)` of the corpus in place of detection, clipped to the image.

    Returns:
      The given box, else that of the landmarks of the largest face, else the largest one of `find_upright_faces`, else the central
      square of 60% of the shorter side.
    """
    if cropped:
        return None
    height, width = image.shape[:2]
    if given is not None:
        side = max(2, min(given[2], height, width))
        top, left = (max(0, min(place, most - side)) for place, most in zip(given[:2], (height, width), strict=True))
        return FaceBox(top, left, side, "given")
    by_landmarks = find_upright_landmarks(image)
    if by_landmarks is not None:
        turns, landmarks = by_landmarks
        return box_of(face_square(landmarks.points), "landmarks", turns)
    rotation, found = find_upright_faces(image)
    if found:
        return found[0]._replace(rotation=rotation)
    side = max(2, round(_CENTRE_SHARE * min(height, width)))
    return FaceBox((height - side) // 2, (width - side) // 2, side, "centre")


def clip_box(clip: RawClip, onset: NDArray[np.uint8]) -> FaceBox | None:
    """The box of a clip: that of the check of its files, else `face_box` of its onset frame."""
    if clip.face is not None:
        top, left, side, finder, rotation, angle = clip.face
        return FaceBox(top, left, side, cast(Finder, finder), rotation, angle)
    return face_box(onset, cropped=clip.cropped, given=clip.box)


def find_upright_landmarks(image: NDArray[np.uint8]) -> tuple[int, Landmarks] | None:
    """Landmarks of the largest face in an image that may be rotated by quarter turns.

    Args:
      image: `[H, W, 3]` uint8.

    Returns:
      Counter-clockwise quarter turns after which the eyes are within 45 degrees of a row, and the landmarks then; None if
      no face is at least 24 pixels and an eighth of the shorter side wide.

    Choice: the whole image is searched at each turn before its tiles, and a face counts if its landmarks are found again at its
      place, since texture is sometimes taken for a face.
    """
    smallest = max(_SMALLEST, _SMALLEST_SHARE * min(image.shape[:2]))
    for turns, thorough in ((0, False), (1, False), (3, False), (2, False), (0, True)):
        upright = _rotated(image, turns)
        for found in find_landmarks(upright, thorough=thorough):
            square = face_square(found.points)
            face = landmarks_of_square(upright, square)
            if face is None or overlap(face.points, found.points) < _SAME_FACE:
                continue
            if square.side >= smallest and abs(square.angle) <= _UPRIGHT:
                return turns, face
    return None


def landmarks_of_square(image: NDArray[np.uint8], square: Region) -> Landmarks | None:
    """Landmarks of the face in a square that is about the crop of a face; None if it shows none.

    Choice: the region of the landmarks is 1.32 to 1.48 times `face_square` on photographs, rendered heads, videos. Landmarks found
      in 1.4 times the square, and then in their own region, differ by 0.1 pixels of a face 128 wide from those of more rounds, and
      by 0.2 if the square is off by 15% of its side. A square twice as large is searched at 0.8 times its side.
    """
    for growth in _REGION_GROWTHS:
        found = landmarks_in(image, square._replace(side=growth * square.side))
        if found is not None:
            return follow_landmarks(image, found) or found
    return None


def find_upright_faces(image: NDArray[np.uint8], rotation: int = 0) -> tuple[int, list[FaceBox]]:
    """Detect faces in an image that may be rotated by quarter turns.

    Args:
      image: `[H, W, 3]` uint8.
      rotation: the expected counter-clockwise quarter turns that make the image upright.

    Returns:
      The rotation, and the faces that `find_faces` detects after it. It is the expected one, unless there a face is not clear
      and at another one it is; of several, that with the largest clear face.

    Choice: hair, collars and faces on their side are sometimes detected as a face, by few windows. A clear face is detected by
      8 neighbouring windows or more.
    """
    upright = _rotated(image, rotation)
    found = find_faces(upright)
    if found and find_faces(upright, _CLEAR_DETECTIONS, min_side=_NEIGHBOURING_SIZE * found[-1].side):
        return rotation, found
    others = {turns: find_faces(_rotated(image, turns), _CLEAR_DETECTIONS) for turns in range(4) if turns != rotation}
    best = max(others, key=lambda turns: others[turns][0].side if others[turns] else 0)
    return (best, find_faces(_rotated(image, best))) if others[best] else (rotation, found)


def find_faces(image: NDArray[np.uint8], detections: int = _DETECTIONS, min_side: float = 0.0) -> list[FaceBox]:
    """Detect upright faces with the local-binary-pattern cascade of scikit-image.

    The image is searched at 320 pixels on its longer side, for faces from an eighth of its shorter side. The boxes, the
    largest first, are squares from the forehead to below the mouth, clipped to the image.

    Args:
      image: `[H, W, 3]` uint8.
      detections: fewest neighbouring windows that show a face.
      min_side: smaller boxes are not searched for, which saves most of the time.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SEARCH_SIDE / max(height, width))
    small = resize_image(grey_image(image), max(1, round(height * scale)), max(1, round(width * scale)))
    smallest = max(24, min(small.shape) // 8, int(min_side * scale / _GROWTH))
    found = _cascade().detect_multi_scale(
        img=small,
        scale_factor=1.1,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=(min(small.shape),) * 2,
        min_neighbor_number=detections,
    )
    boxes: list[FaceBox] = []
    for face in sorted(found, key=lambda item: item["width"], reverse=True):
        side = min(round(_GROWTH * face["width"] / scale), height, width)
        top, left = face["r"] / scale, face["c"] / scale - (side - face["width"] / scale) / 2
        top, left = (max(0, min(round(place), most - side)) for place, most in ((top, height), (left, width)))
        row, column = top + side / 2, left + side / 2
        # A square centred in a larger one is part of the same face.
        if not any(0 <= row - box.top <= box.side and 0 <= column - box.left <= box.side for box in boxes):
            boxes.append(FaceBox(top, left, side, "cascade"))
    return boxes


def crop_face(image: NDArray[np.uint8], box: FaceBox | None, side: int) -> NDArray[np.uint8]:
    """Rotate the image upright, crop the box (None: the whole image) and resize it to `[side, side, 3]`."""
    if box is None:
        return resize_image(image, side, side)
    image = _rotated(image, box.rotation)
    height, width = image.shape[:2]
    if box.angle or not (0 <= box.top <= height - box.side and 0 <= box.left <= width - box.side):
        return _turned_crop(image, box.square, side)
    return resize_image(image[box.top : box.top + box.side, box.left : box.left + box.side], side, side)


def _turned_crop(image: NDArray[np.uint8], square: Region, side: int) -> NDArray[np.uint8]:
    """A square along its own axes, `[side, side, 3]`; outside of the image its edge is repeated."""
    scale = square.side / side
    cosine, sine = scale * np.cos(square.angle), scale * np.sin(square.angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = (square.x, square.y) - turn @ np.full(2, (side - 1) / 2)
    if scale > 2:
        # A pixel of the crop is a mean over several of the image.
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), scale / 3), np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = np.column_stack([turn, shift])
    return np.asarray(
        cv2.warpAffine(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


class FaceLimits(NamedTuple):
    """What a face needs to be analysed.

    Attributes:
      side: side of the cropped face in pixels.
      min_side: smallest side of the box in the frame, in pixels.
      min_brightness: smallest mean grey level, of 255.
      min_contrast: smallest standard deviation of the grey levels.
    """

    side: int = 128
    min_side: int = 40
    min_brightness: float = 20.0
    min_contrast: float = 6.0


class VisibleFace(NamedTuple):
    """The only face of a frame, or the reason why there is none.

    Attributes:
      box: its box in the rotated frame; None is the whole frame.
      rotation: counter-clockwise quarter turns that make the frame upright.
      reason: why the face cannot be analysed; empty if it can.
    """

    box: FaceBox | None
    rotation: int
    reason: str


def visible_face(
    frame: NDArray[np.uint8], limits: FaceLimits, *, given: FaceBox | Whole | None = None, rotation: int = 0
) -> VisibleFace:
    """Find the only face of a frame.

    Args:
      frame: `[H, W, 3]` uint8.
      limits: what the face needs.
      given: its box; None searches at all four rotations.
      rotation: the expected rotation, see `find_upright_faces`.

    Choice: a second face with at least 60% of the largest side is another subject.
    """
    if given is not None:
        box = face_box(frame, cropped=given == WHOLE, given=None if given == WHOLE else given[:3])
        return VisibleFace(box, 0, _violation(frame, box, limits))
    turns, faces = find_upright_faces(frame, rotation)
    if not faces:
        brightness = grey_image(frame).mean()
        if brightness < limits.min_brightness:
            reason = f"too dark to find a face (mean grey level {brightness:.0f} of 255); use more light"
        else:
            reason = "no face was found; show it from the front, or give --face=TOP,LEFT,SIDE or --face=whole"
        return VisibleFace(None, 0, reason)
    if len(faces) > 1 and faces[1].side >= _SECOND_FACE * faces[0].side:
        places = " or ".join(f"--face={face.top},{face.left},{face.side}" for face in faces)
        return VisibleFace(None, turns, f"{len(faces)} faces; choose one of them: {places}")
    return VisibleFace(faces[0], turns, _violation(_rotated(frame, turns), faces[0], limits))


def _violation(frame: NDArray[np.uint8], box: FaceBox | None, limits: FaceLimits) -> str:
    side = min(frame.shape[:2]) if box is None else box.side
    return unusable(grey_image(crop_face(frame, box, limits.side)), side, limits)


def unusable(grey: NDArray[np.uint8], side: int, limits: FaceLimits) -> str:
    """The limit that a face violates, empty if none: its grey crop, and the side of its square in the frame."""
    if side < limits.min_side:
        return f"the face is {side} pixels wide; record it at {limits.min_side} or more"
    if grey.mean() < limits.min_brightness:
        return f"the face is too dark (mean grey level {grey.mean():.0f} of 255); use more light"
    if grey.std() < limits.min_contrast:
        return f"the face has no contrast (sd {grey.std():.1f} grey levels); light and focus it better"
    return ""


def _rotated(image: NDArray[np.uint8], turns: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


@functools.cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())

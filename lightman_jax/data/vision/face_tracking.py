"""Follow every face of a video by its landmarks; each keeps its name while it is seen, and after a short loss at its place."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import (
    Landmarks,
    Region,
    find_landmarks,
    follow_landmarks,
    overlap,
    region_of,
)
from lightman_jax.data.vision.faces import landmarks_of_square

_SEARCH_SECONDS, _THOROUGH_SECONDS, _LOST_SECONDS = 0.5, 1.0, 3.0
_HIDDEN_SECONDS = 0.1
_SAME_FACE, _SAME_PLACE, _SMALLEST_SHARE, _MAX_FACES = 0.4, 0.75, 0.35, 4
_UPRIGHT = np.pi / 4


class TrackedFace(NamedTuple):
    """A face in one frame: its number, from 1 in order of appearance, and its landmarks."""

    number: int
    landmarks: Landmarks


class FaceTracker:
    """Follows the faces of one video.

    Args:
      given: the only face, in the frame rotated by `rotation`; None follows all faces, at most four, without those that are
        smaller than 35% of the largest.

    Attributes:
      rotation: counter-clockwise quarter turns that make the frames upright, decided when the first face is found.
      count: number of faces found so far.
    """

    def __init__(self, given: Region | None = None) -> None:
        self._given = given
        self._faces: dict[int, tuple[Landmarks, float]] = {}
        self._searched = self._searched_well = -np.inf
        self.rotation = 0
        self.count = 0

    def update(self, image: NDArray[np.uint8], seconds: float) -> list[TrackedFace]:
        """Landmarks of the faces in the next frame `[H, W, 3]` uint8, not yet rotated."""
        upright = self.upright(image)
        seen: dict[int, Landmarks] = {}
        for number, (last, when) in list(self._faces.items()):
            if seconds - when > _HIDDEN_SECONDS:
                continue
            face = follow_landmarks(upright, last)
            if face is not None and all(overlap(face.points, other.points) < _SAME_FACE for other in seen.values()):
                seen[number] = face
        is_due = seconds - self._searched >= (_SEARCH_SECONDS if seen else _HIDDEN_SECONDS)
        if is_due and (not seen or self._given is None):
            self._search(image, seconds, seen)
        self._faces |= {number: (face, seconds) for number, face in seen.items()}
        self._faces = {number: one for number, one in self._faces.items() if seconds - one[1] <= _LOST_SECONDS}
        return [TrackedFace(number, face) for number, face in sorted(seen.items())]

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame rotated as the tracker decided."""
        return np.ascontiguousarray(np.rot90(image, self.rotation)) if self.rotation else image

    def _search(self, image: NDArray[np.uint8], seconds: float, seen: dict[int, Landmarks]) -> None:
        """Add faces that are not followed yet to `seen`."""
        self._searched = seconds
        thorough = not seen and seconds - self._searched_well >= _THOROUGH_SECONDS
        self._searched_well = seconds if thorough else self._searched_well
        found = self._found(image, thorough)
        sides = [region_of(face.points).side for face in (*found, *seen.values())]
        for face in found:
            is_new = all(overlap(face.points, other.points) < _SAME_FACE for other in seen.values())
            if is_new and len(seen) < _MAX_FACES and region_of(face.points).side >= _SMALLEST_SHARE * max(sides):
                seen[self._number(face, seen)] = face

    def _found(self, image: NDArray[np.uint8], thorough: bool) -> list[Landmarks]:
        if self._given is not None:
            face = landmarks_of_square(image, self._given)
            return [face] if face is not None else []
        if self.count:
            return find_landmarks(self.upright(image), thorough=thorough)
        # Texture in tiles is sometimes taken for a small face, and faces on their side are found, but less accurately.
        for turns, in_tiles in ((0, False), (1, False), (3, False), (2, False), (0, thorough)):
            faces = find_landmarks(np.ascontiguousarray(np.rot90(image, turns)), thorough=in_tiles)
            found = [face for face in faces if abs(region_of(face.points).angle) <= _UPRIGHT]
            if found:
                self.rotation = turns
                return found
        return []

    def _number(self, face: Landmarks, seen: dict[int, Landmarks]) -> int:
        """The number of the lost face that was last seen near this one, or a new one."""
        region = region_of(face.points)
        for number, (last, _) in self._faces.items():
            old = region_of(last.points)
            moved = np.hypot(region.x - old.x, region.y - old.y) + abs(region.side - old.side)
            if number not in seen and moved <= _SAME_PLACE * old.side:
                return number
        self.count += 1
        return self.count

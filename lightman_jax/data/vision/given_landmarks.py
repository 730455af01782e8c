"""Given landmarks: 68 points per frame in a csv file of OpenFace, which decide where the face is and whose face is analysed.

Choice: 68 points without the depth of a face do not give the pose of the head well enough to align it, so the networks of
  `face_landmarks` find their 478 points in the square around the given ones.
Reference: Baltrusaitis et al. 2018, "OpenFace 2.0: Facial Behavior Analysis Toolkit".
"""

import csv
import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.vision.face_landmarks import Region
from lightman_jax.data.vision.face_points import square_around

GIVEN_POINTS = 68

_RIGHT_EYE, _LEFT_EYE, _MOUTH_CORNERS = (36, 39), (42, 45), (48, 54)
_MIN_CONFIDENCE, _MAX_NAMED = 0.5, 60
_OPTIONAL = {"frame": ("frame",), "face": ("face_id", "face"), "confidence": ("confidence",), "success": ("success",)}


class _Row(NamedTuple):
    """A face in a frame: number of the frame, from 1, id of the face, and points `[68, 2]`."""

    frame: int
    face: int
    points: NDArray[np.float32]


def read_openface(path: Path) -> dict[int, NDArray[np.float32]]:
    """Landmarks by frame number, from 1: float32 `[68, 2]`, x to the right and y down in pixels of the frame.

    A file of `FeatureExtraction`, `FaceLandmarkVidMulti` or, for one image, `FaceLandmarkImg`. Of several faces, the one found
    in most frames counts. Frames without success, or with a confidence below 0.5, have no landmarks. Rows without the number of
    a frame or a face are one frame each. Other columns are not read.

    Raises:
      ValueError: a column is missing, or a cell is not a number.
      OSError: the file cannot be read.
    """
    faces: defaultdict[int, dict[int, NDArray[np.float32]]] = defaultdict(dict)
    for row in _rows(path):
        faces[row.face][row.frame] = row.points
    return max(faces.values(), key=len, default={})


def given_square(points: NDArray[np.floating]) -> Region:
    """The crop of a face with points `[68, 2]`, as `face_square` of all landmarks."""
    return square_around(*(points[list(ends)].mean(axis=0) for ends in (_RIGHT_EYE, _LEFT_EYE, _MOUTH_CORNERS)))


def square_in_frame(path: Path, frame: int) -> Region:
    """The crop by the landmarks of one frame of a file of `read_openface`.

    Raises:
      ValueError: they are missing, or the file cannot be used.
    """
    points = landmarks_in(path).get(frame)
    if points is None:
        raise ValueError(f"{path.name} has no landmarks of frame {frame}")
    return given_square(points)


def landmarks_in(path: Path) -> Mapping[int, NDArray[np.float32]]:
    """The landmarks of `read_openface`, read once for the clips of one video.

    Raises:
      ValueError: the file cannot be used.
    """
    try:
        return _landmarks(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error


@functools.lru_cache(maxsize=4)
def _landmarks(path: Path, modified: int) -> dict[int, NDArray[np.float32]]:
    return read_openface(path)


def _rows(path: Path) -> Iterator[_Row]:
    """The rows with usable landmarks."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file, skipinitialspace=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            places = [_place(path, header, f"{axis}_{point}") for point in range(GIVEN_POINTS) for axis in "xy"]
            known = {
                field: next((header.index(n) for n in names if n in header), -1) for field, names in _OPTIONAL.items()
            }
            for count, cells in enumerate(filter(any, rows), start=1):
                row = _row(cells, places, known, count)
                if row is not None:
                    yield row
        except (csv.Error, ValueError, IndexError) as error:
            where = f"{path.name} line {rows.line_num}" if rows.line_num > 1 else path.name
            raise ValueError(f"{where}: {error}") from error


def _place(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        found = ", ".join(header[:4])[:_MAX_NAMED] or "nothing"
        raise ValueError(f"no column {name}, but {found}; give a csv file of OpenFace, written with -2Dfp")
    return header.index(name)


def _row(cells: list[str], places: list[int], known: dict[str, int], count: int) -> _Row | None:
    """A row of the table, the `count`-th; None if its landmarks are not usable."""
    if len(cells) <= max(places):
        raise ValueError(f"{len(cells)} cells, fewer than the header; write the file again")
    values = {field: _number(cells[place]) for field, place in known.items() if place >= 0}
    frame, face = values.get("frame", 1.0 if "face" in values else count), values.get("face", 0.0)
    usable = values.get("success", 1.0) > 0 and values.get("confidence", 1.0) >= _MIN_CONFIDENCE
    if not usable or not math.isfinite(frame) or not math.isfinite(face):
        return None
    try:
        points = np.array([cells[place] for place in places], np.float32)
    except ValueError:
        points = np.array([_number(cells[place]) for place in places], np.float32)
    return _Row(int(frame), int(face), points.reshape(GIVEN_POINTS, 2)) if np.isfinite(points).all() else None


def _number(cell: str) -> float:
    """A number; no number in the spellings of several systems, such as `-nan(ind)` and `-1.#IND`, is NaN."""
    return math.nan if "nan" in cell.lower() or "#" in cell else float(cell)

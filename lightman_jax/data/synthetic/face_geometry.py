"""Measured face geometry: the neutral head, expression shapes and identity shapes of ICT-FaceKit, read from its folder.

Coordinates are centimetres: x to the right of the image, y up, z towards the camera. A face is about 17 wide.

Reference: Li et al. 2020, "Learning Formation of Physically-Based Face Attributes" (ICT-FaceKit, light model, MIT licence).
"""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.unit_shapes import SHAPES

NEUTRAL = "generic_neutral_mesh.obj"

# Vertices of the model by its documentation: skin, mouth socket and eyeballs are kept; teeth, lashes and fluids are not.
_VERTICES, _SOCKET_END, _EYES, _EYES_END = 26719, 13294, 21451, 24591
_KEPT = np.r_[:_SOCKET_END, _EYES:_EYES_END]
_SKIN, _HEAD = 9409, 11248
_EYEBALLS, _IRIS_RADIUS = ((21451, 23021), (23021, 24591)), 0.6
_LANDMARKS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517),
    5966,
)


class FaceGeometry(NamedTuple):
    """A head with shapes that move it.

    Attributes:
      neutral: `[N, 3]` vertices.
      triangles: `[T, 3]` vertex indices.
      shapes: displacements `[N, 3]` at full intensity by the name of the shape; `_L` and `_R` are the sides of the subject.
      identities: `[I, N, 3]` displacements, one standard deviation each.
      skin: `[N]`, face without ears, back of the head, neck, mouth and eyes.
      eyes: `[N]`, eyeballs.
      irises: `[N]`, the parts of the eyeballs before an iris.
      socket: `[N]`, inside of the mouth.
      landmarks: `[68]` vertex indices of the Multi-PIE points.
    """

    neutral: NDArray[np.float32]
    triangles: NDArray[np.int64]
    shapes: dict[str, NDArray[np.float32]]
    identities: NDArray[np.float32]
    skin: NDArray[np.bool_]
    eyes: NDArray[np.bool_]
    irises: NDArray[np.bool_]
    socket: NDArray[np.bool_]
    landmarks: NDArray[np.int64]

    def identity(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Vertices `[N, 3]` of a random identity: `neutral + sum_i w_i identity_i`, `w_i ~ N(0, 1)`."""
        weights = rng.standard_normal(len(self.identities)).astype(np.float32)
        return self.neutral + np.tensordot(weights, self.identities, axes=1)


def neutral_file(folder: Path) -> Path:
    """The neutral mesh of ICT-FaceKit in its folder as cloned, or in the folder `FaceXModel` within.

    Raises:
      DataError: there is none.
    """
    found = [place / NEUTRAL for place in (folder / "FaceXModel", folder) if (place / NEUTRAL).is_file()]
    if not found:
        raise DataError(
            f"{folder} has no FaceXModel/{NEUTRAL}; give the folder of ICT-FaceKit as cloned from "
            "github.com/ICT-VGL/ICT-FaceKit, or leave out --geometry for the built-in patches"
        )
    return found[0]


@functools.lru_cache(maxsize=2)
def read_geometry(neutral: Path) -> FaceGeometry:
    """Read the geometry next to the neutral mesh, which `neutral_file` finds; the same file is read once.

    Raises:
      DataError: a file is missing, damaged, or has another number of vertices.
    """
    folder, (_, shape_files, identities) = neutral.parent, _files(neutral)
    missing = [path.stem for path in shape_files if not path.is_file()]
    if missing or not identities:
        lacks = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(
            f"{folder} lacks the shapes {lacks or 'identity000 ...'}; clone ICT-FaceKit again, with all files"
        )
    rest = _vertices(neutral)
    new = np.full(_VERTICES, -1)
    new[_KEPT] = np.arange(len(_KEPT))
    triangles = new[_triangles(neutral)]
    shapes = {path.stem: _vertices(path) - rest for path in shape_files}
    if still := [name for name, moved in shapes.items() if not moved[:, :2].any()]:
        raise DataError(f"{folder / still[0]}.obj is the neutral head; clone ICT-FaceKit again")
    return FaceGeometry(
        neutral=rest,
        triangles=triangles[(triangles >= 0).all(axis=1)],
        shapes=shapes,
        identities=np.stack([_vertices(path) - rest for path in identities]),
        skin=_KEPT < _SKIN,
        eyes=_KEPT >= _EYES,
        irises=np.any([_before_iris(rest, (start <= _KEPT) & (end > _KEPT)) for start, end in _EYEBALLS], axis=0),
        socket=(_KEPT >= _HEAD) & (_KEPT < _SOCKET_END),
        landmarks=np.array(_LANDMARKS),
    )


def geometry_files(neutral: Path) -> list[Path]:
    """The files that `read_geometry` reads."""
    first, shapes, identities = _files(neutral)
    return [first, *shapes, *identities]


@functools.lru_cache(maxsize=2)
def geometry_digest(neutral: Path) -> str:
    """SHA-256 of the names and contents of these files, wherever they are.

    Raises:
      OSError: a file cannot be read.
    """
    contents = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in geometry_files(neutral)]
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def _files(neutral: Path) -> tuple[Path, list[Path], list[Path]]:
    """The neutral mesh, the expression shapes, and the identity shapes."""
    folder = neutral.parent
    return neutral, [folder / f"{name}.obj" for name in SHAPES], sorted(folder.glob("identity[0-9]*.obj"))


def _before_iris(rest: NDArray[np.float32], eyeball: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The front of an eyeball within the radius of an iris, which lies behind a clear cornea."""
    center = rest[eyeball].mean(axis=0)
    near = np.linalg.norm(rest[:, :2] - center[:2], axis=1) < _IRIS_RADIUS
    return eyeball & near & (rest[:, 2] > center[2])


def _vertices(path: Path) -> NDArray[np.float32]:
    """The kept vertices of a file."""
    lines = (line[2:] for line in _lines(path) if line.startswith("v "))
    try:
        values = np.array(" ".join(lines).split(), np.float32)
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); clone ICT-FaceKit again") from error
    if values.size != 3 * _VERTICES:
        raise DataError(
            f"{path} has {values.size // 3} vertices, ICT-FaceKit has {_VERTICES} in every file; clone it again, the light model "
            "without changes"
        )
    if not np.isfinite(values).all():
        raise DataError(f"{path} has coordinates that are not finite; clone ICT-FaceKit again")
    return values.reshape(-1, 3)[_KEPT]


def _triangles(path: Path) -> NDArray[np.int64]:
    """Triangles `[T, 3]` of a file, whose polygons are split into fans."""
    lines = (line for line in _lines(path) if line.startswith("f "))
    try:
        corners = [[int(word.split("/")[0]) - 1 for word in line.split()[1:]] for line in lines]
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); clone ICT-FaceKit again") from error
    fans = [(one[0], one[k], one[k + 1]) for one in corners for k in range(1, len(one) - 1)]
    triangles = np.array(fans, np.int64).reshape(-1, 3)
    if not fans or triangles.min() < 0 or triangles.max() >= _VERTICES:
        raise DataError(f"{path} has no usable faces; clone ICT-FaceKit again")
    return triangles


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); clone ICT-FaceKit again") from error

"""An invented ICT-FaceKit: a smooth head with the vertices, parts, landmarks and shapes of the real one, in rough positions."""

import numpy as np

from lightman_jax.data.synthetic import face_geometry
from lightman_jax.data.synthetic.unit_shapes import SHAPES

VERTICES, SKIN, HEAD, SOCKET_END = 26719, 9409, 11248, 13294
EYEBALLS, EYE, EYE_RADIUS = ((21451, 23021), (23021, 24591)), (3.2, 3.6, 8.2), 1.5
MOUTH_CORNER, UPPER_LIP, LOWER_LIP, INNER_BROW, OUTER_BROW = (
    (2.5, -3.5),
    (1.0, -2.6),
    (1.0, -4.3),
    (1.5, 6.0),
    (4.8, 6.0),
)

# On the subject's left, which is right in the image: place, displacement, reach; centimetres.
_ONE_SIDED = {
    "browInnerUp": (INNER_BROW, (0.0, 0.6, 0.0), 1.5),
    "browOuterUp": (OUTER_BROW, (0.0, 0.6, 0.0), 1.5),
    "browDown": ((2.5, 6.0), (-0.2, -0.5, 0.0), 2.0),
    "eyeWide": ((3.2, 4.2), (0.0, 0.3, 0.0), 0.8),
    "eyeBlink": ((3.2, 4.0), (0.0, -0.8, 0.2), 0.8),
    "eyeSquint": ((3.2, 3.0), (0.0, 0.3, 0.0), 0.8),
    "cheekSquint": ((4.0, 1.5), (0.0, 0.5, 0.1), 1.5),
    "noseSneer": ((1.3, 0.0), (0.0, 0.7, 0.0), 1.2),
    "mouthUpperUp": (UPPER_LIP, (0.0, 0.7, 0.0), 1.0),
    "mouthSmile": (MOUTH_CORNER, (0.8, 0.8, -0.3), 1.5),
    "mouthDimple": (MOUTH_CORNER, (0.6, 0.0, -0.3), 1.2),
    "mouthFrown": (MOUTH_CORNER, (0.1, -0.8, 0.0), 1.5),
    "mouthStretch": (MOUTH_CORNER, (0.8, -0.2, 0.0), 1.5),
    "mouthLowerDown": (LOWER_LIP, (0.0, -0.8, 0.0), 1.0),
    "mouthPress": ((1.0, -3.5), (0.0, 0.2, -0.2), 1.0),
    **{f"eyeLook{way}": ((3.2, 3.9), (0.0, 0.1, 0.0), 0.8) for way in ("In", "Out", "Up", "Down")},
}
_WHOLE = {
    "jawOpen": ((0.0, -6.5), (0.0, -2.0, -0.5), 2.5),
    "mouthShrugLower": ((0.0, -6.0), (0.0, 0.8, 0.2), 1.5),
    "mouthPucker": ((0.0, -3.5), (0.0, 0.1, 0.8), 1.5),
    "mouthFunnel": ((0.0, -3.5), (0.0, 0.1, 1.0), 1.5),
    "mouthRollLower": ((0.0, -4.0), (0.0, 0.3, -0.3), 1.0),
    "mouthRollUpper": ((0.0, -3.0), (0.0, -0.3, -0.3), 1.0),
}


def write_facekit(folder, identities=3, seed=0):
    """Write `folder/FaceXModel` and return the folder; in numbers of few digits, and none moves the shapes of the others."""
    model = folder / "FaceXModel"
    model.mkdir(parents=True)
    rest, quads = _head()
    lines = _lines(rest)
    faces = [f"f {' '.join(f'{corner + 1}/1' for corner in quad)}\n" for quad in quads.tolist()]
    (model / face_geometry.NEUTRAL).write_text("".join(["# invented\n", *lines, "vt 0 0\n", *faces]))
    for name in SHAPES:
        _write(model / f"{name}.obj", rest, lines, _moved(rest, name))
    rng = np.random.default_rng(seed)
    for number in range(identities):
        wide, high, deep = rng.normal(0, 0.03, 3)
        _write(model / f"identity{number:03d}.obj", rest, lines, rest * (wide, high, deep))
    return folder


def _write(path, rest, lines, moved):
    """Write a shape; the lines of vertices that do not move are those of the neutral head."""
    changed = np.flatnonzero(np.abs(moved).max(axis=1) > 5e-4)
    own = list(lines)
    for row, line in zip(changed, _lines((rest + moved)[changed]), strict=True):
        own[row] = line
    path.write_text("".join(own))


def _lines(vertices):
    return [f"v {x:.4g} {y:.4g} {z:.4g}\n" for x, y, z in vertices.tolist()]


def _moved(rest, name):
    """The displacement of a shape: a Gaussian of the skin, on one side or on both."""
    stem, side = (name[:-2], 1 if name.endswith("_L") else -1) if name[-2:] in ("_L", "_R") else (name, 0)
    (x, y), (dx, dy, dz), reach = (_ONE_SIDED if side else _WHOLE)[stem]
    near = np.exp(-((rest[:, 0] - side * x) ** 2 + (rest[:, 1] - y) ** 2) / (2 * reach**2))
    skin = (np.arange(VERTICES) < SOCKET_END) & (rest[:, 0] * side >= 0)
    return np.round(near * skin, 3)[:, None] * (side * dx or dx, dy, dz)


def _head():
    """Vertices `[26719, 3]` and quads of the neutral head."""
    rest = np.zeros((VERTICES, 3))
    grid = np.arange(SKIN).reshape(97, 97)
    x, y = np.meshgrid(np.linspace(-9, 9, 97), np.linspace(12, -12, 97))
    rest[:SKIN] = np.stack([x, y, _depth(x, y)], axis=-1).reshape(-1, 3)
    rest[HEAD:SOCKET_END] = (0.0, -3.5, 7.0)
    quads = [np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=-1).reshape(-1, 4)]
    # The vertex nearest to the place of a landmark takes its number.
    taken = np.arange(VERTICES)
    for number, place in zip(face_geometry._LANDMARKS, _landmarks(), strict=True):
        places = rest[taken[:SKIN], :2]
        distance = np.linalg.norm(places - place, axis=1)
        distance[[one for one in face_geometry._LANDMARKS if one != number and one < number]] = np.inf
        nearest = int(distance.argmin())
        taken[[number, nearest]] = taken[[nearest, number]]
    for (start, end), sign in zip(EYEBALLS, (1, -1), strict=True):
        rest[start:end], own = _eyeball(end - start, sign)
        quads.append(start + own)
    new = np.empty(VERTICES, int)
    new[taken] = np.arange(VERTICES)
    return rest[taken], new[np.concatenate(quads)]


def _depth(x, y):
    """Depth of the skin, with a nose."""
    bump = 10 * np.sqrt(np.maximum(1 - (x / 9.5) ** 2 - (y / 13) ** 2, 0.0))
    return (
        bump
        + 2.5 * np.exp(-(x**2 / 2 + (y - 0.5) ** 2 / 4))
        - 1.5 * np.exp(-((np.abs(x) - 3.2) ** 2 + (y - 3.6) ** 2) / 1.5)
    )


def _eyeball(count, sign):
    """A sphere of `count` vertices, 10 around, and its quads."""
    rows = count // 10
    around, up = np.meshgrid(np.linspace(0, 2 * np.pi, 10, endpoint=False), np.linspace(-1.5, 1.5, rows))
    sphere = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], axis=-1).reshape(-1, 3)
    place = np.arange(count).reshape(rows, 10)
    following = np.roll(place, -1, axis=1)
    quads = np.stack([place[:-1], following[:-1], following[1:], place[1:]], axis=-1).reshape(-1, 4)
    return sphere * EYE_RADIUS + np.array(EYE) * (sign, 1, 1), quads


def _landmarks():
    """Rough places `[68, 2]` of the Multi-PIE points."""
    turn = np.linspace(np.pi, 2 * np.pi, 17)
    jaw = np.stack([7.4 * np.cos(turn), 2.5 + 10 * np.sin(turn)], axis=1)
    brow = np.array([[5.8, 5.2], [4.9, 6.0], [3.8, 6.3], [2.4, 6.2], [1.2, 5.9]])
    nose = np.array(
        [[0, 3.7], [0, 2.6], [0, 1.6], [0, 0.4], [-1.3, -1.1], [-0.6, -1.1], [0, -1.3], [0.6, -1.1], [1.3, -1.1]]
    )
    eye = np.array([[4.5, 3.4], [3.9, 3.9], [2.8, 3.9], [1.8, 3.4], [2.7, 3.0], [3.9, 3.0]])
    turn = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    outer = np.stack([2.5 * np.cos(turn), -3.5 + 1.1 * np.sin(turn)], axis=1)
    turn = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    inner = np.stack([2.0 * np.cos(turn), -3.5 + 0.4 * np.sin(turn)], axis=1)
    right = lambda left: left * (-1, 1)  # noqa: E731
    return np.concatenate([jaw, right(brow), brow[::-1], nose, right(eye), eye[[3, 2, 1, 0, 5, 4]], outer, inner])

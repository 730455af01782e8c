"""Read every file of a clip once: its digest, and whether its pictures can be decoded and belong together."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from lightman_jax.data.corpora.records import Problem, RawClip


class Inspection(NamedTuple):
    """SHA-256 of each file by path, and what is wrong with the pictures."""

    digests: dict[str, str]
    problems: tuple[Problem, ...]


def inspect_clip(clip: RawClip) -> Inspection:
    """Read and decode all files of a clip.

    A picture that cannot be decoded loses the clip; so do pictures of different sizes. Grey pictures among coloured
    ones, and a film that ends too early, are said.
    """
    if clip.kind in ("pixels", "video"):
        return _inspect_container(clip)
    digests: dict[str, str] = {}
    sizes: dict[tuple[int, ...], list[str]] = {}
    coloured: dict[bool, list[str]] = {}
    for path in clip.paths:
        where = f"{clip.clip}: {path.parent.name}/{path.name}"
        try:
            data = path.read_bytes()
        except OSError as error:
            return Inspection(
                digests,
                (Problem(where, "a file that can be read", str(error), "check its rights; the clip is left out"),),
            )
        digests[str(path)] = hashlib.sha256(data).hexdigest()
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if picture is None:
            found = f"{len(data)} bytes that OpenCV cannot decode"
            problem = Problem(where, "a picture", found, "unpack it again; the clip is left out")
            return Inspection(digests, (problem,))
        sizes.setdefault(picture.shape[:2], []).append(path.name)
        coloured.setdefault(_is_coloured(picture), []).append(path.name)
    problems = []
    if len(sizes) > 1:
        usual, *others = sorted(sizes, key=lambda size: -len(sizes[size]))
        problems.append(
            Problem(
                f"{clip.clip}: {sizes[others[0]][0]}",
                f"{usual[0]}x{usual[1]} pixels as {len(sizes[usual])} others",
                f"{others[0][0]}x{others[0][1]}",
                "unpack the folder again; the clip is left out",
            )
        )
    if len(coloured) > 1:
        fewer = min(coloured.values(), key=len)
        kinds = ("grey", "coloured") if fewer is coloured[False] else ("coloured", "grey")
        problems.append(
            Problem(
                f"{clip.clip}: {fewer[0]}",
                f"{kinds[1]} pictures as the {len(clip.paths) - len(fewer)} others",
                f"{len(fewer)} {kinds[0]}",
                "unpack the folder again; motion is computed on grey pictures, so the clip is used",
                lost=False,
            )
        )
    return Inspection(digests, tuple(problems))


def _inspect_container(clip: RawClip) -> Inspection:
    path = clip.paths[0]
    digests = {str(path): _file_digest(path, path.stat().st_mtime_ns)}
    if clip.kind == "pixels":
        return Inspection(digests, ())
    video = cv2.VideoCapture(str(path))
    frames = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if frames >= clip.numbers[-1]:
        return Inspection(digests, ())
    found = f"{frames} frames" if frames else "no film that OpenCV can open"
    expected = f"a film of {clip.numbers[-1]} frames or more"
    return Inspection(
        digests, (Problem(f"{clip.clip}: {path.name}", expected, found, "correct the table or the file"),)
    )


def _is_coloured(picture: np.ndarray) -> bool:
    if picture.ndim < 3 or picture.shape[2] < 3:
        return False
    some = picture[::8, ::8, :3].astype(np.int16)
    # Compression leaves a level or two of colour in grey pictures.
    return bool((some.max(axis=2) - some.min(axis=2)).max() > 12)


@functools.lru_cache(maxsize=8)
def _file_digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

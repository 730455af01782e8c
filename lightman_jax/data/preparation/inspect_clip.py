"""Inspect the files of a clip: digests, and whether the images can be decoded and belong together."""

import functools
import hashlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from lightman_jax.data.corpora.records import Problem, RawClip
from lightman_jax.files import file_digest


class Inspection(NamedTuple):
    """SHA-256 of each file by path, and the problems of the images."""

    digests: dict[str, str]
    problems: tuple[Problem, ...]


def inspect_clip(clip: RawClip) -> Inspection:
    """Read and decode all files of a clip.

    An image that cannot be decoded and images of different sizes lose the clip, and so does a video with too few frames.
    Grey images among coloured ones are reported only.
    """
    if clip.kind in ("pixels", "video"):
        return _inspect_container(clip)
    digests: dict[str, str] = {}
    sizes: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    coloured: defaultdict[bool, list[str]] = defaultdict(list)
    for path in clip.paths:
        where = f"{clip.clip}: {path.parent.name}/{path.name}"
        try:
            data = path.read_bytes()
        except OSError as error:
            remedy = "check its permissions; the clip is left out"
            return Inspection(digests, (Problem(where, "a file that can be read", str(error), remedy),))
        digests[str(path)] = hashlib.sha256(data).hexdigest()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if image is None:
            found = f"{len(data)} bytes that OpenCV cannot decode"
            return Inspection(digests, (Problem(where, "an image", found, "unpack it again; the clip is left out"),))
        sizes[image.shape[:2]].append(path.name)
        coloured[_is_coloured(image)].append(path.name)
    problems = []
    if len(sizes) > 1:
        most, other, *_ = sorted(sizes, key=lambda size: -len(sizes[size]))
        expected, found = f"{most[0]}x{most[1]} pixels as {len(sizes[most])} others", f"{other[0]}x{other[1]}"
        remedy = "unpack the folder again; the clip is left out"
        problems.append(Problem(f"{clip.clip}: {sizes[other][0]}", expected, found, remedy))
    if len(coloured) > 1:
        fewer = min(coloured.values(), key=len)
        kind, other_kind = ("grey", "coloured") if fewer is coloured[False] else ("coloured", "grey")
        expected, found = f"{other_kind} images as the {len(clip.paths) - len(fewer)} others", f"{len(fewer)} {kind}"
        remedy = "unpack the folder again; motion is computed on grey images, so the clip is used"
        problems.append(Problem(f"{clip.clip}: {fewer[0]}", expected, found, remedy, lost=False))
    return Inspection(digests, tuple(problems))


def _inspect_container(clip: RawClip) -> Inspection:
    path = clip.paths[0]
    digests = {str(path): _shared_digest(path, path.stat().st_mtime_ns)}
    if clip.kind == "pixels":
        return Inspection(digests, ())
    video = cv2.VideoCapture(str(path))
    frames = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if frames >= clip.numbers[-1]:
        return Inspection(digests, ())
    found = f"{frames} frames" if frames else "no video that OpenCV can open"
    expected, remedy = f"a video of {clip.numbers[-1]} frames or more", "correct the table or the file"
    return Inspection(digests, (Problem(f"{clip.clip}: {path.name}", expected, found, remedy),))


def _is_coloured(image: np.ndarray) -> bool:
    if image.ndim < 3 or image.shape[2] < 3:
        return False
    sample = image[::8, ::8, :3].astype(np.int16)
    # Compression leaves a few grey levels of colour in grey images.
    return bool((sample.max(axis=2) - sample.min(axis=2)).max() > 12)


@functools.lru_cache(maxsize=8)
def _shared_digest(path: Path, modified: int) -> str:
    """Digest of a file with many clips, computed once per process."""
    return file_digest(path)

"""Inspect the files of a clip: digests, whether the frames can be decoded and belong together, and the face in the onset frame."""

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.records import Problem, RawClip
from lightman_jax.data.synthetic.face_geometry import geometry_digest
from lightman_jax.data.vision.faces import box_of, face_box
from lightman_jax.data.vision.given_landmarks import square_in_frame
from lightman_jax.data.vision.images import StoredImage, decode_image, eight_bits
from lightman_jax.data.vision.point_spans import point_span
from lightman_jax.data.vision.video_file import SharedFrames, ShortVideoError
from lightman_jax.files import file_digest

_MAX_NAMED = 3
# Of 64 grey levels, the flow of 2 pixels is 1.2 pixels.
_LEAST_CONTRAST = 1 / 4
_LOW_CONTRAST = ", but fill less than a quarter of that range, so movements are measured too small; stretch it"


class Inspection(NamedTuple):
    """What the files of a clip hold.

    Attributes:
      digests: SHA-256 of each file by path; of several views, of those that can be used.
      problems: of the images.
      face: the face in the onset frame, as in `RawClip.face`; None if it is given, or not needed.
      notes: choices that concern the frames, without the name of the clip.
      numbers: of landmarks, the frames from onset to offset that have them; empty for other clips.
    """

    digests: dict[str, str]
    problems: tuple[Problem, ...] = ()
    face: tuple[int, int, int, str, int, float] | None = None
    notes: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


def inspected_positions(clip: RawClip) -> tuple[int, int]:
    """Positions in `clip.numbers` of the frames of a video that `inspect_clip` decodes: the first and the last."""
    return 0, len(clip.numbers) - 1


def inspect_clip(clip: RawClip, shared: SharedFrames | None = None) -> Inspection:
    """Read and decode all files of a clip, as its preparation does.

    An image that cannot be decoded and images of different sizes lose the clip, and so does a video with too few frames.
    Images of other depths or grey ones among coloured ones are reported only.

    Args:
      clip: the clip.
      shared: the frames of its video; None for other clips.
    """
    if clip.kind == "pixels":
        return Inspection(_digests(clip))
    if clip.kind == "simulated":
        return Inspection({str(path): geometry_digest(path) for path in clip.paths})
    if clip.kind == "landmarks":
        return _inspect_landmarks(clip)
    if len(clip.views) > 1:
        return _inspect_views(clip)
    return _inspect_video(clip, shared) if shared else _inspect_images(clip)


def _inspect_views(clip: RawClip) -> Inspection:
    """Read the images of several views; `digests` are those of the images that show a movement, unless none does."""
    digests: dict[str, str] = {}
    still: dict[str, str] = {}
    problems: list[Problem] = []
    for path, view in zip(clip.paths, clip.views, strict=True):
        try:
            data = path.read_bytes()
            values = decode_image(data).values
        except (OSError, ValueError) as error:
            found, remedy = str(error), f"unpack it again; the clip is used without its view {view}"
            problems.append(Problem(f"{clip.clip}: {path.name}", "an image", found, remedy, lost=False))
            continue
        moves = bool(np.ptp(values, axis=(0, 1)).any())
        (digests if moves else still)[str(path)] = hashlib.sha256(data).hexdigest()
    if not digests and not still:
        remedy = "unpack its images again; the clip is left out"
        problems.append(Problem(clip.clip, "one view that can be read", "none", remedy))
    for view, path in zip(clip.views, clip.paths, strict=True):
        if digests and str(path) in still:
            remedy = f"unpack it again; the clip is used without its view {view}"
            where = f"{clip.clip}: {path.name}"
            problems.append(Problem(where, "flow of a movement", "a constant image", remedy, lost=False))
    return Inspection(digests or still, tuple(problems))


def _inspect_landmarks(clip: RawClip) -> Inspection:
    try:
        numbers = point_span(clip).numbers
    except ValueError as error:
        expected, remedy = (
            "landmarks from onset to offset",
            "correct the file or the frame numbers; the clip is left out",
        )
        return Inspection(_digests(clip), (Problem(clip.clip, expected, str(error), remedy),))
    found = [name for name, number in zip(("onset", "apex", "offset"), clip.numbers, strict=False) if not number]
    notes = (f"{', '.join(found)} found by the landmarks",) if found else ()
    return Inspection(_digests(clip), notes=notes, numbers=numbers)


def _inspect_images(clip: RawClip) -> Inspection:
    digests: dict[str, str] = {}
    onset: StoredImage | None = None
    white: defaultdict[np.dtype, float] = defaultdict(float)
    contrast: defaultdict[np.dtype, float] = defaultdict(float)
    groups: dict[str, defaultdict[str, list[str]]] = {name: defaultdict(list) for name in ("size", "depth", "colour")}
    for path in clip.paths:
        where = f"{clip.clip}: {path.parent.name}/{path.name}"
        expected, remedy = "a file that can be read", "check its permissions; the clip is left out"
        try:
            data = path.read_bytes()
            digests[str(path)] = hashlib.sha256(data).hexdigest()
            expected, remedy = "an image", "unpack or save it again; the clip is left out"
            image = decode_image(data)
        except (OSError, ValueError) as error:
            return Inspection(digests, (Problem(where, expected, str(error), remedy),))
        onset = onset or image
        height, width = image.values.shape[:2]
        dtype = image.values.dtype
        white[dtype] = max(white[dtype], image.white)
        if dtype != np.uint8:
            contrast[dtype] = max(contrast[dtype], float(np.ptp(image.values)))
        groups["size"][f"{height}x{width} pixels"].append(path.name)
        groups["depth"][_depth(dtype)].append(path.name)
        groups["colour"]["coloured images" if _is_coloured(image) else "grey images"].append(path.name)
    problems = tuple(_unlike(clip, name, of_kind) for name, of_kind in groups.items() if len(of_kind) > 1)
    notes = tuple(
        f"images of {_depth(dtype)} are scaled so that {greatest:g} is white"
        + _LOW_CONTRAST * (contrast[dtype] < _LEAST_CONTRAST * greatest)
        for dtype, greatest in white.items()
        if dtype != np.uint8
    )
    inspection = Inspection(digests, problems, notes=notes)
    if onset is None or clip.kind != "frames" or any(problem.lost for problem in problems):
        return inspection
    return _with_face(clip, eight_bits(onset, white[onset.values.dtype]), inspection)


def _inspect_video(clip: RawClip, shared: SharedFrames) -> Inspection:
    path = clip.paths[0]
    try:
        onset, _ = shared.take([clip.numbers[position] for position in inspected_positions(clip)])
    except ValueError as error:
        expected, remedy = f"a video of {clip.numbers[-1]} frames or more", "correct the table or the file"
        found = f"{error.frames} frames" if isinstance(error, ShortVideoError) else str(error)
        return Inspection(_digests(clip), (Problem(f"{clip.clip}: {path.name}", expected, found, remedy),))
    return _with_face(clip, onset, Inspection(_digests(clip), notes=shared.notes))


def _with_face(clip: RawClip, onset: NDArray[np.uint8], inspection: Inspection) -> Inspection:
    if clip.cropped or clip.box is not None:
        return inspection
    if clip.landmarks is not None:
        try:
            given = box_of(square_in_frame(*clip.landmarks), "given")
            return inspection._replace(face=(*given,))
        except ValueError as error:
            expected, remedy = "landmarks of the onset frame", "correct the file; the face is searched for"
            problem = Problem(clip.clip, expected, str(error), remedy, lost=False)
            inspection = inspection._replace(problems=(*inspection.problems, problem))
    box = face_box(onset, cropped=False)
    assert box is not None
    rotated = f"the face is not upright, so the images are rotated by {90 * box.rotation} degrees"
    notes = (*inspection.notes, *([rotated] if box.rotation else []))
    return inspection._replace(face=(*box,), notes=notes)


def inspection_notes(clips: Sequence[RawClip], inspections: Sequence[Inspection]) -> tuple[str, ...]:
    """The notes of all clips with their number, and how many faces were not found, with the first clips."""
    counts = Counter(note for inspection in inspections for note in inspection.notes)
    notes = [f"{count} clip{'s' * (count > 1)}: {note}" for note, count in sorted(counts.items())]
    missing = [clip.clip for clip, one in zip(clips, inspections, strict=True) if one.face and one.face[3] == "centre"]
    if missing:
        searched = sum(one.face is not None for one in inspections)
        warning = "warning: " if 2 * len(missing) >= searched else ""
        more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
        notes.append(
            f"{warning}no face was found in {len(missing)} of {searched} clips, so the middle of their images is used: "
            f"{', '.join(missing[:_MAX_NAMED])}{more}; give the face in the column box of a table, or use images cropped to it"
        )
    return tuple(notes)


def _unlike(clip: RawClip, name: str, of_kind: dict[str, list[str]]) -> Problem:
    """The problem of images of several sizes, depths or colours."""
    most, other, *_ = sorted(of_kind, key=lambda kind: -len(of_kind[kind]))
    where, expected = f"{clip.clip}: {of_kind[other][0]}", f"{most} as the {len(of_kind[most])} others"
    found = other if name == "size" else f"{len(of_kind[other])} {other}"
    remedy = {
        "size": "unpack the folder again; the clip is left out",
        "depth": "save all images alike; each depth is scaled by its own range, so brightness may differ",
        "colour": "unpack the folder again; flow is computed on grey images, so the clip is used",
    }[name]
    return Problem(where, expected, found, remedy, lost=name == "size")


def _depth(dtype: np.dtype) -> str:
    return f"{8 * dtype.itemsize}-bit {'floats' if dtype.kind == 'f' else 'integers'}"


def _is_coloured(image: StoredImage) -> bool:
    sample = eight_bits(StoredImage(image.values[::8, ::8], image.white), image.white).astype(np.int16)
    # Compression leaves a few grey levels of colour in grey images.
    return bool((sample.max(axis=2) - sample.min(axis=2)).max() > 12)


def _digests(clip: RawClip) -> dict[str, str]:
    path = clip.paths[0]
    return {str(path): _shared_digest(path, path.stat().st_mtime_ns)}


@functools.lru_cache(maxsize=8)
def _shared_digest(path: Path, modified: int) -> str:
    """Digest of a file with many clips, computed once per process."""
    return file_digest(path)

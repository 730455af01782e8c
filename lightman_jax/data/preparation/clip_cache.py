"""Inspections and motion images of clips, stored as they are computed: one checksummed file per result."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.preparation.inspect_clip import Inspection, inspect_clip, inspected_positions
from lightman_jax.data.preparation.representation import (
    MotionConfig,
    MotionImage,
    Moves,
    motion_image,
    needed_positions,
)
from lightman_jax.data.preparation.video_jobs import each_result
from lightman_jax.data.records import Problem, RawClip
from lightman_jax.data.synthetic.face_geometry import geometry_files
from lightman_jax.files import read_checksummed, write_checksummed

CLIP_VERSION = 12
"""Part of every key. Raise it whenever the same clip and settings give another image or inspection, or are stored differently."""

Result = TypeVar("Result", Inspection, MotionImage)


def inspection_key(clip: RawClip) -> str:
    """Digest of the inputs of an inspection: path, size and modification time of every file, and the span of the movement.

    A file whose content changes without its size or time changing is not noticed.

    Raises:
      OSError: a file does not exist.
    """
    lines = [_span_text(clip), str(clip.landmarks)]
    paths = [one for path in clip.paths for one in geometry_files(path)] if clip.kind == "simulated" else clip.paths
    for path in (*paths, *([clip.landmarks.path] if clip.landmarks else [])):
        status = os.stat(path)
        lines.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return text_digest(lines)[:24]


def motion_key(clip: RawClip, content: Sequence[str], config: MotionConfig) -> str:
    """Digest of the inputs of a motion image: the content of the files, wherever they are, the span and the settings.

    Args:
      clip: the clip.
      content: SHA-256 of each of its files, as from `Check.content`.
      config: settings of the image.
    """
    given = [repr(clip.face)] if clip.landmarks else []
    return text_digest([_span_text(clip), repr(config), *content, *given])[:24]


def text_digest(lines: Sequence[str]) -> str:
    """SHA-256 of lines of text, as hexadecimal text; paths may hold bytes that are no text."""
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _span_text(clip: RawClip) -> str:
    span = (clip.kind, clip.numbers, clip.apex, clip.cropped, clip.box, *clip.views)
    return repr((CLIP_VERSION, clip.clip, clip.pool, span))


class ClipCache:
    """Results of clips in a folder; a missing or damaged file is computed again, and a failed clip gives its error.

    Args:
      folder: created when the first result is stored.
      workers: number of processes that compute; None starts one per core.
      on_progress: called with the number of clips done and in all, without those in the cache.
    """

    def __init__(
        self, folder: Path, workers: int | None = None, on_progress: Callable[[int, int], None] | None = None
    ) -> None:
        self._folder, self._workers, self._on_progress = folder, workers, on_progress

    def inspections(self, clips: Sequence[RawClip]) -> list[Inspection | Exception]:
        """The inspection of every clip."""
        names = [f"{inspection_key(clip)}.inspection" for clip in clips]
        functions = inspect_clip, inspected_positions
        return self._results(functions, clips, (), names, _encode_inspection, _decode_inspection)

    def motion_images(
        self, clips: Sequence[RawClip], contents: Sequence[Sequence[str]], config: MotionConfig
    ) -> list[MotionImage | Exception]:
        """How the motion image of every clip was made; the images themselves are left in the cache, see `image`.

        Args:
          clips: the clips.
          contents: SHA-256 of each file of each clip.
          config: settings of the images.
        """
        names = [_motion_name(clip, content, config) for clip, content in zip(clips, contents, strict=True)]
        functions = motion_image, needed_positions
        return self._results(functions, clips, (config,), names, _encode_motion, _decode_without_image)

    def image(self, clip: RawClip, content: Sequence[str], config: MotionConfig) -> NDArray[Any]:
        """The image of a clip that `motion_images` has computed.

        Raises:
          OSError: it is missing or damaged by now.
        """
        path = self._folder / _motion_name(clip, content, config)
        stored = read_checksummed(path)
        if stored is None:
            raise OSError(f"{path} was removed or damaged while it was in use; run the same command again")
        return _decode_motion(stored).image

    def _results(
        self,
        functions: tuple[Callable[..., Result], Callable[..., Sequence[int]]],
        clips: Sequence[RawClip],
        more: tuple[MotionConfig, ...],
        names: Sequence[str],
        encode: Callable[[Result], bytes],
        decode: Callable[[bytes], Result],
    ) -> list[Result | Exception]:
        results: dict[int, Result | Exception] = {}
        for index, name in enumerate(names):
            try:
                content = read_checksummed(self._folder / name)
            except OSError:
                content = None
            if content is not None:
                results[index] = decode(content)
        todo = [index for index in range(len(clips)) if index not in results]
        chosen = [clips[index] for index in todo]
        for done, (place, result) in enumerate(each_result(chosen, *functions, more, self._workers), start=1):
            results[todo[place]] = result
            if not isinstance(result, Exception):
                self._folder.mkdir(parents=True, exist_ok=True)
                content = encode(result)
                write_checksummed(self._folder / names[todo[place]], content)
                results[todo[place]] = decode(content)
            if self._on_progress is not None:
                self._on_progress(done, len(todo))
        return [results[index] for index in range(len(clips))]


def _encode_inspection(inspection: Inspection) -> bytes:
    problems = [vars(problem) for problem in inspection.problems]
    return json.dumps(inspection._asdict() | {"problems": problems}).encode()


def _decode_inspection(content: bytes) -> Inspection:
    stored = json.loads(content)
    problems = tuple(Problem(**problem) for problem in stored["problems"])
    face = tuple(stored["face"]) if stored["face"] else None
    return Inspection(stored["digests"], problems, face, tuple(stored["notes"]), tuple(stored["numbers"]))


def _encode_motion(motion: MotionImage) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **motion._asdict())
    return buffer.getvalue()


def _motion_name(clip: RawClip, content: Sequence[str], config: MotionConfig) -> str:
    return f"{motion_key(clip, content, config)}.motion"


def _decode_without_image(content: bytes) -> MotionImage:
    return _decode_motion(content)._replace(image=np.empty(0))


def _decode_motion(content: bytes) -> MotionImage:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        texts = str(stored["apex_from"]), str(stored["face"])
        missing = tuple(map(str, stored["missing"].tolist()))
        moves, aligned = cast(Moves, str(stored["moves"])), bool(stored["aligned"])
        return MotionImage(stored["image"], int(stored["apex"]), *texts, moves, missing, aligned)

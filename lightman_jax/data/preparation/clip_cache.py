"""Inspections and motion images of clips, stored as they are computed: one checksummed file per result."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from lightman_jax.data.corpora.records import Problem, RawClip
from lightman_jax.data.preparation.inspect_clip import Inspection, inspect_clip
from lightman_jax.data.preparation.parallel import each_clip
from lightman_jax.data.preparation.representation import MotionConfig, MotionImage, motion_image
from lightman_jax.files import read_checksummed, write_checksummed

CLIP_VERSION = 6
"""Part of every key. Raise it whenever the same clip and settings give another image or inspection, or are stored differently."""

Result = TypeVar("Result", Inspection, MotionImage)


def clip_key(clip: RawClip, settings: object = None) -> str:
    """Digest of the inputs of a result: path, size and modification time of every file, the span of the movement, and the settings.

    A file whose content changes without its size or time changing is not noticed; the manifest has its digest.

    Raises:
      OSError: a file does not exist.
    """
    span = (clip.kind, clip.numbers, clip.apex, clip.cropped, clip.box)
    digest = hashlib.sha256(repr((CLIP_VERSION, clip.clip, clip.pool, span, settings)).encode())
    for path in clip.paths:
        status = os.stat(path)
        digest.update(f"\n{path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


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
        names = [f"{clip_key(clip)}.inspection" for clip in clips]
        return self._results(inspect_clip, clips, (), names, _encode_inspection, _decode_inspection)

    def motion_images(self, clips: Sequence[RawClip], config: MotionConfig) -> list[MotionImage | Exception]:
        """The motion image of every clip."""
        names = [f"{clip_key(clip, config)}.motion" for clip in clips]
        return self._results(motion_image, clips, (config,), names, _encode_motion, _decode_motion)

    def _results(
        self,
        function: Callable[..., Result],
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
        for place, result in each_clip(function, chosen, *more, workers=self._workers, on_progress=self._on_progress):
            results[todo[place]] = result
            if not isinstance(result, Exception):
                self._folder.mkdir(parents=True, exist_ok=True)
                write_checksummed(self._folder / names[todo[place]], encode(result))
        return [results[index] for index in range(len(clips))]


def _encode_inspection(inspection: Inspection) -> bytes:
    problems = [vars(problem) for problem in inspection.problems]
    return json.dumps({"digests": inspection.digests, "problems": problems}).encode()


def _decode_inspection(content: bytes) -> Inspection:
    stored = json.loads(content)
    return Inspection(stored["digests"], tuple(Problem(**problem) for problem in stored["problems"]))


def _encode_motion(motion: MotionImage) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **motion._asdict())
    return buffer.getvalue()


def _decode_motion(content: bytes) -> MotionImage:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        texts = str(stored["apex_from"]), str(stored["face"])
        return MotionImage(stored["image"], int(stored["apex"]), *texts, bool(stored["moves"]))

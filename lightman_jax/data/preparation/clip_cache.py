"""Stored results of single clips: one checksummed file per result, named by a digest of its inputs."""

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np

from lightman_jax.data.corpora.records import Problem, RawClip
from lightman_jax.data.preparation.inspect_clip import Inspection
from lightman_jax.data.preparation.representation import MotionConfig, MotionImage
from lightman_jax.files import read_checksummed, write_checksummed

CLIP_VERSION = 5
"""Part of every key. Raise it whenever the same clip and settings give another image or inspection, or are stored differently."""


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
    """A folder of stored inspections and motion images; missing or damaged files read as None."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def inspection(self, clip: RawClip) -> Inspection | None:
        """The stored inspection of the same files."""
        stored = self._read(f"{clip_key(clip)}.inspection")
        if stored is None:
            return None
        content = json.loads(stored)
        return Inspection(content["digests"], tuple(Problem(**problem) for problem in content["problems"]))

    def store_inspection(self, clip: RawClip, inspection: Inspection) -> None:
        """Store an inspection."""
        content = {"digests": inspection.digests, "problems": [vars(problem) for problem in inspection.problems]}
        self._write(f"{clip_key(clip)}.inspection", json.dumps(content).encode())

    def motion(self, clip: RawClip, config: MotionConfig) -> MotionImage | None:
        """The stored image of the same files and settings."""
        content = self._read(f"{clip_key(clip, config)}.motion")
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return MotionImage(stored["image"], int(stored["apex"]), str(stored["apex_from"]), str(stored["face"]))

    def store_motion(self, clip: RawClip, config: MotionConfig, motion: MotionImage) -> None:
        """Store an image."""
        buffer = io.BytesIO()
        np.savez(buffer, **motion._asdict())
        self._write(f"{clip_key(clip, config)}.motion", buffer.getvalue())

    def _read(self, name: str) -> bytes | None:
        try:
            return read_checksummed(self._folder / name)
        except OSError:
            return None

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_checksummed(self._folder / name, content)

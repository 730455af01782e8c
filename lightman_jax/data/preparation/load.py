"""Load a prepared folder as arrays."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lightman_jax.data.preparation.manifest import Manifest, read_manifest
from lightman_jax.files import plain_path
from lightman_jax.types import ClipSet


class Prepared(NamedTuple):
    """Micro clips, macro clips (None if the data have none), and the manifest."""

    micro: ClipSet
    macro: ClipSet | None
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 of the clips and their order; files of the same clips differ between two preparations."""
        digest = hashlib.sha256()
        for clips in (self.micro, self.macro):
            if clips is not None:
                names = (
                    clips.classes,
                    clips.clip,
                    clips.subject,
                    clips.label.tolist(),
                    clips.image.shape,
                    *clips.views,
                )
                digest.update(repr(names).encode() + np.ascontiguousarray(clips.image).tobytes())
        return digest.hexdigest()


def load_clips(folder: Path) -> Prepared:
    """Load a folder written by `prepare_clips`, and compare every file with its digest.

    Raises:
      DataError: see `read_manifest`.
    """
    manifest = read_manifest(folder)
    with plain_path(folder) as plain:
        sources = tfds.builder_from_directory(plain).as_data_source()
        macro = _clip_set(sources["macro"], manifest) if "macro" in sources else None
        return Prepared(_clip_set(sources["micro"], manifest), macro, manifest)


def _clip_set(source: Any, manifest: Manifest) -> ClipSet:
    rows = [source[row] for row in range(len(source))]
    return ClipSet(
        image=np.stack([np.asarray(row["image"], np.float32) for row in rows]),
        label=np.asarray([row["label"] for row in rows], np.int32),
        subject=tuple(row["subject"].decode() for row in rows),
        clip=tuple(row["clip"].decode() for row in rows),
        classes=manifest.classes,
        views=tuple(manifest.views),
    )

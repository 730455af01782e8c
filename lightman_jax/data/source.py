"""From prepared shards back to arrays and their index."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lightman_jax.data.clips import DataError
from lightman_jax.data.preparation import MANIFEST
from lightman_jax.data.store import FORMAT_VERSION
from lightman_jax.types import ClipSet


class Prepared(NamedTuple):
    """Micro clips, macro clips (None where the corpus has none) and the manifest they were prepared with."""

    micro: ClipSet
    macro: ClipSet | None
    manifest: dict[str, Any]


def load_clips(folder: Path) -> Prepared:
    """Read a prepared folder and check every shard against its digest.

    Args:
      folder: written by `preparation.prepare_clips`.

    Raises:
      DataError: no manifest, another format version, or a shard that is missing or changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        version, digests = manifest["format_version"], manifest["shards"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} has no readable {MANIFEST} ({error}); remove the folder and run again to prepare it anew"
        ) from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{folder} has format version {version}, this release reads {FORMAT_VERSION}; remove it and run again"
        )
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise DataError(f"{path} is missing or changed since it was prepared; remove {folder} and run again")
    builder = tfds.builder_from_directory(folder)
    sources = builder.as_data_source()
    classes = tuple(builder.info.features["label"].names)
    macro = _clip_set(sources["macro"], classes) if "macro" in sources else None
    return Prepared(_clip_set(sources["micro"], classes), macro, manifest)


def _clip_set(source: Any, classes: tuple[str, ...]) -> ClipSet:
    rows = [source[row] for row in range(len(source))]
    return ClipSet(
        image=np.stack([np.asarray(row["image"], np.float32) for row in rows]),
        label=np.asarray([row["label"] for row in rows], np.int32),
        subject=tuple(row["subject"].decode() for row in rows),
        clip=tuple(row["clip"].decode() for row in rows),
        classes=classes,
    )

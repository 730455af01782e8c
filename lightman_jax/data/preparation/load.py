"""From prepared shards back to arrays and their index."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lightman_jax.data.preparation.prepare import check_prepared
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
      DataError: see `preparation.check_prepared`.
    """
    manifest = check_prepared(folder)
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

"""Load a prepared folder: clips with their images in memory, or with images that are read when they are indexed."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import grain
import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from lightman_jax.data.preparation.manifest import Manifest, read_manifest
from lightman_jax.data.preparation.stored_images import StoredImages
from lightman_jax.files import plain_path
from lightman_jax.types import ClipSet, image_blocks


class Prepared(NamedTuple):
    """Micro clips, macro clips (None if the data have none), and the manifest."""

    micro: ClipSet
    macro: ClipSet | None
    manifest: Manifest

    @property
    def is_streamed(self) -> bool:
        """Whether images are read from the files when they are indexed."""
        return isinstance(self.micro.image, StoredImages)

    @property
    def image_bytes(self) -> int:
        """Bytes of all images as stored."""
        both = (self.micro, self.macro) if self.macro is not None else (self.micro,)
        return sum(math.prod(clips.image.shape) * np.dtype(clips.image.dtype).itemsize for clips in both)

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
                digest.update(repr(names).encode())
                for _, block in image_blocks(clips.image):
                    digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


def load_clips(folder: Path, most_bytes: float = math.inf) -> Prepared:
    """Load a folder written by `prepare_clips`, and compare every file with its digest.

    Args:
      folder: the prepared folder.
      most_bytes: images that take more stay in the files, and their array reads them when it is indexed.

    Raises:
      DataError: see `read_manifest`.
    """
    manifest = read_manifest(folder)
    with plain_path(folder) as plain:
        info = tfds.builder_from_directory(plain).info
        # With every file opened here, the link of a plain path may go.
        pools = {pool: _clip_set(info, pool, manifest) for pool in ("micro", "macro") if pool in info.splits}
    prepared = Prepared(pools["micro"], pools.get("macro"), manifest)
    if prepared.image_bytes > most_bytes:
        return prepared
    held = {name: dataclasses.replace(clips, image=np.asarray(clips.image)) for name, clips in pools.items()}
    return Prepared(held["micro"], held.get("macro"), manifest)


def _clip_set(info: Any, pool: str, manifest: Manifest) -> ClipSet:
    """Clips with images that are read when indexed."""
    records = grain.sources.ArrayRecordDataSource(info.splits[pool].file_instructions)

    def images(rows: Sequence[int]) -> Sequence[Any]:
        return [info.features.deserialize_example_np(record)["image"] for record in records.__getitems__(rows)]

    texts: dict[str, list[Any]] = {name: [] for name in ("label", "subject", "clip")}
    for record in records:
        row = info.features.deserialize_example_np(record)
        for name, values in texts.items():
            values.append(row[name])
    image = info.features["image"]
    return ClipSet(
        image=cast(NDArray[Any], StoredImages(images, (len(records), *image.shape), image.np_dtype)),
        label=np.asarray(texts["label"], np.int32),
        subject=tuple(name.decode() for name in texts["subject"]),
        clip=tuple(name.decode() for name in texts["clip"]),
        classes=manifest.classes,
        views=tuple(manifest.views),
    )

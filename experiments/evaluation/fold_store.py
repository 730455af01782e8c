"""Finished training jobs on disk: each is written when it ends, and found again when the same job would be trained."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import jax
import numpy as np

from experiments.evaluation.numeric_settings import difference, numeric_settings
from lightman_jax.files import read_checksummed, write_checksummed
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold, trained_shapes
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet, ImageArray, image_blocks, remembered

TRAINING_VERSION = 3
"""Raise it when a change of the code trains other weights from the same clips, settings and seed; jobs are then trained again."""

_ARCHIVE_BYTES = 1 << 13
_SUFFIX, _SETTINGS = ".fold", "settings"


class FoldStore:
    """Trained folds of one data set and one setting, one checksummed npz archive per job.

    The file name has a digest of the job, which is the fold's training clips (pixels, labels, subjects, row numbers), the
    settings, the replica and `TRAINING_VERSION`, and a digest of `numeric_settings()`. The test subject's clips do not enter it,
    because the weights must not depend on them.

    Args:
      folder: of the files; it is made when the first job is saved.
      micro: micro-expression clips.
      macro: macro-expression clips or None.
      config: settings of the training.
    """

    def __init__(self, folder: Path, micro: ClipSet, macro: ClipSet | None, config: TrainConfig) -> None:
        self._folder = folder
        self._micro, self._macro = _row_digests(micro), _row_digests(macro) if macro is not None else None
        sizes = [len(micro), None if macro is None else len(macro)]
        self._common = json.dumps([dataclasses.asdict(config), list(micro.classes), sizes, TRAINING_VERSION])
        self._settings = numeric_settings()
        settings = json.dumps(self._settings, sort_keys=True).encode()
        self._suffix = f"-{hashlib.sha256(settings).hexdigest()[:8]}{_SUFFIX}"
        self._shapes = trained_shapes(micro, config)

    def path(self, fold: Fold, replica: int) -> Path:
        """File of a job, whether it exists or not."""
        return self._folder / f"{self._job(fold, replica)}{self._suffix}"

    def difference(self, fold: Fold, replica: int) -> str:
        """How the settings differ under which the same job is stored; empty if it is not stored under other settings."""
        own = self.path(fold, replica)
        for path in sorted(self._folder.glob(f"{self._job(fold, replica)}-*{_SUFFIX}")):
            archive = read_checksummed(path) if path != own else None
            if archive is not None:
                with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
                    return difference(json.loads(stored[_SETTINGS].tobytes()), self._settings)
        return ""

    def _job(self, fold: Fold, replica: int) -> str:
        content = hashlib.sha256(f"{self._common} {fold.name} {replica}".encode())
        for digests, train in ((self._micro, fold.train), (self._macro, fold.macro_train)):
            if digests is not None:
                for row in np.flatnonzero(np.asarray(train)).tolist():
                    content.update(f"{row} {digests[row]}".encode())
        return content.hexdigest()[:24]

    @property
    def job_bytes(self) -> int:
        """Approximate bytes of one file: the parameters, and histories that are small in comparison."""
        leaves = jax.tree.leaves(self._shapes)
        return _ARCHIVE_BYTES + sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    def contains(self, fold: Fold, replica: int) -> bool:
        """Whether the job is stored and undamaged."""
        return read_checksummed(self.path(fold, replica)) is not None

    def load(self, fold: Fold, replica: int) -> TrainedFold | None:
        """A stored job, or None if it is missing or damaged."""
        archive = read_checksummed(self.path(fold, replica))
        if archive is None:
            return None
        leaves, tree = jax.tree.flatten(self._shapes)
        with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
            params = [stored[f"params/{row}"] for row in range(len(leaves))]
            history = {name.removeprefix("history/"): stored[name] for name in stored.files if "history/" in name}
        return TrainedFold(fold, replica, jax.tree.unflatten(tree, params), history)

    def save(self, job: TrainedFold) -> None:
        """Write a job atomically.

        Raises:
          OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = np.frombuffer(json.dumps(self._settings).encode(), np.uint8)
        content: dict[str, Any] = {_SETTINGS: settings}
        content |= {f"params/{row}": leaf for row, leaf in enumerate(jax.tree.leaves(job.params))}
        content |= {f"history/{name}": values for name, values in job.history.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        write_checksummed(self.path(job.fold, job.replica), buffer.getvalue())


class StoredFolds(Sequence[TrainedFold]):
    """Stored jobs as a sequence; each is read from disk on access, so memory does not grow with their number.

    Args:
      store: of the files.
      keys: fold and replica of each job, in order.
    """

    def __init__(self, store: FoldStore, keys: Sequence[tuple[Fold, int]]) -> None:
        self._store, self._keys = store, keys

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> TrainedFold: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredFolds": ...

    def __getitem__(self, index: int | slice) -> "TrainedFold | StoredFolds":
        if isinstance(index, slice):
            return StoredFolds(self._store, self._keys[index])
        fold, replica = self._keys[index]
        job = self._store.load(fold, replica)
        if job is None:
            raise OSError(f"{self._store.path(fold, replica)} was removed or damaged while it was in use")
        return job


def _row_digests(clips: ClipSet) -> Sequence[str]:
    """Digest of each clip's pixels, label and subject."""
    about = zip(image_digests(clips.image), clips.label, clips.subject, strict=True)
    return [hashlib.sha256(f"{image} {label} {subject}".encode()).hexdigest() for image, label, subject in about]


def image_digests(images: ImageArray) -> Sequence[str]:
    """Digest of the pixels, shape and dtype of each image; those of stored images are computed once."""

    def compute() -> Sequence[str]:
        about = f"{images.shape[1:]} {images.dtype}".encode()
        blocks = (block for _, block in image_blocks(images))
        return [hashlib.sha256(about + image.tobytes()).hexdigest() for block in blocks for image in block]

    return remembered(images, "digests", compute)

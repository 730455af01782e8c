"""Finished lanes on disk: a (fold, seed) is written as it ends, and found again when exactly the same would be trained."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import jax
import numpy as np

import lightman_jax
from lightman_jax.files import read_sealed, write_sealed
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold, trained_shapes
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

_ARCHIVE_BYTES = 1 << 13


class FoldStore:
    """Trained folds of one data set and one setting, each in a sealed file of its own, an npz archive.

    A file's name is a digest of all that the weights depend on: the fold's training clips (pixels, labels, people and their rows),
    the settings, the seed, the package's code, JAX and its backend. Whatever belongs to the test subject alone is left out of
    it, because it must not matter.

    Args:
      folder: of the files; it is made when the first lane is saved.
      micro: micro-expression clips.
      macro: macro-expression clips or None.
      config: what is trained.
    """

    def __init__(self, folder: Path, micro: ClipSet, macro: ClipSet | None, config: TrainConfig) -> None:
        self._folder = folder
        self._micro, self._macro = _row_digests(micro), _row_digests(macro) if macro is not None else None
        self._common = json.dumps(
            [
                dataclasses.asdict(config),
                list(micro.classes),
                [len(micro), None if macro is None else len(macro)],
                _code_digest(),
                jax.__version__,
                jax.default_backend(),
            ]
        )
        self._shapes = trained_shapes(micro, config)

    def path(self, fold: Fold, seed: int) -> Path:
        """File of a lane, whether it is there or not."""
        content = hashlib.sha256(f"{self._common} {fold.name} {seed}".encode())
        pools = [(self._micro, fold.train)]
        if self._macro is not None:
            pools.append((self._macro, fold.macro_train))
        for digests, train in pools:
            for row in np.flatnonzero(np.asarray(train)).tolist():
                content.update(f"{row} {digests[row]}".encode())
        return self._folder / f"{content.hexdigest()[:24]}.fold"

    @property
    def job_bytes(self) -> int:
        """Bytes of one file, about: parameters, and histories that are small beside them."""
        leaves = jax.tree.leaves(self._shapes)
        return _ARCHIVE_BYTES + sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    def holds(self, fold: Fold, seed: int) -> bool:
        """Whether a lane trained before is there, whole."""
        return read_sealed(self.path(fold, seed)) is not None

    def load(self, fold: Fold, seed: int) -> TrainedFold | None:
        """A lane trained before, or None if there is none or its file is damaged."""
        archive = read_sealed(self.path(fold, seed))
        if archive is None:
            return None
        leaves, tree = jax.tree.flatten(self._shapes)
        with np.load(io.BytesIO(archive), allow_pickle=False) as held:
            params = [held[f"params/{row}"] for row in range(len(leaves))]
            history = {name.removeprefix("history/"): held[name] for name in held.files if name.startswith("history/")}
        return TrainedFold(fold, seed, jax.tree.unflatten(tree, params), history)

    def save(self, job: TrainedFold) -> None:
        """Write a lane; it is there whole or not at all.

        Raises:
          OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {f"params/{row}": leaf for row, leaf in enumerate(jax.tree.leaves(job.params))}
        content |= {f"history/{name}": values for name, values in job.history.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        write_sealed(self.path(job.fold, job.seed), buffer.getvalue())


class StoredFolds(Sequence[TrainedFold]):
    """Lanes on disk, each read when it is asked for, so that memory does not grow with their number.

    Args:
      store: where they are.
      keys: fold and seed of each, in order.
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
        fold, seed = self._keys[index]
        job = self._store.load(fold, seed)
        if job is None:
            raise OSError(f"{self._store.path(fold, seed)} was removed or damaged while it was in use")
        return job


def _row_digests(clips: ClipSet) -> Sequence[str]:
    """Of each clip: its pixels, label and person."""
    return [
        hashlib.sha256(
            f"{image.shape} {image.dtype} {label} {subject}".encode() + np.ascontiguousarray(image).tobytes()
        ).hexdigest()
        for image, label, subject in zip(clips.image, clips.label, clips.subject, strict=True)
    ]


def _code_digest() -> str:
    """Of the package's own modules; what its folder `data` does ends in the clips, which have digests of their own."""
    digest = hashlib.sha256()
    for path in sorted(Path(lightman_jax.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

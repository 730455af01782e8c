"""TFDS builder of prepared clips, stored as array_record files that `tfds.builder_from_directory` opens."""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lightman_jax.files import plain_path

Examples = Callable[[], Iterable[dict[str, Any]]]


class ClipBuilder(tfds.core.GeneratorBasedBuilder):
    """Builder of the splits `micro` and `macro`."""

    VERSION = tfds.core.Version("3.0.0")
    name = "lightman_clips"

    def __init__(
        self, *, pools: Mapping[str, Examples], classes: Sequence[str], description: str, **kwargs: Any
    ) -> None:
        self._pools, self._classes, self._description = pools, classes, description
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # All clips have the shape of the first one.
        shape = next(iter(next(iter(self._pools.values()))()))["image"].shape
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=shape, dtype=np.float32),
                "label": tfds.features.ClassLabel(names=list(self._classes)),
                "apex": tfds.features.Scalar(np.int32),
                "fps": tfds.features.Scalar(np.float32),
                **{name: tfds.features.Text() for name in ("subject", "clip", "emotion", "action_units", "face")},
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, description=self._description, features=features, disable_shuffling=True
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {pool: self._generate_examples(pool) for pool in self._pools}

    def _generate_examples(self, pool: str) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from enumerate(self._pools[pool]())


def write_dataset(pools: Mapping[str, Examples], folder: Path, *, classes: Sequence[str], description: str) -> Path:
    """Write each pool as a split, and return the folder of the files, below `folder`.

    A pool is a function that returns its examples, each a dict of the builder's features.
    """
    tfds.disable_progress_bar()
    text = description.encode(errors="backslashreplace").decode()
    with plain_path(folder) as plain:
        builder = ClipBuilder(
            pools=pools, classes=classes, description=text, data_dir=plain, file_format="array_record"
        )
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints a banner.
            builder.download_and_prepare()
        return folder / Path(builder.data_path).relative_to(plain)

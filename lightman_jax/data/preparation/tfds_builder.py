"""Prepared clips as a TFDS dataset of array_record files, which `tfds.builder_from_directory` opens."""

import contextlib
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lightman_jax.files import plain_path

Examples = Callable[[], Iterable[dict[str, Any]]]

NAME = "lightman_clips"
VERSION = "4.0.0"

_SHARD_BYTES, _BLOCK_BYTES = 256 << 20, 16 << 20


def write_dataset(pools: Mapping[str, Examples], folder: Path, *, classes: Sequence[str], description: str) -> None:
    """Write each pool as a split, one block of examples at a time, so that memory does not grow with their number.

    Args:
      pools: functions that return examples, each a dict with an image of the shape and dtype of the first one, a label and texts.
      folder: of the files; it exists.
      classes: names of the labels.
      description: of the dataset.
    """
    first = next(iter(next(iter(pools.values()))()))["image"]
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(shape=first.shape, dtype=first.dtype.type, encoding="bytes"),
            "label": tfds.features.ClassLabel(names=list(classes)),
            "apex": tfds.features.Scalar(np.int32),
            "fps": tfds.features.Scalar(np.float32),
            **{name: tfds.features.Text() for name in ("subject", "clip", "emotion", "action_units", "face")},
        }
    )
    text = description.encode(errors="backslashreplace").decode()
    block = max(1, _BLOCK_BYTES // first.nbytes)
    with plain_path(folder) as plain, contextlib.redirect_stdout(io.StringIO()):  # TFDS prints a banner.
        identity = tfds.core.DatasetIdentity(NAME, tfds.core.Version(VERSION), str(plain), __name__)
        info = tfds.core.DatasetInfo(builder=identity, description=text, features=features, disable_shuffling=True)
        shard = -(-max(1, _SHARD_BYTES // first.nbytes) // block) * block
        writer = tfds.core.SequentialWriter(info, max_examples_per_shard=shard, file_format="array_record")
        writer.initialize_splits(list(pools))
        for pool, examples in pools.items():
            remaining = iter(examples())
            while part := list(itertools.islice(remaining, block)):
                writer.add_examples({pool: part})
        writer.close_all()

"""Every array that walks through the package, in one table, and the frozen records that carry them.

Shape letters: `T` tasks, `S` support, `M` macro, `Q` query, `N` classes, `H W C` image, `E` embedding, `K` inner steps, `F` folds.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import struct
from numpy.typing import NDArray

Params = Any
"""A tree of arrays. The dual branch uses `{"backbone", "primary", "auxiliary"}`; the bi-level update takes any tree."""

Metrics = dict[str, jax.Array]
"""Scalars keyed `level/name`, for example `inner/primary_loss`."""

LossFn = Callable[[Params, Any], tuple[jax.Array, Metrics]]
"""`loss(params, task) -> (scalar, metrics)` for one task."""


class ArraySpec(NamedTuple):
    """What one array holds: shape letters, dtype, unit and meaning."""

    shape: str
    dtype: str
    unit: str
    meaning: str


ARRAYS: dict[str, ArraySpec] = {
    "support.image": ArraySpec(
        "S H W C", "float32", "flow in units of its own RMS", "labelled clips of the inner steps"
    ),
    "support.label": ArraySpec(
        "S", "int32", "class index", "0 negative, 1 positive, 2 surprise in the 3-class protocols"
    ),
    "support.where": ArraySpec("S", "bool", "", "False marks padding"),
    "macro.image": ArraySpec(
        "M H W C", "float32", "flow in units of its own RMS", "macro-expression clips of the same classes"
    ),
    "macro.label": ArraySpec("M", "int32", "class index", "same label space as the micro clips"),
    "macro.where": ArraySpec("M", "bool", "", "False marks padding"),
    "query.image": ArraySpec(
        "Q H W C", "float32", "flow in units of its own RMS", "clips that judge the adapted parameters"
    ),
    "query.label": ArraySpec("Q", "int32", "class index", "as support.label"),
    "query.where": ArraySpec("Q", "bool", "", "False marks padding"),
    "outputs.logits": ArraySpec("n N", "float32", "nat", "primary branch, before the softmax"),
    "outputs.embedding": ArraySpec("n E", "float32", "unit length", "auxiliary branch"),
    "outputs.maps": ArraySpec("n h w E", "float32", "unit length", "auxiliary branch at each place of the last maps"),
    "outputs.frames": ArraySpec("n frames E", "float32", "unit length", "auxiliary branch of each frame; 1 for images"),
}


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """All clips of one pool on the host, as the shards hold them: the index beside the images.

    Attributes:
      image: `[n, H, W, C]` float32, unscaled flow.
      label: `[n]` int32 class indices.
      subject: `corpus/subject` of each clip: one person, one name, in every pool.
      clip: `corpus/subject/clip` of each clip, unique.
      classes: names of the label space, in the order of the indices.
    """

    image: NDArray[np.float32]
    label: NDArray[np.int32]
    subject: tuple[str, ...]
    clip: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def dataset(self) -> tuple[str, ...]:
        """Corpus of each clip."""
        return tuple(name.split("/", 1)[0] for name in self.clip)


@struct.dataclass
class Clips:
    """A padded set of clips: `image [n,H,W,C]`, `label [n]`, `where [n]` (False marks padding)."""

    image: jax.Array
    label: jax.Array
    where: jax.Array


@struct.dataclass
class Task:
    """One recognition task: adapt on `support` beside `macro`, judge on `query`."""

    support: Clips
    macro: Clips
    query: Clips


@struct.dataclass
class Outputs:
    """What both branches say of n clips: `logits [n,N]` and unit-length `embedding [n,E]`, `maps [n,h,w,E]`, `frames [n,F,E]`."""

    logits: jax.Array
    embedding: jax.Array
    maps: jax.Array
    frames: jax.Array


@struct.dataclass
class TrainState:
    """Parameters, the outer optimiser's state and the number of outer steps done."""

    params: Params
    opt_state: optax.OptState
    step: jax.Array

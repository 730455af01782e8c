"""Array containers and callable types.

Shape letters: `n` clips, `T` tasks, `S` support, `M` macro, `Q` query clips, `N` classes, `V` views, `H W C` image,
`E` embedding, `F` frames.
Images are float32 flow, after `scale_flow` in units of their RMS; labels are int32 class indices.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax
from flax import struct
from numpy.typing import NDArray

from lightman_jax.checks import as_labels

Params = Any
"""A pytree of arrays: `{"backbone", "primary", "auxiliary"}` for the dual branch; bi-level updates accept any pytree."""

Metrics = dict[str, jax.Array]
"""Scalars by name, for example `inner/primary_loss`."""

LossFn = Callable[[Params, Any], tuple[jax.Array, Metrics]]
"""`loss(params, task) -> (scalar, metrics)` for one task."""


_BLOCK_BYTES = 64 << 20


class ImageArray(Protocol):
    """Images `[n, ...]`: a NumPy array, or an array whose rows are read from files when they are indexed (`StoredImages`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As of a NumPy array."""

    @property
    def dtype(self) -> Any:
        """As of a NumPy array."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def image_blocks(images: ImageArray, most_bytes: int = _BLOCK_BYTES) -> Iterator[tuple[int, NDArray[Any]]]:
    """The first row and the images of consecutive blocks of at most `most_bytes` bytes, or of one image.

    >>> [(first, block.shape) for first, block in image_blocks(np.zeros((3, 2, 2, 1)), most_bytes=64)]
    [(0, (2, 2, 2, 1)), (2, (1, 2, 2, 1))]
    """
    count = max(1, most_bytes // max(1, image_bytes(images)))
    for first in range(0, len(images), count):
        yield first, np.asarray(images[first : first + count])


def image_bytes(images: ImageArray) -> int:
    """Bytes of one image as stored."""
    return int(np.prod(images.shape[1:])) * np.dtype(images.dtype).itemsize


def remembered(images: Any, key: Any, compute: Callable[[], Any]) -> Any:
    """`compute()`, which for `StoredImages`, which do not change, is computed once per key."""
    memo = getattr(images, "memo", None)
    if memo is None:
        return compute()
    if key not in memo:
        memo[key] = compute()
    return memo[key]


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """Labelled clips.

    Attributes:
      image: `[n, (frames,) H, W, C]`, unscaled: float32, float16, or uint8 grey levels; in memory, or `StoredImages`, read from
        files when they are indexed.
        `[n, V, H, W, C]` with views, NaN where a clip lacks a view.
      label: `[n]` int32 class indices.
      subject: `corpus/subject` of each clip; one name per subject in the micro and the macro clips.
      clip: `corpus/subject/clip` of each clip, unique.
      classes: class names in the order of the indices.
      views: `[V]` names of the views of a movement, such as `farneback_rise`, at least two; empty for images without a view axis.

    Raises:
      ValueError: different numbers of images, labels, subjects and names, labels that are no class indices, a name that is no
        text, two classes of one name, views that do not fit the images, a clip without a view, or a view that is NaN in part.
    """

    image: NDArray[Any]
    label: NDArray[np.int32]
    subject: tuple[str, ...]
    clip: tuple[str, ...]
    classes: tuple[str, ...]
    views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in ("image", "label", "subject", "clip")}
        if len(set(counts.values())) > 1:
            text = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise ValueError(f"a set of clips needs one image, label, subject and name per clip, got {text}")
        if np.ndim(self.image) not in (4, 5):
            raise ValueError(f"images have the shape {np.shape(self.image)}; give [n, H, W, C] or [n, frames, H, W, C]")
        names = (*self.subject, *self.clip, *self.classes)
        if isinstance(self.classes, str) or not all(isinstance(name, str) for name in names):
            raise ValueError("subjects, clips and classes are no lists of names; give one text each, such as 'smic/s1'")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"the classes {', '.join(self.classes)} have a name twice; give every class its own name")
        if np.ndim(self.label) != 1:
            raise ValueError(f"labels have the shape {np.shape(self.label)}; give one class index per clip")
        object.__setattr__(self, "label", as_labels(self.label, len(self.classes)))
        if self.views:
            self._check_views()

    def _check_views(self) -> None:
        is_list = not isinstance(self.views, str) and all(isinstance(name, str) for name in self.views)
        if not is_list or len(set(self.views)) != len(self.views) or len(self.views) < 2:
            raise ValueError(
                f"views {self.views!r} are no list of at least two different names; give one name per view, such as "
                "('dis_rise', 'dis_fall'), or () for images without a view axis"
            )
        object.__setattr__(self, "views", tuple(self.views))
        if np.ndim(self.image) != 5 or np.shape(self.image)[1] != len(self.views):
            raise ValueError(
                f"images of {len(self.views)} views have the shape {np.shape(self.image)}; give [n, {len(self.views)}, H, W, C]"
            )
        if not self.has_view.any(axis=1).all():
            raise ValueError(f"{self.clip[int(self.has_view.any(axis=1).argmin())]} has no view at all; leave it out")
        damaged = self.has_view & self._each_view(lambda images: np.isnan(images).any(axis=(2, 3, 4)))
        if damaged.any():
            row, place = np.argwhere(damaged)[0]
            raise ValueError(
                f"{self.clip[row]} has nan in a part of the view {self.views[place]}; correct it, or mark the view as missing by "
                "nan in all its pixels"
            )

    @property
    def has_view(self) -> NDArray[np.bool_]:
        """`[n, V]` bool: the views that each clip has."""
        present = functools.partial(self._each_view, lambda images: ~np.isnan(images).all(axis=(2, 3, 4)))
        return remembered(self.image, "has_view", present)

    def _each_view(self, fn: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        none = np.zeros((0, len(self.views)), bool)
        return np.concatenate([none, *(fn(block) for _, block in image_blocks(self.image))])

    def view(self, name: str) -> "ClipSet":
        """The clips that have a view, with the images of that view alone.

        Raises:
          ValueError: there is no view of that name.
        """
        if name not in self.views:
            raise ValueError(f"view {name!r} is unknown; choose one of {', '.join(self.views) or 'none'}")
        place = self.views.index(name)
        kept = np.flatnonzero(self.has_view[:, place])
        return dataclasses.replace(
            self,
            image=np.ascontiguousarray(self.image[kept, place]),
            label=self.label[kept],
            subject=tuple(self.subject[row] for row in kept),
            clip=tuple(self.clip[row] for row in kept),
            views=(),
        )

    def __len__(self) -> int:
        return len(self.clip)

    def join(self, other: "ClipSet") -> "ClipSet":
        """The clips of this set followed by those of another set with the same classes.

        Raises:
          ValueError: the classes or the views differ.
        """
        for name in ("classes", "views"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"clips of the {name} {getattr(self, name)} cannot be joined with clips of {getattr(other, name)}"
                )
        return dataclasses.replace(
            self,
            image=np.concatenate([self.image, other.image]),
            label=np.concatenate([self.label, other.label]),
            subject=self.subject + other.subject,
            clip=self.clip + other.clip,
        )

    @property
    def dataset(self) -> tuple[str, ...]:
        """Corpus of each clip."""
        return tuple(name.split("/", 1)[0] for name in self.clip)


@struct.dataclass
class Clips:
    """Padded clips.

    Attributes:
      image: `[n, (F,) H, W, C]` scaled flow; `[n, V, H, W, C]` with views.
      label: `[n]` class indices.
      where: `[n]` bool, False marks padding.
      movement: `[n]` numbers that two views of one movement share, where the alignment compares views; None where it compares
        classes.
    """

    image: jax.Array
    label: jax.Array
    where: jax.Array
    movement: jax.Array | None = None


@struct.dataclass
class Task:
    """One task, or T tasks with a leading axis: inner steps use `support` and `macro`, the outer loss uses `query`."""

    support: Clips
    macro: Clips
    query: Clips


@struct.dataclass
class Outputs:
    """Outputs of both branches: `logits [n,N]`, and unit-length `embedding [n,E]`, `maps [n,h,w,E]`, `frames [n,F,E]`."""

    logits: jax.Array
    embedding: jax.Array
    maps: jax.Array
    frames: jax.Array


@struct.dataclass
class TrainState:
    """Parameters, state of the outer optimiser, and number of completed outer steps."""

    params: Params
    opt_state: optax.OptState
    step: jax.Array


class Method(NamedTuple):
    """Functions of a method.

    Attributes:
      init: `(key, image_shape, classes, dtype=float32) -> TrainState`.
      update: `(state, tasks) -> (state, metrics)`, one outer step.
      finish: `(state, clips) -> params`, fits what is fitted once on all training clips (prototypes, batch moments); clips may be
        in blocks `[B, K, ...]`, which are seen one at a time.
      logits: `(params, images) -> [n, N]`.
    """

    init: Callable[..., TrainState]
    update: Callable[[TrainState, Task], tuple[TrainState, Metrics]]
    finish: Callable[[TrainState, Clips], Params]
    logits: Callable[[Params, jax.Array], jax.Array]


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorting key that puts `s2` before `s11`.

    >>> sorted(["s11", "s2"], key=natural_order)
    ['s2', 's11']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

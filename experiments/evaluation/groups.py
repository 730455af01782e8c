"""Groups of subjects, balanced over corpora, for protocols that hold out several subjects at a time."""

import zlib
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

GROUPS = 6


def group_of_subjects(subjects: Sequence[str]) -> dict[str, int]:
    """Distribute the subjects of each corpus evenly over `GROUPS` groups, in a fixed pseudo-random order.

    >>> groups = group_of_subjects([f"smic/s{k}" for k in range(12)])
    >>> sorted(groups.values())
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    """
    ordered = sorted(set(subjects), key=lambda name: (name.split("/", 1)[0], zlib.crc32(name.encode())))
    return {name: row % GROUPS for row, name in enumerate(ordered)}


def groups_of_clips(clips: ClipSet, of_subject: dict[str, int]) -> NDArray[np.int64]:
    """Group of each clip; -1 for subjects without micro clips, which are never held out."""
    return np.array([of_subject.get(name, -1) for name in clips.subject])


def fold_without(
    groups: Collection[int], micro: ClipSet, macro: ClipSet | None, of_subject: dict[str, int], name: str
) -> Fold:
    """The fold that holds out some groups of subjects from micro and macro clips."""
    held_out = list(groups)
    test = np.isin(groups_of_clips(micro, of_subject), held_out)
    macro_test = test if macro is None else np.isin(groups_of_clips(macro, of_subject), held_out)
    return Fold(name=name, test=np.flatnonzero(test), train=~test, macro_train=~macro_test)

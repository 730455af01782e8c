"""Groups of subjects, dealt evenly from every corpus, for protocols that hold out several people at a time."""

import zlib
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.cross_validation import Work
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

GROUPS = 6


def group_of_subjects(subjects: Sequence[str]) -> dict[str, int]:
    """Deal the subjects of each corpus into `GROUPS` groups, in an order that is random but always the same.

    >>> groups = group_of_subjects([f"smic/s{k}" for k in range(12)])
    >>> sorted(groups.values())
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    """
    dealt = sorted(set(subjects), key=lambda name: (name.split("/", 1)[0], zlib.crc32(name.encode())))
    return {name: row % GROUPS for row, name in enumerate(dealt)}


def groups_of_clips(clips: ClipSet, of_subject: dict[str, int]) -> NDArray[np.int64]:
    """Group of each clip; a subject without micro clips belongs to none, -1, and may always be trained on."""
    return np.array([of_subject.get(name, -1) for name in clips.subject])


def fold_without(groups: Collection[int], work: Work, of_subject: dict[str, int], name: str) -> Fold:
    """The fold that holds out some groups of subjects, from the micro and the macro pool alike."""
    held = list(groups)
    micro = np.isin(groups_of_clips(work.micro, of_subject), held)
    macro = micro if work.macro is None else np.isin(groups_of_clips(work.macro, of_subject), held)
    return Fold(name=name, test=np.flatnonzero(micro), train=~micro, macro_train=~macro)

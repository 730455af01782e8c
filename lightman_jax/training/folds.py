"""Folds: which clips are tested and which are trained on."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Fold:
    """One split into training and test clips.

    Attributes:
      name: what is held out: a subject (`corpus/subject`), a corpus, or a group of subjects.
      test: `[t]` indices of the held-out micro clips.
      train: `[n]` bool, the micro clips that are trained on.
      macro_train: `[m]` bool, the macro clips that are trained on.
    """

    name: str
    test: NDArray[np.int64]
    train: NDArray[np.bool_]
    macro_train: NDArray[np.bool_]


def leave_one_subject_out(subjects: Sequence[str], macro_subjects: Sequence[str] = ()) -> list[Fold]:
    """One fold per subject with micro clips; the subject leaves the micro and the macro pool together.

    Args:
      subjects: `[n]` subject of each micro clip, made unique over corpora (`corpus/subject`).
      macro_subjects: `[m]` subject of each macro clip, named alike, so that a person in both pools is one person.

    Returns:
      Folds in the order of their subjects, numbers by value.

    Raises:
      ValueError: fewer than two subjects.

    >>> [fold.name for fold in leave_one_subject_out(["smic/s2", "smic/s1", "smic/s2"])]
    ['smic/s1', 'smic/s2']
    """
    micro, macro = np.asarray(subjects, dtype=str), np.asarray(macro_subjects, dtype=str)
    names = sorted(set(micro.tolist()), key=natural_order)
    if len(names) < 2:
        raise ValueError(
            f"leave-one-subject-out needs at least 2 subjects, found {len(names)}{f' ({names[0]})' if names else ''}; "
            "give the clips of more subjects"
        )
    folds = [
        Fold(name=name, test=np.flatnonzero(micro == name), train=micro != name, macro_train=macro != name)
        for name in names
    ]
    check_folds(folds, micro.tolist(), macro.tolist())
    return folds


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorting key that puts `s2` before `s11`.

    >>> sorted(["s11", "s2"], key=natural_order)
    ['s2', 's11']
    """
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def check_folds(folds: Sequence[Fold], subjects: Sequence[str], macro_subjects: Sequence[str]) -> None:
    """Refuse folds in which a subject stands on both sides, in the micro or in the macro pool, or a clip is tested twice.

    Raises:
      ValueError: names the fold and the subject.
    """
    micro, macro = np.asarray(subjects, dtype=str), np.asarray(macro_subjects, dtype=str)
    tested: set[int] = set()
    for fold in folds:
        held_out = set(micro[fold.test].tolist())
        for pool, mask, names in (("micro", fold.train, micro), ("macro", fold.macro_train, macro)):
            shared = held_out & set(names[mask].tolist())
            if shared:
                raise ValueError(f"fold {fold.name}: test subject {sorted(shared)} is in its {pool} training pool")
        twice = tested & set(fold.test.tolist())
        if twice:
            raise ValueError(f"fold {fold.name}: clips {sorted(twice)} are tested in another fold too")
        tested |= set(fold.test.tolist())

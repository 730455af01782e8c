"""Cross-validation folds."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightman_jax.checks import as_mask
from lightman_jax.types import natural_order


@dataclasses.dataclass(frozen=True)
class Fold:
    """One split into training and test clips.

    Attributes:
      name: the held-out subject (`corpus/subject`), corpus or group of subjects.
      test: `[t]` indices of the held-out micro clips.
      train: `[n]` bool mask of the micro training clips.
      macro_train: `[m]` bool mask of the macro training clips.
    """

    name: str
    test: NDArray[np.int64]
    train: NDArray[np.bool_]
    macro_train: NDArray[np.bool_]

    def __post_init__(self) -> None:
        test = np.asarray(self.test)
        for name in ("train", "macro_train"):
            mask = getattr(self, name)
            object.__setattr__(self, name, as_mask(mask, *np.shape(mask)[:1], name=name))
        if test.ndim != 1 or (
            test.size and (test.dtype.kind not in "iu" or test.min() < 0 or test.max() >= len(self.train))
        ):
            raise ValueError(
                f"fold {self.name}: test {test.tolist()} are no indices of the {len(self.train)} micro clips; give whole numbers "
                f"in 0..{len(self.train) - 1}"
            )
        object.__setattr__(self, "test", test.astype(np.int64))


def leave_one_subject_out(subjects: Sequence[str], macro_subjects: Sequence[str] = ()) -> list[Fold]:
    """One fold per subject with micro clips; the subject is excluded from both the micro and the macro training clips.

    Args:
      subjects: `[n]` subject of each micro clip, unique over corpora (`corpus/subject`).
      macro_subjects: `[m]` subject of each macro clip, with the same name for a subject of both pools.

    Returns:
      Folds sorted by subject, numbers by value.

    Raises:
      ValueError: fewer than two subjects, or names that are no text.

    >>> [fold.name for fold in leave_one_subject_out(["smic/s2", "smic/s1", "smic/s2"])]
    ['smic/s1', 'smic/s2']
    """
    for given in (subjects, macro_subjects):
        wrong = (
            [name for name in given if not isinstance(name, str) or not name] if not isinstance(given, str) else [given]
        )
        if wrong:
            raise ValueError(
                f"subject {wrong[0]!r} is no name in a list of names; give one text per clip, such as 'smic/s1'"
            )
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


def check_folds(folds: Sequence[Fold], subjects: Sequence[str], macro_subjects: Sequence[str]) -> None:
    """Raise `ValueError` for folds that train on a subject they test, micro or macro, and clips tested in two folds."""
    micro, macro = np.asarray(subjects, dtype=str), np.asarray(macro_subjects, dtype=str)
    tested: set[int] = set()
    for fold in folds:
        # Without macro clips, `macro_train` may be empty.
        if len(fold.train) != len(micro) or len(fold.macro_train) not in (0, len(macro)):
            raise ValueError(
                f"fold {fold.name} is of {len(fold.train)} micro and {len(fold.macro_train)} macro clips, not of these "
                f"{len(micro)} and {len(macro)}; make the folds of these clips"
            )
        held_out = set(micro[fold.test].tolist())
        for pool, mask, names in (("micro", fold.train, micro), ("macro", fold.macro_train, macro)):
            shared = held_out & set(names[mask].tolist())
            if shared:
                raise ValueError(
                    f"fold {fold.name}: test subject {sorted(shared)} has clips in its {pool} training pool"
                )
        twice = tested & set(fold.test.tolist())
        if twice:
            raise ValueError(f"fold {fold.name}: clips {sorted(twice)} are tested in another fold too")
        tested |= set(fold.test.tolist())

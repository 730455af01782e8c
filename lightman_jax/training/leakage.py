"""Leak checks before every training: test subjects, copies of test clips, and scaling statistics."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lightman_jax.preprocessing import Scaling, scale_flow
from lightman_jax.training.folds import Fold, check_folds
from lightman_jax.types import ClipSet

_scaled = jax.jit(scale_flow, static_argnames="scaling")


def check_leaks(micro: ClipSet, macro: ClipSet | None, folds: Sequence[Fold], scaling: Scaling) -> None:
    """Refuse folds in which test clips affect the training.

    Args:
      micro: micro clips of all folds.
      macro: macro clips, or None if pseudo-macro clips are made from the micro clips.
      folds: folds to check.
      scaling: scaling of the training.

    Raises:
      ValueError: a test subject among the training clips; a test clip whose image, or its mirror image, is also a training clip; or
        a scale of training clips that depends on test clips.
    """
    check_folds(folds, micro.subject, (micro if macro is None else macro).subject)
    check_copies(micro, macro, folds)
    if folds:
        check_scaling(micro.image, folds[0], scaling)


def check_copies(micro: ClipSet, macro: ClipSet | None, folds: Sequence[Fold]) -> None:
    """Raise `ValueError` for folds that train on a copy of a test clip, mirrored or not, whatever its subject."""
    pools = {"micro": micro} if macro is None else {"micro": micro, "macro": macro}
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, clips in pools.items():
        for row, image in enumerate(clips.image):
            places[_digest(image)].append((name, row))
    copies = [group for group in places.values() if len(group) > 1]
    for fold in folds if copies else ():
        tested, trained = np.isin(np.arange(len(micro)), fold.test), {"micro": fold.train, "macro": fold.macro_train}
        for group in copies:
            test_rows = [row for name, row in group if name == "micro" and tested[row]]
            train_rows = [(name, row) for name, row in group if trained[name][row]]
            if test_rows and train_rows:
                name, row = train_rows[0]
                raise ValueError(
                    f"fold {fold.name}: the test clip {micro.clip[test_rows[0]]} has the same image as {pools[name].clip[row]} "
                    f"in its {name} training pool; remove one of them, or give both the same subject"
                )


def check_scaling(image: NDArray[np.float32], fold: Fold, scaling: Scaling) -> None:
    """Raise `ValueError` for a scaling of training clips that changes if the test clips are replaced by nan."""
    poisoned = np.array(image)
    poisoned[fold.test] = np.nan
    train = jnp.asarray(fold.train)
    clean, other = (np.asarray(_scaled(x, scaling=scaling, train=train))[fold.train] for x in (image, poisoned))
    if not np.array_equal(clean, other, equal_nan=True):
        raise ValueError(f"fold {fold.name}: scaling {scaling} of its training clips depends on its test clips")


def _digest(image: NDArray[np.float32]) -> bytes:
    """Digest that is equal for an image, its mirror image, and its mirror image as flow, whose first channel changes sign."""
    opposite = np.array(image)
    opposite[..., 0] *= -1
    # Adding zero removes negative zeros.
    forms = [np.ascontiguousarray(form) + np.float32(0) for x in (image, opposite) for form in (x, x[..., ::-1, :])]
    return min(hashlib.blake2b(form.tobytes(), digest_size=16).digest() for form in forms)

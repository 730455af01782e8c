"""Leak checks before every training: test subjects, copies of test clips, and scaling statistics."""

import functools
import hashlib
import itertools
import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.subjects import Alias, join_aliases, subject_key
from lightman_jax.preprocessing import Channels, Scaling, channels_of, scale_flow
from lightman_jax.training.folds import Fold, check_folds
from lightman_jax.training.near_copies import near_copies
from lightman_jax.types import ClipSet, image_blocks, remembered

_MAX_LISTED, _SCALED_BYTES = 5, 32 << 20

_Sides = tuple[str, set[str], set[str]]
"""Name of a fold, its test subjects and its training subjects."""

_scaled = jax.jit(scale_flow, static_argnames=("scaling", "views", "channels"))


class LeakWarning(UserWarning):
    """Two names on both sides of a fold may be one subject."""


def check_leaks(
    micro: ClipSet,
    macro: ClipSet | None,
    folds: Sequence[Fold],
    scaling: Scaling,
    aliases: Sequence[tuple[str, str]] = (),
    *,
    channels: Channels = "auto",
) -> None:
    """Refuse folds in which test clips affect the training, and warn of two names that may be one subject.

    Issues a `LeakWarning` for names on both sides of a fold that have the same `subject_key`, or whose clips are
    near-copies. Choice: a warning, because they may be two subjects; exact copies cannot be, and are refused.

    Args:
      micro: micro clips of all folds.
      macro: macro clips, or None if pseudo-macro clips are made from the micro clips.
      folds: folds to check.
      scaling: scaling of the training.
      aliases: pairs of names of one subject.
      channels: what the channels of the images are.

    Raises:
      ValueError: a test subject among the training clips, also under another name in `aliases`; a test clip whose image, or its
        mirror image, is also a training clip; or a scale of training clips that depends on test clips.
    """
    check_folds(folds, micro.subject, (micro if macro is None else macro).subject)
    names = list(dict.fromkeys((*micro.subject, *(() if macro is None else macro.subject))))
    sides = [_sides(fold, micro, macro) for fold in folds]
    groups, _ = join_aliases([[name] for name in names], [Alias(*pair) for pair in aliases])
    for fold, first, second in _on_both_sides(groups, sides):
        raise ValueError(
            f"fold {fold}: it tests {first} and trains on {second}, one subject by the aliases; give both one name"
        )
    is_flow = channels_of(jnp.asarray(micro.image[:1]), channels) == "flow"
    check_copies(micro, macro, folds, is_flow=is_flow)
    _warn_of_spellings(names, sides)
    if is_flow:
        _warn_of_near_copies(micro, macro, folds)
    if folds:
        check_scaling(micro.image, folds[0], scaling, views=bool(micro.views), channels=channels)


def _sides(fold: Fold, micro: ClipSet, macro: ClipSet | None) -> _Sides:
    subject = np.array(micro.subject)
    trained = set(subject[fold.train].tolist())
    if macro is not None:
        trained |= set(np.array(macro.subject)[fold.macro_train].tolist())
    return fold.name, set(subject[fold.test].tolist()), trained


def _on_both_sides(groups: Iterable[Sequence[str]], sides: Sequence[_Sides]) -> Iterator[tuple[str, str, str]]:
    """For each pair of names of a group, the first fold that tests one and trains on the other: its name and both."""
    for pair in itertools.chain.from_iterable(itertools.combinations(group, 2) for group in groups):
        orders = (pair, pair[::-1])
        hits = ((fold, a, b) for fold, tested, trained in sides for a, b in orders if a in tested and b in trained)
        yield from itertools.islice(hits, 1)


def _warn_of_spellings(names: Sequence[str], sides: Sequence[_Sides]) -> None:
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        spellings[subject_key(name)].append(name)
    found = [
        f"{second} is trained on in fold {fold}, which tests {first}"
        for fold, first, second in _on_both_sides(spellings.values(), sides)
    ]
    if found:
        remedy = "these names differ in case, blanks or leading zeros alone: if they are one subject, give both the same name"
        warnings.warn(f"possible leak: {_listed(found)}; {remedy}", LeakWarning, stacklevel=3)


def _warn_of_near_copies(micro: ClipSet, macro: ClipSet | None, folds: Sequence[Fold]) -> None:
    tested_in = {int(row): fold for fold in folds for row in fold.test}
    best: dict[frozenset[str], tuple[float, str]] = {}
    for copy in near_copies(micro, macro) if folds else ():
        fold, clips = tested_in.get(copy.row), micro if copy.pool == "micro" else macro
        if fold is None or clips is None or not (fold.train if copy.pool == "micro" else fold.macro_train)[copy.other]:
            continue
        text = (
            f"{clips.clip[copy.other]} of subject {clips.subject[copy.other]} is trained on in fold {fold.name}, which tests "
            f"{micro.clip[copy.row]} of subject {micro.subject[copy.row]} (similarity {copy.similarity:.3f})"
        )
        pair = frozenset((micro.subject[copy.row], clips.subject[copy.other]))
        best[pair] = max(best.get(pair, (0.0, "")), (copy.similarity, text))
    if best:
        listed = _listed([text for _, text in sorted(best.values(), reverse=True)])
        remedy = "these clips are near-copies: if they show one subject, give both the same name (--subject_aliases)"
        warnings.warn(f"possible leak: {listed}; {remedy}", LeakWarning, stacklevel=3)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _MAX_LISTED
    return "; ".join(texts[:_MAX_LISTED]) + (f"; and {more} more pairs of subjects" if more > 0 else "")


def check_copies(micro: ClipSet, macro: ClipSet | None, folds: Sequence[Fold], *, is_flow: bool = True) -> None:
    """Raise `ValueError` for folds that train on a copy of a view of a test clip, mirrored or not, whatever its subject."""
    pools = {"micro": micro} if macro is None else {"micro": micro, "macro": macro}
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, clips in pools.items():
        of_clips = functools.partial(_digests, clips, is_flow=is_flow)
        for row, digest in remembered(clips.image, ("copies", is_flow), of_clips):
            places[digest].append((name, row))
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


def _digests(clips: ClipSet, *, is_flow: bool) -> list[tuple[int, bytes]]:
    """Row and digest of every clip, in each view that it has; clips without a movement are alike and left out."""
    return [
        (row, _digest(image, is_flow=is_flow))
        for row, image in _images(clips)
        if (image != image[..., :1, :1, :]).any()
    ]


def _images(clips: ClipSet) -> Iterator[tuple[int, NDArray[Any]]]:
    """Row and image of every clip, in each view that it has."""
    for first, block in image_blocks(clips.image):
        if clips.views:
            places = np.argwhere(clips.has_view[first : first + len(block)])
            yield from ((first + int(row), block[row, view]) for row, view in places)
        else:
            yield from enumerate(block, start=first)


def check_scaling(
    image: NDArray[Any], fold: Fold, scaling: Scaling, *, views: bool = False, channels: Channels = "auto"
) -> None:
    """Raise `ValueError` for a scaling of training clips that changes if the test clips are replaced by nan.

    Of large images, the first test and training clips of 32 MB are checked.
    """
    most = max(2, _SCALED_BYTES // (4 * math.prod(image.shape[1:])))
    rows = np.arange(len(image))
    if len(rows) > most:
        sides = np.flatnonzero(np.isin(rows, fold.test)), np.flatnonzero(fold.train)
        rows = np.sort(np.concatenate([side[: most // 2] for side in sides]))
    clean = np.asarray(image[rows], np.float32)
    poisoned = np.array(clean)
    poisoned[np.isin(rows, fold.test)] = np.nan
    train = np.asarray(fold.train)[rows]
    scale = functools.partial(_scaled, scaling=scaling, train=jnp.asarray(train), views=views, channels=channels)
    clean, other = (np.asarray(scale(images))[train] for images in (clean, poisoned))
    if not np.array_equal(clean, other, equal_nan=True):
        raise ValueError(f"fold {fold.name}: scaling {scaling} of its training clips depends on its test clips")


def _digest(image: NDArray[Any], *, is_flow: bool) -> bytes:
    """Digest that is equal for an image and its mirror image; of flow, also if the first channel changes its sign with it."""
    signs = [1, np.array([-1, 1, 1], image.dtype)] if is_flow else [1]
    # Adding zero removes negative zeros.
    forms = [
        np.ascontiguousarray(form * sign) + image.dtype.type(0)
        for sign in signs
        for form in (image, image[..., ::-1, :])
    ]
    return min(hashlib.blake2b(form.tobytes(), digest_size=16).digest() for form in forms)

"""Near-copies, spellings and aliases on both sides of a fold are named; what is only alike is not."""

import dataclasses
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.leakage import LeakWarning, check_leaks
from lightman_jax.training.near_copies import near_copies
from lightman_jax.types import ClipSet
from tests.inputs import make_clips


def smooth(count, seed=0, side=28):
    """Fields as smooth as flow, each of its own."""
    waves = np.cos(np.pi * np.outer(np.arange(side) + 0.5, np.arange(6)) / side)
    weights = np.random.default_rng(seed).normal(size=(count, 6, 6, 3))
    return np.einsum("hi,wj,nijc->nhwc", waves, waves, weights, optimize=True).astype(np.float32)


def clips(subjects, seed=0, image=None):
    names = tuple(f"table/{subject}" for subject in subjects)
    image = smooth(len(names), seed) if image is None else image
    label = np.arange(len(names), dtype=np.int32) % 3
    return ClipSet(image, label, names, tuple(f"{n}/c{row}" for row, n in enumerate(names)), ("a", "b", "c"))


SUBJECTS = [name for name in ("ann", "ben", "cem", "dag", "eva", "fay") for _ in range(3)]


def mirrored(image):
    return image[:, ::-1] * np.array([-1, 1, 1], np.float32)


CHANGES = {
    "with noise": lambda x: x + np.random.default_rng(1).normal(size=x.shape).astype(np.float32) * 0.1 * x.std(),
    "larger": lambda x: 1.7 * x + 0.3,
    "mirrored, with noise": lambda x: mirrored(x) + 0.01 * x.std(),
    "in 8 bits": lambda x: np.round(8 * x) / 8,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pool", ["micro", "macro"])
def test_near_copies_under_two_subjects_are_named(change, pool):
    micro, macro = clips(SUBJECTS), clips(SUBJECTS, seed=5)
    sets = {"micro": micro, "macro": macro}
    image = sets[pool].image.copy()
    image[5] = CHANGES[change](micro.image[0])
    sets[pool] = dataclasses.replace(sets[pool], image=image)
    folds = leave_one_subject_out(micro.subject, macro.subject)
    with pytest.warns(LeakWarning, match="near-copies") as warned:
        check_leaks(sets["micro"], sets["macro"], folds, "clip_rms")
    text = str(warned[0].message)
    assert "table/ann/c0" in text
    assert f"{sets[pool].clip[5]} of subject table/ben" in text
    # Not if both have one subject.
    one = tuple(name.replace("ben", "ann") for name in micro.subject)
    sets = {name: dataclasses.replace(one_set, subject=one) for name, one_set in sets.items()}
    check_leaks(sets["micro"], sets["macro"], leave_one_subject_out(one, one), "clip_rms")


def test_copies_of_one_of_two_subjects_are_named():
    micro = clips(["ann", "ben"] * 3)
    image = micro.image.copy()
    image[1::2] = 1.2 * image[::2]
    assert {(copy.row, copy.other) for copy in near_copies(dataclasses.replace(micro, image=image), None)} >= {
        (0, 1),
        (3, 2),
    }
    assert near_copies(micro, None) == []


def test_clips_without_movement_shared_movements_and_faces_are_no_copies():
    still = clips(SUBJECTS, image=np.zeros((len(SUBJECTS), 28, 28, 3), np.float32))
    check_leaks(still, None, leave_one_subject_out(still.subject), "clip_rms")
    constant = dataclasses.replace(still, image=still.image + np.float32(3.7))
    assert near_copies(constant, constant) == []
    kinds = smooth(3)[np.arange(len(SUBJECTS)) % 3]
    shared = clips(SUBJECTS, image=kinds + 0.01 * np.random.default_rng(0).normal(size=kinds.shape).astype(np.float32))
    assert near_copies(shared, shared) == []
    faces = clips(SUBJECTS, image=smooth(1)[..., :1] + 0.1 * smooth(len(SUBJECTS), seed=3)[..., :1])
    assert near_copies(faces, None) == []


def test_values_that_are_not_finite_and_other_sizes_are_accepted():
    micro = clips(SUBJECTS)
    image = micro.image.copy()
    image[0], image[4, 3, 3, 1] = np.nan, np.inf
    assert near_copies(dataclasses.replace(micro, image=image), None) == []
    for shape in ((5, 5), (16, 30), (29, 41)):
        odd = np.random.default_rng(0).normal(size=(len(SUBJECTS), *shape, 3)).astype(np.float32)
        odd[5] = odd[0] + 0.001
        assert {(copy.row, copy.other) for copy in near_copies(clips(SUBJECTS, image=odd), None)} == {(0, 5), (5, 0)}
    assert near_copies(micro, clips(SUBJECTS, image=odd)) == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(3, 6))
def test_random_movements_raise_no_false_alarm(seed, count):
    names = [f"s{row % count}" for row in range(3 * count)]
    assert near_copies(clips(names, seed), clips(names, seed + 1)) == []


def test_clips_of_one_class_are_no_copies():
    assert near_copies(make_clips(), make_clips(seed=5)) == []


@pytest.mark.slow
def test_thousands_of_clips_take_seconds():
    names = [f"s{row % 300}" for row in range(3000)]
    start = time.perf_counter()
    assert (
        near_copies(
            clips(names, image=np.random.default_rng(0).normal(size=(3000, 28, 28, 3)).astype(np.float32)), None
        )
        == []
    )
    assert time.perf_counter() - start < 20


def test_spellings_of_a_name_on_both_sides_are_named():
    micro = clips([*SUBJECTS, "Ann", "007", "7"])
    with pytest.warns(LeakWarning, match="case, blanks or leading zeros") as warned:
        check_leaks(micro, None, leave_one_subject_out(micro.subject), "clip_rms")
    text = str(warned[0].message)
    assert "table/Ann is trained on in fold table/ann, which tests table/ann" in text or "table/ann is trained" in text
    assert "table/007" in text
    # Folds that hold both out together do not leak.
    fold = leave_one_subject_out(micro.subject)[0]
    held_out = np.array([name.lower() == "table/ann" for name in micro.subject])
    both = dataclasses.replace(fold, test=np.flatnonzero(held_out), train=~held_out, macro_train=~held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_leaks(micro, None, [both], "clip_rms")


def test_aliases_on_both_sides_are_refused():
    micro, macro = clips(SUBJECTS), clips(["gil", "ann", "hal"], seed=4)
    folds = leave_one_subject_out(micro.subject, macro.subject)
    check_leaks(micro, macro, folds, "clip_rms", aliases=[("gil", "hal")])
    with pytest.raises(ValueError, match="tests table/ben and trains on table/gil, one subject by the aliases"):
        check_leaks(micro, macro, folds, "clip_rms", aliases=[("gil", "hal"), ("hal", "table/BEN")])
    with pytest.raises(ValueError, match=r"no clip has the subject 'bem'; the nearest are .*ben"):
        check_leaks(micro, macro, folds, "clip_rms", aliases=[("gil", "bem")])

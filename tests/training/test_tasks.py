"""Folds and task draws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.folds import Fold, check_folds, leave_one_subject_out
from lightman_jax.training.program import mirror_at_random
from lightman_jax.training.tasks import Pool, draw_task, draw_task_batch, smallest
from tests.inputs import make_clips

DRAW = jax.jit(draw_task, static_argnames=("classes", "config"))
DRAW_BATCH = jax.jit(draw_task_batch, static_argnames=("classes", "config"))


def make_pool(label, subject, train=None, side=2):
    n = len(label)
    train = np.ones(n, bool) if train is None else train
    image = jnp.arange(n, dtype=jnp.float32)[:, None, None, None] * jnp.ones((1, side, side, 3))
    return Pool(image, jnp.asarray(label, jnp.int32), jnp.asarray(subject, jnp.int32), jnp.asarray(train))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_a_task_has_no_clip_twice_and_none_outside_its_pool(seed):
    rng = np.random.default_rng(seed)
    label, subject = rng.integers(0, 3, 40), rng.integers(0, 6, 40)
    held_out = int(rng.integers(0, 6))
    pool = make_pool(label, subject, subject != held_out)
    index = DRAW(jax.random.key(seed), pool, pool, classes=3, config=TaskConfig(shots=4, macro_shots=3))
    support, query = np.asarray(index.support)[index.support_where], np.asarray(index.query)[index.query_where]
    macro = np.asarray(index.macro)[index.macro_where]
    drawn = np.concatenate([support, query])
    assert len(set(drawn.tolist())) == len(drawn)
    for rows in (support, query, macro):
        assert held_out not in set(subject[rows].tolist())
    np.testing.assert_array_equal(label[support], np.asarray(index.label)[index.support_where])
    np.testing.assert_array_equal(label[query], np.asarray(index.label)[index.query_where])
    np.testing.assert_array_equal(label[macro], np.asarray(index.macro_label)[index.macro_where])
    # As many clips as the pool has; if they are too few, the support takes half and the query the rest.
    for c in range(3):
        available = int(((label == c) & (subject != held_out)).sum())
        assert (label[support] == c).sum() == min(4, available // 2)
        assert (label[query] == c).sum() == min(4, available - min(4, available // 2))


def test_support_and_query_have_different_subjects_if_the_pool_allows():
    label, subject = np.tile([0, 1, 2], 40), np.repeat(np.arange(12), 10)
    pool = make_pool(label, subject)
    sides = set()
    for seed in range(30):
        index = DRAW(jax.random.key(seed), pool, pool, classes=3, config=TaskConfig(shots=3))
        support, query = set(subject[np.asarray(index.support)]), set(subject[np.asarray(index.query)])
        assert not support & query
        sides.add(tuple(sorted(support)))
    assert len(sides) > 10, "the split of the subjects must vary between tasks"


def test_the_value_of_a_rank_is_that_of_the_sorted_values():
    rng = np.random.default_rng(0)
    values = np.asarray(jax.random.uniform(jax.random.key(0), (50, 20))).copy()
    values[rng.random(values.shape) < 0.3] = np.inf
    values[:20] = np.round(4 * values[:20])
    found = jax.vmap(jax.vmap(smallest, (None, 0)), (0, None))(values, jnp.arange(1, 21))
    np.testing.assert_array_equal(found, np.sort(values, axis=1))


@pytest.mark.parametrize(
    ("clips", "support", "query"), [(1, 0, 1), (2, 1, 1), (4, 2, 2), (7, 3, 4), (9, 4, 5), (12, 5, 5)]
)
def test_a_class_with_few_clips_is_shared_between_support_and_query(clips, support, query):
    # Clips outside the training pool fill up to 36, so that all cases share a compiled program.
    label, train = np.resize(np.repeat(np.arange(3), clips), 36), np.arange(36) < 3 * clips
    pool = make_pool(label, np.arange(36), train)
    index = DRAW(jax.random.key(clips), pool, pool, classes=3, config=TaskConfig(shots=5, macro_shots=1))
    assert index.support_where.reshape(3, 5).sum(axis=1).tolist() == [support] * 3
    assert index.query_where.reshape(3, 5).sum(axis=1).tolist() == [query] * 3


@pytest.mark.slow
def test_draws_depend_on_the_key_only_and_have_the_documented_shapes():
    clips = make_clips(subjects=4, each=3)
    number = {name: i for i, name in enumerate(sorted(set(clips.subject)))}
    pool = make_pool(clips.label, [number[s] for s in clips.subject], side=16)
    config = TaskConfig(shots=2, macro_shots=1, meta_batch_size=3)
    first, again, other = (DRAW_BATCH(jax.random.key(k), pool, pool, classes=3, config=config) for k in (0, 0, 1))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(first.support.image != other.support.image)
    for part, count in (("support", 6), ("macro", 3), ("query", 6)):
        drawn = getattr(first, part)
        assert (drawn.image.shape, drawn.image.dtype) == ((3, count, 16, 16, 3), np.float32), part
        assert (drawn.label.shape, drawn.label.dtype) == ((3, count), np.int32), part
        assert (drawn.where.shape, drawn.where.dtype) == ((3, count), bool), part


@pytest.mark.slow
def test_padded_rows_are_zero_and_masked():
    pool = make_pool([0, 0, 1, 2, 2, 2], [0, 1, 0, 0, 1, 1])
    task = DRAW_BATCH(jax.random.key(0), pool, pool, classes=3, config=TaskConfig(shots=4, meta_batch_size=1))
    for clips in (task.support, task.query, task.macro):
        assert not np.any(np.asarray(clips.image)[~np.asarray(clips.where)])
    assert int(task.support.where.sum()) == 1 + 0 + 1
    assert int(task.query.where.sum()) == 1 + 1 + 2


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "share"), [(0.0, 0.0), (6.0, 0.5), (1e9, 1.0)])
def test_labelled_macro_clips_take_their_share_of_a_class_and_change_no_other_draw(weight, share):
    """Six clips per class are in training, so that a weight of 6 gives one half."""
    micro = make_pool(np.repeat([0, 1, 2], 7), np.arange(21), np.arange(21) % 7 > 0)
    label = np.repeat([0, 1, 2], 20)
    macro = make_pool(label, np.arange(60), np.arange(60) % 20 > 0)
    macro = dataclasses.replace(macro, image=macro.image + 1000)
    config = TaskConfig(shots=3, meta_batch_size=200)
    before = DRAW_BATCH(jax.random.key(0), micro, macro, classes=3, config=config)
    config = dataclasses.replace(config, labelled_macro=weight)
    after = DRAW_BATCH(jax.random.key(0), micro, macro, classes=3, config=config)
    np.testing.assert_array_equal(after.macro.image, before.macro.image)
    parts = []
    for part in ("support", "query"):
        old, new = getattr(before, part), getattr(after, part)
        rows = np.asarray(new.image)[..., 0, 0, 0].astype(int)
        taken = rows >= 1000
        np.testing.assert_array_equal(np.asarray(new.image)[~taken], np.asarray(old.image)[~taken])
        np.testing.assert_array_equal(label[rows[taken] - 1000], np.asarray(new.label)[taken])
        assert (rows[taken] % 20 > 0).all(), "a macro clip outside the training pool"
        assert np.asarray(new.where).all()
        assert taken.mean() == pytest.approx(share, abs=0.03)
        parts.append(rows)
    for drawn in np.concatenate(parts, axis=1):
        assert len(set(drawn.tolist())) == len(drawn), "a clip twice in a task"


def test_labelled_macro_clips_need_macro_clips():
    config = TrainConfig(task=TaskConfig(labelled_macro=20))
    assert config.aligned_with(has_macro=True) == "macro"
    with pytest.raises(ValueError, match="labelled_macro 20 needs macro clips, and the data have none"):
        config.aligned_with(has_macro=False)
    with pytest.raises(ValueError, match="auxiliary magnified does not use them"):
        dataclasses.replace(config, auxiliary="magnified").aligned_with(has_macro=True)
    with pytest.raises(ValueError, match="labelled_macro is -1"):
        TaskConfig(labelled_macro=-1)


@pytest.mark.slow
def test_mirroring_flips_half_of_the_clips_and_negates_u():
    pool = make_pool(np.tile([0, 1, 2], 30), np.repeat(np.arange(9), 10))
    tasks = DRAW_BATCH(jax.random.key(0), pool, pool, classes=3, config=TaskConfig(shots=5, meta_batch_size=8))
    mirrored = jax.jit(mirror_at_random)(jax.random.key(1), tasks)
    flipped = np.asarray((mirrored.support.image[..., 0] == -tasks.support.image[..., 0]).all((-1, -2)))
    assert 0.3 < flipped.mean() < 0.7
    np.testing.assert_array_equal(mirrored.support.image[..., 1:], tasks.support.image[..., 1:])


def test_one_fold_per_subject_excludes_it_from_both_pools():
    subjects, macro = ["a/s1", "a/s2", "b/s1", "a/s1"], ["a/s1", "a/s9", "b/s1"]
    folds = leave_one_subject_out(subjects, macro)
    assert [fold.name for fold in folds] == ["a/s1", "a/s2", "b/s1"]
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == [0, 1, 2, 3]
    assert folds[0].train.tolist() == [False, True, True, False]
    assert folds[0].macro_train.tolist() == [False, True, True]


def test_leaking_folds_are_refused():
    everything = np.ones(2, bool)
    leak = Fold("s1", np.array([0]), train=everything, macro_train=everything)
    with pytest.raises(ValueError, match="micro training pool"):
        check_folds([leak], ["s1", "s2"], ["s3", "s4"])
    leak = Fold("s1", np.array([0]), train=np.array([False, True]), macro_train=everything)
    with pytest.raises(ValueError, match="macro training pool"):
        check_folds([leak], ["s1", "s2"], ["s1", "s4"])
    fair = Fold("s1", np.array([0]), train=np.array([False, True]), macro_train=np.array([False, True]))
    with pytest.raises(ValueError, match="tested in another fold"):
        check_folds([fair, fair], ["s1", "s2"], ["s1", "s4"])
    with pytest.raises(ValueError, match="at least 2 subjects"):
        leave_one_subject_out(["s1", "s1"])
    with pytest.raises(ValueError, match="choose 1 or more"):
        TaskConfig(shots=0)

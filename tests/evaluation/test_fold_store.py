"""A stored job is reused if and only if the same job would be trained."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from experiments.evaluation.fold_store import FoldStore
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips
from tests.training.test_leakage import make_config, same


@functools.cache
def train_one():
    clips, config = make_clips(subjects=3, each=1), make_config("meta_sgd", steps=1)
    folds = leave_one_subject_out(clips.subject)
    (job,) = train_folds(clips, None, folds, [4], config, skip=lambda fold, replica: fold is not folds[1])
    return clips, config, folds, job


@pytest.fixture
def trained(tmp_path, one_block):
    clips, config, folds, job = train_one()
    store = FoldStore(tmp_path, clips, None, config)
    store.save(job)
    return store, clips, config, folds, job


def test_a_stored_job_is_loaded_bit_for_bit(trained):
    store, _, _, folds, job = trained
    loaded = store.load(folds[1], 4)
    assert jax.tree.structure(loaded.params) == jax.tree.structure(job.params)
    assert same(jax.tree.leaves(loaded.params), jax.tree.leaves(job.params))
    assert loaded.history.keys() == job.history.keys()
    assert store.load(folds[0], 4) is store.load(folds[1], 5) is None
    assert [path.suffix for path in store.path(folds[1], 4).parent.iterdir()] == [".fold"]


def changed(clips, **parts):
    return dataclasses.replace(clips, **parts)


def test_one_pixel_label_or_setting_of_the_training_makes_another_job(trained, tmp_path):
    _, clips, config, folds, _ = trained
    own = [row for row, subject in enumerate(clips.subject) if subject == folds[1].name]
    other = next(row for row in range(len(clips)) if row not in own)

    def found(clips, config, macro=None, replica=4):
        return FoldStore(tmp_path, clips, macro, config).path(folds[1], replica).exists()

    assert found(clips, config)
    for row, kept in ((other, False), (own[0], True)):
        image, label = clips.image.copy(), clips.label.copy()
        image[row, 3, 3, 1] += 1e-3
        label[row] = (label[row] + 1) % 3
        assert found(changed(clips, image=image), config) is kept, "the test subject's clips must not matter"
        assert found(changed(clips, label=label), config) is kept
    assert not found(clips, dataclasses.replace(config, learning_rate=0.5))
    assert not found(clips, config, replica=5)
    assert not found(clips, config, macro=clips)


def test_a_job_of_other_numeric_settings_is_another_job_and_the_difference_is_named(trained, tmp_path):
    store, clips, config, folds, _ = trained
    assert store.difference(folds[1], 4) == ""
    with jax.default_prng_impl("rbg"):
        other = FoldStore(tmp_path, clips, None, config)
        assert other.load(folds[1], 4) is None
        assert other.difference(folds[1], 4) == "jax_default_prng_impl=threefry2x32 there, rbg here"
        assert other.difference(folds[0], 4) == other.difference(folds[1], 5) == ""
    store.path(folds[1], 4).write_bytes(b"damaged")
    assert other.difference(folds[1], 4) == ""


def test_a_damaged_file_is_not_loaded(trained):
    store, _, _, folds, _ = trained
    path = store.path(folds[1], 4)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), size=20):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        assert store.load(folds[1], 4) is None
    path.write_bytes(whole[: len(whole) // 2])
    assert store.load(folds[1], 4) is None
    path.write_bytes(whole)
    assert store.load(folds[1], 4) is not None

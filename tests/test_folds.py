"""Lanes: same numbers on any number of devices, one compile a run, results independent of company."""

import dataclasses

import jax
import numpy as np
import pytest
from conftest import make_clips
from test_leakage import make_config, same

from lightman_jax import folds as folds_module
from lightman_jax.folds import Progress, fold_key, predict_folds, train_folds
from lightman_jax.tasks import leave_one_subject_out


@pytest.fixture(scope="module")
def clips():
    return make_clips(subjects=3, each=2)


def test_one_and_two_devices_and_fewer_folds_give_the_same_weights(clips, monkeypatch):
    config = make_config("joint", steps=4)
    folds = leave_one_subject_out(clips.subject)
    assert jax.device_count() == 2
    two = list(train_folds(clips, None, folds, [0, 1], config))
    one_device = jax.devices()[:1]
    monkeypatch.setattr(folds_module.jax, "devices", lambda: one_device)
    one = list(train_folds(clips, None, folds[1:], [1], config))
    assert [(lane.fold.subject, lane.seed) for lane in two] == [(f.subject, s) for s in (0, 1) for f in folds]
    for lane in one:
        twin = next(other for other in two if (other.fold.subject, other.seed) == (lane.fold.subject, lane.seed))
        for a, b in zip(jax.tree.leaves(lane.params), jax.tree.leaves(twin.params), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    assert not same(jax.tree.leaves(two[0].params), jax.tree.leaves(two[3].params)), "seeds must differ"


@pytest.mark.parametrize("method", ["joint", "reptile"])
def test_a_lane_alone_splits_its_tasks_over_the_devices_and_learns_the_same(clips, one_block, method):
    config = make_config(method, steps=4)
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, tasks=3))
    folds = leave_one_subject_out(clips.subject)
    assert dict(folds_module._device_mesh(1, config).shape) == {"folds": 1, "tasks": 2}
    assert dict(folds_module._device_mesh(6, config).shape) == {"folds": 2, "tasks": 1}
    together = list(train_folds(clips, None, folds, [0], config))
    (alone,) = train_folds(clips, None, folds[1:2], [0], config)
    for a, b in zip(jax.tree.leaves(alone.params), jax.tree.leaves(together[1].params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(alone.history["loss"], together[1].history["loss"], atol=1e-5)


def test_a_run_compiles_its_update_once_and_reports_progress(clips):
    config = make_config("joint", steps=6)
    folds = leave_one_subject_out(clips.subject)
    folds_module._training_program.cache_clear()
    seen: list[Progress] = []
    lanes = list(train_folds(clips, None, folds, [0, 1], config, on_progress=seen.append))
    program = folds_module._training_program
    assert program.cache_info().misses == 1
    start, advance, _ = program(config, 3, True, 6, folds_module._device_mesh(6, config))
    assert program.cache_info().misses == 1, "the program asked for here must be the one that ran"
    assert (start._cache_size(), advance._cache_size()) == (1, 1)
    assert all(lane.history["loss"].shape == (6,) for lane in lanes)
    assert [p.done for p in seen] == [0, 2, 4]
    assert seen[-1].total == 6


def test_training_learns_and_predictions_are_probabilities(clips):
    config = dataclasses.replace(make_config("joint", steps=75), outer_rate=1e-2)
    folds = leave_one_subject_out(clips.subject)
    lanes = list(train_folds(clips, None, folds, [0], config))
    assert all(lane.history["loss"][-5:].mean() < lane.history["loss"][:5].mean() for lane in lanes)
    results = predict_folds([(lane.fold, lane.params) for lane in lanes], clips.image, config)
    hits = [r.argmax(1) == clips.label[lane.fold.test] for r, lane in zip(results, lanes, strict=True)]
    assert np.concatenate(hits).mean() > 0.8
    for lane, probabilities in zip(lanes, results, strict=True):
        assert probabilities.shape == (len(lane.fold.test), 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    mirrored = clips.image[:, :, ::-1] * np.array([-1, 1, 1], np.float32)
    turned = predict_folds([(lanes[0].fold, lanes[0].params)], mirrored, config)[0]
    np.testing.assert_allclose(turned, results[0], atol=1e-5)


def test_a_macro_corpus_of_many_strangers_takes_no_micro_subject_out_of_the_draw(clips):
    """Forty other people in the macro pool, more than there are micro clips, whose names sort before the micro subjects'."""
    strangers = make_clips(subjects=40, each=1, corpus="a")
    data = folds_module._device_data(clips, strangers, make_config())
    assert int(data.subject.max()) < len(clips)
    assert len(set(np.asarray(data.macro_subject).tolist()) | set(np.asarray(data.subject).tolist())) == 43


def test_macro_clips_of_other_classes_are_refused(clips):
    other = make_clips(subjects=3, each=1)
    other = type(other)(other.image, other.label, other.subject, other.clip, ("happy", "sad", "angry"))
    with pytest.raises(ValueError, match="classes"):
        next(train_folds(clips, other, leave_one_subject_out(clips.subject), [0], make_config()))


def test_the_key_of_a_lane_depends_on_seed_and_subject():
    keys = {tuple(jax.random.key_data(fold_key(seed, name)).tolist()) for seed in (0, 1) for name in ("a/s1", "a/s2")}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps": 0}, "trains nothing"),
        ({"scaling": "none"}, "clip_rms, fold_rms"),
        ({"weight_decay": -1.0}, "negative"),
    ],
)
def test_wrong_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        folds_module.TrainConfig(**settings)

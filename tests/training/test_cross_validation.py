"""Lanes: same numbers on any number of devices, one compile a run, results independent of company."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from lightman_jax.training import cross_validation as folds_module
from lightman_jax.training import numerics as precision
from lightman_jax.training.cross_validation import Progress, predict_folds, train_folds
from lightman_jax.training.devices import job_mesh
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.program import fold_key
from tests.inputs import make_clips
from tests.training.test_leakage import make_config, same

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clips():
    return make_clips(subjects=3, each=2)


def test_one_and_two_devices_and_fewer_folds_give_the_same_weights(clips, monkeypatch):
    config = make_config("joint", steps=4)
    folds = leave_one_subject_out(clips.subject)
    assert jax.device_count() == 2
    two = list(train_folds(clips, None, folds, [0, 1], config))
    one_device = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one_device)
    one = list(train_folds(clips, None, folds[1:], [1], config))
    assert [(job.fold.name, job.seed) for job in two] == [(f.name, s) for s in (0, 1) for f in folds]
    for job in one:
        twin = next(other for other in two if (other.fold.name, other.seed) == (job.fold.name, job.seed))
        for a, b in zip(jax.tree.leaves(job.params), jax.tree.leaves(twin.params), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    assert not same(jax.tree.leaves(two[0].params), jax.tree.leaves(two[3].params)), "seeds must differ"


@pytest.mark.parametrize("method", ["joint"])
def test_a_lane_alone_splits_its_tasks_over_the_devices_and_learns_the_same(clips, one_block, method):
    config = make_config(method, steps=4)
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, meta_batch_size=3))
    folds = leave_one_subject_out(clips.subject)
    assert dict(job_mesh(1, 3).shape) == {"folds": 1, "tasks": 2}
    assert dict(job_mesh(6, 3).shape) == {"folds": 2, "tasks": 1}
    together = list(train_folds(clips, None, folds, [0], config))
    (alone,) = train_folds(clips, None, folds[1:2], [0], config)
    for a, b in zip(jax.tree.leaves(alone.params), jax.tree.leaves(together[1].params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(alone.history["loss"], together[1].history["loss"], atol=1e-5)


def test_lanes_side_by_side_learn_what_lanes_in_turn_learn(clips):
    config = make_config("maml", steps=2)
    level = dataclasses.replace(config.method.bilevel, task_mapping="vmap")
    side_by_side = dataclasses.replace(config, method=dataclasses.replace(config.method, bilevel=level))
    folds = leave_one_subject_out(clips.subject)
    seen = []
    together = list(train_folds(clips, None, folds, [0, 1], side_by_side, on_progress=seen.append))
    assert len(seen[0].jobs) == 6, "all six lanes are in flight on two devices"
    for one, other in zip(train_folds(clips, None, folds, [0, 1], config), together, strict=True):
        assert (one.fold.name, one.seed) == (other.fold.name, other.seed)
        for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="XLA of older JAX rounds by the number of devices")
def test_the_same_weights_in_every_bit_on_1_2_and_8_devices():
    code = """
import dataclasses, hashlib, sys
sys.path.insert(0, "tests")
import jax
from tests.inputs import make_clips
from tests.training.test_leakage import make_config
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.config import TaskConfig
from lightman_jax.training.folds import leave_one_subject_out
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")
clips = make_clips(subjects=3, each=2)
clips = dataclasses.replace(clips, image=clips.image.astype(float))
config = make_config("joint", task=TaskConfig(shots=1, macro_shots=1, meta_batch_size=4), steps=2)
folds, devices = leave_one_subject_out(clips.subject), jax.devices()
for count in (1, 2, 8):
    jax.devices = lambda *_: devices[:count]
    lanes = list(train_folds(clips, None, folds, [0], config))
    leaves = [leaf for lane in lanes for leaf in jax.tree.leaves(lane.params)]
    print(leaves[0].dtype, hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    words = done.stdout.split()
    assert words[::2] == ["float64"] * 3
    assert len(set(words[1::2])) == 1


def test_bfloat16_is_refused_on_a_cpu_and_where_it_bends_the_gradient(clips, monkeypatch):
    config = make_config("joint", steps=2)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, precision="bfloat16"))
    folds = leave_one_subject_out(clips.subject)
    with pytest.raises(ValueError, match="--precision=float32"):
        next(train_folds(clips, None, folds, [0], config))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    job = next(train_folds(clips, None, folds, [0], config))
    for leaf in jax.tree.leaves(job.params):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()
    monkeypatch.setattr(precision, "LARGEST_ERROR", 1e-5)
    with pytest.raises(ValueError, match="moves this network's outer gradient by"):
        next(train_folds(clips, None, folds, [0], config))


def test_a_run_compiles_its_update_once_and_reports_progress(clips):
    config = make_config("joint", steps=6)
    folds = leave_one_subject_out(clips.subject)
    folds_module.training_program.cache_clear()
    seen: list[Progress] = []
    jobs = list(train_folds(clips, None, folds, [0, 1], config, on_progress=seen.append))
    program = folds_module.training_program
    assert program.cache_info().misses == 1
    start, advance, _ = program(config, 3, True, 6, job_mesh(6, 1))
    assert program.cache_info().misses == 1, "the program asked for here must be the one that ran"
    assert (start._cache_size(), advance._cache_size()) == (1, 1)
    assert all(job.history["loss"].shape == (6,) for job in jobs)
    assert [p.done for p in seen] == [0, 2, 4]
    assert seen[-1].total == 6


def test_training_learns_and_predictions_are_probabilities(clips):
    config = dataclasses.replace(make_config("joint", steps=75), learning_rate=1e-2)
    folds = leave_one_subject_out(clips.subject)
    jobs = list(train_folds(clips, None, folds, [0], config))
    assert all(job.history["loss"][-5:].mean() < job.history["loss"][:5].mean() for job in jobs)
    results = predict_folds([(job.fold, job.params) for job in jobs], clips.image, config)
    hits = [r.argmax(1) == clips.label[job.fold.test] for r, job in zip(results, jobs, strict=True)]
    assert np.concatenate(hits).mean() > 0.8
    for job, probabilities in zip(jobs, results, strict=True):
        assert probabilities.shape == (len(job.fold.test), 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    mirrored = clips.image[:, :, ::-1] * np.array([-1, 1, 1], np.float32)
    turned = predict_folds([(jobs[0].fold, jobs[0].params)], mirrored, config)[0]
    np.testing.assert_allclose(turned, results[0], atol=1e-5)


def test_a_macro_corpus_of_many_strangers_takes_no_micro_subject_out_of_the_draw(clips):
    """Forty other people in the macro pool, more than there are micro clips, whose names sort before the micro subjects'."""
    strangers = make_clips(subjects=40, each=1, corpus="a")
    data = folds_module.training_data(clips, strangers, make_config())
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

"""Training of folds: equal results on any number of devices, few compiled programs, independent jobs."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from lightman_jax.training import cross_validation, numerics
from lightman_jax.training.cross_validation import Progress, chunk_lengths, train_folds
from lightman_jax.training.devices import job_mesh
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.prediction import predict_folds
from lightman_jax.training.program import fold_key
from tests.inputs import make_clips
from tests.training.test_leakage import make_config, same

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clips():
    return make_clips(subjects=3, each=2)


def test_weights_do_not_depend_on_the_number_of_devices_and_folds(clips, monkeypatch):
    config = make_config("joint", steps=4)
    folds = leave_one_subject_out(clips.subject)
    assert jax.device_count() == 2
    two = list(train_folds(clips, None, folds, [0, 1], config))
    one_device = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one_device)
    one = list(train_folds(clips, None, folds[1:], [1], config))
    assert [(job.fold.name, job.replica) for job in two] == [(f.name, s) for s in (0, 1) for f in folds]
    for job in one:
        twin = next(other for other in two if (other.fold.name, other.replica) == (job.fold.name, job.replica))
        for a, b in zip(jax.tree.leaves(job.params), jax.tree.leaves(twin.params), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    assert not same(jax.tree.leaves(two[0].params), jax.tree.leaves(two[3].params)), "replicas must differ"


@pytest.mark.parametrize("method", ["joint"])
def test_a_single_job_splits_its_tasks_over_the_devices(clips, one_block, method):
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


def test_jobs_in_parallel_equal_jobs_in_sequence(clips):
    config = make_config("maml", steps=2)
    bilevel = dataclasses.replace(config.method.bilevel, task_mapping="vmap")
    parallel = dataclasses.replace(config, method=dataclasses.replace(config.method, bilevel=bilevel))
    folds = leave_one_subject_out(clips.subject)
    seen = []
    together = list(train_folds(clips, None, folds, [0, 1], parallel, on_progress=seen.append))
    assert len(seen[0].jobs) == 6, "two devices train all six jobs in parallel"
    for one, other in zip(train_folds(clips, None, folds, [0, 1], config), together, strict=True):
        assert (one.fold.name, one.replica) == (other.fold.name, other.replica)
        for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.skipif(
    jax.__version_info__ < (0, 10), reason="rounding depends on the number of devices in XLA of older JAX"
)
def test_weights_are_bit_identical_on_1_2_and_8_devices():
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
    jobs = list(train_folds(clips, None, folds, [0], config))
    leaves = [leaf for job in jobs for leaf in jax.tree.leaves(job.params)]
    print(leaves[0].dtype, hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())
"""
    # With the loops of XLA's default, as in a training, not those of the tests.
    environment = {**os.environ, "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    words = done.stdout.split()
    assert words[::2] == ["float64"] * 3
    assert len(set(words[1::2])) == 1


def test_bfloat16_is_refused_on_a_cpu_and_for_an_inaccurate_gradient(clips, monkeypatch):
    config = make_config("joint", steps=2)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, precision="bfloat16"))
    folds = leave_one_subject_out(clips.subject)
    with pytest.raises(ValueError, match="--precision=float32"):
        next(train_folds(clips, None, folds, [0], config))
    errors, measure = [], cross_validation.job_gradient_error
    monkeypatch.setattr(
        cross_validation, "job_gradient_error", lambda *given: errors.append(measure(*given)) or errors[-1]
    )
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    job = next(train_folds(clips, None, folds, [0], config))
    for leaf in jax.tree.leaves(job.params):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()
    # The error of the gradient that was accepted.
    monkeypatch.setattr(cross_validation, "job_gradient_error", lambda *_: errors[0])
    monkeypatch.setattr(numerics, "LARGEST_ERROR", 1e-5)
    with pytest.raises(ValueError, match="relative error of this network's outer gradient is"):
        next(train_folds(clips, None, folds, [0], config))


def test_training_compiles_its_update_once_and_reports_progress(clips):
    config = make_config("joint", steps=6)
    folds = leave_one_subject_out(clips.subject)
    cross_validation.training_program.cache_clear()
    seen: list[Progress] = []
    jobs = list(train_folds(clips, None, folds, [0, 1], config, on_progress=seen.append))
    program = cross_validation.training_program
    assert program.cache_info().misses == 1
    start, advance, *_ = program(config, clips.classes, "magnified", 6, job_mesh(6, 1))
    assert program.cache_info().misses == 1, "the program requested here must be the one that ran"
    assert (start._cache_size(), advance._cache_size()) == (1, 1)
    assert all(job.history["loss"].shape == (6,) for job in jobs)
    assert [p.done for p in seen] == [0, 2, 4]
    assert seen[-1].total == 6


def test_a_prime_number_of_steps_needs_few_calls_and_two_programs(clips, monkeypatch):
    config, folds = make_config("joint", steps=7), leave_one_subject_out(clips.subject)
    calls, original = [], cross_validation.training_program

    def counting(config, classes, auxiliary, chunk, mesh):
        programs = original(config, classes, auxiliary, chunk, mesh)
        return programs._replace(advance=lambda *inputs: calls.append(chunk) or programs.advance(*inputs))

    whole = list(train_folds(clips, None, folds[:1], [0], config))
    monkeypatch.setattr(cross_validation, "training_program", counting)
    monkeypatch.setattr(cross_validation, "_LONGEST_CHUNK", 3)
    seen: list[Progress] = []
    parts = list(train_folds(clips, None, folds[:1], [0], config, on_progress=seen.append))
    assert calls == [3, 3, 1]
    assert [progress.step for progress in seen] == [3, 6, 7]
    assert same(jax.tree.leaves(parts[0].params), jax.tree.leaves(whole[0].params))
    assert same(list(parts[0].history.values()), list(whole[0].history.values()))


def test_chunks_of_steps_are_few_and_have_at_most_two_lengths():
    assert chunk_lengths(101) == [21, 21, 21, 21, 17]
    assert chunk_lengths(100) == [25] * 4
    for steps in range(1, 400):
        lengths = chunk_lengths(steps)
        assert sum(lengths) == steps
        assert len(lengths) == -(-steps // 25)
        assert len(set(lengths)) <= 2
        assert 1 <= lengths[-1] <= lengths[0] <= 25


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
    of_mirrored = predict_folds([(jobs[0].fold, jobs[0].params)], mirrored, config)[0]
    np.testing.assert_allclose(of_mirrored, results[0], atol=1e-5)
    damaged = clips.image.copy()
    damaged[jobs[0].fold.test[1], 2, 2, 0] = np.nan
    message = f"fold {jobs[0].fold.name}: the image of clip {jobs[0].fold.test[1]} is not finite; correct it"
    with pytest.raises(ValueError, match=message):
        predict_folds([(jobs[0].fold, jobs[0].params)], damaged, config)


def test_many_subjects_of_a_macro_corpus_do_not_remove_micro_subjects_from_draws(clips):
    """The macro pool has forty other subjects, more than there are micro clips, whose names sort before those of the micro pool."""
    others = make_clips(subjects=40, each=1, corpus="a")
    data = cross_validation.training_data(clips, others, make_config())
    assert int(data.subject.max()) < len(clips)
    assert len(set(np.asarray(data.macro_subject).tolist()) | set(np.asarray(data.subject).tolist())) == 43


def test_macro_clips_of_other_classes_are_refused(clips):
    other = make_clips(subjects=3, each=1)
    other = type(other)(other.image, other.label, other.subject, other.clip, ("happy", "sad", "angry"))
    with pytest.raises(ValueError, match="classes"):
        next(train_folds(clips, other, leave_one_subject_out(clips.subject), [0], make_config()))


def test_the_key_of_a_job_depends_on_replica_and_fold():
    keys = {
        tuple(jax.random.key_data(fold_key(replica, name)).tolist()) for replica in (0, 1) for name in ("a/s1", "a/s2")
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps": 0}, "trains nothing"),
        ({"scaling": "none"}, "clip_rms, fold_rms"),
        ({"weight_decay": -1.0}, "negative"),
    ],
)
def test_invalid_settings_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        cross_validation.TrainConfig(**settings)

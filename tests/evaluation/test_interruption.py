"""An interrupted run continues to the same results; a workdir has one writer; training stops at a loss that is not finite."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import run
from experiments.cli.commands import Stopped, run_command, stoppable
from experiments.cli.flags import ConfigError
from experiments.evaluation.fold_store import FoldStore
from experiments.evaluation.writer_lock import only_writer
from lightman_jax.training import program as training
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.program import fold_key
from tests.inputs import make_clips
from tests.training.test_leakage import make_config


def send(number):
    os.kill(os.getpid(), number)
    return 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_command_returns_its_status_and_prints_the_command_to_continue(number, status, capsys):
    before = signal.getsignal(number)
    words = ["--dataset=smic", "--data_dir=/data/my clips"]
    assert run_command("experiments.run", words, lambda _: send(number)) == status
    assert capsys.readouterr().err.splitlines()[-1] == (
        "python -m experiments.run --dataset=smic '--data_dir=/data/my clips'"
    )
    assert signal.getsignal(number) is before


def test_except_exception_does_not_catch_an_interruption():
    def careless():
        try:
            send(signal.SIGTERM)
        except Exception:
            return "an interruption is not an error"

    with pytest.raises(Stopped), stoppable():
        careless()


@pytest.mark.slow
def test_an_interrupted_run_continues_to_bit_identical_results(finished, tmp_path, monkeypatch, capsys):
    folder, flags = finished
    monkeypatch.setattr(run, "set_up_jax", lambda *_, **__: None)
    own = [*flags, f"--workdir={tmp_path / 'work'}"]
    original, saved = FoldStore.save, []

    def save(store, job):
        original(store, job)
        saved.append((job.fold.name, job.replica))
        if len(saved) == 2:
            send(signal.SIGTERM)

    monkeypatch.setattr(FoldStore, "save", save)
    assert run.main(own) == 143
    assert len(list((tmp_path / "work" / "folds").iterdir())) == 2
    assert not (tmp_path / "work" / "predictions.csv").exists()
    assert run.main(own) == 0
    assert "2 of 6 trainings are taken from" in capsys.readouterr().out
    assert len(saved) == len({*saved[:6]}) + 6, "six of the run, each once, then six of its baseline"
    for name in ("predictions.csv", "baselines/joint.csv"):
        assert (tmp_path / "work" / name).read_bytes() == (folder / "work" / name).read_bytes()


def test_a_second_writer_is_refused_with_the_process_id_of_the_first(tmp_path):
    message = rf"written by process {os.getpid()}, started \d{{4}}-.*another --workdir"
    with only_writer(tmp_path), pytest.raises(ConfigError, match=message), only_writer(tmp_path):
        pytest.fail("two writers")
    with only_writer(tmp_path):
        pass


def test_a_run_in_a_locked_workdir_fails_with_one_line(finished, monkeypatch, capsys):
    folder, flags = finished
    monkeypatch.setattr(run, "set_up_jax", lambda *_, **__: None)
    with only_writer(folder / "work"):
        assert run.main(flags) == 2
    assert "is being written by process" in capsys.readouterr().err


@pytest.fixture
def planted(monkeypatch):
    """NaN in the images of step 3 of the second fold only."""
    key = jax.random.split(jax.random.fold_in(fold_key(0, "smic/s2"), 3))[1]
    target, original = np.asarray(jax.random.key_data(key)), training.mirror_at_random

    def mirror(key, tasks, partners, **settings):
        bad = jnp.all(jax.random.key_data(key) == target)
        mirrored = original(key, tasks, partners, **settings)
        image = jnp.where(bad, jnp.nan, mirrored.query.image)
        return dataclasses.replace(mirrored, query=dataclasses.replace(mirrored.query, image=image))

    training.training_program.cache_clear()
    monkeypatch.setattr(training, "mirror_at_random", mirror)
    yield
    training.training_program.cache_clear()


@pytest.mark.slow
def test_a_planted_nan_is_reported_with_fold_step_loss_and_parameter_or_skipped(planted):
    clips = make_clips(subjects=3, each=1)
    folds, config = leave_one_subject_out(clips.subject), make_config("joint", steps=6)
    jobs = train_folds(clips, None, folds, [0], config)
    with pytest.raises(
        FloatingPointError,
        match=r"fold smic/s2, replica 0, step 3: .*loss is nan; non-finite parameters after step 6: .*/.*--skip_nonfinite",
    ):
        list(jobs)
    skipping = dataclasses.replace(config, skip_nonfinite=True)
    jobs = list(train_folds(clips, None, folds, [0], skipping))
    assert [int((~np.isfinite(job.history["loss"])).sum()) for job in jobs] == [0, 1, 0]
    assert all(np.isfinite(leaf).all() for job in jobs for leaf in jax.tree.leaves(job.params))

"""Out of memory: fewer jobs in parallel give the same results; if one job is too large, the error has bytes and flags."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.cli.commands import run_command
from lightman_jax.training import cross_validation as training
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.devices import OutOfMemoryError
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips
from tests.training.test_leakage import make_config

pytestmark = pytest.mark.slow


@pytest.fixture
def work():
    clips, config = make_clips(subjects=3, each=1, side=8), make_config("joint", steps=2)
    bilevel = dataclasses.replace(config.method.bilevel, task_mapping="vmap")
    config = dataclasses.replace(config, method=dataclasses.replace(config.method, bilevel=bilevel))
    return lambda: train_folds(clips, None, leave_one_subject_out(clips.subject), [0], config)


@pytest.fixture
def memory_for(monkeypatch):
    """Simulate devices with memory for a limited number of jobs."""
    original = training.training_program

    def limit(most):
        def program(*arguments):
            programs = original(*arguments)

            def advance(state, job, read, data):
                if len(job.key_data) > most:
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 77 bytes.")
                return programs.advance(state, job, read, data)

            advance.lower = programs.advance.lower
            return programs._replace(advance=advance)

        program.cache_clear = original.cache_clear
        monkeypatch.setattr(training, "training_program", program)

    return limit


def test_fewer_jobs_in_parallel_give_the_same_results_with_a_warning(work, memory_for):
    whole = list(work())
    memory_for(2)
    with pytest.warns(UserWarning, match="out of memory: from now on 1 jobs per device in parallel"):
        fewer = list(work())
    assert [(job.fold.name, job.replica) for job in fewer] == [(job.fold.name, job.replica) for job in whole]
    for one, other in zip(whole, fewer, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), one.params, other.params)


def test_the_error_for_one_job_has_bytes_and_flags(work, memory_for, capsys):
    memory_for(0)

    def run():
        with pytest.warns(UserWarning, match="from now on"):
            list(work())

    with pytest.raises(
        OutOfMemoryError, match=r"one job needs [1-9][\d,]+ bytes of device memory .*allocating 77.*--task_mapping=scan"
    ):
        run()
    assert run_command("experiments.run", ["--dataset=smic"], lambda _: run()) == 2
    printed = capsys.readouterr().err
    assert "out of memory: one job needs" in printed
    assert printed.splitlines()[-1] == "python -m experiments.run --dataset=smic"

"""Out of memory: fewer trainings side by side with the same results, and where one is too many, the bytes and what to type."""

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


@pytest.fixture
def work():
    clips, config = make_clips(subjects=3, each=1, side=8), make_config("joint", steps=2)
    bilevel = dataclasses.replace(config.method.bilevel, task_mapping="vmap")
    config = dataclasses.replace(config, method=dataclasses.replace(config.method, bilevel=bilevel))
    return lambda: train_folds(clips, None, leave_one_subject_out(clips.subject), [0], config)


@pytest.fixture
def memory_for(monkeypatch):
    """Let devices hold so many lanes together, and no more."""
    original = training.training_program

    def limit(most):
        def program(*arguments):
            programs = original(*arguments)

            def advance(state, job, data):
                if len(job.key_data) > most:
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 77 bytes.")
                return programs.advance(state, job, data)

            advance.lower = programs.advance.lower
            return programs._replace(advance=advance)

        program.cache_clear = original.cache_clear
        monkeypatch.setattr(training, "training_program", program)

    return limit


def test_fewer_lanes_side_by_side_give_the_same_results_and_are_told(work, memory_for):
    whole = list(work())
    memory_for(2)
    with pytest.warns(UserWarning, match="out of memory: from here on 1 trainings side by side on a device"):
        fewer = list(work())
    assert [(job.fold.name, job.seed) for job in fewer] == [(job.fold.name, job.seed) for job in whole]
    for one, other in zip(whole, fewer, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), one.params, other.params)


def test_where_one_is_too_many_the_bytes_and_the_flags_are_told(work, memory_for, capsys):
    memory_for(0)

    def run():
        with pytest.warns(UserWarning, match="from here on"):
            list(work())

    with pytest.raises(
        OutOfMemoryError, match=r"one training needs [1-9][\d,]+ bytes of a device .*allocating 77.*--task_mapping=scan"
    ):
        run()
    assert run_command("experiments.run", ["--dataset=smic"], run) == 2
    told = capsys.readouterr().err
    assert "out of memory: one training needs" in told
    assert told.splitlines()[-1] == "python -m experiments.run --dataset=smic"

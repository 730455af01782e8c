"""The networks of an ensemble give one prediction: the mean of their probabilities."""

import dataclasses

import numpy as np
import pytest
from rich.console import Console

from experiments.cli.config import parse_config
from experiments.evaluation import cross_validation as training
from experiments.evaluation.baselines import baseline_work, trained_baseline
from experiments.evaluation.cross_validation import Work, predict_jobs, train_jobs
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips


@pytest.fixture
def work():
    clips = make_clips(subjects=3, each=1)
    return Work("synthetic", clips, None, leave_one_subject_out(clips.subject)[:2], range(2), ensemble_size=2)


@pytest.mark.slow
def test_a_prediction_is_the_mean_over_the_ensemble(work, tmp_path):
    config = TrainConfig(
        method=method_config("joint", MethodConfig()),
        network=NetworkConfig(width=4, embedding=4),
        task=TaskConfig(shots=1, macro_shots=1, meta_batch_size=1),
        steps=2,
    )
    assert work.replicas == [0, 1, 2, 3]
    jobs = train_jobs(work, config, tmp_path, Console(quiet=True)).jobs
    assert [job.replica for job in jobs] == [0, 0, 1, 1, 2, 2, 3, 3]
    together = predict_jobs(work, jobs, config)
    alone = predict_jobs(work._replace(seeds=range(4), ensemble_size=1), jobs, config)
    assert len(together) == 2 * 6
    assert len(alone) == 4 * 6
    for row in together:
        own = [r.probabilities for r in alone if r.clip == row.clip and r.seed // 2 == row.seed]
        np.testing.assert_allclose(row.probabilities, np.mean(own, axis=0), rtol=1e-6)
        assert own[0] != own[1]
    log = (tmp_path / "metrics.jsonl").read_text()
    assert '"seed": 1, "member": 0' in log
    again = train_jobs(work, config, tmp_path, Console(quiet=True))
    assert again.cached == 8


def test_a_diverging_training_reports_how_many_are_stored(work, tmp_path, monkeypatch):
    def diverges(*_, **__):
        raise FloatingPointError("fold smic/s1, seed 0, step 3: loss is nan")
        yield

    monkeypatch.setattr(training, "train_folds", diverges)
    with pytest.raises(FloatingPointError, match=r"step 3: loss is nan\. 0 of 8 trainings are stored in .*folds"):
        train_jobs(work, TrainConfig(network=NetworkConfig(width=4)), tmp_path, Console(quiet=True))


def test_small_networks_are_ensembles_by_default(work):
    assert parse_config([]).ensemble_size_used == 5
    assert parse_config(["--ensemble_size=3"]).ensemble_size_used == 3
    assert parse_config(["--backbone=conv4"]).ensemble_size_used == 1
    for views, expected in ((2, 4), (3, 3), (6, 2)):
        network = dataclasses.replace(parse_config([]).train.network, views=views)
        several = dataclasses.replace(parse_config([]), train=TrainConfig(network=network))
        assert several.ensemble_size_used == expected
    config = parse_config([])
    assert baseline_work(work, trained_baseline("joint", config.train), config).ensemble_size == 2
    assert baseline_work(work, trained_baseline("ststnet", config.train), config).ensemble_size == 1

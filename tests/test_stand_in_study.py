"""The study on invented people: nobody is on two sides, and a row is what it says."""

import dataclasses

import numpy as np
import pytest

from experiments import stand_in_study as study
from lightman_jax.tasks import check_folds


@pytest.fixture
def small(monkeypatch):
    for name, value in {"SEEDS": 2, "TRAIN_PEOPLE": 2, "TEST_PEOPLE": 2, "MACRO_STRANGERS": 1}.items():
        monkeypatch.setattr(study, name, value)


@pytest.mark.parametrize("macro_people", ["own", "strangers"])
def test_populations_are_disjoint_and_fractions_keep_every_class(small, macro_people):
    population = study.draw_population(study.Condition(fraction=0.25, macro_people=macro_people))
    micro, macro = population.micro, population.macro
    check_folds(population.folds, micro.subject, macro.subject)
    assert [len(fold.test) for fold in population.folds] == [18, 18]
    for seed, fold in enumerate(population.folds):
        trained = {micro.subject[row] for row in np.flatnonzero(fold.train)}
        assert trained <= {f"p{seed}/s0", f"p{seed}/s1"}
        assert set(micro.label[fold.train]) == {0, 1, 2}
        assert fold.train.sum() == 6
        met = {macro.subject[row] for row in np.flatnonzero(fold.macro_train)}
        assert met == ({f"p{seed}/s0", f"p{seed}/s1"} if macro_people == "own" else {f"p{seed}/s4"})


def test_macro_clips_as_labelled_clips_are_the_folds_own_and_leave_the_test_rows(small):
    population = study.draw_population(study.Condition(fraction=0.25))
    wider = study._with_macro_as_micro(population)
    check_folds(wider.folds, wider.micro.subject, wider.macro.subject)
    for seed, (before, after) in enumerate(zip(population.folds, wider.folds, strict=True)):
        np.testing.assert_array_equal(after.test, before.test)
        added = np.flatnonzero(after.train)[before.train.sum() :]
        assert {wider.micro.subject[row] for row in added} == {f"p{seed}/s0", f"p{seed}/s1"}
        assert len(added) == before.macro_train.sum() == 12


def test_rows_hold_paired_differences(small, monkeypatch):
    short = lambda learner: dataclasses.replace(original(learner), steps=2)  # noqa: E731
    original = study.Learner.config
    monkeypatch.setattr(study.Learner, "config", short)
    learners = (study.Learner("joint", "joint"), study.Learner("again", "joint"))
    first, again = study.run_study(learners, (study.Condition(),))
    assert first["data"] == study.ORIGIN
    assert first["train_clips"] == 18
    assert again["uf1"] == first["uf1"]
    assert (again["difference"], again["interval"]) == (0.0, [0.0, 0.0])


def test_every_learner_of_the_study_has_valid_settings():
    for learner in (*study.LEARNERS, *study.BORDER_LEARNERS):
        assert learner.config().steps > 0

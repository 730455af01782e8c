"""The alignment study: which macro clips a fold has, and the subjects on which the weight was chosen."""

import numpy as np

from experiments.claims import alignment
from experiments.claims.subjects import StudyData
from lightman_jax.training.folds import Fold, check_folds
from tests.inputs import make_clips


def test_macro_clips_of_a_population_are_in_every_fold_and_the_halves_of_subjects_are_disjoint():
    subjects_of = make_clips(subjects=12, each=1)
    groups = np.arange(36) // 18
    rounds = [
        [Fold(f"g{g} r{n}", np.flatnonzero(groups == g), groups != g, groups != g) for g in (0, 1)] for n in (0, 1)
    ]
    data = StudyData("", subjects_of, None, rounds, {}, same_subjects=True)
    shown = alignment.with_macro(data, 1, make_clips(subjects=2, each=1, corpus="simulated_au"))
    check_folds(shown.rounds[0], shown.micro.subject, shown.macro.subject)
    assert [(fold.name, fold.macro_train.tolist()) for fold in shown.rounds[0]] == [
        (f"g{g} r1", [True] * 6) for g in (0, 1)
    ]
    np.testing.assert_array_equal(shown.rounds[0][0].train, rounds[1][0].train)
    first, second = alignment.halves(data).values()
    assert (first ^ second).all()
    assert first.sum() == 6

"""UF1 of trainings that leak, against which a limit for suspicious scores can be judged.

The leaks are folds of clips in place of folds of subjects, and a share of the test clips themselves among the training clips. The
classifiers are classical: what they gain by a leak is the least that a network, which fits its training clips better, gains. All
views of the flow release are used together.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.claims.contenders import Contender, Counts, count_by_subject
from experiments.claims.subjects import StudyData, flow_subjects
from experiments.claims.sweep import Row, Study, make_row
from experiments.evaluation.classical_baselines import fit_classical
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TrainConfig

CONTENDERS = (Contender("linear SVM", "linear_svm"), Contender("nearest neighbours", "knn"))
SHARES = (0.25, 0.5, 1.0)


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows; each leak is compared with the same classifier without a leak."""
    del network
    assert data_dir is not None
    data = flow_subjects(data_dir, every_view=True)
    leaks = {"folds of clips": folds_of_clips(data)}
    leaks |= {f"{share:.0%} of the test clips in training": with_test_clips(data, share) for share in SHARES}
    for one in CONTENDERS:
        honest = _counts(one.method, data)
        yield make_row(one.name, "no leak", one, data, honest)
        for leak, leaking in leaks.items():
            yield make_row(one.name, leak, one, leaking, _counts(one.method, leaking), honest)


def _counts(name: str, data: StudyData) -> Counts:
    folds = [fold for one in data.rounds for fold in one]
    fitted = fit_classical(name, data.micro, folds, [0], TrainConfig())
    found = {one.fold.name: one.probabilities.argmax(axis=1) for one in fitted}
    tests = [[fold.test for fold in one] for one in data.rounds]
    return count_by_subject(data.micro, tests, [[found[fold.name] for fold in one] for one in data.rounds])


def folds_of_clips(data: StudyData) -> StudyData:
    """Distribute the clips over as many folds as before without regard to their subjects, in each round in another way."""
    rounds = []
    for number, folds in enumerate(data.rounds):
        parts = np.array_split(np.random.default_rng(number).permutation(len(data.micro)), len(folds))
        own = []
        for fold, rows in zip(folds, parts, strict=True):
            train = ~np.isin(np.arange(len(data.micro)), rows)
            own.append(dataclasses.replace(fold, test=np.sort(rows), train=train, macro_train=train))
        rounds.append(own)
    return data._replace(rounds=rounds)


def with_test_clips(data: StudyData, share: float) -> StudyData:
    """Add a share of the test clips, drawn in each round, to the training clips of their own fold."""
    rounds = []
    for number, folds in enumerate(data.rounds):
        drawn = np.random.default_rng(number).random(len(data.micro)) < share
        leaked = [fold.train | (drawn & np.isin(np.arange(len(data.micro)), fold.test)) for fold in folds]
        pairs = zip(folds, leaked, strict=True)
        rounds.append([dataclasses.replace(fold, train=train, macro_train=train) for fold, train in pairs])
    return data._replace(rounds=rounds)


STUDY = Study("How much does a leak raise UF1?", run, data="groups")

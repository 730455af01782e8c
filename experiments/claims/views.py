"""Motion seen from several sides: the network for several views, and alignment of views in training and at test time.

The views are those of one or both public flow releases. Views of one movement can be aligned with each other in place of magnified
clips; a network with one image of a clip, as `extractions` has of one release, is replaced by `separate`. Without labels,
the same alignment adapts trained networks to the clips of each test subject (transductive).
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.claims.contenders import Contender, Counts, count_by_subject, evaluate
from experiments.claims.subjects import StudyData, flow_subjects, keep_clips, share
from experiments.claims.sweep import Row, Study, compare, sweep
from lightman_jax.data.preparation.views import extraction_places
from lightman_jax.networks.dual_branch import NetworkConfig, ViewNetwork
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import Fold
from lightman_jax.training.prediction import predict_folds
from lightman_jax.types import Params

SHARES, STEPS = (0.05, 0.1, 0.2, 0.5, 1.0), (0, 1, 3, 5, 10)
MAGNIFIED = Contender("magnified clips aligned", training=(("auxiliary", "magnified"),))
VIEWS = Contender("views aligned", training=(("auxiliary", "views"),))


def _network(name: ViewNetwork, view_dropout: float = 0.0) -> Contender:
    return Contender("lightman", network=(("view_network", name),), training=(("view_dropout", view_dropout),))


CANDIDATES = {
    "extractions": _network("extractions"),
    "separate": _network("separate"),
    "shared": _network("shared"),
    "joined": _network("joined"),
    "joined, dropout": _network("joined", 0.3),
    "joined, linear": Contender("SVM", "linear_svm"),
    "joined, RBF": Contender("SVM", "rbf_svm"),
}
"""Networks for several views, and classical baselines on joined views, by level of their row."""


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows; auxiliary tasks are compared at each fraction of the training clips."""
    assert data_dir is not None
    data = flow_subjects(data_dir, every_view=True)
    names = data.micro.views
    network = dataclasses.replace(network, views=len(names), extractions=extraction_places(names))
    found = ((level, one, evaluate(one, data, network).counts) for level, one in CANDIDATES.items())
    yield from compare("network", data, found)
    if network.view_units == 1:
        network = dataclasses.replace(network, view_network="separate")
    reduced = [(f"{part:.0%}", keep_clips(data, share(part))) for part in SHARES]
    yield from sweep(f"fraction of the clips, {network.view_network}", reduced, (MAGNIFIED, VIEWS), network)
    yield from compare(f"inner steps at test time, {network.view_network}", data, adapted(data, network))


def adapted(data: StudyData, network: NetworkConfig) -> Iterator[tuple[str, Contender, Counts]]:
    """Counts of the same networks after each number of inner steps on the views of each test subject's clips."""
    config = VIEWS.config(network)
    trained = [_by_subject(data, folds, network) for folds in data.rounds]
    test = [[fold.test for fold, _ in pairs] for pairs in trained]
    for steps in STEPS:
        found = [predict_folds(pairs, data.micro.image, config, align_steps=steps) for pairs in trained]
        predicted = [[one.argmax(axis=1) for one in own] for own in found]
        yield str(steps), VIEWS, count_by_subject(data.micro, test, predicted)


def _by_subject(data: StudyData, folds: list[Fold], network: NetworkConfig) -> list[tuple[Fold, Params]]:
    """Train the folds; one fold for each of their test subjects, with the parameters of its fold."""
    subject, pairs = np.array(data.micro.subject), []
    for job in train_folds(data.micro, data.macro, folds, [0], VIEWS.config(network)):
        owner = subject[job.fold.test]
        for name in sorted(set(owner)):
            pairs.append((dataclasses.replace(job.fold, test=job.fold.test[owner == name]), job.params))
    return pairs


STUDY = Study("What do several views of a movement bring?", run, data="views")

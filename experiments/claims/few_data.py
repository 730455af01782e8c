"""The first claim: few labelled micro-expression clips are enough.

With synthetic subjects, the training clips are reduced to a fraction, or to a number per class. With the flow release, fractions of
0 to 100% are compared in three settings: alone; with 1,800 simulated expressions (`simulated_au`) as additional labelled clips; and
with networks that were trained on the simulated clips only and adapt to the real ones by inner steps. The variations of the
simulator were chosen by scores on that release (`simulated_training`), so these rows are not blind.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.claims.contenders import CONTENDERS, Counts, adapted_counts, evaluate, train_rounds
from experiments.claims.simulated_training import simulate
from experiments.claims.subjects import ROUNDS, StudyData, flow_subjects, keep_clips, share, shots, synthetic_subjects
from experiments.claims.sweep import Row, Study, make_row, sweep
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

SHARES, SYNTHETIC_SHARES, SHOTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0), (0.05, 0.125, 0.25, 0.5, 1.0), (1, 2, 5, 10, 30)
PANELS = ("fraction of the real clips, alone", "with 1,800 simulated clips", "adapted to, after simulated clips only")


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows."""
    if data_dir is not None:
        yield from _run_flow(flow_subjects(data_dir), network)
        return
    data = synthetic_subjects()
    reduced = [(f"{100 * part:g}%", keep_clips(data, share(part))) for part in SYNTHETIC_SHARES]
    yield from sweep("fraction of the clips", reduced, CONTENDERS, network)
    counted = [(str(number), keep_clips(data, shots(number))) for number in SHOTS]
    yield from sweep("clips per class", counted, CONTENDERS, network)


def _run_flow(real: StudyData, network: NetworkConfig) -> Iterator[Row]:
    """The reference of every row is the SVM without simulated clips at the same fraction."""
    *networks, svm = CONTENDERS
    populations = [simulate(number)[:2] for number in range(ROUNDS)]
    reduced = {f"{part:.0%}": keep_clips(real, share(part)) for part in SHARES}
    alone: dict[str, Counts] = {}
    for level, data in list(reduced.items())[1:]:
        for contender in (svm, *networks):
            counts = evaluate(contender, data, network).counts
            yield make_row(PANELS[0], level, contender, data, counts, alone.get(level))
            alone.setdefault(level, counts)
    for level, data in reduced.items():
        rounds = [with_simulated(data, number, *populations[number]) for number in range(ROUNDS)]
        for contender in CONTENDERS:
            counts = np.concatenate([evaluate(contender, one, network).counts for one in rounds])
            yield make_row(PANELS[1], level, contender, data, counts, alone.get(level))
    simulated = [with_simulated(reduced["0%"], number, *populations[number]) for number in range(ROUNDS)]
    for contender in networks:
        trained = [params for one in simulated for params in train_rounds(contender, one, network)]
        for level, data in reduced.items():
            episodes = [[(np.flatnonzero(fold.train), fold.test) for fold in folds] for folds in data.rounds]
            counts = adapted_counts(contender, trained, data, episodes, network)
            yield make_row(PANELS[2], level, contender, data, counts, alone.get(level))


def with_simulated(data: StudyData, number: int, micro: ClipSet, macro: ClipSet) -> StudyData:
    """Round `number` with the simulated `micro` clips as labelled clips and the simulated `macro` clips as macro clips."""

    def wider(fold: Fold) -> Fold:
        train = np.concatenate([fold.train, np.ones(len(micro), bool)])
        return dataclasses.replace(fold, train=train, macro_train=np.ones(len(macro), bool))

    return data._replace(
        micro=data.micro.join(micro), macro=macro, rounds=[[wider(fold) for fold in data.rounds[number]]]
    )


STUDY = Study("How few labelled clips are enough?", run)

"""The first claim: few labelled micro-expression clips are enough.

    python -m experiments.claims few_data
    python -m experiments.claims few_data --data_dir=FLOW

On invented people the training clips are thinned out to a share, or to a number a class. On the flow release shares of 0 to
100% stand beside the same with 1,800 expressions simulated from action units (`simulated_au`) as further labelled clips, and with
networks that were trained on the simulated clips alone and adapt to the real ones by the inner steps of level one. The
simulator's variations were once chosen while looking at scores on that release (`experiments.claims.simulated_training`), so these
rows are not blind.

Wall time on 2 cores: 2 minutes; on the flow release 15. To be expected: all learners fall with the number of clips, the machine
fastest; on the flow release simulated clips alone give UF1 .70, and from a tenth of the real clips on they cost more than they
bring.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.claims.learners import USUAL, Counts, adapted_counts, evaluate, train_rounds
from experiments.claims.people import ROUNDS, People, Stage, invent_people, keep_clips, real_people, share, shots
from experiments.claims.simulated_training import simulate
from experiments.claims.sweep import Row, make_row, print_rows, save_curves, sweep
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.types import ClipSet

TITLE = "How few labelled clips are enough?"
SHARES, INVENTED_SHARES, SHOTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0), (0.05, 0.125, 0.25, 0.5, 1.0), (1, 2, 5, 10, 30)
PANELS = (
    "share of the real clips, alone",
    "beside 1,800 simulated clips",
    "adapted to, after simulated clips alone",
)


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Every row, as it is done."""
    if data_dir is not None:
        yield from _run_real(real_people(data_dir), network)
        return
    stage = invent_people(People())
    thinned = [(f"{100 * part:g}%", keep_clips(stage, share(part))) for part in INVENTED_SHARES]
    yield from sweep("share of the clips", thinned, USUAL, network)
    counted = [(str(number), keep_clips(stage, shots(number))) for number in SHOTS]
    yield from sweep("clips of each class", counted, USUAL, network)


def show(console: Console, rows: list[Row]) -> None:
    """The tables."""
    print_rows(console, rows, TITLE)


def draw(path: Path, rows: list[Row], data: str) -> None:
    """The picture."""
    save_curves(path, rows, TITLE, data)


def _run_real(real: Stage, network: NetworkConfig) -> Iterator[Row]:
    """Every learner is compared with the machine without simulated clips at the same share."""
    machine = USUAL[-1]
    populations = [simulate(number)[:2] for number in range(ROUNDS)]
    thinned = {f"{part:.0%}": keep_clips(real, share(part)) for part in SHARES}
    alone: dict[str, Counts] = {}
    for level, stage in list(thinned.items())[1:]:
        for learner in (machine, *USUAL[:-1]):
            counts = evaluate(learner, stage, network).counts
            yield make_row(PANELS[0], level, learner, stage, counts, alone.get(level))
            alone.setdefault(level, counts)
    for level, stage in thinned.items():
        rounds = [with_simulated(stage, number, *populations[number]) for number in range(ROUNDS)]
        for learner in USUAL:
            counts = np.concatenate([evaluate(learner, one, network).counts for one in rounds])
            yield make_row(PANELS[1], level, learner, stage, counts, alone.get(level))
    simulated = [with_simulated(thinned["0%"], number, *populations[number]) for number in range(ROUNDS)]
    for learner in USUAL[:-1]:
        trained = [params for one in simulated for params in train_rounds(learner, one, network)]
        for level, stage in thinned.items():
            asked = [[(np.flatnonzero(fold.train), fold.test) for fold in folds] for folds in stage.rounds]
            counts = adapted_counts(learner, trained, stage, asked, network)
            yield make_row(PANELS[2], level, learner, stage, counts, alone.get(level))


def with_simulated(stage: Stage, number: int, simulated_au: ClipSet, simulated_au_macro: ClipSet) -> Stage:
    """One round of the stage with a simulated population: its micro clips are labelled clips, its macro clips the macro pool."""
    folds = [
        dataclasses.replace(
            fold,
            train=np.concatenate([fold.train, np.ones(len(simulated_au), bool)]),
            macro_train=np.ones(len(simulated_au_macro), bool),
        )
        for fold in stage.rounds[number]
    ]
    return stage._replace(micro=_joined(stage.micro, simulated_au), macro=simulated_au_macro, rounds=[folds])


def _joined(first: ClipSet, second: ClipSet) -> ClipSet:
    return dataclasses.replace(
        first,
        image=np.concatenate([first.image, second.image]),
        label=np.concatenate([first.label, second.label]),
        subject=(*first.subject, *second.subject),
        clip=(*first.clip, *second.clip),
    )

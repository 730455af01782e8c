"""The fourth claim: individual differences. How far people may differ, and what a few labelled clips of the person bring.

    python -m experiments.claims individuals

Invented people whose strength and symmetry of each action unit varies from not at all to twice the usual. Each test person has
three clips a class; none, one or two of them are given with their labels, and the third is predicted by the parameters adapted
to them by level one, so that every number of clips is judged on the same ones. On real clips: `experiments.run
--protocol=personal`.

Wall time on 2 cores: 4 minutes. To be expected: people who differ twice as much as usual cost .05; adaptation to one or two
clips a class of the person brings nothing, and costs .03 where people are as usual.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from experiments.claims.learners import USUAL, adapted_counts, evaluate, train_rounds
from experiments.claims.people import People, invent_people
from experiments.claims.sweep import Row, draw_panel, finish_figure, make_row, print_rows
from lightman_jax.data.corpora.records import DataError
from lightman_jax.networks.dual_branch import NetworkConfig

TITLE = "How much do people differ, and what do clips of the person bring?"
VARIATIONS, GIVEN = (0.0, 0.5, 1.0, 1.5, 2.0), (0, 1, 2)
DIFFERENCES = "how much people differ"
_CLIPS = 3


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Every row, as it is done.

    Raises:
      DataError: a flow release is given.
    """
    if data_dir is not None:
        raise DataError(
            "individuals varies people, who are what they are on a corpus; for their own clips take "
            "python -m experiments.run --dataset=megc2019 --protocol=personal --data_dir=..."
        )
    for variation in VARIATIONS:
        stage, first = invent_people(People(variation=variation)), None
        for learner in USUAL:
            counts = evaluate(learner, stage, network).counts
            yield make_row(DIFFERENCES, f"{variation:g}", learner, stage, counts, first)
            first = counts if first is None else first
    for variation in (1.0, 2.0):
        stage = invent_people(People(variation=variation))
        number = np.array([int(clip.rsplit("_", 1)[1]) for clip in stage.micro.clip])
        subject = np.array(stage.micro.subject)
        panel = f"clips given of the person, each class (differ by {variation:g})"
        for learner in USUAL[:-1]:
            trained, first = train_rounds(learner, stage, network), None
            for given in GIVEN:
                people = [
                    [
                        (rows[number[rows] <= given], rows[number[rows] == _CLIPS])
                        for name in dict.fromkeys(subject[folds[0].test])
                        for rows in [np.flatnonzero(subject == name)]
                    ]
                    for folds in stage.rounds
                ]
                counts = adapted_counts(learner, trained, stage, people, network)
                yield make_row(panel, str(given), learner, stage, counts, first)
                first = counts if first is None else first


def show(console: Console, rows: list[Row]) -> None:
    """The tables; in those of given clips a row is compared with the same learner given none."""
    print_rows(console, rows, TITLE)


def draw(path: Path, rows: list[Row], data: str) -> None:
    """The picture: a panel a question, and the spread over people in one of its own."""
    panels = {panel: list(group) for panel, group in itertools.groupby(rows, key=lambda row: row.panel)}
    names = list(dict.fromkeys(row.learner for row in rows))
    figure, grid = plt.subplots(1, len(panels) + 1, figsize=(3.9 * (len(panels) + 1), 4.2), layout="constrained")
    spread, *others = grid
    for axes, own in zip(others, panels.values(), strict=True):
        draw_panel(axes, own, names)
    others[0].set_ylabel("UF1 of unseen people")
    own = panels[DIFFERENCES]
    levels = list(dict.fromkeys(row.level for row in own))
    for place, name in enumerate(names):
        spread.plot(
            levels, [row.people_sd for row in own if row.learner == name], "o-", color=f"C{place}", markersize=4
        )
    spread.set_ylim(0, None)
    spread.set_ylabel("sd over people of the share of right clips")
    spread.set_title(DIFFERENCES, fontsize=10)
    spread.grid(alpha=0.3)
    finish_figure(figure, others[0], path, TITLE, data)

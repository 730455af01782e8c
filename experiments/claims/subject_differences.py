"""The fourth claim: individual differences. How much subjects differ, and the effect of a few labelled clips of the test subject.

The strength and symmetry of each action unit varies between synthetic subjects, from not at all to twice the default. Each test
subject has three clips per class. The parameters adapt to none, one or two of them by inner steps and predict the third, so that
every number of labelled clips is evaluated on the same clips. For real clips: `experiments.run --protocol=subject_calibration`.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.claims.contenders import CONTENDERS, Contender, Counts, adapted_counts, train_rounds
from experiments.claims.subjects import StudyData, synthetic_subjects
from experiments.claims.sweep import Row, Study, compare, draw_panel, finish_figure, sweep
from lightman_jax.networks.dual_branch import NetworkConfig

VARIATIONS, LABELLED = (0.0, 0.5, 1.0, 1.5, 2.0), (0, 1, 2)
DIFFERENCES = "differences between subjects"
_CLIPS = 3


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows; in the panels of labelled clips, a row is compared with the same contender without labelled clips."""
    del data_dir
    levels = ((f"{variation:g}", synthetic_subjects(variation=variation)) for variation in VARIATIONS)
    yield from sweep(DIFFERENCES, levels, CONTENDERS, network)
    for variation in (1.0, 2.0):
        data = synthetic_subjects(variation=variation)
        panel = f"labelled clips per class of the subject (differences {variation:g})"
        for contender in CONTENDERS[:-1]:
            yield from compare(panel, data, _adapted(contender, data, network))


def _adapted(contender: Contender, data: StudyData, network: NetworkConfig) -> Iterator[tuple[str, Contender, Counts]]:
    trained = train_rounds(contender, data, network)
    number = np.array([int(clip.rsplit("_", 1)[1]) for clip in data.micro.clip])
    subject = np.array(data.micro.subject)
    for labelled in LABELLED:
        episodes = [
            [
                (np.flatnonzero(own & (number <= labelled)), np.flatnonzero(own & (number == _CLIPS)))
                for own in (subject == name for name in dict.fromkeys(subject[folds[0].test]))
            ]
            for folds in data.rounds
        ]
        yield str(labelled), contender, adapted_counts(contender, trained, data, episodes, network)


def draw(path: Path, rows: list[Row], title: str, data: str) -> None:
    """Draw UF1 in one panel per question, and the spread over subjects in the first panel."""
    panels = {panel: list(group) for panel, group in itertools.groupby(rows, key=lambda row: row.panel)}
    names = list(dict.fromkeys(row.contender for row in rows))
    figure = Figure(figsize=(3.9 * (len(panels) + 1), 4.2), layout="constrained")
    spread, *others = figure.subplots(1, len(panels) + 1)
    for axes, own in zip(others, panels.values(), strict=True):
        draw_panel(axes, own, names)
    others[0].set_ylabel("UF1 of unseen subjects")
    own = panels[DIFFERENCES]
    levels = list(dict.fromkeys(row.level for row in own))
    for place, name in enumerate(names):
        sds = [row.subject_sd for row in own if row.contender == name]
        spread.plot(levels, sds, "o-", color=f"C{place}", markersize=4)
    spread.set(ylim=(0, None), ylabel="sd of the accuracy over subjects")
    spread.set_title(DIFFERENCES, fontsize=10)
    spread.grid(alpha=0.3)
    finish_figure(figure, others[0], path, title, data)


STUDY = Study("How much do subjects differ, and do clips of the subject help?", run, data="synthetic", draw=draw)

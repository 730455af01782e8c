"""Macro clips of other subjects, with few or many real micro clips: what alignment with them brings, and what labels bring.

The macro clips are simulated from action units, another population in each round. Methods see them as clips to align with, as
labelled clips that count less the more real clips there are (`TaskConfig.labelled_macro`), as further labelled clips, or not. The
weight of labelled macro clips was chosen on half of the subjects; each weight is shown on both halves.
"""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.claims.contenders import Contender, Counts, evaluate
from experiments.claims.subjects import MOTION, ROUNDS, StudyData, clip_set, flow_subjects, keep_clips, share
from experiments.claims.sweep import Row, Study, make_row
from experiments.evaluation.groups import GROUPS, group_of_subjects
from lightman_jax.data.preparation.parallel import each_clip
from lightman_jax.data.preparation.representation import motion_image
from lightman_jax.data.preparation.views import extraction_places
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, simulated_au_reading
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.types import ClipSet

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
MACRO = SimulatedAUConfig(subjects=50, micro_clips=0, macro_clips=2)
WEIGHT, OTHER_WEIGHTS = 20.0, (5.0, 50.0)
WITHOUT = Contender("lightman without macro clips", macro="none")
ALIGNED = Contender("lightman, aligned")


def weighted(method: str, weight: float, name: str = "") -> Contender:
    """A method with macro clips as labelled clips of this weight."""
    return Contender(name or f"{method}, weight {weight:g}", method, labelled_macro=weight)


LABELLED = weighted("lightman", WEIGHT, "lightman, aligned and labelled")
PANELS = {
    "lightman with and without macro clips": (WITHOUT, ALIGNED, LABELLED),
    "methods without macro clips": (
        WITHOUT,
        Contender("joint", "joint"),
        Contender("maml", "maml"),
        Contender("SVM", "rbf_svm"),
    ),
    "methods with macro clips": (
        LABELLED,
        weighted("joint", WEIGHT, "joint, labelled by weight"),
        Contender("joint, labelled", "joint", macro="labelled"),
        Contender("SVM, labelled", "rbf_svm", macro="labelled"),
    ),
}
"""Contenders of each panel; the others are compared with the first."""


def run(data_dir: Path | None, network: NetworkConfig, geometry: Path | None = None) -> Iterator[Row]:
    """Yield the rows."""
    assert data_dir is not None
    real = flow_subjects(data_dir, every_view=True)
    names = real.micro.views
    if names:
        network = dataclasses.replace(network, views=len(names), extractions=extraction_places(names))
    populations = [simulated_macro(number, names, geometry) for number in range(ROUNDS)]
    reduced = {f"{part:.0%}": keep_clips(real, share(part)) for part in SHARES}

    @functools.cache
    def counts(contender: Contender, level: str) -> Counts:
        rounds = [with_macro(reduced[level], number, macro) for number, macro in enumerate(populations)]
        return np.concatenate([evaluate(contender, one, network).counts for one in rounds])

    for panel, (first, *others) in PANELS.items():
        for level, data in reduced.items():
            reference = counts(first, level)
            yield make_row(panel, level, first, data, reference)
            for one in others:
                yield make_row(panel, level, one, data, counts(one, level), reference)
    candidates = (WITHOUT, ALIGNED, LABELLED, *(weighted("lightman", weight) for weight in OTHER_WEIGHTS))
    for panel, half in halves(real).items():
        for level, data in reduced.items():
            for one in candidates:
                reference = counts(WITHOUT, level)[:, half]
                yield make_row(panel, level, one, data, counts(one, level)[:, half], reference)


def simulated_macro(seed: int, views: tuple[str, ...], geometry: Path | None) -> ClipSet:
    """Macro clips of a simulated population, 100 per class."""
    motion = dataclasses.replace(MOTION, views=",".join(views))
    clips = simulated_au_reading(dataclasses.replace(MACRO, seed=seed, geometry=geometry)).clips
    images = dict(each_clip(motion_image, clips, motion))
    rows = []
    for place, clip in enumerate(clips):
        motion_of_clip = images[place]
        if isinstance(motion_of_clip, Exception):
            raise motion_of_clip
        rows.append((motion_of_clip.image, clip.emotion, clip.subject, clip.clip))
    return dataclasses.replace(clip_set(rows), views=views)


def with_macro(data: StudyData, number: int, macro: ClipSet) -> StudyData:
    """Round `number` with these macro clips in every fold."""
    shown = np.ones(len(macro), bool)
    folds = [dataclasses.replace(fold, macro_train=shown) for fold in data.rounds[number]]
    return data._replace(macro=macro, rounds=[folds])


def halves(data: StudyData) -> dict[str, NDArray[np.bool_]]:
    """The test subjects on which the weight was chosen, and the others, as masks over the subjects of the counts."""
    of_subject = group_of_subjects(data.micro.subject)
    chosen = np.array([of_subject[name] < GROUPS // 2 for name in sorted(of_subject)])
    return {"weights, subjects of the choice": chosen, "weights, other subjects": ~chosen}


STUDY = Study("Does alignment with macro clips of other subjects help?", run, data="groups", geometry=True)

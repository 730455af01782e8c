"""Nested selection of settings: each group of subjects is tested with the settings that score best on the other groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.evaluation.cross_validation import Work, predict_jobs, train_jobs
from experiments.evaluation.groups import GROUPS, fold_without, group_of_subjects, groups_of_clips
from experiments.evaluation.prediction_table import Prediction
from lightman_jax.data.records import DataError
from lightman_jax.metrics import confusion_matrix, uf1
from lightman_jax.training.config import TrainConfig


class Selection(NamedTuple):
    """Scores of the candidates, and the chosen candidate of each group.

    Attributes:
      of_subject: group of each subject.
      scores: `[candidates, groups]` UF1 of a candidate on all groups but g, mean over seeds.
      chosen: `[groups]` index of the best candidate of each group.
    """

    of_subject: dict[str, int]
    scores: NDArray[np.float64]
    chosen: NDArray[np.int64]


def select_settings(work: Work, candidates: Mapping[str, TrainConfig], workdir: Path, console: Console) -> Selection:
    """Choose a candidate for each group of subjects, on the clips of the other groups alone.

    Raises:
      DataError: there are too few subjects.
    """
    of_subject = group_of_subjects(work.micro.subject)
    if len(of_subject) < 2 * GROUPS:
        raise DataError(
            f"{len(of_subject)} subjects are too few for {GROUPS} groups of at least two; fix the settings without a selection"
        )
    scores = []
    for name, config in candidates.items():
        console.print(f"candidate {name}: {GROUPS * (GROUPS - 1) // 2} trainings x {len(work.replicas)}")
        scores.append(inner_scores(work, config, of_subject, workdir, console))
    return Selection(of_subject, np.stack(scores), np.stack(scores).argmax(axis=0))


def predict_selected(
    work: Work, candidates: Sequence[TrainConfig], selection: Selection, workdir: Path, console: Console
) -> list[Prediction]:
    """Train and test every leave-one-subject-out fold with the candidate chosen for the group of its subject."""
    rows: list[Prediction] = []
    for index, config in enumerate(candidates):
        folds = [fold for fold in work.folds if selection.chosen[selection.of_subject[fold.name]] == index]
        if folds:
            part = work._replace(folds=folds)
            rows += predict_jobs(part, train_jobs(part, config, workdir, console).jobs, config)
    return rows


def rounds_of_pairs() -> list[list[tuple[int, int]]]:
    """Every pair of groups once, in rounds that contain each group once (a round-robin tournament).

    >>> sorted(pair for one in rounds_of_pairs() for pair in one)[:3], len(rounds_of_pairs())
    ([(0, 1), (0, 2), (0, 3)], 5)
    """
    rounds = []
    for shift in range(GROUPS - 1):
        ring = [0, *np.roll(np.arange(1, GROUPS), -shift).tolist()]
        rounds.append([(min(pair), max(pair)) for pair in zip(ring[: GROUPS // 2], ring[::-1], strict=False)])
    return rounds


def inner_scores(
    work: Work, config: TrainConfig, of_subject: dict[str, int], workdir: Path, console: Console
) -> NDArray[np.float64]:
    """`[GROUPS]` UF1 of a candidate on all groups but g, predicted by trainings that held out g and the predicted group."""
    micro = work.micro
    groups = groups_of_clips(micro, of_subject)
    predicted: dict[tuple[int, int], dict[tuple[int, str], int]] = {}
    for pairs in rounds_of_pairs():
        folds = [
            fold_without(pair, micro, work.macro, of_subject, name=f"groups {pair[0]} and {pair[1]}") for pair in pairs
        ]
        part = work._replace(folds=folds)
        rows = predict_jobs(part, train_jobs(part, config, workdir, console).jobs, config)
        for pair, fold in zip(pairs, folds, strict=True):
            own = [row for row in rows if row.fold == fold.name]
            predicted[pair] = {(row.seed, row.clip): micro.classes.index(row.prediction) for row in own}
    scores = np.zeros((len(work.seeds), GROUPS))
    for g in range(GROUPS):
        inner = np.flatnonzero(groups != g).tolist()
        for row, seed in enumerate(work.seeds):
            classes = [predicted[min(g, groups[k]), max(g, groups[k])][seed, micro.clip[k]] for k in inner]
            scores[row, g] = uf1(confusion_matrix(micro.label[inner], classes, len(micro.classes)))
    return scores.mean(axis=0)

"""Repeat one fold of a finished run and compare its predictions with the stored ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.evaluation.cross_validation import predict_jobs
from experiments.evaluation.plan import PlannedRun
from experiments.evaluation.scores import Prediction
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import natural_order


class Rerun(NamedTuple):
    """Stored and new predictions of a fold, clip by clip, and the largest difference of a probability."""

    stored: list[Prediction]
    new: list[Prediction]
    difference: float


def rerun_fold(run: PlannedRun, stored: Sequence[Prediction], fold: str, seed: int) -> Rerun:
    """Train one fold under one seed as the run did.

    Args:
      run: settings, data and all folds and seeds.
      stored: predictions of the run.
      fold: name of the fold.
      seed: one of the run's seeds.

    Raises:
      ValueError: the run has no such fold or seed, or its table has other clips than the data.
    """
    work, config = run.work, run.config.trained
    before = sorted((row for row in stored if (row.fold, row.seed) == (fold, seed)), key=lambda row: row.clip)
    if not before:
        folds, seeds = sorted({row.fold for row in stored}, key=natural_order), sorted({row.seed for row in stored})
        raise ValueError(
            f"the run has no fold {fold!r} under seed {seed}; choose a fold from {', '.join(folds)} and a seed from {seeds}"
        )
    skip = lambda own, replica: (own.name, work.seed_of(replica)) != (fold, seed)  # noqa: E731
    jobs = list(train_folds(work.micro, work.macro, work.folds, work.replicas, config, skip=skip))
    new = sorted(predict_jobs(work, jobs, config), key=lambda row: row.clip)
    if [row.clip for row in before] != [row.clip for row in new]:
        raise ValueError(f"fold {fold} has {len(new)} clips in these data and {len(before)} in the run's table")
    # The table has nine digits, which determine a float32.
    old, now = (np.array([row.probabilities for row in rows], np.float32) for rows in (before, new))
    return Rerun(before, new, float(np.abs(old - now).max()))

"""Protocols without labelled test clips: train, predict the held-out clips, compare with baselines, score."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.cli.baseline_names import UNADAPTED
from experiments.evaluation.baselines import run_baselines
from experiments.evaluation.cross_validation import Trained, predict_jobs, train_jobs
from experiments.evaluation.plan import PlannedRun
from experiments.evaluation.prediction_table import read_predictions, write_predictions
from experiments.evaluation.run_result import RunResult
from experiments.evaluation.scores import score_predictions
from lightman_jax.model.card import ModelCard
from lightman_jax.model.checkpoint import save_params
from lightman_jax.preprocessing import training_mean_square
from lightman_jax.training.clip_scale import clip_scale, is_converted
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.types import ClipSet


class Evaluated(NamedTuple):
    """The result of a run, and its trained jobs for figures; protocols with labelled test clips return no jobs."""

    result: RunResult
    jobs: Sequence[TrainedFold] = ()


def evaluate_held_out(
    run: PlannedRun,
    held_out: str,
    workdir: Path,
    console: Console,
    summary_writer: Any = None,
    *,
    align_steps: int = 0,
) -> Evaluated:
    """Train every job, predict its test clips, and score the pooled predictions.

    Writes `folds/`, `predictions.csv`, `baselines/NAME.csv` and `checkpoints/seed_*` into the workdir.

    `held_out` names the held-out unit in one word; `summary_writer` is a TensorBoard writer or None. With `align_steps`, networks
    adapt to the views of the unlabelled test clips, and the same networks without adaptation are the baseline `unadapted`.

    Raises:
      FloatingPointError: a training diverged.
      OSError: the workdir cannot be written.
    """
    config, work = run.config, run.work
    trained = train_jobs(work, config.trained, workdir, console, summary_writer)
    if trained.cached:
        console.print(
            f"{trained.cached} of {len(trained.jobs)} trainings are taken from {workdir / 'folds'}: no input of theirs has changed"
        )
    console.print(f"trained in {trained.seconds:.0f} s, of which {trained.compile_seconds:.0f} s were spent compiling")
    rows = predict_jobs(work, trained.jobs, config.trained, align_steps=align_steps)
    write_predictions(workdir / "predictions.csv", rows, work.micro.classes)
    unadapted = {UNADAPTED: predict_jobs(work, trained.jobs, config.trained)} if align_steps else {}
    baselines = run_baselines(work, config, workdir, console, unadapted)
    result = dataclasses.replace(_scored(run, held_out, workdir, trained, align_steps), baselines=baselines)
    per_seed = len(work.folds) * work.ensemble_size
    for index, seed in enumerate(work.seeds):
        jobs = list(trained.jobs[index * per_seed : (index + 1) * per_seed])
        _save_checkpoint(workdir / "checkpoints" / f"seed_{seed}", run, jobs)
    return Evaluated(result, trained.jobs)


def _scored(run: PlannedRun, held_out: str, workdir: Path, trained: Trained, align_steps: int) -> RunResult:
    """Scores of the table as written, so that the file and the scores cannot disagree."""
    rows, classes = read_predictions(workdir / "predictions.csv")
    adaptation = (
        f"TRANSDUCTIVE: {align_steps} inner steps on the views of the unlabelled clips of the test {held_out}"
        if align_steps
        else f"no adaptation to the test {held_out}"
    )
    rule = (
        f"leave-one-{held_out}-out; {run.config.train.steps} steps fixed in advance; {adaptation}; "
        f"mean over {run.work.ensemble_size} training(s)"
    )
    return dataclasses.replace(
        run.result(rule),
        scores=score_predictions(rows, classes, run.plan.folds_expected),
        training_seconds=round(trained.seconds, 1),
        compile_seconds=round(trained.compile_seconds, 1),
    )


def _corpora(run: PlannedRun) -> tuple[str, ...]:
    """Corpora of all clips that the networks of a run were trained on."""
    work = run.work
    macro = work.macro.dataset if work.macro is not None else ()
    initial = work.initial.trained_on if work.initial is not None else ()
    return tuple(sorted({*work.micro.dataset, *macro, *initial}))


def _save_checkpoint(folder: Path, run: PlannedRun, jobs: Sequence[TrainedFold]) -> None:
    """All networks of one seed as one checkpoint."""
    config, manifest, micro = run.config, run.prepared.manifest, run.prepared.micro
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[job.params for job in jobs])
    # With fold_rms a test clip is divided by the root mean square of the fold's training clips, which prediction needs again.
    squares = _mean_squares(micro, jobs, config.train) if config.train.scaling == "fold_rms" else []
    card = ModelCard(
        classes=micro.classes,
        image_shape=micro.image.shape[1:],
        method=config.method_name,
        folds=tuple(job.fold.name for job in jobs),
        views=micro.views,
        dataset=manifest.dataset,
        labels=manifest.labels,
        stand_in=manifest.stand_in,
        origin=manifest.origin,
        trained_on=_corpora(run),
        init=run.work.initial.text if run.work.initial is not None else "",
        motion=dataclasses.asdict(manifest.motion),
        flow=manifest.flow,
        channels=config.train.channels,
        scaling=config.train.scaling,
        mirror=config.train.mirror,
        network=dataclasses.asdict(config.train.network),
        steps=config.train.steps,
        adapt_steps=config.adapt_steps,
        mean_square=tuple(np.asarray(square).tolist() for square in squares),
    )
    save_params(folder, config.train.steps, stacked, card.to_json())


def _mean_squares(micro: ClipSet, jobs: Sequence[TrainedFold], config: TrainConfig) -> list[Any]:
    """Mean square of the training clips of each job, as of `training_mean_square`."""
    views, trained = bool(micro.views), [jnp.asarray(job.fold.train) for job in jobs]
    if is_converted(micro.image, config):
        scale = clip_scale(micro.image, config, views=views)
        return [jnp.square(scale.of_fold(config.scaling, train).divisor[:1]) for train in trained]
    image = jnp.asarray(micro.image)
    return [training_mean_square(image, train, views=views, channels=config.channels) for train in trained]

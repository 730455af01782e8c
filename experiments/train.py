"""Run one experiment: prepare the data, train and evaluate under the protocol, then write scores, figures and report."""

import json
import shlex
from pathlib import Path

import jax
from rich.console import Console

from experiments.cli.config import RunConfig, default_workdir
from experiments.cli.progress import open_summary_writer, write_curves
from experiments.cli.terminal import make_console
from experiments.evaluation.baselines import baseline_configs
from experiments.evaluation.held_out import Evaluated
from experiments.evaluation.plan import PlannedRun
from experiments.evaluation.protocols import PROTOCOLS, plan_run
from experiments.evaluation.run_record import claim_workdir, write_environment
from experiments.evaluation.run_result import RunResult
from experiments.evaluation.workdir import (
    cached_result,
    remove_inventory,
    results_digest,
    write_inventory,
)
from experiments.evaluation.writer_lock import only_writer
from experiments.reporting import console as terminal
from experiments.reporting import figures
from experiments.reporting.html import write_report
from lightman_jax.data.corpora.registry import DATASETS
from lightman_jax.meta.methods import METHODS


def train_and_evaluate(config: RunConfig, console: Console | None = None) -> RunResult:
    """Run one experiment from raw data to results; a notebook may call it as the command does.

    Call `experiments.cli.runtime.set_up_jax` first, so that every core is used and compiled programs are stored. Writes
    `predictions.csv`, `baselines/NAME.csv`, `metrics.json`, `config.json`, `environment.json`, `metrics.jsonl`, figures,
    `report.html` and `checkpoints/seed_*` into the workdir.

    Args:
      config: data, method, protocol and training settings.
      console: for progress and results; None makes one for this terminal.

    Returns:
      The content of `metrics.json`.

    Raises:
      DataError: the data cannot be used as asked.
      ConfigError: the workdir belongs to a run with other settings, or the settings contradict each other.
      FloatingPointError: a training diverged.
      OSError: a folder cannot be written.
    """
    console = console or make_console()
    if config.workdir:
        default_workdir(config, config.data.dataset).mkdir(parents=True, exist_ok=True)
    if config.data.data_dir is None:
        terminal.print_stand_in_box(console, config.data.dataset)
    run = plan_run(config, console)
    if run.stand_in and config.data.data_dir:
        terminal.print_stand_in_box(console, config.data.dataset)
    workdir = default_workdir(config, run.work.data)
    workdir.mkdir(parents=True, exist_ok=True)
    with only_writer(workdir):
        claim_workdir(workdir, config, run.config.trained, run.prepared, list(run.work.seeds))
        result = _cached_or_evaluated(run, workdir, console)
    _print_result(console, result, run, workdir)
    return result


def _cached_or_evaluated(run: PlannedRun, workdir: Path, console: Console) -> RunResult:
    """The stored result if nothing it depends on has changed, else a new one."""
    config, work = run.config, run.work
    console.print(
        f"training: {len(work.folds)} folds x {len(work.seeds)} seed(s) x {work.ensemble_size} network(s), "
        f"{config.train.steps} steps each, {jax.device_count()} devices"
    )
    console.print(f"macro clips: {run.macro_text}")
    words = (config.baselines, json.dumps(run.result("").to_json()))
    digest = results_digest(work, [config.trained, *baseline_configs(config).values()], words)
    tensorboard = workdir / "tensorboard" if config.tensorboard else None
    if jax.process_count() == 1 and (tensorboard is None or tensorboard.exists()):
        cached = cached_result(workdir, digest, console.print)
        if cached is not None:
            console.print(f"cached: nothing these results depend on has changed since {workdir} was written")
            return cached
    remove_inventory(workdir)
    write_environment(workdir, config, work.data, run.prepared)
    with open_summary_writer(tensorboard) as writer:
        evaluated = PROTOCOLS[config.protocol].evaluate(run, workdir, console, writer)
        if writer is not None and evaluated.jobs:
            write_curves(writer, [job.history for job in evaluated.jobs])
    evaluated.result.save(workdir)
    if evaluated.jobs:
        _draw(run, evaluated, workdir)
    write_inventory(workdir, digest)
    return evaluated.result


def _draw(run: PlannedRun, evaluated: Evaluated, workdir: Path) -> None:
    """Write the figures and the report of a run whose trained jobs are available."""
    result, jobs, trained = evaluated.result, evaluated.jobs, run.config.trained
    about = f"{result.method} on {result.title}" + (", STAND-IN DATA" if run.stand_in else "")
    figures.save_confusion_figure(workdir / "confusion.png", result)
    figures.save_curves_figure(workdir / "curves.png", result, [job.history for job in jobs])
    figures.save_baselines_figure(workdir / "baselines.png", result)
    figures.save_saliency_figure(workdir / "saliency.png", run.work, jobs, trained, about)
    if METHODS[result.method].embeds:
        largest = max(range(len(run.work.folds)), key=lambda row: len(run.work.folds[row].test))
        figures.save_embedding_figure(workdir / "embedding.png", run.work, jobs[largest], trained, about)
    write_report(workdir)


def _print_result(console: Console, result: RunResult, run: PlannedRun, workdir: Path) -> None:
    """Print the scores, and the files and commands to continue with."""
    config = run.config
    if result.episodes is not None:
        terminal.print_episodes(console, result)
    else:
        terminal.print_results(console, result)
        terminal.print_baselines(console, result)
        _warn_if_suspicious(console, result, config.data.dataset, has_views=bool(run.prepared.manifest.motion.views))
    if result.data.stand_in:
        terminal.print_stand_in_box(console, config.data.dataset)
    if result.episodes is not None:
        console.print(f"results: {workdir} (metrics.json, episodes.jsonl)", soft_wrap=True)
        return
    files = "report.html, metrics.json, predictions.csv, figures, checkpoints"
    console.print(f"results: {workdir} ({files})", soft_wrap=True)
    console.print(f"open:    {(workdir / 'report.html').absolute()}", soft_wrap=True)
    if config.tensorboard:
        console.print(f"curves:  tensorboard --logdir {shlex.quote(str(workdir / 'tensorboard'))}", soft_wrap=True)
    console.print(f"predict: python -m experiments.predict VIDEO --model={shlex.quote(str(workdir))}", soft_wrap=True)


def _warn_if_suspicious(console: Console, result: RunResult, dataset: str, *, has_views: bool) -> None:
    assert result.scores is not None
    limits = DATASETS[dataset].suspicious_uf1.get(frozenset(result.scores.per_corpus))
    limit = 1.0 if limits is None else limits[has_views]
    if result.scores.uf1.mean > limit:
        text = f"UF1 above {limit}: no model without a leak is known to reach it; check for a leak before you trust it"
        console.print(text, style="bold red")

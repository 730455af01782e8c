"""Train every fold under every seed, test each on its held-out subject, and write the artefacts."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.cli.config import ADAPTED_PROTOCOLS, RunConfig, default_workdir
from experiments.cli.hosts import is_first, wait_for_all
from experiments.cli.progress import open_summary_writer, write_curves
from experiments.evaluation.baseline_runs import baseline_configs, baseline_work, run_baselines
from experiments.evaluation.cached_results import cached_results, results_digest
from experiments.evaluation.cross_validation import Trained, Work, predict_jobs, train_jobs, train_jobs_as_worker
from experiments.evaluation.few_shot import episode_work, print_episodes, run_episodes
from experiments.evaluation.inventory import FORMAT_VERSION, forget_inventory, keep_inventory
from experiments.evaluation.locks import only_writer
from experiments.evaluation.protocols import Plan, leave_one_corpus_out_plan, leave_one_subject_out_plan
from experiments.evaluation.run_records import claim_workdir, write_environment, write_json
from experiments.evaluation.scores import read_predictions, score_predictions, write_predictions
from experiments.html_report import write_report
from experiments.prepare import check_data, prepare_checked, refuse_bad_clips
from experiments.reporting import console as report
from experiments.reporting.insight import save_embedding_figure, save_saliency_figure
from lightman_jax.data.corpora.catalog import PROTOCOLS
from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.preparation.load import Prepared, load_clips
from lightman_jax.data.preparation.prepare import STAND_IN_SUFFIX
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU
from lightman_jax.model.checkpoint import save_params
from lightman_jax.preprocessing import training_mean_square
from lightman_jax.training.cross_validation import TrainedFold
from lightman_jax.training.leakage import check_leaks

_SEEDS_ON_CORPUS, _SEEDS_ON_STAND_IN = 5, 1


def train_and_evaluate(config: RunConfig, console: Console | None = None) -> dict[str, Any]:
    """Run one experiment from raw data to artefacts; a notebook may call it as the command does.

    Writes `predictions.csv`, `baselines/NAME.csv`, `metrics.json`, `config.json`, `environment.json`, `metrics.jsonl`,
    pictures, `report.html` and `checkpoints/seed_*` into the workdir.

    Args:
      config: what to run.
      console: where to talk; None makes one for this terminal.

    Returns:
      The content of `metrics.json`.

    Raises:
      DataError: the data cannot be used as asked.
      ConfigError: the workdir holds a run with other settings.
      OSError: a folder cannot be written.
    """
    console = console or report.make_console()
    if config.workdir:
        default_workdir(config, config.data.dataset).mkdir(parents=True, exist_ok=True)
    if config.data.data_dir is None:
        report.print_stand_in_box(console, config.data.dataset)
    prepared, plan, work = plan_work(config, console)
    stand_in = prepared.manifest["stand_in"]
    if stand_in and config.data.data_dir:
        report.print_stand_in_box(console, config.data.dataset)
    workdir = default_workdir(config, prepared.manifest["dataset"])
    workdir.mkdir(parents=True, exist_ok=True)
    with only_writer(workdir):
        claim_workdir(workdir, config, prepared, list(work.seeds))
        return _run_in(workdir, config, prepared, plan, work, console)


def _run_in(
    workdir: Path, config: RunConfig, prepared: Prepared, plan: Plan, work: Work, console: Console
) -> dict[str, Any]:
    """Train, test and write, in a workdir that is this run's."""
    stand_in = prepared.manifest["stand_in"]
    console.print(
        f"training: {len(plan.folds)} folds x {len(work.seeds)} seed(s) x {work.ensemble_size} member(s), "
        f"{config.train.steps} steps each, {jax.device_count()} devices"
    )
    console.print(f"macro clips: {_macro_text(prepared, config)}")
    if config.protocol in ADAPTED_PROTOCOLS:
        write_environment(workdir, prepared)
        return _evaluate_episodes(config, prepared, plan, work, workdir, console)
    words = (config.baselines, config.method_name, json.dumps(_origin(config, prepared, plan)))
    digest = results_digest(work, [config.trained, *baseline_configs(config).values()], words)
    writer_folder = workdir / "tensorboard" if config.tensorboard else None
    wanted = writer_folder is not None and not writer_folder.exists()
    held = cached_results(workdir, digest, console.print) if jax.process_count() == 1 and not wanted else None
    if held is not None:
        console.print(f"cached: nothing that these results depend on has changed since {workdir} was written")
        _print_all(console, config, held, workdir)
        return held
    forget_inventory(workdir)
    write_environment(workdir, prepared)
    with open_summary_writer(writer_folder) as summary_writer:
        done = train_jobs(work, config.trained, workdir, console, summary_writer)
        histories = [job.history for job in done.jobs]
        if summary_writer is not None:
            write_curves(summary_writer, histories)
    if done.held:
        console.print(
            f"{done.held} of {len(done.jobs)} trainings are taken from {workdir / 'folds'}: nothing they depend on has changed"
        )
    console.print(f"trained in {done.seconds:.0f} s, of which {done.compile_seconds:.0f} s went into compiling")
    rows = predict_jobs(work, done.jobs, config.trained)
    write_predictions(workdir / "predictions.csv", rows, prepared.micro.classes)
    beside = run_baselines(work, config, workdir, console)
    metrics = _score(config, prepared, plan, workdir, done) | {"baselines": beside}
    write_json(workdir / "metrics.json", metrics)
    each = len(work.folds) * work.ensemble_size
    for place, seed in enumerate(work.seeds):
        own = list(done.jobs[place * each : (place + 1) * each])
        _save_seed(workdir / "checkpoints" / f"seed_{seed}", config, prepared, own)
    report.save_confusion_figure(workdir / "confusion.png", metrics)
    report.save_curves_figure(workdir / "curves.png", metrics, histories)
    about = f"{config.method_name} on {plan.title}" + (", STAND-IN DATA" if stand_in else "")
    save_saliency_figure(workdir / "saliency.png", work, done.jobs, config.trained, about)
    if config.trained.method.variant != "generated":
        largest = max(range(len(work.folds)), key=lambda row: len(work.folds[row].test))
        save_embedding_figure(workdir / "embedding.png", work, done.jobs[largest], config.trained, about)
    write_report(workdir)
    keep_inventory(workdir, digest)
    _print_all(console, config, metrics, workdir)
    return metrics


def _print_all(console: Console, config: RunConfig, metrics: dict[str, Any], workdir: Path) -> None:
    """The results, and where to look next."""
    report.print_results(console, metrics)
    report.print_baselines(console, metrics)
    _warn_if_suspicious(console, config, metrics)
    if metrics["data"]["stand_in"]:
        report.print_stand_in_box(console, config.data.dataset)
    console.print(
        f"results: {workdir} (report.html, metrics.json, predictions.csv, pictures, checkpoints)", markup=False
    )
    console.print(f"look at: {(workdir / 'report.html').absolute()}", markup=False)
    if config.tensorboard:
        console.print(f"curves:  tensorboard --logdir {workdir / 'tensorboard'}", markup=False)
    console.print(f"a film:  python -m experiments.predict FILM --model={workdir}", markup=False)


def _evaluate_episodes(
    config: RunConfig, prepared: Prepared, plan: Plan, work: Work, workdir: Path, console: Console
) -> dict[str, Any]:
    """The protocols that are given labelled clips at test time."""
    found = run_episodes(work, config, workdir, console)
    metrics = _origin(config, prepared, plan) | found
    write_json(workdir / "metrics.json", metrics)
    print_episodes(console, metrics)
    if prepared.manifest["stand_in"]:
        report.print_stand_in_box(console, config.data.dataset)
    console.print(f"results: {workdir} (metrics.json, episodes.jsonl)")
    return metrics


def train_as_worker(config: RunConfig) -> None:
    """What every process but the first does: train with it, and write nothing."""
    _, _, work = plan_work(config, Console(quiet=True))
    if config.protocol in ADAPTED_PROTOCOLS:
        train_jobs_as_worker(episode_work(work, config), config.trained)
        return
    for trained in (config.trained, *baseline_configs(config).values()):
        train_jobs_as_worker(baseline_work(work, trained, config), trained)


def plan_work(config: RunConfig, console: Console) -> tuple[Prepared, Plan, Work]:
    """Prepare the data, on the first process before the others, and plan the folds and seeds of a run.

    Raises:
      DataError: the data cannot be used as asked, or a fold would leak.
    """
    if not is_first():
        wait_for_all("prepared")
    prepared = _prepare(config, console)
    if is_first():
        wait_for_all("prepared")
    make_plan = leave_one_corpus_out_plan if config.protocol == "leave_one_dataset_out" else leave_one_subject_out_plan
    plan = make_plan(config.data.dataset, prepared.micro, prepared.macro, prepared.manifest)
    try:
        check_leaks(prepared.micro, prepared.macro, plan.folds, config.train.scaling)
    except ValueError as error:
        raise DataError(str(error)) from error
    if config.dry_run:
        plan = dataclasses.replace(plan, folds=plan.folds[:2])
    seeds = config.seeds or (_SEEDS_ON_STAND_IN if prepared.manifest["stand_in"] else _SEEDS_ON_CORPUS)
    data = prepared.manifest["dataset"]
    work = Work(data, prepared.micro, prepared.macro, plan.folds, range(seeds), config.ensemble_size_used)
    return prepared, plan, work


def _prepare(config: RunConfig, console: Console) -> Prepared:
    check = check_data(config.data, console.print)
    prepared = load_clips(prepare_checked(config.data, check, console.print))
    refuse_bad_clips(config.data, prepared.manifest["problems"], check.reading.root, len(prepared.micro))
    return prepared


def _score(config: RunConfig, prepared: Prepared, plan: Plan, workdir: Path, done: Trained) -> dict[str, Any]:
    """Score the table as written, so that the file and the figures cannot disagree."""
    rows, classes = read_predictions(workdir / "predictions.csv")
    held_out = "corpus" if config.protocol == "leave_one_dataset_out" else "subject"
    return {
        **_origin(config, prepared, plan),
        "rule": f"leave-one-{held_out}-out; {config.train.steps} steps fixed in advance; no adaptation on the test {held_out}; "
        f"mean over {config.ensemble_size_used} training(s)",
        "training_seconds": round(done.seconds, 1),
        "compile_seconds": round(done.compile_seconds, 1),
        **score_predictions(rows, classes, plan.folds_expected),
    }


def _origin(config: RunConfig, prepared: Prepared, plan: Plan) -> dict[str, Any]:
    manifest = prepared.manifest
    return {
        "format_version": FORMAT_VERSION,
        "data": {"dataset": manifest["dataset"], "stand_in": manifest["stand_in"], "origin": manifest["origin"]},
        "method": config.method_name,
        "protocol": config.protocol,
        "title": plan.title,
        "macro": _macro_text(prepared, config),
        "missing": plan.missing,
    }


def _macro_text(prepared: Prepared, config: RunConfig) -> str:
    if prepared.macro is not None:
        count = len(prepared.macro)
        if {name.removesuffix(STAND_IN_SUFFIX) for name in prepared.macro.dataset} == {SIMULATED_AU}:
            return f"{count} macro clips simulated from action units ({SIMULATED_AU})"
        return (
            f"{count} invented macro clips"
            if prepared.manifest["stand_in"]
            else f"{count} real macro clips of the data"
        )
    return f"none in the data; pseudo-macro clips tanh({config.train.macro_gain:g} x) of each fold's own training clips"


def _warn_if_suspicious(console: Console, config: RunConfig, metrics: dict[str, Any]) -> None:
    limits = dict(PROTOCOLS[config.data.dataset].suspicious_uf1)
    limit = limits.get(frozenset(metrics.get("per_corpus", ())))
    if limit is not None and metrics["uf1"]["mean"] > limit:
        text = f"UF1 above {limit}: no leak-free result is known there; look for a leak before you believe it"
        console.print(text, style="bold red")


def _save_seed(folder: Path, config: RunConfig, prepared: Prepared, trained: Sequence[TrainedFold]) -> None:
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[t.params for t in trained])
    details = {
        "data": prepared.manifest["dataset"],
        "stand_in": prepared.manifest["stand_in"],
        "folds": [t.fold.name for t in trained],
        "classes": list(prepared.micro.classes),
        "network": dataclasses.asdict(config.train.network),
        "scaling": config.train.scaling,
        "origin": prepared.manifest["origin"],
        "flow": prepared.manifest["flow"],
        "image_shape": list(prepared.micro.image.shape[1:]),
        "power": _mean_square(config, prepared, trained),
    }
    save_params(folder, config.train.steps, stacked, details)


def _mean_square(config: RunConfig, prepared: Prepared, trained: Sequence[TrainedFold]) -> list[Any]:
    """What test clips are divided by where that comes from each fold's training clips; nothing where it comes from the clip."""
    if config.train.scaling != "fold_rms":
        return []
    images = jnp.asarray(prepared.micro.image)
    return [np.asarray(training_mean_square(images, jnp.asarray(t.fold.train))).tolist() for t in trained]

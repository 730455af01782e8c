"""Train every fold under every seed, test each on its held-out subject, and write the artefacts."""

import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from experiments import report
from experiments.config import ConfigError, RunConfig, default_workdir
from experiments.hosts import from_first, wait_for_all
from experiments.lanes import LaneStore
from experiments.prepare import check_data, prepare_checked, refuse_bad_clips
from experiments.protocols import Plan, leave_one_subject_out_plan
from experiments.scores import Prediction, read_predictions, score_predictions, write_predictions
from lightman_jax.checkpoint import save_params
from lightman_jax.data.catalog import PROTOCOLS
from lightman_jax.data.facs import NAME as FACS
from lightman_jax.data.preparation import STAND_IN_SUFFIX
from lightman_jax.data.source import Prepared, load_clips
from lightman_jax.folds import Progress, TrainedFold, predict_folds, train_folds

FORMAT_VERSION = 1
_SEEDS_ON_CORPUS, _SEEDS_ON_STAND_IN = 5, 1
_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "chex",
    "numpy",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "opencv-python",
)


def train_and_evaluate(config: RunConfig, console: Console | None = None) -> dict[str, Any]:
    """Run one experiment from raw data to artefacts; a notebook may call it as the command does.

    Writes `predictions.csv`, `metrics.json`, `config.json`, `environment.json`, `metrics.jsonl`, `confusion.png`,
    `curves.png` and `checkpoints/seed_*` into the workdir.

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
    prepared = _prepare(config, console)
    wait_for_all("prepared")
    stand_in = prepared.manifest["stand_in"]
    if stand_in and config.data.data_dir:
        report.print_stand_in_box(console, config.data.dataset)
    plan = leave_one_subject_out_plan(config.data.dataset, prepared.micro, prepared.macro, prepared.manifest)
    seeds = _seeds(config, prepared)
    workdir = default_workdir(config, prepared.manifest["dataset"])
    _claim_workdir(workdir, config, prepared, list(seeds))
    console.print(
        f"training: {len(plan.folds)} folds x {len(seeds)} seed(s), {config.train.steps} steps each, {jax.device_count()} devices"
    )
    console.print(f"macro clips: {_macro_text(prepared, config)}")
    started = time.time()
    store = LaneStore(workdir / "lanes", prepared.micro, prepared.macro, config.trained)
    held = {(fold.subject, seed): store.load(fold, seed) for seed in seeds for fold in plan.folds}
    from_first(_is_held(held))  # The other processes leave out what this one holds.
    before = [lane for lane in held.values() if lane is not None]
    if before:
        console.print(
            f"{len(before)} of {len(held)} trainings are taken from {workdir / 'lanes'}: nothing they depend on has changed"
        )
    with _CompileClock() as compiled:
        new = _train(config, prepared, plan, seeds, workdir, console, store, held)
    order = {key: row for row, key in enumerate(held)}
    trained = sorted([*before, *new], key=lambda lane: order[lane.fold.subject, lane.seed])
    seconds = time.time() - started
    console.print(
        f"trained in {seconds:.0f} s, of which {compiled.seconds:.0f} s went into compiling {compiled.programs} programs"
    )
    rows = _predict(config, prepared, trained)
    write_predictions(workdir / "predictions.csv", rows, prepared.micro.classes)
    metrics = _score(config, prepared, plan, workdir, seconds, compiled.seconds)
    _write_json(workdir / "metrics.json", metrics)
    for seed in seeds:
        _save_seed(workdir / "checkpoints" / f"seed_{seed}", config, prepared, [t for t in trained if t.seed == seed])
    report.save_confusion_picture(workdir / "confusion.png", metrics)
    report.save_curves_picture(workdir / "curves.png", metrics, [t.history for t in trained])
    report.print_results(console, metrics)
    _warn_if_suspicious(console, config, metrics)
    if stand_in:
        report.print_stand_in_box(console, config.data.dataset)
    console.print(f"results: {workdir} (metrics.json, predictions.csv, confusion.png, curves.png, checkpoints)")
    return metrics


def train_along(config: RunConfig) -> None:
    """What every process but the first does: train with it, and write nothing."""
    wait_for_all("prepared")
    prepared = _prepare(config, Console(quiet=True))
    plan = leave_one_subject_out_plan(config.data.dataset, prepared.micro, prepared.macro, prepared.manifest)
    seeds = _seeds(config, prepared)
    lanes = {(fold.subject, seed): None for seed in seeds for fold in plan.folds}
    held = dict(zip(lanes, from_first(_is_held(lanes)).tolist(), strict=True))
    skip = lambda fold, seed: held[fold.subject, seed]  # noqa: E731
    for _ in train_folds(prepared.micro, prepared.macro, plan.folds, seeds, config.trained, skip=skip):
        pass


def _seeds(config: RunConfig, prepared: Prepared) -> range:
    return range(config.seeds or (_SEEDS_ON_STAND_IN if prepared.manifest["stand_in"] else _SEEDS_ON_CORPUS))


def _is_held(lanes: Mapping[tuple[str, int], TrainedFold | None]) -> NDArray[np.bool_]:
    return np.array([lane is not None for lane in lanes.values()])


class _CompileClock:
    """Seconds that JAX spends compiling, or reading compiled programs, inside the `with` block."""

    def __init__(self) -> None:
        self.seconds, self.programs = 0.0, 0

    def __enter__(self) -> Self:
        jax.monitoring.register_event_duration_secs_listener(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self.seconds += duration_secs
            self.programs += 1


def _prepare(config: RunConfig, console: Console) -> Prepared:
    check = check_data(config.data, console.print)
    prepared = load_clips(prepare_checked(config.data, check, console.print))
    refuse_bad_clips(config.data, prepared.manifest["problems"], check.reading.root, len(prepared.micro))
    return prepared


def _train(
    config: RunConfig,
    prepared: Prepared,
    plan: Plan,
    seeds: Sequence[int],
    workdir: Path,
    console: Console,
    store: LaneStore,
    held: Mapping[tuple[str, int], TrainedFold | None],
) -> list[TrainedFold]:
    """Train what is not held, and store each lane as it ends."""
    started = time.time()
    trained: list[TrainedFold] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        (workdir / "metrics.jsonl").open("a", encoding="utf-8") as log,
        ProgressBar(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        total = sum(lane is None for lane in held.values())
        work = bar.add_task("training", total=total * config.train.steps)

        def show(progress: Progress) -> None:
            here = ", ".join(f"{fold.subject} seed {seed}" for fold, seed in progress.lanes[:2])
            text = f"{here} step {progress.step}/{config.train.steps} loss {progress.loss:.3f}"
            lanes_done = progress.done + len(progress.lanes) * progress.step / config.train.steps
            bar.update(work, completed=int(lanes_done * config.train.steps), description=text)
            elapsed = time.time() - started
            line = {"seconds": round(elapsed, 1), "step": progress.step, "loss": progress.loss}
            folds = [{"fold": fold.subject, "seed": seed} for fold, seed in progress.lanes]
            log.write(json.dumps({"data": prepared.manifest["dataset"], **line, "folds": folds}) + "\n")
            log.flush()
            if progress.step == config.train.steps and not console.is_terminal:
                remaining = elapsed * (progress.total - lanes_done) / lanes_done
                console.print(
                    f"{int(lanes_done)}/{progress.total} trained; {text}; {elapsed:.0f} s so far, {remaining:.0f} s to go"
                )

        lanes = train_folds(
            prepared.micro,
            prepared.macro,
            plan.folds,
            seeds,
            config.trained,
            skip=lambda fold, seed: held[fold.subject, seed] is not None,
            on_progress=show,
        )
        for lane in lanes:
            store.save(lane)
            trained.append(lane)
    return trained


def _predict(config: RunConfig, prepared: Prepared, trained: Sequence[TrainedFold]) -> list[Prediction]:
    micro = prepared.micro
    results = predict_folds([(t.fold, t.params) for t in trained], micro.image, config.trained)
    rows = []
    for lane, probabilities in zip(trained, results, strict=True):
        if not np.isfinite(probabilities).all():
            where = f"fold {lane.fold.subject}, seed {lane.seed}"
            raise FloatingPointError(
                f"{where}: training diverged to non-finite numbers; lower --outer_rate or --inner_rate"
            )
        for index, values in zip(lane.fold.test, probabilities, strict=True):
            rows.append(
                Prediction(
                    clip=micro.clip[index],
                    dataset=micro.dataset[index],
                    subject=micro.subject[index],
                    fold=lane.fold.subject,
                    seed=lane.seed,
                    label=micro.classes[micro.label[index]],
                    prediction=micro.classes[int(values.argmax())],
                    probabilities=tuple(float(value) for value in values),
                )
            )
    return rows


def _score(
    config: RunConfig, prepared: Prepared, plan: Plan, workdir: Path, seconds: float, compile_seconds: float
) -> dict[str, Any]:
    """Score the table as written, so that the file and the figures cannot disagree."""
    rows, classes = read_predictions(workdir / "predictions.csv")
    manifest = prepared.manifest
    return {
        "format_version": FORMAT_VERSION,
        "data": {"dataset": manifest["dataset"], "stand_in": manifest["stand_in"], "origin": manifest["origin"]},
        "method": config.method_name,
        "title": plan.title,
        "rule": f"leave-one-subject-out; {config.train.steps} steps fixed in advance; no adaptation on the test subject",
        "macro": _macro_text(prepared, config),
        "missing": plan.missing,
        "training_seconds": round(seconds, 1),
        "compile_seconds": round(compile_seconds, 1),
        **score_predictions(rows, classes, plan.folds_expected),
    }


def _macro_text(prepared: Prepared, config: RunConfig) -> str:
    if prepared.macro is not None:
        count = len(prepared.macro)
        if {name.removesuffix(STAND_IN_SUFFIX) for name in prepared.macro.dataset} == {FACS}:
            return f"{count} macro clips simulated from action units ({FACS})"
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


def _claim_workdir(workdir: Path, config: RunConfig, prepared: Prepared, seeds: list[int]) -> None:
    """Write `config.json` and `environment.json`, unless another run's results are there."""
    settings = json.loads(json.dumps(dataclasses.asdict(config)))
    # Where a run is kept, and who helps, does not make it another run.
    for name in ("workdir", "coordinator", "processes", "process_id"):
        settings.pop(name)
    settings["data"].pop("shards")
    content = {
        "format_version": FORMAT_VERSION,
        "data": {
            name: prepared.manifest[name] for name in ("dataset", "stand_in", "origin", "shards", "clips", "faces")
        },
        "seeds": seeds,
        "settings": settings,
        "trained": json.loads(json.dumps(dataclasses.asdict(config.trained))),
    }
    path = workdir / "config.json"
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError:
            before = None
        if before != content:
            raise ConfigError(
                f"{workdir} holds a run with other settings or data; choose another --workdir, or remove that folder"
            )
    workdir.mkdir(parents=True, exist_ok=True)
    _write_json(path, content)
    environment = {
        "data": prepared.manifest["dataset"],
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "packages": {name: metadata.version(name) for name in _PACKAGES if _installed(name)},
    }
    _write_json(workdir / "environment.json", environment)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _save_seed(folder: Path, config: RunConfig, prepared: Prepared, trained: Sequence[TrainedFold]) -> None:
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[t.params for t in trained])
    details = {
        "data": prepared.manifest["dataset"],
        "stand_in": prepared.manifest["stand_in"],
        "folds": [t.fold.subject for t in trained],
        "classes": list(prepared.micro.classes),
        "network": dataclasses.asdict(config.train.network),
        "scaling": config.train.scaling,
    }
    save_params(folder, config.train.steps, stacked, details)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")

"""Baselines of a run: trained on the run's folds, clips and seeds, and compared with it.

The classical baselines are scikit-learn's (`experiments.evaluation.classical_baselines`). `ststnet`, `offapexnet` and `joint`, and
the meta baselines (the other methods), are trained as the run's method is: same steps, optimiser, draws and seeds.
"""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.baseline_names import (
    BASELINES,
    CLASSICAL_BASELINES,
    META_BASELINES,
    UNADAPTED,
    chosen_baselines,
)
from experiments.cli.config import RunConfig
from experiments.evaluation.comparison import compare_runs
from experiments.evaluation.cross_validation import Work, predict_jobs, prediction_rows, train_jobs
from experiments.evaluation.prediction_table import Prediction, write_predictions
from experiments.evaluation.run_result import BaselineResult
from lightman_jax.meta.methods import method_config
from lightman_jax.training.config import TrainConfig

NETWORK_CHANGES: dict[str, dict[str, Any]] = {
    "ststnet": {"backbone": "ststnet", "stem": "auto", "normalisation": "batch", "width": 16},
    "offapexnet": {"backbone": "offapexnet", "stem": "auto", "width": 16},
    "joint": {},
}
"""Changes of each network baseline to the run's network; all are trained jointly, without inner loop and alignment."""


def trained_baseline(name: str, config: TrainConfig) -> TrainConfig:
    """Training settings of a network baseline or a meta baseline, from those of the run."""
    if name in META_BASELINES:
        return dataclasses.replace(config, method=method_config(name, config.method))
    network = dataclasses.replace(config.network, **NETWORK_CHANGES[name])
    joint = dataclasses.replace(config, method=method_config("joint", config.method), network=network)
    # Weights of another backbone do not fit.
    return joint if network.backbone == config.network.backbone else dataclasses.replace(joint, init="", init_digest="")


def baseline_configs(config: RunConfig) -> dict[str, TrainConfig]:
    """Training settings of the chosen network and meta baselines, without one that equals the run itself."""
    chosen = [name for name in chosen_baselines(config.baselines) if name not in CLASSICAL_BASELINES]
    found = {name: trained_baseline(name, config.train) for name in chosen}
    return {name: trained for name, trained in found.items() if trained != config.trained}


def baseline_work(work: Work, trained: TrainConfig, config: RunConfig) -> Work:
    """Folds, seeds and ensemble size of a trained baseline: those of the run for the run's network, else a single network."""
    return work if trained.network == config.train.network else work._replace(ensemble_size=1)


def run_baselines(
    work: Work, config: RunConfig, workdir: Path, console: Console, more: Mapping[str, Sequence[Prediction]]
) -> tuple[BaselineResult, ...]:
    """Predict with every chosen baseline, write `baselines/NAME.csv` into the workdir, and compare the run with each.

    `more` has the predictions of further baselines by name.
    """
    # scikit-learn takes seconds to load, and cached results do not need it.
    from experiments.evaluation.classical_baselines import fit_classical

    folder = workdir / "baselines"
    if folder.exists():
        shutil.rmtree(folder)
    trained = baseline_configs(config)
    for name, rows in more.items():
        folder.mkdir(exist_ok=True)
        write_predictions(folder / f"{name}.csv", rows, work.micro.classes)
    for name in chosen_baselines(config.baselines):
        if name in CLASSICAL_BASELINES:
            console.print(f"baseline {name}: fitting {len(work.folds)} folds")
            predicted = fit_classical(name, work.micro, work.folds, work.seeds, config.train)
            rows = [row for p in predicted for row in prediction_rows(work.micro, p.fold, p.seed, p.probabilities)]
        elif name in trained:
            own = baseline_work(work, trained[name], config)
            console.print(f"baseline {name}: training {len(own.folds)} folds x {len(own.replicas)}")
            jobs = train_jobs(own, trained[name], workdir, console).jobs
            rows = predict_jobs(own, jobs, trained[name])
        else:
            continue
        folder.mkdir(exist_ok=True)
        write_predictions(folder / f"{name}.csv", rows, work.micro.classes)
    return compare_with_baselines(workdir, config.method_name)


def compare_with_baselines(workdir: Path, method: str) -> tuple[BaselineResult, ...]:
    """Compare a run with each baseline whose predictions are in its workdir."""
    folder = workdir / "baselines"
    names = [name for name in (UNADAPTED, *BASELINES) if (folder / f"{name}.csv").exists()]
    if not names:
        return ()
    tables = [workdir / "predictions.csv", *(folder / f"{name}.csv" for name in names)]
    found = compare_runs(tables, [method, *names], with_first=True)
    return tuple(
        BaselineResult(
            run.name, run.uf1, run.sd, pair.difference, pair.sd, pair.interval, pair.p, pair.p_holm, pair.effect
        )
        for run, pair in zip(found.runs[1:], found.pairs, strict=True)
    )

"""Run the baselines on a run's own folds, keep their predictions, and compare the run with each."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.cli.config import RunConfig
from experiments.compare import compare_runs, save_pairs_figure
from experiments.evaluation.baselines import BASELINES, CLASSICAL_BASELINES, chosen_baselines, trained_baseline
from experiments.evaluation.cross_validation import Work, predict_jobs, prediction_rows, train_jobs
from experiments.evaluation.scores import Prediction, write_predictions
from lightman_jax.training.config import TrainConfig


def baseline_configs(config: RunConfig) -> dict[str, TrainConfig]:
    """Training settings of the chosen baselines that are trained; one that is the run itself is left out."""
    chosen = [name for name in chosen_baselines(config.baselines) if name not in CLASSICAL_BASELINES]
    found = {name: trained_baseline(name, config.train) for name in chosen}
    return {name: trained for name, trained in found.items() if trained != config.trained}


def baseline_work(work: Work, trained: TrainConfig, config: RunConfig) -> Work:
    """What a trained baseline is trained on: as the run if it has the run's network, else a single member, as published."""
    return work if trained.network == config.train.network else work._replace(ensemble_size=1)


def run_baselines(work: Work, config: RunConfig, workdir: Path, console: Console) -> list[dict[str, Any]]:
    """Predict with every chosen baseline and compare; writes `baselines/NAME.csv` and `baselines.png` into the workdir.

    Returns:
      One dict a baseline: `name`, `uf1`, `sd`, and of the run minus it `difference`, `difference_sd`, `interval`, `p`, `p_holm`,
      `effect`.
    """
    # Not above: scikit-learn takes seconds to load, and results that are only printed again do not need it.
    from experiments.evaluation.machines import fit_classical

    folder = workdir / "baselines"
    if folder.exists():
        shutil.rmtree(folder)

    def keep(name: str, rows: Sequence[Prediction]) -> None:
        folder.mkdir(exist_ok=True)
        write_predictions(folder / f"{name}.csv", rows, work.micro.classes)

    trained = baseline_configs(config)
    for name in chosen_baselines(config.baselines):
        if name in CLASSICAL_BASELINES:
            console.print(f"baseline {name}: fitting {len(work.folds)} folds")
            guesses = fit_classical(name, work.micro, work.folds, work.seeds, config.train.scaling)
            keep(name, [row for g in guesses for row in prediction_rows(work.micro, g.fold, g.seed, g.probabilities)])
        elif name in trained:
            own = baseline_work(work, trained[name], config)
            console.print(f"baseline {name}: training {len(own.folds)} folds x {len(own.trainings)}")
            jobs = train_jobs(own, trained[name], workdir, Console(quiet=not console.is_terminal)).jobs
            keep(name, predict_jobs(own, jobs, trained[name]))
    return compare_with_baselines(workdir, config.method_name, work.data)


def compare_with_baselines(workdir: Path, method: str, data: str) -> list[dict[str, Any]]:
    """Compare a run with the baselines whose predictions it has stored, and draw `baselines.png`; see `run_baselines`."""
    folder = workdir / "baselines"
    names = [name for name in BASELINES if (folder / f"{name}.csv").exists()]
    if not names:
        return []
    tables = [workdir / "predictions.csv", *(folder / f"{name}.csv" for name in names)]
    found = compare_runs(tables, [method, *names], with_first=True)
    save_pairs_figure(workdir / "baselines.png", found, f"{method} beside its baselines on {data}")
    rows = []
    for run, pair in zip(found.runs[1:], found.pairs, strict=True):
        own = {"name": run.name, "uf1": run.uf1, "sd": run.sd, "difference_sd": pair.sd}
        rows.append(pair._asdict() | own)
    return rows

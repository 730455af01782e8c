"""`python -m experiments.select --dataset=... --candidate="--meta_batch_size=4" --candidate="..."`: settings chosen on inner subjects alone.

Subjects are dealt into six groups. A candidate, the other flags with its own added, is trained without each pair of groups and
predicts both. For the subjects of group g the candidate is taken that is best on the other five groups, each predicted without
g and without itself: nothing of g, and no test score, takes part in the choice. Then every subject is tested by
leave-one-subject-out under the choice of its group, and the pooled result is that of the whole procedure, choice included.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.cli.commands import run_command
from experiments.cli.config import RunConfig, default_workdir, parse_config
from experiments.cli.flags import ConfigError, about_text
from experiments.evaluation.cross_validation import Work, predict_jobs, train_jobs
from experiments.evaluation.groups import GROUPS, fold_without, group_of_subjects, groups_of_clips
from experiments.evaluation.inventory import FORMAT_VERSION
from experiments.evaluation.locks import only_writer
from experiments.evaluation.protocols import Plan
from experiments.evaluation.scores import Prediction, score_predictions, write_predictions
from experiments.html_report import write_report
from experiments.reporting import console as report
from experiments.run import set_up_jax
from experiments.train import plan_work
from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.preparation.load import Prepared
from lightman_jax.files import write_whole
from lightman_jax.metrics import confusion_matrix, uf1
from lightman_jax.training.folds import natural_order

_FLAG = "--candidate="


class Selection(NamedTuple):
    """What was chosen for whom.

    Attributes:
      scores: `[candidates, groups]` UF1 of a candidate on the groups other than g, mean over seeds.
      chosen: `[groups]` the best candidate of each group.
    """

    scores: NDArray[np.float64]
    chosen: NDArray[np.int64]


def rounds_of_pairs() -> list[list[tuple[int, int]]]:
    """Every pair of groups once, in rounds in which each group occurs once, as in a tournament.

    >>> sorted(pair for one in rounds_of_pairs() for pair in one)[:3], len(rounds_of_pairs())
    ([(0, 1), (0, 2), (0, 3)], 5)
    """
    ring = list(range(1, GROUPS))
    rounds = []
    for turn in range(GROUPS - 1):
        around = [0, *ring[turn:], *ring[:turn]]
        rounds.append([tuple(sorted((around[k], around[-1 - k]))) for k in range(GROUPS // 2)])
    return rounds  # type: ignore[return-value]


def inner_scores(
    work: Work, config: RunConfig, of_subject: dict[str, int], workdir: Path, console: Console
) -> NDArray[np.float64]:
    """`[GROUPS]` UF1 of one candidate on the groups other than g, from trainings that held out g and the group predicted."""
    micro = work.micro
    groups = groups_of_clips(micro, of_subject)
    guessed: dict[tuple[int, int], dict[tuple[int, str], int]] = {}
    for pairs in rounds_of_pairs():
        folds = [fold_without(pair, work, of_subject, name=f"groups {pair[0]} and {pair[1]}") for pair in pairs]
        part = work._replace(folds=folds)
        jobs = train_jobs(part, config.trained, workdir, console).jobs
        rows = predict_jobs(part, jobs, config.trained)
        for pair, fold in zip(pairs, folds, strict=True):
            own = [row for row in rows if row.fold == fold.name]
            guessed[pair] = {(row.seed, row.clip): micro.classes.index(row.prediction) for row in own}
    scores = np.zeros((len(work.seeds), GROUPS))
    for g in range(GROUPS):
        for row, seed in enumerate(work.seeds):
            inner = np.flatnonzero(groups != g).tolist()
            guesses = [guessed[min(g, groups[k]), max(g, groups[k])][seed, micro.clip[k]] for k in inner]
            scores[row, g] = uf1(confusion_matrix(micro.label[inner], guesses, len(micro.classes)))
    return scores.mean(axis=0)


def select_and_evaluate(base: RunConfig, candidates: dict[str, RunConfig], console: Console) -> dict[str, Any]:
    """Choose among the candidates on inner subjects, test by leave-one-subject-out, write `selection.json` and the usual files.

    Returns:
      The content of `metrics.json`.
    """
    prepared, plan, work = plan_work(base, console)
    subjects = sorted(set(work.micro.subject), key=natural_order)
    if len(subjects) < 2 * GROUPS:
        raise DataError(
            f"{len(subjects)} subjects are too few for {GROUPS} groups of two; choose by hand, before looking at scores"
        )
    workdir = default_workdir(base, f"{work.data}-selected")
    workdir.mkdir(parents=True, exist_ok=True)
    with only_writer(workdir):
        return _select_in(workdir, base, candidates, prepared, plan, work, console)


def _select_in(
    workdir: Path,
    base: RunConfig,
    candidates: dict[str, RunConfig],
    prepared: Prepared,
    plan: Plan,
    work: Work,
    console: Console,
) -> dict[str, Any]:
    """Choose, test and write, in a workdir that is this command's."""
    subjects = sorted(set(work.micro.subject), key=natural_order)
    of_subject = group_of_subjects(subjects)
    scores = []
    for name, config in candidates.items():
        console.print(f"candidate {name}: {GROUPS * (GROUPS - 1) // 2} trainings x {len(work.trainings)}")
        scores.append(inner_scores(work, config, of_subject, workdir, console))
    found = Selection(np.stack(scores), np.stack(scores).argmax(axis=0))
    _print(console, list(candidates), found)
    rows: list[Prediction] = []
    for index, config in enumerate(candidates.values()):
        folds = [fold for fold in work.folds if found.chosen[of_subject[fold.name]] == index]
        if folds:
            part = work._replace(folds=folds)
            rows += predict_jobs(part, train_jobs(part, config.trained, workdir, console).jobs, config.trained)
    write_predictions(workdir / "predictions.csv", rows, work.micro.classes)
    metrics = {
        "format_version": FORMAT_VERSION,
        "data": {name: prepared.manifest[name] for name in ("dataset", "stand_in", "origin")},
        "method": f"{base.method_name}, settings chosen on inner subjects",
        "title": plan.title,
        "rule": f"leave-one-subject-out; settings of each of {GROUPS} groups of subjects chosen on the other groups alone",
        "missing": plan.missing,
        **score_predictions(rows, work.micro.classes, plan.folds_expected),
    }
    choice = {
        "format_version": FORMAT_VERSION,
        "data": work.data,
        "candidates": list(candidates),
        "groups": of_subject,
        "scores": found.scores.tolist(),
        "chosen": [list(candidates)[k] for k in found.chosen],
        "settings": {name: dataclasses.asdict(config.trained) for name, config in candidates.items()},
    }
    for name, content in (("selection.json", choice), ("metrics.json", metrics)):
        write_whole(workdir / name, json.dumps(content, indent=1) + "\n")
    write_report(workdir)
    report.print_results(console, metrics)
    console.print(f"results: {workdir} (report.html, selection.json, metrics.json, predictions.csv)")
    return metrics


def _print(console: Console, names: Sequence[str], found: Selection) -> None:
    table = Table(
        "candidate", *(f"without {g}" for g in range(GROUPS)), "mean", title="UF1 on inner subjects; * chosen"
    )
    for row, name in enumerate(names):
        cells = [f"{score:.3f}{'*' if found.chosen[g] == row else ''}" for g, score in enumerate(found.scores[row])]
        table.add_row(name, *cells, f"{found.scores[row].mean():.3f}")
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when results are written, 2 if the input cannot be used, 130 or 143 if it was stopped."""
    words = sys.argv[1:] if argv is None else list(argv)
    own = [word.removeprefix(_FLAG) for word in words if word.startswith(_FLAG)]
    shared = [word for word in words if not word.startswith(_FLAG)]
    if not words or {"-h", "--help"} & {*words}:
        print(about_text(f"{__doc__}\n\nAll flags of experiments.run are taken: python -m experiments.run --help"))
        return 0 if words else 2
    return run_command("experiments.select", words, lambda: _run(shared, own))


def _run(shared: Sequence[str], own: Sequence[str]) -> int:
    base = parse_config(shared)
    if len(own) < 2:
        raise ConfigError(
            'give two candidates or more, such as --candidate="--meta_batch_size=2" --candidate="--meta_batch_size=4"'
        )
    candidates = {text or "as given": parse_config([*shared, *text.split()]) for text in own}
    differing = [name for name, config in candidates.items() if config.data != base.data]
    if differing:
        raise ConfigError(f"candidate {differing[0]!r} changes the data; candidates share them")
    set_up_jax(base)
    select_and_evaluate(base, candidates, report.make_console())
    return 0


if __name__ == "__main__":
    sys.exit(main())

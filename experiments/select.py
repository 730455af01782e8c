"""`python -m experiments.select --dataset=... --candidate="--meta_batch_size=4" --candidate="..."`: nested selection of settings.

Subjects are distributed over six groups. A candidate consists of the other flags and its own. It is trained without each pair of
groups and predicts both. Each group is assigned the candidate with the best score on the other five groups, which were predicted by
networks trained without that group: neither its clips nor a test score takes part in the choice. Every subject is then tested by
leave-one-subject-out with the candidate of its group. The pooled result is that of the whole procedure, selection included.
"""

import dataclasses
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from experiments.cli.commands import run_command
from experiments.cli.config import RunConfig, default_workdir, parse_config
from experiments.cli.flags import ConfigError, about_text
from experiments.cli.runtime import set_up_jax
from experiments.cli.terminal import make_console, text_table
from experiments.evaluation.groups import GROUPS
from experiments.evaluation.prediction_table import write_predictions
from experiments.evaluation.protocols import open_initial, plan_run, with_clips, with_initial
from experiments.evaluation.records import as_json, write_json
from experiments.evaluation.run_result import RunResult
from experiments.evaluation.scores import score_predictions
from experiments.evaluation.selection import Selection, predict_selected, select_settings
from experiments.evaluation.writer_lock import only_writer
from experiments.reporting.console import print_results
from experiments.reporting.figures import save_confusion_figure
from experiments.reporting.html import write_report

_FLAG = "--candidate="


def select_and_evaluate(base: RunConfig, candidates: dict[str, RunConfig], console: Console) -> RunResult:
    """Choose among the candidates, test by leave-one-subject-out, and write `selection.json` and the files of a run."""
    run = plan_run(base, console)
    work, names = run.work, list(candidates)
    for name, config in candidates.items():
        if config.train.init not in ("", base.train.init):
            raise ConfigError(
                f"candidate {name}: candidates cannot start from different files; give --init to the command"
            )
    weights = open_initial(base.train)
    trained = {
        name: with_initial(with_clips(config, run.prepared), work.micro, weights)[0].trained
        for name, config in candidates.items()
    }
    workdir = default_workdir(base, f"{work.data}-selected")
    workdir.mkdir(parents=True, exist_ok=True)
    with only_writer(workdir):
        selection = select_settings(work, trained, workdir, console)
        console.print(_table(names, selection))
        rows = predict_selected(work, list(trained.values()), selection, workdir, console)
        write_predictions(workdir / "predictions.csv", rows, work.micro.classes)
        rule = f"leave-one-subject-out; settings of each of {GROUPS} groups of subjects chosen on the other groups"
        result = dataclasses.replace(
            run.result(rule),
            method=f"{base.method_name}, settings chosen on inner subjects",
            scores=score_predictions(rows, work.micro.classes, run.plan.folds_expected),
        )
        result.save(workdir)
        content = {
            "data": work.data,
            "candidates": names,
            "groups": selection.of_subject,
            "scores": selection.scores.tolist(),
            "chosen": [names[k] for k in selection.chosen],
            "settings": {name: as_json(config) for name, config in trained.items()},
        }
        write_json(workdir / "selection.json", content)
        save_confusion_figure(workdir / "confusion.png", result)
        write_report(workdir)
    print_results(console, result)
    console.print(f"results: {workdir} (report.html, selection.json, metrics.json, predictions.csv)")
    return result


def _table(names: Sequence[str], selection: Selection) -> Table:
    columns = (f"without {g}" for g in range(GROUPS))
    table = text_table("candidate", *columns, "mean", title="UF1 on the inner subjects of each group; * chosen")
    for row, (name, scores) in enumerate(zip(names, selection.scores, strict=True)):
        cells = [f"{score:.3f}{'*' if selection.chosen[g] == row else ''}" for g, score in enumerate(scores)]
        table.add_row(name, *cells, f"{scores.mean():.3f}")
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 0 when results are written, 2 if the input cannot be used, 130 or 143 if it was interrupted."""
    return run_command("experiments.select", argv, _run)


def _run(words: Sequence[str]) -> int:
    if not words or {"-h", "--help"} & {*words}:
        print(about_text(f"{__doc__}\n\nAll flags of experiments.run are accepted: python -m experiments.run --help"))
        return 0 if words else 2
    shared = [word for word in words if not word.startswith(_FLAG)]
    own = [word.removeprefix(_FLAG) for word in words if word.startswith(_FLAG)]
    base = parse_config(shared)
    if len(own) < 2:
        example = '--candidate="--meta_batch_size=2" --candidate="--meta_batch_size=4"'
        raise ConfigError(f"give at least two candidates, such as {example}")
    candidates = {text or "as given": parse_config([*shared, *text.split()]) for text in own}
    differing = [name for name, config in candidates.items() if config.data != base.data]
    if differing:
        raise ConfigError(f"candidate {differing[0]!r} changes the data; all candidates must use the same data")
    protocols = {config.protocol for config in (base, *candidates.values())} - {"loso"}
    if protocols:
        raise ConfigError(
            f"settings are chosen and tested by leave-one-subject-out; leave out --protocol={min(protocols)}"
        )
    set_up_jax(base.data.data_cache)
    select_and_evaluate(base, candidates, make_console())
    return 0


if __name__ == "__main__":
    sys.exit(main())

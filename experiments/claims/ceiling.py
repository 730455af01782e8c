"""`python -m experiments.claims.ceiling RUN ...`: a UF1 above which a leak is likely, from the clips that no model predicts right.

A RUN is a workdir, whose predictions and baselines are all read, or a table of predictions. All must have the same clips and seeds.

- A model is right on a clip if at least half of its seeds are. Models within the range of random predictions are left out, because
  a constant prediction is right on every clip of its class.
- The limit is the UF1 of the best model if it were also right on every clip on which any other model is right.

Reason: models of different kinds fail together where the label cannot be seen in the movement. A better method finds what the
others find between them; a leak also finds what none of them finds. The rule has no parameter but the set of models, and that is
the default run. Limits: every further model, and every weak one, adds clips that it has right by luck, so that limits of different
sets of models cannot be compared; a method with other information, such as a further view, needs a limit of its own; and a leak
of few clips remains below the limit.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.cli.commands import RUN_NEEDED, run_command
from experiments.cli.flags import CommandParser, as_config_error
from experiments.cli.terminal import make_console
from experiments.evaluation.comparison import read_runs
from lightman_jax.metrics import chance_band, confusion_matrix, uf1

_MOST = 0.5
"""Share of its seeds in which a model that is right on a clip predicts it right, at least."""


class Model(NamedTuple):
    """One table of predictions.

    Attributes:
      name: path of its table.
      uf1: mean over seeds.
      above_chance: whether it is used.
      alone: clips on which it is right and no other used model is.
      limit_without: the limit of the other models; None if fewer than two are left.
    """

    name: str
    uf1: float
    above_chance: bool
    alone: int = 0
    limit_without: float | None = None


class Ceiling(NamedTuple):
    """What several models have right between them.

    Attributes:
      models: in the order of the tables.
      clips: number of clips.
      never: share of the clips that no used model predicts right in any seed.
      unsolved: share of the clips on which no used model is right.
      any_seed: UF1 if every clip were right that any used model predicts right in any seed.
      limit: UF1 if every clip were right on which any used model is right.
    """

    models: list[Model]
    clips: int
    never: float
    unsolved: float
    any_seed: float
    limit: float


def derive_ceiling(names: Sequence[str], labels: NDArray[np.int64], predicted: Sequence[NDArray[np.int64]]) -> Ceiling:
    """The limit of some models.

    Args:
      names: of the models.
      labels: `[n]` class indices.
      predicted: `[seeds, n]` class indices of each model.

    Raises:
      ValueError: fewer than two models are above chance.
    """
    classes = int(labels.max()) + 1
    confusions = [np.stack([confusion_matrix(labels, own, classes) for own in one]) for one in predicted]
    scores = [float(np.mean(uf1(one))) for one in confusions]
    high = max(chance_band(one[:, None])[1] for one in confusions)
    used = [number for number, score in enumerate(scores) if score > high]
    if len(used) < 2:
        raise ValueError(
            f"{len(used)} of {len(names)} models are above chance; give runs with at least two such models"
        )
    share = np.stack([(one == labels).mean(axis=0) for one in predicted])

    def with_best(right: NDArray[np.bool_], models: Sequence[int]) -> float:
        """UF1 of the best of some models if the clips `right` were right."""
        best = predicted[max(models, key=lambda number: scores[number])]
        ideal = np.where(right, labels, best)
        return float(np.mean([uf1(confusion_matrix(labels, own, classes)) for own in ideal]))

    models = []
    for number, name in enumerate(names):
        others = [other for other in used if other != number]
        found_by_others = share[others].max(axis=0) >= _MOST
        alone = int(((share[number] >= _MOST) & ~found_by_others).sum())
        without = with_best(found_by_others, others) if number in used and len(others) > 1 else None
        models.append(Model(name, scores[number], number in used, alone, without))
    most = share[used].max(axis=0)
    return Ceiling(
        models,
        len(labels),
        float((most == 0).mean()),
        float((most < _MOST).mean()),
        with_best(most > 0, used),
        with_best(most >= _MOST, used),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; status 2 with one paragraph on standard error if the runs cannot be used together."""
    return run_command("experiments.claims.ceiling", argv, _run, remedy=RUN_NEEDED)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("claims.ceiling", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="workdirs or tables of predictions")
    console = make_console()
    with as_config_error():
        tables = [table for run in parser.parse_args(words).runs for table in _tables(run)]
        found = derive_ceiling([str(table) for table in tables], *_read(tables, console))
    print_ceiling(console, found)
    return 0


def _tables(run: Path) -> list[Path]:
    return [run, *sorted((run / "baselines").glob("*.csv"))] if run.is_dir() else [run]


def _read(tables: Sequence[Path], console: Console) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Labels `[n]`, and predictions `[seeds, n]` of each table."""
    runs, classes = read_runs(tables, lambda note: console.print(f"note: {note}"))
    number = {name: index for index, name in enumerate(classes)}
    label = {row.clip: number[row.label] for row in runs[0]}
    clips, seeds = sorted(label), sorted({row.seed for row in runs[0]})
    found = []
    for rows in runs:
        of = {(row.seed, row.clip): number[row.prediction] for row in rows}
        found.append(np.array([[of[seed, clip] for clip in clips] for seed in seeds]))
    return np.array([label[clip] for clip in clips]), found


def print_ceiling(console: Console, found: Ceiling) -> None:
    """Print the table of models and the limit."""
    table = Table("model", "UF1", "clips right alone", "limit without it")
    for model in found.models:
        without = "" if model.limit_without is None else f"{model.limit_without:.3f}"
        cells = (str(model.alone), without) if model.above_chance else ("", "left out: within chance")
        table.add_row(model.name, f"{model.uf1:.3f}", *cells)
    console.print(table)
    console.print(
        f"{found.clips} clips: no model predicts {found.never:.1%} right in any seed, and {found.unsolved:.1%} in at least half of "
        "its seeds"
    )
    console.print(f"UF1 of the best model for each clip and seed: {found.any_seed:.3f}")
    console.print(f"UF1 above {found.limit:.3f} is suspicious: it needs clips that none of these models has right")


if __name__ == "__main__":
    sys.exit(main())

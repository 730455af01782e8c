"""`python -m experiments.few_clips --data_dir=FLOW [--draws=5]`: how scores on real flow grow with the labelled clips.

Subjects of the public flow release are dealt into six groups, each held out in turn. Of the other people's clips a random share
is kept, 0, 5, 10, 20, 50 or 100%, at least one a class; with or without clips simulated from action units (`facs`) among the
labelled ones. An RBF machine, `joint`, `maml` and `lightman` learn from the same clips; `lightman` aligns with magnified copies of
them, or with the simulated macro clips. Every draw has clips, a simulated population and first parameters of its own.

The simulator's variations were once chosen while looking at scores on this release (`experiments.simulated_training`), so rows with
`facs` are not blind.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.baselines import fit_learner
from experiments.config import parse_config
from experiments.groups import group_of_subjects
from experiments.report import make_console
from experiments.run import set_up_jax
from experiments.simulated_training import read_real, simulate
from lightman_jax.data.clips import DataError
from lightman_jax.folds import TrainConfig, predict_folds, train_folds
from lightman_jax.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix, paired_difference, uf1
from lightman_jax.tasks import Fold
from lightman_jax.types import ClipSet

SHARES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
Source = Literal["none", "facs"]


class Learner(NamedTuple):
    """A method, and whether simulated clips stand among its labelled ones."""

    method: str
    source: Source

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.method}, with facs" if self.source == "facs" else self.method


LEARNERS = tuple(
    Learner(method, source) for method in ("rbf_svm", "joint", "maml", "lightman") for source in ("none", "facs")
)  # fmt: skip


class Row(NamedTuple):
    """One learner at one share: UF1 of each draw, and minus the machine without simulated clips at the same share."""

    learner: str
    share: float
    clips: int
    uf1: list[float]
    difference: float | None
    interval: tuple[float, float] | None


def keep_share(train: NDArray[np.bool_], label: NDArray[np.int32], share: float, draw: int) -> NDArray[np.bool_]:
    """`[n]` bool: a random share of the training clips, each class rounded, at least one of each; none for share 0."""
    kept = np.zeros_like(train)
    if share > 0:
        rng = np.random.default_rng(draw)
        for k in np.unique(label[train]):
            rows = rng.permutation(np.flatnonzero(train & (label == k)))
            kept[rows[: max(1, round(share * len(rows)))]] = True
    return kept


def run(real: ClipSet, draws: int) -> Iterator[Row]:
    """Every learner at every share, as it is done."""
    simulated = [simulate(draw)[:2] for draw in range(draws)]
    for share in SHARES:
        machine: NDArray[np.float64] | None = None
        for learner in LEARNERS:
            if share == 0 and learner.source == "none":
                continue
            counts = np.stack([_counts(real, learner, share, draw, *simulated[draw]) for draw in range(draws)])
            machine = counts if learner == LEARNERS[0] else machine
            difference, interval = None, None
            if machine is not None and learner != LEARNERS[0]:
                difference, low, high = paired_difference(counts, machine)
                interval = (low, high)
            kept = round(share * len(real) * 5 / 6)
            rates = np.asarray(uf1(counts.sum(axis=1))).tolist()
            yield Row(learner.name, share, kept, rates, difference, interval)


def _counts(
    real: ClipSet, learner: Learner, share: float, draw: int, facs_micro: ClipSet, facs_macro: ClipSet
) -> NDArray[np.float64]:
    """`[subjects, N, N]` of the real clips."""
    whole = _joined(real, facs_micro) if learner.source == "facs" else real
    macro = facs_macro if learner == Learner("lightman", "facs") else None
    of_subject = group_of_subjects(real.subject)
    groups = np.array([of_subject[name] for name in real.subject])
    label, folds = real.label, []
    for g in range(int(groups.max()) + 1):
        train = np.ones(len(whole), bool)
        train[: len(real)] = keep_share(groups != g, label, share, draw)
        macro_train = np.ones(len(whole if macro is None else macro), bool) if macro is not None else train
        folds.append(Fold(f"group {g}", np.flatnonzero(groups == g), train, macro_train))
    guesses = np.zeros(len(real), np.int64)
    if learner.method == "rbf_svm":
        for guess in fit_learner("rbf_svm", whole, folds, [draw], "clip_rms"):
            guesses[guess.fold.test] = guess.probabilities.argmax(axis=1)
    else:
        config = TrainConfig(method=method_config(learner.method, MethodConfig()))
        for lane in train_folds(whole, macro, folds, [draw], config):
            (probabilities,) = predict_folds([(lane.fold, lane.params)], whole.image, config)
            guesses[lane.fold.test] = probabilities.argmax(axis=1)
    subjects = sorted(set(real.subject))
    number = np.array([subjects.index(name) for name in real.subject])
    return np.stack(
        [
            confusion_matrix(label[number == k], guesses[number == k], len(real.classes)).astype(float)
            for k in range(len(subjects))
        ]
    )


def _joined(first: ClipSet, second: ClipSet) -> ClipSet:
    return dataclasses.replace(
        first,
        image=np.concatenate([first.image, second.image]),
        label=np.concatenate([first.label, second.label]),
        subject=(*first.subject, *second.subject),
        clip=(*first.clip, *second.clip),
    )


def save_curve(path: Path, rows: Sequence[Row], title: str) -> None:
    """Draw UF1 over the share of labelled clips, mean and sd over draws."""
    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    places = {share: place for place, share in enumerate(SHARES)}
    for row, name in enumerate(dict.fromkeys(r.learner for r in rows)):
        own = [r for r in rows if r.learner == name]
        shift = 0.05 * (row - len(LEARNERS) / 2)
        axes.errorbar(
            [places[r.share] + shift for r in own],
            [float(np.mean(r.uf1)) for r in own],
            [float(np.std(r.uf1)) for r in own],
            marker="o",
            markersize=4,
            capsize=2,
            linestyle="-" if "facs" in name else "--",
            color=f"C{row // 2}",
            label=name,
        )
    axes.set_xticks(range(len(SHARES)), [f"{share:.0%}" for share in SHARES])
    axes.set_xlabel("share of the training people's clips that are labelled")
    axes.set_ylabel("UF1 of held-out people")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _print(console: Console, rows: Sequence[Row]) -> None:
    table = Table("share", "clips", "learner", "UF1", "minus rbf_svm without facs")
    for row in rows:
        spread = f" ± {np.std(row.uf1, ddof=1):.3f}" if len(row.uf1) > 1 else ""
        cell = ""
        if row.difference is not None and row.interval is not None:
            cell = f"{row.difference:+.3f} [{row.interval[0]:+.3f}, {row.interval[1]:+.3f}]"
        table.add_row(f"{row.share:.0%}", str(row.clips), row.learner, f"{np.mean(row.uf1):.3f}{spread}", cell)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 2 with one line on standard error if the folder holds no flow release."""
    parser = argparse.ArgumentParser(prog="python -m experiments.few_clips", description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder of the public flow release")
    parser.add_argument("--draws", type=int, default=5, help="draws of clips, simulated people and first parameters")
    parser.add_argument("--workdir", type=Path, default=Path("runs") / "few_clips", help="folder of the results")
    options = parser.parse_args(argv)
    set_up_jax(parse_config([]))
    try:
        real = read_real(options.data_dir)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console = make_console()
    data = f"{len(real)} clips of {', '.join(sorted(set(real.dataset)))}, {len(set(real.subject))} people"
    rows = []
    for row in run(real, options.draws):
        rows.append(row)
        console.print(f"{row.share:.0%} of the clips, {row.learner}: UF1 {np.mean(row.uf1):.3f}")
    _print(console, rows)
    options.workdir.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"data": data, "draws": options.draws, "rows": [row._asdict() for row in rows]}
    (options.workdir / "few_clips.json").write_text(json.dumps(content, indent=1) + "\n")
    save_curve(options.workdir / "few_clips.png", rows, f"{data}; six groups held out in turn, {options.draws} draws")
    console.print(f"results: {options.workdir} (few_clips.json, few_clips.png)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

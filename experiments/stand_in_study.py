"""`python -m experiments.stand_in_study [--part=main|border] [--out=FILE]`: when does the auxiliary branch help?

Invented people only, so nothing here is a result on a corpus; it says how the methods behave where the truth is
known. A population is ten people to train on and twenty others to test on, drawn anew for each of five seeds.
Methods meet the same people, clips, tasks and first parameters, so differences are paired. Macro clips are the
training people's own, at full intensity.

`main` compares lightman with joint, maml, joint given the macro clips as more labelled clips, and itself under
shuffled macro labels, over fractions of the training clips, micro intensity and subject variation. `border` varies
lightman's own settings at the hardest of those.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from lightman_jax.branches import NetworkConfig
from lightman_jax.data.labels import EMOTIONS_3
from lightman_jax.data.motion import MotionConfig, motion_between
from lightman_jax.data.simulator import SimulatorConfig, subject_clips
from lightman_jax.folds import MacroLabels, TrainConfig, predict_folds, train_folds
from lightman_jax.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix, paired_difference, uf1
from lightman_jax.tasks import Fold, TaskConfig
from lightman_jax.types import ClipSet

# The flow that the published figures of this study were made with; the package's default recovers small movements better.
MOTION = MotionConfig(flow_method="dis")
NETWORK = NetworkConfig(backbone="conv4", normalisation="group")
ORIGIN = "invented stand-in people; not a corpus"
SEEDS, TRAIN_PEOPLE, TEST_PEOPLE, MACRO_STRANGERS = 5, 10, 20, 10
MacroPeople = Literal["own", "strangers"]


@dataclasses.dataclass(frozen=True)
class Condition:
    """One column of the study: the people, and how much of their clips is there to train on.

    Attributes:
      fraction: share of the training clips that is kept, class by class, at least one each.
      micro_intensity: mean peak displacement of micro clips, pixels of a face 96 pixels wide.
      subject_variation: see `SimulatorConfig`.
      macro_people: macro clips of the training people themselves, or of ten others.
    """

    fraction: float = 1.0
    micro_intensity: float = 0.25
    subject_variation: float = 1.0
    macro_people: MacroPeople = "own"


@dataclasses.dataclass(frozen=True)
class Learner:
    """One row of the study: a method by name, and what is changed in its settings.

    Attributes:
      name: what the row is called.
      method: one of `lightman_jax.METHODS`.
      changes: settings of the method that differ from its defaults.
      macro_labels: true, or shuffled within each fold.
      macro_shots: macro clips a class of a task.
      macro_as_micro: the macro clips join the labelled clips that support and query are drawn from.
    """

    name: str
    method: str = "lightman"
    changes: tuple[tuple[str, Any], ...] = ()
    macro_labels: MacroLabels = "true"
    macro_shots: int = 3
    macro_as_micro: bool = False

    def config(self) -> TrainConfig:
        """The training settings."""
        own = method_config(self.method, MethodConfig(**dict(self.changes)))
        task = TaskConfig(macro_shots=self.macro_shots)
        return TrainConfig(method=own, macro_labels=self.macro_labels, task=task, network=NETWORK)


class Population(NamedTuple):
    """Micro and macro clips of all seeds' people, and for each seed the rows to train and to test on."""

    micro: ClipSet
    macro: ClipSet
    folds: list[Fold]


HARDEST = Condition(fraction=0.125)
CONDITIONS = (
    *(Condition(fraction=f) for f in (1.0, 0.5, 0.25, 0.125)),
    *(Condition(micro_intensity=i) for i in (0.125, 0.5, 1.0)),
    *(Condition(subject_variation=v) for v in (0.0, 2.0)),
)
LEARNERS = (
    Learner("lightman"),
    Learner("joint", "joint"),
    Learner("maml", "maml"),
    Learner("joint, macro clips as labelled clips", "joint", macro_as_micro=True),
    Learner("lightman, macro labels shuffled", macro_labels="shuffled"),
)
_FORMS = ("cosine", "l2", "prototype", "triplet", "mmd", "spatial")
BORDER_LEARNERS = (
    *LEARNERS,
    *(
        Learner(f"lightman, lambda = mu = {w:g}", changes=(("inner_alignment", w), ("outer_alignment", w)))
        for w in (0.1, 2.0)
    ),
    Learner("lightman, lambda = 0", changes=(("inner_alignment", 0.0),)),
    Learner("lightman, mu = 0", changes=(("outer_alignment", 0.0),)),
    Learner("lightman, stop_macro", changes=(("stop_macro", True),)),
    *(Learner(f"lightman, {m} macro shots", macro_shots=m) for m in (1, 6)),
    *(Learner(f"lightman, {form}", changes=(("alignment", form),)) for form in _FORMS),
)
BORDER_CONDITIONS = (HARDEST, dataclasses.replace(HARDEST, macro_people="strangers"))


def draw_population(condition: Condition) -> Population:
    """Invent the people of every seed and the clips of each, and choose the training clips."""
    parts: dict[str, list[tuple[NDArray[np.float32], int, str, str]]] = {"micro": [], "macro": []}
    train_people, test_people, macro_people = set(), {}, set()
    for seed in range(SEEDS):
        test_people[seed] = {f"p{seed}/s{n}" for n in range(TRAIN_PEOPLE, TRAIN_PEOPLE + TEST_PEOPLE)}
        train_people |= {f"p{seed}/s{n}" for n in range(TRAIN_PEOPLE)}
        strangers = range(TRAIN_PEOPLE + TEST_PEOPLE, TRAIN_PEOPLE + TEST_PEOPLE + MACRO_STRANGERS)
        shown = range(TRAIN_PEOPLE) if condition.macro_people == "own" else strangers
        macro_people |= {f"p{seed}/s{n}" for n in shown}
        for number in range(TRAIN_PEOPLE + TEST_PEOPLE + MACRO_STRANGERS):
            subject = f"p{seed}/s{number}"
            for pool, label, name, image in _motion_clips(seed, number, condition):
                wanted = subject in macro_people if pool == "macro" else subject in train_people | test_people[seed]
                if wanted:
                    parts[pool].append((image, label, subject, f"{subject}/{name}"))
    micro, macro = (_clip_set(rows) for rows in parts.values())
    subjects, macro_subjects = np.array(micro.subject), np.array(macro.subject)
    folds = []
    for seed in range(SEEDS):
        test = np.flatnonzero(np.isin(subjects, list(test_people[seed])))
        own = np.char.startswith(subjects, f"p{seed}/") & np.isin(subjects, list(train_people))
        train = _keep_fraction(own, micro.label, condition.fraction, seed)
        folds.append(Fold(f"p{seed}", test, train, np.char.startswith(macro_subjects, f"p{seed}/")))
    return Population(micro, macro, folds)


def run_study(learners: Sequence[Learner], conditions: Sequence[Condition]) -> Iterator[dict[str, Any]]:
    """Train and test every learner under every condition; one dict each, with differences to the first learner.

    Yields:
      `condition`, `learner`, `uf1` per seed and its mean and sd; `difference` (first learner minus this one),
      `sd_difference` over seeds and `interval`, 95% by resampling the test people of all seeds.
    """
    for condition in conditions:
        population = draw_population(condition)
        reference: NDArray[np.int64] | None = None
        for learner in learners:
            started = time.time()
            met = _with_macro_as_micro(population) if learner.macro_as_micro else population
            counts = _counts(learner.config(), met)
            per_seed = np.asarray(uf1(counts.sum(axis=1)))
            row = {
                "data": ORIGIN,
                "condition": dataclasses.asdict(condition),
                "learner": learner.name,
                "train_clips": int(met.folds[0].train.sum()),
                "uf1": per_seed.tolist(),
                "mean": float(per_seed.mean()),
                "sd": float(per_seed.std(ddof=1)),
                "seconds": round(time.time() - started, 1),
            }
            if reference is None:
                reference = counts
            else:
                # People of different seeds are different people: one pool of them is resampled.
                one, two = (c.reshape(1, -1, *c.shape[2:]) for c in (reference, counts))
                _, low, high = paired_difference(one, two)
                differences = np.asarray(uf1(reference.sum(axis=1))) - per_seed
                row |= {
                    "difference": float(differences.mean()),
                    "sd_difference": float(differences.std(ddof=1)),
                    "interval": [low, high],
                }
            yield row


def _motion_clips(seed: int, number: int, condition: Condition) -> Iterator[tuple[str, int, str, NDArray[np.float32]]]:
    config = SimulatorConfig(
        frames=3,
        micro_intensity=condition.micro_intensity,
        subject_variation=condition.subject_variation,
        seed=1000 + seed,
        macro_clips=0 if TRAIN_PEOPLE <= number < TRAIN_PEOPLE + TEST_PEOPLE else 2,
        micro_clips=0 if number >= TRAIN_PEOPLE + TEST_PEOPLE else 3,
    )
    for clip in subject_clips(number, config):
        image = motion_between(clip.frames[0], clip.frames[1], MOTION)
        yield clip.pool, EMOTIONS_3.index(clip.label), f"{clip.label}_{clip.number}", image


def _clip_set(rows: Sequence[tuple[NDArray[np.float32], int, str, str]]) -> ClipSet:
    image, label, subject, clip = zip(*rows, strict=True)
    return ClipSet(np.stack(image), np.array(label, np.int32), subject, clip, EMOTIONS_3)


def _keep_fraction(own: NDArray[np.bool_], label: NDArray[np.int32], fraction: float, seed: int) -> NDArray[np.bool_]:
    kept = np.zeros_like(own)
    rng = np.random.default_rng(seed)
    for k in range(len(EMOTIONS_3)):
        rows = rng.permutation(np.flatnonzero(own & (label == k)))
        kept[rows[: max(1, round(fraction * len(rows)))]] = True
    return kept


def _with_macro_as_micro(population: Population) -> Population:
    """The same folds, with each fold's macro clips as rows of its training clips."""
    micro, macro, folds = population
    both = ClipSet(
        np.concatenate([micro.image, macro.image]),
        np.concatenate([micro.label, macro.label]),
        (*micro.subject, *macro.subject),
        (*micro.clip, *macro.clip),
        micro.classes,
    )
    wider = [dataclasses.replace(f, train=np.concatenate([f.train, f.macro_train])) for f in folds]
    return Population(both, macro, wider)


def _counts(config: TrainConfig, population: Population) -> NDArray[np.int64]:
    """`[seeds, test people, N, N]` confusion counts."""
    micro, folds = population.micro, population.folds
    lanes = list(train_folds(micro, population.macro, folds, [0], config))
    predicted = predict_folds([(lane.fold, lane.params) for lane in lanes], micro.image, config)
    subjects, counts = np.array(micro.subject), []
    for fold, probabilities in zip(folds, predicted, strict=True):
        guess, truth, who = probabilities.argmax(axis=1), micro.label[fold.test], subjects[fold.test]
        counts.append([confusion_matrix(truth[who == s], guess[who == s], len(EMOTIONS_3)) for s in sorted(set(who))])
    return np.asarray(counts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; it prints a line a result and keeps them in a file."""
    parser = argparse.ArgumentParser(prog="python -m experiments.stand_in_study", description=__doc__)
    parser.add_argument("--part", choices=("main", "border"), default="main")
    parser.add_argument("--out", type=Path, default=None, help="JSON lines; by default runs/stand_in_study-PART.jsonl")
    options = parser.parse_args(argv)
    jax.config.update("jax_num_cpu_devices", min(len(os.sched_getaffinity(0)), SEEDS))
    out = options.out or Path("runs") / f"stand_in_study-{options.part}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    learners, conditions = (LEARNERS, CONDITIONS) if options.part == "main" else (BORDER_LEARNERS, BORDER_CONDITIONS)
    with out.open("w", encoding="utf-8") as file:
        for row in run_study(learners, conditions):
            file.write(json.dumps(row) + "\n")
            file.flush()
            paired = ""
            if "difference" in row:
                low, high = row["interval"]
                paired = f"  lightman - this: {row['difference']:+.3f} ± {row['sd_difference']:.3f} [{low:+.3f}, {high:+.3f}]"
            settings = " ".join(f"{name}={value}" for name, value in row["condition"].items())
            print(f"{settings} | {row['learner']}: UF1 {row['mean']:.3f} ± {row['sd']:.3f}{paired}", flush=True)
    print(f"{ORIGIN}. Results: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Where the clips of an experiment come from: invented people seen through several cameras, or the public flow release.

A stage holds rounds. On invented people a round is a population of its own: ten people to train on and twenty others to test on. On
the flow release a round is a repetition with its own random numbers, in which each of six groups of people is held out in turn.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.claims.simulated_training import read_real
from experiments.evaluation.groups import GROUPS, group_of_subjects
from lightman_jax.data.corpora.catalog import CORPORA
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.preparation.representation import MotionConfig, motion_between
from lightman_jax.data.synthetic.faces import InventedClip, SimulatorConfig, subject_clips
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

ROUNDS, TRAIN_PEOPLE, TEST_PEOPLE, STRANGERS = 5, 10, 20, 10
INVENTED = "invented people, not a corpus"
MOTION = MotionConfig()

MacroPeople = Literal["own", "strangers"]
DemoVideo = list[NDArray[np.uint8]]
Camera = Callable[[np.random.Generator, InventedClip], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""What is seen of a clip: the picture that is taken for the onset and the one taken for the apex."""


@dataclasses.dataclass(frozen=True)
class People:
    """What kind of people are invented.

    Attributes:
      intensity: mean peak displacement of micro clips, pixels of a face 96 pixels wide.
      variation: how much people differ; see `SimulatorConfig`.
      frames: pictures of a clip from onset to offset.
    """

    intensity: float = 0.25
    variation: float = 1.0
    frames: int = 3


class Stage(NamedTuple):
    """What is trained and tested on.

    Attributes:
      data: where the clips come from, in words.
      micro: micro clips of all rounds.
      macro: macro clips, or None.
      rounds: folds of each round; a fold's name carries its round, and with it the random numbers.
      views: other pictures `[n, H, W, C]` of the same micro clips, by the name of the camera.
      same_people: whether every round tests the same people, so that they are resampled together.
    """

    data: str
    micro: ClipSet
    macro: ClipSet | None
    rounds: list[list[Fold]]
    views: Mapping[str, NDArray[np.float32]]
    same_people: bool

    @property
    def train_clips(self) -> float:
        """Labelled clips that one training has, mean over all."""
        return float(np.mean([fold.train.sum() for folds in self.rounds for fold in folds]))


def onset_and_apex(rng: np.random.Generator, clip: InventedClip) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The usual camera: the first picture and the strongest one."""
    del rng
    return clip.frames[0], clip.frames[clip.apex]


def invent_people(
    people: People,
    macro_people: MacroPeople = "own",
    cameras: Mapping[str, Camera] | None = None,
    *,
    tested_only: bool = False,
) -> Stage:
    """Invent the people of every round and film them.

    Args:
      people: what kind of people.
      macro_people: whose macro clips there are.
      cameras: film the micro clips once more, each in its way.
      tested_only: of the people who are tested; the other rows of a view are as the usual camera sees them.
    """
    micro, macro, views = _filmed(people, tuple((cameras or {}).items()), tested_only)
    subject, macro_subject = np.array(micro.subject), np.array(macro.subject)
    rounds = []
    for number in range(ROUNDS):
        last = TRAIN_PEOPLE + TEST_PEOPLE
        trained, tested = _names(number, range(TRAIN_PEOPLE)), _names(number, range(TRAIN_PEOPLE, last))
        shown = trained if macro_people == "own" else _names(number, range(last, last + STRANGERS))
        test = np.flatnonzero(np.isin(subject, tested))
        rounds.append([Fold(f"p{number}", test, np.isin(subject, trained), np.isin(macro_subject, shown))])
    return Stage(INVENTED, micro, macro, rounds, views, same_people=False)


def real_people(data_dir: Path, cameras: Mapping[str, Callable[..., NDArray[np.float32]]] | None = None) -> Stage:
    """The public flow release; `cameras` here map all pictures `[n, H, W, C]` to others.

    Raises:
      DataError: the folder holds no flow release.
    """
    micro = read_real(data_dir)
    of_subject = group_of_subjects(micro.subject)
    groups = np.array([of_subject[name] for name in micro.subject])
    rounds = [
        [
            Fold(f"group {g} round {number}", np.flatnonzero(groups == g), groups != g, groups != g)
            for g in range(min(GROUPS, int(groups.max()) + 1))
        ]
        for number in range(ROUNDS)
    ]
    views = {name: camera(np.random.default_rng(0), micro.image) for name, camera in (cameras or {}).items()}
    corpora = ", ".join(CORPORA[name].title for name in sorted(set(micro.dataset)))
    data = f"{len(micro)} clips of {len(of_subject)} people, public flow of {corpora}"
    return Stage(data, micro, None, rounds, views, same_people=True)


def keep_clips(stage: Stage, kept: Callable[[int], int]) -> Stage:
    """The stage with fewer labelled clips: of `n` training clips of a class `kept(n)`, drawn anew in every round."""
    rounds = []
    for number, folds in enumerate(stage.rounds):
        fewer = [_mask(fold.train, stage.micro.label, kept, number) for fold in folds]
        rounds.append([_trained_on(stage, fold, rows) for fold, rows in zip(folds, fewer, strict=True)])
    return stage._replace(rounds=rounds)


def share(part: float) -> Callable[[int], int]:
    """Keep this part of a class's clips, at least one, or none of part 0."""
    return lambda count: max(1, round(part * count)) if part > 0 else 0


def shots(number: int) -> Callable[[int], int]:
    """Keep this many clips of a class, or all if there are fewer."""
    return lambda count: min(number, count)


def wrong_labels(stage: Stage, part: float) -> Stage:
    """The stage with this part of the labels changed to another class at random, anew in every round, for training alone.

    What is trained on are copies of the clips, further rows of the pool: the tested rows keep the truth.
    """
    micro, classes, count = stage.micro, len(stage.micro.classes), len(stage.micro)
    # Rounds of different people need no more than one copy of each.
    copies = len(stage.rounds) if stage.same_people else 1
    labels, rounds = [micro.label], []
    for copy in range(copies):
        rng = np.random.default_rng(copy)
        wrong = rng.permutation(count) < round(part * count)
        labels.append(np.where(wrong, (micro.label + rng.integers(1, classes, count)) % classes, micro.label))
    for number, folds in enumerate(stage.rounds):
        rows = [np.zeros((1 + copies, count), bool) for _ in folds]
        for fold, mask in zip(folds, rows, strict=True):
            mask[1 + number % copies] = fold.train
        rounds.append([_trained_on(stage, fold, mask.ravel()) for fold, mask in zip(folds, rows, strict=True)])
    both = ClipSet(
        np.tile(micro.image, (1 + copies, 1, 1, 1)),
        np.concatenate(labels).astype(np.int32),
        micro.subject * (1 + copies),
        (*micro.clip, *(f"{clip} labelled anew, {copy}" for copy in range(copies) for clip in micro.clip)),
        micro.classes,
    )
    return stage._replace(micro=both, rounds=rounds, views={})


def _trained_on(stage: Stage, fold: Fold, rows: NDArray[np.bool_]) -> Fold:
    """The fold with other training clips; where there is no macro corpus, they are the macro clips as well."""
    return dataclasses.replace(fold, train=rows, macro_train=rows if stage.macro is None else fold.macro_train)


@functools.lru_cache(maxsize=4)
def _filmed(
    people: People, cameras: tuple[tuple[str, Camera], ...], tested_only: bool
) -> tuple[ClipSet, ClipSet, dict[str, NDArray[np.float32]]]:
    rows: dict[str, list[tuple[NDArray[np.float32], int, str, str]]] = {"micro": [], "macro": []}
    views: dict[str, list[NDArray[np.float32]]] = {name: [] for name, _ in cameras}
    for number in range(ROUNDS):
        for person in range(TRAIN_PEOPLE + TEST_PEOPLE + STRANGERS):
            (subject,) = _names(number, [person])
            rng = np.random.default_rng([number, person])
            for clip in subject_clips(person, _config(people, number, person)):
                image = motion_between(*onset_and_apex(rng, clip), MOTION)
                label = EMOTIONS_3.index(clip.label)
                rows[clip.pool].append((image, label, subject, f"{subject}/{clip.label}_{clip.number}"))
                usual = tested_only and person < TRAIN_PEOPLE
                for name, camera in cameras if clip.pool == "micro" else ():
                    views[name].append(image if usual else motion_between(*camera(rng, clip), MOTION))
    micro, macro = (_clip_set(own) for own in rows.values())
    return micro, macro, {name: np.stack(images) for name, images in views.items()}


def _config(people: People, number: int, person: int) -> SimulatorConfig:
    last = TRAIN_PEOPLE + TEST_PEOPLE
    return SimulatorConfig(
        frames=people.frames,
        micro_intensity=people.intensity,
        subject_variation=people.variation,
        seed=1000 + number,
        macro_clips=0 if TRAIN_PEOPLE <= person < last else 2,
        micro_clips=3 if person < last else 0,
    )


def _names(number: int, people: Sequence[int] | range) -> list[str]:
    return [f"p{number}/s{person}" for person in people]


def _clip_set(rows: Sequence[tuple[NDArray[np.float32], int, str, str]]) -> ClipSet:
    image, label, subject, clip = zip(*rows, strict=True)
    return ClipSet(np.stack(image), np.array(label, np.int32), subject, clip, EMOTIONS_3)


def _mask(
    train: NDArray[np.bool_], label: NDArray[np.int32], kept: Callable[[int], int], number: int
) -> NDArray[np.bool_]:
    mask = np.zeros(len(label), bool)
    rng = np.random.default_rng(number)
    for k in np.unique(label[train]):
        rows = rng.permutation(np.flatnonzero(train & (label == k)))
        mask[rows[: kept(len(rows))]] = True
    return mask

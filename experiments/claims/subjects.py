"""Clips and folds of a study: synthetic subjects seen by several cameras, or the public flow release.

With synthetic subjects a round is a population of its own: ten subjects to train on and twenty others to test on. With the flow
release a round is a repetition with its own random numbers; each of six groups of subjects is the test set once.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.cli.config import data_folders
from experiments.evaluation.groups import GROUPS, group_of_subjects
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.preparation.motion_config import MotionConfig, motion_in_use
from lightman_jax.data.preparation.representation import motion_image, motion_of_faces
from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.faces import SimulatorConfig, SyntheticClip, subject_clips
from lightman_jax.training.folds import Fold
from lightman_jax.types import ClipSet

ROUNDS, TRAIN_SUBJECTS, TEST_SUBJECTS, OTHER_SUBJECTS = 5, 10, 20, 10
SYNTHETIC = "synthetic subjects, not a corpus"
MOTION = MotionConfig()

Image = NDArray[np.uint8]
Images = NDArray[np.float32]
Camera = Callable[[np.random.Generator, SyntheticClip], tuple[Image, Image]]
"""Maps a clip to the images that are used as its onset and apex."""
FlowChange = Callable[[np.random.Generator, Images], Images]
"""Maps the flow images `[n, H, W, C]` of all clips to changed ones."""


class StudyData(NamedTuple):
    """Clips and folds of a study.

    Attributes:
      data: source of the clips, in words.
      micro: micro clips of all rounds.
      macro: macro clips, or None.
      rounds: folds of each round; the name of a fold contains its round, which sets its random numbers.
      views: other images `[n, H, W, C]` of the same micro clips, by name of the camera.
      same_subjects: whether every round tests the same subjects, so that they are resampled together.
    """

    data: str
    micro: ClipSet
    macro: ClipSet | None
    rounds: list[list[Fold]]
    views: Mapping[str, Images]
    same_subjects: bool

    @property
    def train_clips(self) -> float:
        """Mean number of labelled clips per training."""
        return float(np.mean([fold.train.sum() for folds in self.rounds for fold in folds]))


def onset_and_apex(rng: np.random.Generator, clip: SyntheticClip) -> tuple[Image, Image]:
    """The default camera: first frame and strongest frame."""
    del rng
    return clip.frames[0], clip.frames[clip.apex]


def synthetic_subjects(
    *,
    intensity: float = 0.25,
    variation: float = 1.0,
    frames: int = 3,
    macro_subjects: Literal["own", "others"] = "own",
    cameras: Mapping[str, Camera] | None = None,
    test_views_only: bool = False,
) -> StudyData:
    """Simulate the subjects of every round.

    Args:
      intensity: mean peak displacement of micro clips, pixels of a face 96 pixels wide.
      variation: differences between subjects; see `SimulatorConfig`.
      frames: frames per clip from onset to offset.
      macro_subjects: macro clips of the training subjects, or of other subjects.
      cameras: additional views of the micro clips.
      test_views_only: apply the cameras to test subjects only; other rows of a view repeat the default camera.
    """
    kept = tuple((cameras or {}).items())
    micro, macro, views = _simulate(intensity, variation, frames, kept, test_views_only)
    subject, macro_subject = np.array(micro.subject), np.array(macro.subject)
    rounds = []
    last = TRAIN_SUBJECTS + TEST_SUBJECTS
    for number in range(ROUNDS):
        names = [f"p{number}/s{index}" for index in range(last + OTHER_SUBJECTS)]
        train, test = names[:TRAIN_SUBJECTS], names[TRAIN_SUBJECTS:last]
        shown = train if macro_subjects == "own" else names[last:]
        rows = np.flatnonzero(np.isin(subject, test))
        rounds.append([Fold(f"p{number}", rows, np.isin(subject, train), np.isin(macro_subject, shown))])
    return StudyData(SYNTHETIC, micro, macro, rounds, views, same_subjects=False)


def flow_subjects(
    data_dir: Path, changes: Mapping[str, FlowChange] | None = None, *, every_view: bool = False
) -> StudyData:
    """Clips and folds of the public flow release; `changes` define other images of its clips.

    Raises:
      DataError: the folder is not a flow release.
    """
    micro = read_flow_release(data_dir, every_view=every_view)
    of_subject = group_of_subjects(micro.subject)
    groups = np.array([of_subject[name] for name in micro.subject])
    parts = [(g, np.flatnonzero(groups == g), groups != g) for g in range(min(GROUPS, int(groups.max()) + 1))]
    rounds = [[Fold(f"group {g} round {n}", test, rest, rest) for g, test, rest in parts] for n in range(ROUNDS)]
    views = {name: change(np.random.default_rng(0), micro.image) for name, change in (changes or {}).items()}
    corpora = ", ".join(CORPORA[name].title for name in sorted(set(micro.dataset)))
    data = f"{len(micro)} clips of {len(of_subject)} subjects, public flow of {corpora}"
    return StudyData(data, micro, None, rounds, views, same_subjects=True)


def read_flow_release(data_dir: Path, *, every_view: bool = False) -> ClipSet:
    """Every clip of a flow release by its first view, or by all, with the labels of MEGC2019; errors as in `flow_subjects`."""
    reading = read_corpus("megc2019", data_folders(str(data_dir)))
    if reading.layout != "flow_release":
        raise DataError(f"{data_dir} is not a flow release; give the folder of the public 28x28 flow by --data_dir")
    names = motion_in_use(reading.clips, MOTION).view_names
    names = names if every_view else names[:1]
    motion = dataclasses.replace(MOTION, views=",".join(names))
    micro = clip_set((motion_image(c, motion).image, c.emotion, c.subject, c.clip) for c in reading.clips)
    return dataclasses.replace(micro, views=names if len(names) > 1 else ())


def clip_set(rows: Iterable[tuple[Images, str, str, str]]) -> ClipSet:
    """Clips from `(image, emotion, subject, clip)` rows."""
    image, emotion, subject, clip = zip(*rows, strict=True)
    label = np.array([EMOTIONS_3.index(name) for name in emotion], np.int32)
    return ClipSet(np.stack(image), label, subject, clip, EMOTIONS_3)


def keep_clips(data: StudyData, kept: Callable[[int], int]) -> StudyData:
    """Keep `kept(n)` of the `n` training clips per class, drawn at random in each round."""

    def drawn(fold: Fold, number: int) -> Fold:
        mask = np.zeros(len(data.micro), bool)
        rng = np.random.default_rng(number)
        for k in np.unique(data.micro.label[fold.train]):
            rows = rng.permutation(np.flatnonzero(fold.train & (data.micro.label == k)))
            mask[rows[: kept(len(rows))]] = True
        return _with_train(data, fold, mask)

    rounds = [[drawn(fold, number) for fold in folds] for number, folds in enumerate(data.rounds)]
    return data._replace(rounds=rounds)


def share(part: float) -> Callable[[int], int]:
    """Rule for `keep_clips`: this fraction of the clips per class, at least one unless the fraction is 0."""
    return lambda count: max(1, round(part * count)) if part > 0 else 0


def shots(number: int) -> Callable[[int], int]:
    """Rule for `keep_clips`: this number of clips per class, or all if there are fewer."""
    return lambda count: min(number, count)


def wrong_labels(data: StudyData, part: float) -> StudyData:
    """Change this fraction of the training labels to another class, drawn at random in each round.

    The relabelled training clips are copies, further rows of the pool; the tested rows keep their labels.
    """
    micro, classes, count = data.micro, len(data.micro.classes), len(data.micro)
    # Rounds of different subjects share one copy.
    copies = len(data.rounds) if data.same_subjects else 1
    both = micro
    for copy in range(copies):
        rng = np.random.default_rng(copy)
        wrong = rng.permutation(count) < round(part * count)
        label = np.where(wrong, (micro.label + rng.integers(1, classes, count)) % classes, micro.label)
        clip = tuple(f"{name} relabelled {copy}" for name in micro.clip)
        both = both.join(dataclasses.replace(micro, label=label.astype(np.int32), clip=clip))
    rounds = []
    for number, folds in enumerate(data.rounds):
        rows = np.arange(1 + copies)[:, None] == 1 + number % copies
        rounds.append([_with_train(data, fold, (rows & fold.train).ravel()) for fold in folds])
    return data._replace(micro=both, rounds=rounds, views={})


def _with_train(data: StudyData, fold: Fold, rows: NDArray[np.bool_]) -> Fold:
    """Replace the training clips; without a macro corpus they are the macro clips as well."""
    return dataclasses.replace(fold, train=rows, macro_train=rows if data.macro is None else fold.macro_train)


@functools.lru_cache(maxsize=4)
def _simulate(
    intensity: float, variation: float, frames: int, cameras: tuple[tuple[str, Camera], ...], test_views_only: bool
) -> tuple[ClipSet, ClipSet, dict[str, Images]]:
    rows: dict[str, list[tuple[Images, str, str, str]]] = {"micro": [], "macro": []}
    views: dict[str, list[Images]] = {name: [] for name, _ in cameras}
    last = TRAIN_SUBJECTS + TEST_SUBJECTS
    for number in range(ROUNDS):
        for index in range(last + OTHER_SUBJECTS):
            subject = f"p{number}/s{index}"
            rng = np.random.default_rng([number, index])
            config = SimulatorConfig(
                frames=frames,
                micro_intensity=intensity,
                subject_variation=variation,
                seed=1000 + number,
                macro_clips=0 if TRAIN_SUBJECTS <= index < last else 2,
                micro_clips=3 if index < last else 0,
            )
            for clip in subject_clips(index, config):
                image = motion_of_faces(onset_and_apex(rng, clip), 1, MOTION)
                rows[clip.pool].append((image, clip.label, subject, f"{subject}/{clip.label}_{clip.number}"))
                unchanged = test_views_only and index < TRAIN_SUBJECTS
                for name, camera in cameras if clip.pool == "micro" else ():
                    views[name].append(image if unchanged else motion_of_faces(camera(rng, clip), 1, MOTION))
    return clip_set(rows["micro"]), clip_set(rows["macro"]), {name: np.stack(kept) for name, kept in views.items()}

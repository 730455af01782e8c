"""Label spaces: the class of an emotion or of a set of action units, the same for micro- and macro-expressions."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from lightman_jax.data.corpora.action_units import OBJECTIVE_CLASSES, objective_class
from lightman_jax.data.corpora.base import Published
from lightman_jax.data.corpora.records import DataError, RawClip, Reading
from lightman_jax.data.corpora.registry import CORPORA

EMOTIONS_3 = ("negative", "positive", "surprise")
"""Label space of MEGC2019."""

LABELS = ("3", "4", "5", "7", "objective", "au4, au12, ... (one action unit)", "own")
"""Values of `--labels`, in words."""

ABSENT_PRESENT = ("absent", "present")
"""Classes of one action unit."""

_NEGATIVE = ("negative", "anger", "contempt", "disgust", "fear", "sadness", "repression")
_MERGE_3 = {
    **dict.fromkeys(_NEGATIVE, "negative"),
    "positive": "positive",
    "happiness": "positive",
    "surprise": "surprise",
}
_MERGE_4 = {**_MERGE_3, "others": "others", "tense": "others"}


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """The classes of a run.

    Attributes:
      name: `3`, `4`, `5`, `7`, `objective`, `au` with the number of a unit, or `own`.
      classes: names in the order of their indices.
    """

    name: str
    classes: tuple[str, ...]

    def class_of(self, clip: RawClip) -> str | None:
        """Class of a clip; None if it does not belong to the label space."""
        if CORPORA[clip.corpus].excludes(clip.clip, self.name):
            return None
        if self.name == "objective":
            label: str | None = clip.objective or (objective_class(clip.action_units) if clip.action_units else None)
        elif unit := _unit(self.name):
            label = ABSENT_PRESENT[unit in clip.action_units] if clip.action_units else None
        else:
            label = _merged(self.name, clip.corpus, clip.emotion)
        return label if label in self.classes else None


def label_space(name: str, corpora: Iterable[str], own: Iterable[str] = ()) -> LabelSpace:
    """The label space of a name for some corpora.

    `3` and `4` merge emotions into negative, positive, surprise (and others). `5` and `7` keep the emotions commonly used for
    one corpus; all micro corpora must have the same. `objective` has the classes I to V of action units, as in MEGC2018.
    `au12` is the presence of one action unit, for clips with coded units. `own` takes the labels in the data, given as `own`.

    Raises:
      DataError: an unknown name, or no common choice of emotions for these corpora.
    """
    check_labels(name)
    if name in ("3", "4"):
        return LabelSpace(name, EMOTIONS_3 if name == "3" else (*EMOTIONS_3, "others"))
    if name == "objective":
        return LabelSpace(name, OBJECTIVE_CLASSES[:5])
    if _unit(name):
        return LabelSpace(name, ABSENT_PRESENT)
    if name == "own":
        return LabelSpace(name, tuple(sorted(set(own) - {""})))
    choices = {CORPORA[corpus].classes.get(name, ()) for corpus in corpora}
    if len(choices) > 1 or () in choices:
        defined = ", ".join(corpus.name for corpus in CORPORA.values() if name in corpus.classes)
        raise DataError(
            f"--labels={name} keeps the emotions of one corpus and is defined for {defined}; "
            f"for {', '.join(corpora)} choose 3, 4, objective or own"
        )
    return LabelSpace(name, choices.pop())


def check_labels(name: str) -> None:
    """Raise a `DataError` if no label space has that name."""
    if name not in ("3", "4", "5", "7", "objective", "own") and not _unit(name):
        raise DataError(f"labels {name!r} are unknown; choose one of {', '.join(LABELS)}")


def assign_labels(reading: Reading, name: str, corpora: Iterable[str]) -> tuple[Reading, LabelSpace]:
    """Assign a class of the label space `name` for the micro corpora to every clip; clips without one are counted in a note.

    Raises:
      DataError: as `label_space`, or no micro clip has a class.
    """
    space = label_space(name, tuple(corpora), (c.emotion for c in reading.clips if c.pool == "micro"))
    kept, left = [], Counter[str]()
    for clip in reading.clips:
        label = space.class_of(clip)
        if label is not None:
            kept.append(dataclasses.replace(clip, label=label))
        elif CORPORA[clip.corpus].excludes(clip.clip, space.name):
            left[f"{clip.pool} excluded by the protocol"] += 1
        elif _unit(name):
            left[f"{clip.pool} without coded units"] += 1
        else:
            left[f"{clip.pool} {clip.emotion or 'no emotion'}"] += 1
    listed = ", ".join(f"{count} {what}" for what, count in sorted(left.items()))
    if any(clip.pool == "micro" for clip in reading.clips) and not any(clip.pool == "micro" for clip in kept):
        raise DataError(
            f"no micro clip of {reading.root} has a class with --labels={name}: {listed}. Choose another --labels"
        )
    notes = (*reading.notes, f"not part of the {len(space.classes)} classes: {listed}") if left else reading.notes
    return dataclasses.replace(reading, clips=tuple(kept), notes=notes), space


def published(corpus: str, space: LabelSpace) -> Published:
    """Published numbers of a corpus in a label space, from its facts and the rules of the label space."""
    facts = CORPORA[corpus]
    subjects = facts.subjects or None if space.name in ("3", "own") else None
    given = facts.published.get(space.name, Published(None, subjects))
    if given.counts or space.name == "objective" or _unit(space.name) or not facts.clips:
        return given if given.counts else Published(None, None)
    counts: Counter[str | None] = Counter()
    for emotion, count in facts.emotions.items():
        counts[_merged(space.name, corpus, emotion)] += count
    for exclusion in facts.excluded:
        if space.name in exclusion.label_spaces and exclusion.counted_as:
            counts[exclusion.counted_as] -= 1
    return Published(tuple(counts[label] for label in space.classes), given.subjects)


def class_counts(clips: Iterable[RawClip], space: LabelSpace) -> Mapping[str, int]:
    """Number of clips of each class of a label space."""
    counts = Counter(clip.label for clip in clips)
    return {label: counts[label] for label in space.classes}


def _unit(name: str) -> int:
    """Number of the action unit in the name of a label space, or 0."""
    found = re.fullmatch(r"au([1-9]\d?)", name)
    return int(found[1]) if found else 0


def _merged(name: str, corpus: str, emotion: str) -> str | None:
    if name == "3" and emotion in CORPORA[corpus].not_in_3:
        return None
    if name in ("3", "4"):
        return (_MERGE_3 if name == "3" else _MERGE_4).get(emotion)
    return emotion or None

"""Label spaces: which class an emotion or a set of action units belongs to, the same for micro- and macro-expressions."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lightman_jax.data.corpora.action_units import OBJECTIVE_CLASSES, objective_class
from lightman_jax.data.corpora.catalog import CORPORA
from lightman_jax.data.corpora.records import DataError, RawClip, Reading

EMOTIONS_3 = ("negative", "positive", "surprise")
"""Label space of the MEGC2019 protocols."""

LABELS = ("3", "4", "5", "7", "objective", "au4, au12, ... (one action unit)", "own")
"""What `--labels` takes, in words."""

ABSENT_PRESENT = ("absent", "present")
"""Classes of one action unit."""

EXCLUDED = {
    "casme2/sub04/EP12_01f": ("3",),
    "casme2/sub05/EP09_05f": ("3",),
    "casme2/sub24/EP02_07": ("3", "4", "5", "7", "objective"),
}
"""Clips left out, by label space: two by MEGC2019, and one that the released table of 255 rows does not hold."""

_NEGATIVE = ("negative", "anger", "contempt", "disgust", "fear", "sadness", "repression")
_MERGE_3 = {
    **dict.fromkeys(_NEGATIVE, "negative"),
    "positive": "positive",
    "happiness": "positive",
    "surprise": "surprise",
}
_MERGE_4 = {**_MERGE_3, "others": "others", "tense": "others"}
_NOT_IN_3 = {"casme2": {"fear", "sadness"}}

_FIVE = {
    "casme2": ("disgust", "happiness", "others", "repression", "surprise"),
    "samm": ("anger", "contempt", "happiness", "others", "surprise"),
}
_SEVEN = {
    "casme2": ("disgust", "fear", "happiness", "others", "repression", "sadness", "surprise"),
    "casme3": ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise"),
    "mmew": ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise"),
    "samm": ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
    "dfme": ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
    "ck_plus": ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
}

_SUBJECTS_3 = {"casme2": 24, "samm": 28}
"""Subjects with a clip of the 3 classes, where they are fewer than those of the corpus."""


class Published(NamedTuple):
    """Published numbers of one corpus in one label space: clips of each class, and subjects; None where unknown."""

    counts: tuple[int, ...] | None
    subjects: int | None


_OBJECTIVE_COUNTS = {"casme2": Published((25, 15, 99, 26, 20), 26), "samm": Published((24, 13, 20, 8, 3), 21)}
"""Classes I to V in MEGC2018: 253 clips of 47 people (Davison, Merghani and Yap 2018, "Objective Classes for Micro-Facial
Expression Recognition")."""


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
        """Class of a clip, or None if it is not part of the label space."""
        if self.name in EXCLUDED.get(clip.clip, ()):
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

    `3` and `4` merge emotions into negative, positive, surprise (and others); `5` and `7` keep the emotions that
    are usual for one corpus; `objective` goes by action units, classes I to V as in MEGC2018; `au12` asks whether
    one unit is there, of every clip that has coded units; `own` takes the labels as they are.

    Args:
      name: see `LabelSpace`.
      corpora: names of the micro corpora, which must agree in `5` and `7`.
      own: labels in the data, for `own` alone.

    Raises:
      DataError: an unknown name, or no usual choice of emotions for these corpora.
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
    usual = _FIVE if name == "5" else _SEVEN
    choices = {usual.get(corpus, ()) for corpus in corpora}
    if len(choices) > 1 or () in choices:
        raise DataError(
            f"--labels={name} keeps the emotions of one corpus and is usual for {', '.join(usual)}; "
            f"for {', '.join(corpora)} choose 3, 4, objective or own"
        )
    return LabelSpace(name, choices.pop())


def check_labels(name: str) -> None:
    """Refuse the name of a label space that does not exist.

    Raises:
      DataError: an unknown name.
    """
    if name not in ("3", "4", "5", "7", "objective", "own") and not _unit(name):
        raise DataError(f"labels {name!r} are unknown; choose one of {', '.join(LABELS)}")


def assign_labels(reading: Reading, name: str, corpora: Iterable[str]) -> tuple[Reading, LabelSpace]:
    """Give every clip its class and leave out those that have none, saying how many and which emotions.

    Args:
      reading: from a layout.
      name: see `LabelSpace`.
      corpora: the micro corpora asked for.

    Raises:
      DataError: an unknown name, or micro clips of which none has a class.
    """
    space = label_space(name, tuple(corpora), (c.emotion for c in reading.clips if c.pool == "micro"))
    kept, left = [], Counter[str]()
    for clip in reading.clips:
        label = space.class_of(clip)
        if label is None:
            if space.name in EXCLUDED.get(clip.clip, ()):
                why = "excluded by the protocol"
            elif _unit(name):
                why = "without coded units"
            else:
                why = clip.emotion or "no emotion"
            left[f"{clip.pool} {why}"] += 1
        else:
            kept.append(dataclasses.replace(clip, label=label))
    listed = ", ".join(f"{count} {what}" for what, count in sorted(left.items()))
    if any(clip.pool == "micro" for clip in reading.clips) and not any(clip.pool == "micro" for clip in kept):
        raise DataError(
            f"no micro clip of {reading.root} has a class with --labels={name}: {listed}. Choose another --labels"
        )
    notes = list(reading.notes)
    if left:
        notes.append(f"not part of the {len(space.classes)} classes: {listed}")
    return dataclasses.replace(reading, clips=tuple(kept), notes=tuple(notes)), space


def published(corpus: str, space: LabelSpace) -> Published:
    """Published counts of a corpus in a label space, derived from the catalogue by the rules of the space."""
    facts = CORPORA[corpus]
    if space.name == "objective" and corpus in _OBJECTIVE_COUNTS:
        return _OBJECTIVE_COUNTS[corpus]
    if space.name == "objective" or _unit(space.name) or not facts.clips:
        return Published(None, None)
    counts: Counter[str | None] = Counter()
    for emotion, count in facts.emotions:
        counts[_merged(space.name, corpus, emotion)] += count
    for clip, spaces in EXCLUDED.items():
        if clip.startswith(f"{corpus}/") and space.name in spaces and clip != "casme2/sub24/EP02_07":
            counts["negative"] -= 1  # Both of MEGC2019's are disgust or repression.
    subjects = facts.subjects if space.name != "3" else _SUBJECTS_3.get(corpus, facts.subjects)
    exact = space.name == "3" or space.name == "own" or corpus in ("smic", "smic_vis", "smic_nir")
    return Published(tuple(counts[label] for label in space.classes), subjects if exact and subjects else None)


def class_counts(clips: Iterable[RawClip], space: LabelSpace) -> Mapping[str, int]:
    """How many clips each class of a space has."""
    counts = Counter(clip.label for clip in clips)
    return {label: counts[label] for label in space.classes}


def _unit(name: str) -> int:
    """Number of the action unit that a label space asks for, or 0."""
    found = re.fullmatch(r"au([1-9]\d?)", name)
    return int(found[1]) if found else 0


def _merged(name: str, corpus: str, emotion: str) -> str | None:
    if name in ("3", "4"):
        if name == "3" and emotion in _NOT_IN_3.get(corpus, ()):
            return None
        return (_MERGE_3 if name == "3" else _MERGE_4).get(emotion)
    return emotion or None

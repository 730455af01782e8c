"""Label spaces: the class of an emotion or of a set of action units, the same for micro- and macro-expressions."""

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from lightman_jax.data.corpora.action_units import OBJECTIVE_CLASSES, objective_class
from lightman_jax.data.corpora.base import Published, normal_emotion, own_label
from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.records import DataError, Problem, RawClip, Reading

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
        elif self.name == "own":
            label = own_label(clip.raw_label)
        else:
            label = _merged(self.name, clip.corpus, clip.emotion)
        return label if label in self.classes else None


def label_space(name: str, corpora: Iterable[str], own: Iterable[str] = ()) -> LabelSpace:
    """The label space of a name for some corpora.

    `3` and `4` merge emotions into negative, positive, surprise (and others). `5` and `7` keep the emotions commonly used for
    one corpus; all micro corpora must have the same. `objective` has the classes I to V of action units, as in MEGC2018.
    `au12` is the presence of one action unit, for clips with coded units. `own` takes the labels in the data, given as `own`,
    letter by letter: nothing is merged, renamed or reordered.

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
    space = label_space(name, tuple(corpora), (own_label(c.raw_label) for c in reading.clips if c.pool == "micro"))
    kept, unlabelled, left = [], [], Counter[str]()
    for clip in reading.clips:
        label = space.class_of(clip)
        if label is not None:
            kept.append(dataclasses.replace(clip, label=label))
            continue
        unlabelled.append(clip)
        if CORPORA[clip.corpus].excludes(clip.clip, space.name):
            left[f"{clip.pool} excluded by the protocol"] += 1
        elif _unit(name):
            left[f"{clip.pool} without coded units"] += 1
        else:
            label = clip.raw_label if name == "own" else clip.emotion
            left[f"{clip.pool} {label or 'no emotion'}"] += 1
    listed = ", ".join(f"{count} {what}" for what, count in sorted(left.items()))
    if any(clip.pool == "micro" for clip in reading.clips) and not any(clip.pool == "micro" for clip in kept):
        raise DataError(
            f"no micro clip of {reading.root} has a class with --labels={name}: {listed}. Choose another --labels"
        )
    as_written = " (own labels are compared letter by letter)" if name == "own" else ""
    note = (f"not part of the {len(space.classes)} classes{as_written}: {listed}",) if left else ()
    met, similar = _spellings(reading.clips) if name == "own" else ((), ())
    return dataclasses.replace(
        reading,
        clips=tuple(kept),
        notes=(*reading.notes, *met, *note),
        problems=(*reading.problems, *similar),
        unlabelled=tuple(unlabelled),
    ), space


def _spellings(clips: Iterable[RawClip]) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Spellings that are one own label, as notes, and own labels that may be meant as one, as problems."""
    counts = Counter(clip.raw_label for clip in clips if clip.raw_label)
    labels: dict[str, list[str]] = {}
    alike: dict[str, set[str]] = {}
    for text in sorted(counts):
        labels.setdefault(own_label(text), []).append(text)
        alike.setdefault(_alike(text), set()).add(own_label(text))
    notes = tuple(
        f"labels {' and '.join(f'{text!a} ({counts[text]})' for text in texts)} are one class, {label}"
        for label, texts in labels.items()
        if len(texts) > 1
    )
    expected = "labels that differ in more than case, blanks, hyphens or leading zeros"
    remedy = "give them one spelling if they mean the same; they are different classes"
    found = (
        ", ".join(f"{label!r} ({sum(counts[text] for text in labels[label])} clips)" for label in sorted(group))
        for group in alike.values()
        if len(group) > 1
    )
    return notes, tuple(Problem("labels", expected, one, remedy, lost=False) for one in found)


def _alike(label: str) -> str:
    """The same text for labels that may be meant as one."""
    text = "".join(c for c in unicodedata.normalize("NFKC", label).casefold() if unicodedata.category(c) != "Cf")
    # Between digits a separator counts, as does a minus: `1_2` and `12`, `-1` and `1`.
    text = re.sub(r"(?<=[^\W\d_])[\s_-]+|[\s_-]+(?=[^\W\d_])", "", text)
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def published(corpus: str, space: LabelSpace) -> Published:
    """Published numbers of a corpus in a label space, from its facts and the rules of the label space."""
    facts = CORPORA[corpus]
    subjects = facts.subjects or None if space.name in ("3", "own") else None
    given = facts.published.get(space.name, Published(None, subjects))
    if given.counts or space.name == "objective" or _unit(space.name) or not facts.clips:
        return given if given.counts else Published(None, None)
    if len({*map(normal_emotion, space.classes)}) < len(space.classes):
        return Published(None, given.subjects)
    counts: Counter[str | None] = Counter()
    for emotion, count in facts.emotions.items():
        counts[_merged(space.name, corpus, emotion)] += count
    for exclusion in facts.excluded:
        if space.name in exclusion.label_spaces and exclusion.counted_as:
            counts[exclusion.counted_as] -= 1
    return Published(tuple(counts[normal_emotion(label)] for label in space.classes), given.subjects)


def written_label(clip: RawClip, space: LabelSpace) -> str:
    """What a label space takes a class from, as written: the label, the objective class or the action units."""
    if space.name != "objective" and not _unit(space.name):
        return clip.raw_label
    given = clip.objective if space.name == "objective" else ""
    return given or "+".join(map(str, clip.action_units))


def class_counts(clips: Iterable[RawClip], space: LabelSpace) -> Mapping[str, int]:
    """Number of clips of each class of a label space."""
    counts = Counter(clip.label for clip in clips)
    return {label: counts[label] for label in space.classes}


def _unit(name: str) -> int:
    """Number of the action unit in the name of a label space, or 0."""
    found = re.fullmatch(r"au([1-9]\d?)", name)
    return int(found[1]) if found else 0


def class_of_label(text: str, space: LabelSpace) -> str | None:
    """Class of a label in a spelling of its own: first letter by letter, then without regard to case and blanks.

    In label spaces other than `own` all spellings of an emotion count, and those of 3 and 4 classes merge emotions.

    Returns:
      The class; None if there is none, or several.

    >>> class_of_label("Happy", LabelSpace("3", EMOTIONS_3)), class_of_label("JOY ", LabelSpace("own", ("joy", "anger")))
    ('positive', 'joy')
    """
    spellings: list[Callable[[str], str]] = [str, own_label, _plain]
    for spelling in spellings if space.name == "own" else [*spellings, normal_emotion]:
        found = [name for name in space.classes if spelling(name) == spelling(text)]
        if found:
            return found[0] if len(found) == 1 else None
    label = _merged(space.name, "table", normal_emotion(text)) if space.name in ("3", "4") else None
    return label if label in space.classes else None


def _plain(text: str) -> str:
    """A name in lower case, composed letters and single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _merged(name: str, corpus: str, emotion: str) -> str | None:
    if name == "3" and emotion in CORPORA[corpus].not_in_3:
        return None
    if name in ("3", "4"):
        return (_MERGE_3 if name == "3" else _MERGE_4).get(emotion)
    return emotion or None

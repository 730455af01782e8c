"""`Corpus`: facts, label rules and reader of one corpus; every corpus file defines one or more."""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.folders.trees import Frames
from lightman_jax.data.records import LostClipError, Movement, Pool

BASIC_EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")

ASK_OULU = "ask the University of Oulu (Center for Machine Vision and Signal Analysis) for it; a signed form is needed"
ASK_CAS = "ask the Institute of Psychology of the Chinese Academy of Sciences (casme.psych.ac.cn) for it; a signed form is needed"

_DURATION_TOLERANCE = 0.25
_EMOTION_ALIASES = {
    "happy": "happiness",
    "amusement": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "surprised": "surprise",
    "other": "others",
    "tension": "tense",
}


class Published(NamedTuple):
    """Published numbers of a corpus in one label space: clips of each class, and subjects; None if unknown."""

    counts: tuple[int, ...] | None
    subjects: int | None


class Exclusion(NamedTuple):
    """A clip that some label spaces leave out.

    Attributes:
      clip: `subject/clip`.
      label_spaces: their names.
      counted_as: the class in which the published counts of the corpus include the clip; empty if they do not.
    """

    clip: str
    label_spaces: tuple[str, ...]
    counted_as: str = ""


Report = Callable[..., None]
"""Adds a problem, as `reader.Collector.problem`."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """One corpus as it is released.

    Attributes:
      name: value of `--dataset` or `--macro`.
      title: printed name.
      obtain: how a researcher obtains it.
      looked_for: the files by which it is recognised, for messages.
      find: trees of the corpus below a folder, the preferred one first.
      read: adds the clips of one tree to a `reader.Collector`, its argument.
      subject_pool: prefix of subject ids, by default `name`. Corpora recorded with the same subjects share it, so that a
        fold holds a subject out of all of them.
      pools: `micro` and `macro`, as far as the corpus has clips of them.
      fps: frames per second; 0 if each clip has its own, or for still images.
      emotions: emotions that labels may name, with the published number of micro clips (of a macro corpus: of its
        clips); 0 if unknown.
      subjects: published number of subjects with labelled clips; 0 if unknown.
      macro_clips: published number of macro clips of a corpus with both pools.
      subject_numbers: numbers of its subjects, if known; any other number is reported.
      unverified: the published numbers were not checked against the release or its paper.
      subject_format: format of a subject id from its number; empty if ids are used as written.
      subject_in_clip: names of clips begin with the number of the subject.
      normal_clip: maps the spellings of a clip name to one.
      counts_from: number of the first frame, 0 or 1; where frames count from 1, an onset of 0 is missing.
      ends_at_apex: an offset of 0 means that the clip ends at its apex.
      shift: frame number in the table minus number of the image, from a `reader.Collector`, a movement and
        the images of its folder.
      classes: classes of the label spaces `5` and `7`, where the literature has a common choice for this corpus.
      not_in_3: emotions that do not belong to the three MEGC2019 classes in this corpus, although they do elsewhere.
      excluded: clips that a label space leaves out.
      published: published numbers that do not follow from `emotions` and `subjects`, by label space; counts of None
        follow from `emotions`.
    """

    name: str
    title: str
    obtain: str
    find: Callable[[Path], list[Path]]
    read: Callable[[Any], None]
    looked_for: str = ""
    subject_pool: str = ""
    pools: tuple[Pool, ...] = ("micro",)
    fps: float = 0.0
    emotions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    subjects: int = 0
    macro_clips: int = 0
    subject_numbers: tuple[int, ...] = ()
    unverified: bool = False
    subject_format: str = ""
    subject_in_clip: bool = False
    normal_clip: Callable[[str], str] = str.strip
    counts_from: int = 1
    ends_at_apex: bool = False
    shift: Callable[[Any, Movement, Frames], int] = lambda *_: 0
    classes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    not_in_3: tuple[str, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    published: Mapping[str, Published] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject_pool", self.subject_pool or self.name)

    @property
    def clips(self) -> int:
        """Published number of clips; 0 if unknown."""
        return sum(self.emotions.values())

    def normal_subject(self, text: str) -> str:
        """One spelling of a subject id for all copies of the corpus: `s01`, `S1` and `1` of SMIC are `s1`."""
        text = text.strip()
        digits = re.search(r"\d+", text)
        return self.subject_format.format(int(digits.group())) if self.subject_format and digits else text

    def excludes(self, clip: str, label_space: str) -> bool:
        """Whether a label space leaves out the clip `corpus/subject/clip`."""
        return any(clip == f"{self.name}/{one.clip}" and label_space in one.label_spaces for one in self.excluded)

    def check_emotion(self, movement: Movement) -> None:
        """Raise a `LostClipError` if the corpus has no such emotion."""
        known = set(self.emotions)
        if movement.labelled and known and not set(normal_emotion(movement.emotion).split("+")) <= known:
            expected, remedy = f"an emotion of {', '.join(sorted(known))}", "correct the label; the clip is left out"
            raise LostClipError(movement.where, expected, repr(movement.emotion), remedy)

    def check_clip_name(self, movement: Movement, subject: str) -> None:
        """Raise a `LostClipError` if the name of a clip begins with the number of another subject."""
        named = re.match(r"[a-z]*(\d+)[_-]", movement.name, re.IGNORECASE) if self.subject_in_clip else None
        if named and self.normal_subject(named[1]) != subject:
            expected = f"the subject in the name of the clip {movement.name}"
            remedy = "correct one of the two; the clip is left out"
            raise LostClipError(movement.where, expected, subject, remedy)

    def check_subject(self, movement: Movement, subject: str, report: Report) -> bool:
        """Report a subject that the corpus does not have; whether it has."""
        numbers = self.subject_numbers
        if not numbers or int("".join(filter(str.isdecimal, subject)) or -1) in numbers:
            return True
        known = f"one of the {len(numbers)} subjects of {self.title}, numbers {numbers[0]} to {numbers[-1]}"
        remedy = "rename the folder, or remove the subject if it is not of this corpus; it is used"
        report(movement.where, known, f"unknown subject {subject}", remedy, lost=False)
        return False

    def check_duration(self, movement: Movement, count: int, report: Report) -> None:
        """Report a frame rate outside 1 to 2000, and a duration that contradicts the number of images."""
        fps = self.fps if movement.fps is None else movement.fps
        if movement.fps is not None and not 1 <= movement.fps <= 2000:
            remedy = "correct the cell; it affects only interpolation in time"
            report(movement.where, "1 to 2000 frames per second", f"{movement.fps:g}", remedy, lost=False)
        elif movement.seconds and fps and abs(count / fps / movement.seconds - 1) > _DURATION_TOLERANCE:
            expected = f"{movement.seconds * 1000:.0f} ms, the duration in the table"
            found = f"{count} images, {1000 * count / fps:.0f} ms at {fps:g} frames per second"
            remedy = "correct the duration or the frame numbers; the clip is used from onset to offset"
            report(movement.where, expected, found, remedy, lost=False)


def parse_pool(text: str) -> Pool | None:
    """The pool that a table cell names; None if it names none.

    >>> parse_pool("Micro - 1/2"), parse_pool("MaE"), parse_pool("macro-expression"), parse_pool("ME")
    ('micro', 'macro', 'macro', 'micro')
    """
    letters = re.sub(r"[^a-z]", "", unicodedata.normalize("NFKC", text).lower())
    if re.fullmatch(r"mi[ck]ro.*|mie?s?|mes?", letters):
        return "micro"
    return "macro" if re.fullmatch(r"ma[ck]ro.*|maes?", letters) else None


def normal_emotion(text: str) -> str:
    """One spelling of an emotion for all tables and folders; the parts of a compound in alphabetical order.

    >>> normal_emotion(" Sad"), normal_emotion("Surprise+Positive"), normal_emotion("Other")
    ('sadness', 'positive+surprise', 'others')
    """
    parts = [part.strip().lower() for part in text.split("+")]
    return "+".join(sorted(_EMOTION_ALIASES.get(part, part) for part in parts))


def own_label(text: str) -> str:
    """A label as written, in Unicode's composed form; a whole number, which some programs write as `1.0`, without decimals.

    >>> own_label("Joy"), own_label("b+a"), own_label("1.0"), own_label("01")
    ('Joy', 'b+a', '1', '01')
    """
    return re.sub(r"^(-?\d+)[.,]0{1,2}$", r"\1", unicodedata.normalize("NFC", text))

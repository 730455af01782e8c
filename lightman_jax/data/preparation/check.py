"""What is in a download: its clips beside the published numbers, and everything that is wrong with it, in one pass."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.corpora.catalog import CORPORA
from lightman_jax.data.corpora.labels import LabelSpace, class_counts, published
from lightman_jax.data.corpora.records import Problem, RawClip, Reading
from lightman_jax.data.preparation.clip_cache import ClipStore, each_clip
from lightman_jax.data.preparation.inspect_clip import Inspection, inspect_clip


class CorpusCount(NamedTuple):
    """One corpus and pool: clips of each class and subjects, found and published (None where unknown)."""

    corpus: str
    title: str
    pool: str
    found: dict[str, int]
    published: dict[str, int] | None
    subjects: int
    published_subjects: int | None
    recalled: bool

    @property
    def deviation(self) -> str:
        """How the counts differ from the published ones; empty if they do not, or are unknown."""
        said = []
        if self.published is not None and self.found != self.published:
            differing = [name for name in self.found if self.found[name] != self.published[name]]
            said.append(", ".join(f"{name} {self.found[name]} of {self.published[name]}" for name in differing))
        if self.published_subjects and self.subjects != self.published_subjects:
            said.append(f"{self.subjects} of {self.published_subjects} subjects")
        source = " (recalled, not checked)" if self.recalled else ""
        return f"{'; '.join(said)}{source}" if said else ""


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
      reading: the clips that can be used, with their problems.
      space: the label space.
      counts: of each corpus and pool.
      digests: SHA-256 of every file, by path relative to the root where it lies below it.
    """

    reading: Reading
    space: LabelSpace
    counts: tuple[CorpusCount, ...]
    digests: dict[str, str]

    @property
    def lost(self) -> tuple[Problem, ...]:
        """Problems that cost a clip or row."""
        return tuple(problem for problem in self.reading.problems if problem.lost)

    def as_json(self) -> dict[str, Any]:
        """The same for a file."""
        reading = self.reading
        per_subject = Counter(clip.subject for clip in reading.clips)
        return {
            "layout": reading.layout,
            "root": str(reading.root),
            "stand_in": reading.stand_in,
            "labels": self.space.name,
            "classes": list(self.space.classes),
            "counts": [count._asdict() | {"deviation": count.deviation} for count in self.counts],
            "clips_per_subject": dict(sorted(per_subject.items())),
            "problems": [dataclasses.asdict(problem) for problem in reading.problems],
            "notes": list(reading.notes),
            "repairs": list(reading.corrections),
        }


def check_reading(
    reading: Reading,
    space: LabelSpace,
    store: ClipStore,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Check:
    """Read every file of every clip, and set the counts beside the published ones.

    Args:
      reading: with labels assigned.
      space: its label space.
      store: inspections of earlier calls are taken up from it.
      workers: processes; None takes one a core.
      on_progress: called with clips done and clips in all, for those not inspected before.
    """
    inspections: dict[int, Inspection] = {}
    for index, clip in enumerate(reading.clips):
        held = store.inspection(clip)
        if held is not None:
            inspections[index] = held
    todo = [index for index in range(len(reading.clips)) if index not in inspections]
    chosen = [reading.clips[index] for index in todo]
    for place, result in each_clip(inspect_clip, chosen, workers=workers, on_progress=on_progress):
        clip = chosen[place]
        if isinstance(result, Exception):
            unreadable = Problem(clip.clip, "readable files", str(result), "unpack the clip again; it is left out")
            result = Inspection({}, (unreadable,))
        else:
            store.keep_inspection(clip, result)
        inspections[todo[place]] = result
    problems = list(reading.problems)
    kept: list[RawClip] = []
    digests: dict[str, str] = {}
    for index, clip in enumerate(reading.clips):
        inspection = inspections[index]
        digests |= {_short(path, reading.root): digest for path, digest in inspection.digests.items()}
        problems.extend(inspection.problems)
        if not any(problem.lost for problem in inspection.problems):
            kept.append(clip)
    kept = _without_copies(kept, inspections, reading, problems)
    checked = dataclasses.replace(reading, clips=tuple(kept), problems=tuple(problems))
    return Check(checked, space, tuple(_counts(checked, space)), digests)


def _counts(reading: Reading, space: LabelSpace) -> list[CorpusCount]:
    groups: dict[tuple[str, str], list[RawClip]] = {}
    for clip in reading.clips:
        groups.setdefault((clip.pool, clip.corpus), []).append(clip)
    counts = []
    for (pool, name), clips in sorted(groups.items(), key=lambda item: (item[0][0] == "macro", item[0][1])):
        corpus = CORPORA[name]
        known = published(name, space) if pool == "micro" or not corpus.macro_clips else None
        of_class = dict(zip(space.classes, known.counts, strict=True)) if known and known.counts else None
        found = dict(class_counts(clips, space))
        people = len({clip.subject for clip in clips})
        subjects = known.subjects if known else None
        counts.append(CorpusCount(name, corpus.title, pool, found, of_class, people, subjects, corpus.recalled))
    return counts


def _without_copies(
    kept: list[RawClip], inspections: dict[int, Inspection], reading: Reading, problems: list[Problem]
) -> list[RawClip]:
    """Leave out clips whose pictures are those of another clip of the pool, byte for byte: in another fold they would leak."""
    place = {id(clip): index for index, clip in enumerate(reading.clips)}
    first: dict[tuple[str, ...], RawClip] = {}
    alone = []
    for clip in kept:
        digests = inspections[place[id(clip)]].digests
        content = (clip.pool, *(digests[str(path)] for path in clip.paths), *map(str, clip.numbers))
        if clip.kind != "pixels" and first.setdefault(content, clip) is not clip:
            found = f"those of {first[content].clip}, byte for byte"
            problems.append(
                Problem(clip.clip, "pictures of its own", found, "remove one of the two; the first is used")
            )
        else:
            alone.append(clip)
    return alone


def _short(path: str, root: Path) -> str:
    whole = Path(path)
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path

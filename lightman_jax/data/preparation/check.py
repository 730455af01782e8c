"""Check a download: read every file, count the clips against the published numbers, and list every problem."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.labels import LabelSpace, class_counts, published, written_label
from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.folders.trees import below
from lightman_jax.data.preparation.clip_cache import ClipCache
from lightman_jax.data.preparation.inspect_clip import Inspection, inspection_notes
from lightman_jax.data.preparation.overlap import Overlaps
from lightman_jax.data.records import Problem, RawClip, Reading


@dataclasses.dataclass(frozen=True)
class LabelCount:
    """Number of clips with one label as written (of action-unit label spaces, its units) and its class; None if it has none."""

    written: str
    label: str | None
    clips: int


@dataclasses.dataclass(frozen=True)
class CorpusCount:
    """Number of clips of each class and of subjects of one corpus and pool, found and published (None if unknown).

    `labels` has the class of every label as written, in the order of the classes; `left_out` clips of the corpus are left out by
    default, such as incomplete ones.
    """

    corpus: str
    title: str
    pool: str
    found: dict[str, int]
    published: dict[str, int] | None
    subjects: int
    published_subjects: int | None
    unverified: bool
    labels: tuple[LabelCount, ...] = ()
    left_out: int = 0

    @property
    def deviation(self) -> str:
        """Differences from the published numbers, in words; empty if there are none or the numbers are unknown."""
        parts = []
        if self.published is not None and self.found != self.published:
            differing = [name for name in self.found if self.found[name] != self.published[name]]
            parts.append(", ".join(f"{name} {self.found[name]} of {self.published[name]}" for name in differing))
        if self.published_subjects and self.subjects != self.published_subjects:
            parts.append(f"{self.subjects} of {self.published_subjects} subjects")
        source = " (published numbers not verified)" if self.unverified else ""
        if parts and self.left_out:
            parts.append(f"{self.left_out} left out by default")
        return f"{'; '.join(parts)}{source}" if parts else ""


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
      reading: the usable clips, and all problems.
      space: the label space.
      counts: number of clips by corpus and pool.
      digests: SHA-256 of every file, by path below the root.
    """

    reading: Reading
    space: LabelSpace
    counts: tuple[CorpusCount, ...]
    digests: dict[str, str]

    def content(self, clip: RawClip) -> tuple[str, ...]:
        """SHA-256 of each file of a clip, in the order of its paths."""
        return tuple(self.digests[below(path, self.reading.root)] for path in clip.paths)

    def to_json(self) -> dict[str, Any]:
        """The same as an object of JSON types, without the digests."""
        reading = self.reading
        per_subject = Counter(clip.subject for clip in reading.clips)
        return {
            "layout": reading.layout,
            "root": reading.place,
            "stand_in": reading.stand_in,
            "labels": self.space.name,
            "classes": list(self.space.classes),
            "counts": [dataclasses.asdict(count) | {"deviation": count.deviation} for count in self.counts],
            "clips_per_subject": dict(sorted(per_subject.items())),
            "views": dict(Counter(view for clip in reading.clips for view in clip.views)),
            "problems": [dataclasses.asdict(problem) for problem in reading.problems],
            "notes": list(reading.notes),
            "corrections": list(reading.corrections),
        }


def check_reading(reading: Reading, space: LabelSpace, cache: ClipCache) -> Check:
    """Read every file of every clip of a labelled reading, and compare the number of clips with the published ones."""
    problems = list(reading.problems)
    kept: list[RawClip] = []
    kept_inspections: list[Inspection] = []
    digests: dict[str, str] = {}
    contents: dict[tuple[str, ...], RawClip] = {}
    overlaps = Overlaps()
    for clip, inspection in zip(reading.clips, cache.inspections(reading.clips), strict=True):
        if isinstance(inspection, Exception):
            remedy = "unpack the clip again; it is left out"
            problems.append(Problem(clip.clip, "readable files", str(inspection), remedy))
            continue
        digests |= {below(Path(path), reading.root): digest for path, digest in inspection.digests.items()}
        problems.extend(inspection.problems)
        if any(problem.lost for problem in inspection.problems):
            continue
        clip = _with_frames(_with_usable_views(clip, inspection), inspection)
        # Copies in different folds would leak. Stills of one table share its digest.
        files = [inspection.digests[str(path)] for path in clip.paths]
        keys = [(clip.pool, file) for file in files] if clip.views else [(clip.pool, *files, *map(str, clip.numbers))]
        first = clip if clip.kind == "pixels" else next((contents[key] for key in keys if key in contents), clip)
        contents |= dict.fromkeys(keys, clip) if first is clip else {}
        if first is clip:
            overlap = overlaps.add(clip, inspection.digests)
        else:
            found, remedy = f"those of {first.clip}, byte for byte", "remove one of the two; the first is used"
            overlap = Problem(clip.clip, "images that no other clip has", found, remedy)
        problems.extend([overlap] if overlap else [])
        if overlap is None or not overlap.lost:
            kept.append(dataclasses.replace(clip, face=inspection.face))
            kept_inspections.append(inspection)
    notes = (*reading.notes, *inspection_notes(kept, kept_inspections))
    checked = dataclasses.replace(reading, clips=tuple(kept), problems=tuple(problems), notes=notes)
    return Check(checked, space, tuple(_counts(checked, space)), digests)


def _with_usable_views(clip: RawClip, inspection: Inspection) -> RawClip:
    """The clip without the images of views that cannot be used."""
    kept = [place for place, path in enumerate(clip.paths) if str(path) in inspection.digests]
    if not clip.views or len(kept) == len(clip.paths):
        return clip
    paths, views = tuple(clip.paths[place] for place in kept), tuple(clip.views[place] for place in kept)
    return dataclasses.replace(clip, paths=paths, views=views)


def _with_frames(clip: RawClip, inspection: Inspection) -> RawClip:
    """The clip of landmarks with its frames."""
    if not inspection.numbers:
        return clip
    apex = None if clip.apex is None else inspection.numbers.index(clip.numbers[clip.apex])
    return dataclasses.replace(clip, numbers=inspection.numbers, apex=apex)


def _counts(reading: Reading, space: LabelSpace) -> list[CorpusCount]:
    groups: dict[tuple[str, str], list[RawClip]] = {}
    for clip in (*reading.clips, *reading.unlabelled):
        groups.setdefault((clip.pool, clip.corpus), []).append(clip)
    counts = []
    for (pool, name), clips in sorted(groups.items(), key=lambda item: (item[0][0] == "macro", item[0][1])):
        corpus = CORPORA[name]
        known = published(name, space) if pool == corpus.pools[0] else None
        of_class = dict(zip(space.classes, known.counts, strict=True)) if known and known.counts else None
        used = [clip for clip in clips if clip.label]
        found, subjects = dict(class_counts(used, space)), len({clip.subject for clip in used})
        facts = (corpus.title, pool, found, of_class, subjects, known.subjects if known else None, corpus.unverified)
        left_out = sum(bool(problem.flag) and f"{name}/" in problem.where for problem in reading.problems)
        left_out *= pool == corpus.pools[0]
        counts.append(CorpusCount(name, *facts, labels=_labels(clips, space), left_out=left_out))
    return counts


def _labels(clips: list[RawClip], space: LabelSpace) -> tuple[LabelCount, ...]:
    counts = Counter((written_label(clip, space), clip.label or None) for clip in clips)
    order = {label: index for index, label in enumerate((*space.classes, None))}
    listed = sorted(counts.items(), key=lambda item: (order[item[0][1]], -item[1], item[0][0]))
    return tuple(LabelCount(written, label, count) for (written, label), count in listed)

"""The public flow releases of MEGC2019: 28x28 images of u, v and strain per clip, and one table of labels.

As published, the table lies at the top and the images in `datasets/STSNet_whole_norm_u_v_os`, next to copies sorted by fold
(`three_norm_u_v_os`), which are not read. A blank may precede `.png`. The image of a clip is `{sub}_{filename_o}`; the column
`imagename` of the table names another file. Any part of a release may be missing.

The release `megc2019` has one image per clip, onset to apex. The release `causalnet` has the same names and table, and adds
`_1` (apex to offset), `_2` and `_3` (codes of direction, not read) to the name; by these files it is recognised. Both may lie in
one folder. A clip of both is one clip with several views.
"""

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lightman_jax.data.corpora.base import Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import below, entries, find_files, folders, walk
from lightman_jax.data.records import DataError, RawClip
from lightman_jax.data.tables.table import Row, read_table

CORPORA = ("smic", "casme2", "samm")
"""The corpora of which the releases have flow images."""

_FIRST, _SECOND = "megc2019", "causalnet"
_SUFFIXES = {f"{_FIRST}_rise": "", f"{_SECOND}_rise": "", f"{_SECOND}_fall": "_1"}
VIEWS = tuple(_SUFFIXES)
"""Views of a movement in the releases."""

_TABLE = "combined_3_class2_for_optical_flow"
_IMAGES = "STSNet_whole_norm_u_v_os"
_COPIES = ("three_norm_u_v_os", "combined_datasets_whole")
_ADDED = ("_1", "_2", "_3")
_CLASSES = {"0": "negative", "1": "positive", "2": "surprise"}
_COLUMNS = {"corpus": ("dataset",), "subject": ("sub",), "clip": ("filenameo",), "emotion": ("label",)}
_LOOKED_FOR = f"the public flow release (table {_TABLE}.csv and folder {_IMAGES} of 28x28 images)"


class _Part(NamedTuple):
    """An image folder of a release, the table that lists its clips, and the given folder in which it was found."""

    release: str
    images: Path
    table: Path
    folder: Path


class _Entry(NamedTuple):
    """A clip in the table of one part: its class, its row, and its images by view."""

    subject: str
    emotion: str
    where: str
    paths: dict[str, Path]


def released(corpus: Corpus, given: Sequence[Path] = ()) -> Corpus:
    """A corpus in `CORPORA` that is read from the flow releases in the given folders, or else in that of its collector."""
    find, read = functools.partial(_find, given=given), functools.partial(_read, given=given)
    return dataclasses.replace(corpus, find=find, read=read, looked_for=_LOOKED_FOR)


def in_order(given: Sequence[Path]) -> list[Path]:
    """Folders with parts of the releases, those of the first release first.

    Raises:
      DataError: a folder holds no part of a release.
    """
    for folder in given:
        if not any(_files(folder)):
            raise DataError(
                f"{folder} holds no flow release, and only flow releases are joined from several folders. Looked for "
                f"{_LOOKED_FOR}; give --data_dir one folder, or the folders of the releases"
            )
    parts, _ = _parts(given)
    used = [part.folder for part in parts]
    return list(dict.fromkeys((*used, *given)))


def _find(data_dir: Path, given: Sequence[Path]) -> list[Path]:
    """The folder, if it or one of the given folders holds a table or an image folder of a release."""
    return [data_dir] if any(any(_files(folder)) for folder in given or (data_dir,)) else []


def _files(data_dir: Path) -> tuple[list[Path], list[Path]]:
    """Tables and image folders of the releases; above a folder that holds only the images, its table."""
    images = [folder for folder in walk(data_dir) if folder.name.lower() == _IMAGES.lower()]
    above = [data_dir.parent, data_dir.parent.parent] if images else []
    tables = find_files(data_dir, _TABLE, depth=4)
    return tables or [file for folder in above for file in find_files(folder, _TABLE, depth=0)], images


def _parts(given: Sequence[Path]) -> tuple[list[_Part], list[str]]:
    """Parts of the releases in some folders, those of the first release first, and notes of the copies that are not used.

    Raises:
      DataError: there is no table or no image folder.
    """
    found = {folder: _files(folder) for folder in given}
    tables = [table for own, _ in found.values() for table in own]
    if not tables or not any(images for _, images in found.values()):
        missing = f"image folder {_IMAGES}" if tables else f"table {_TABLE}.csv"
        raise DataError(f"{', '.join(map(str, given))} has no {missing}; restore it from the flow release")
    listed = {stem for table in dict.fromkeys(tables) for stem in map(_stem, _rows(table))}
    parts: list[_Part] = []
    notes: list[str] = []
    for folder, (own, image_folders) in found.items():
        by_release: dict[str, list[Path]] = {}
        for images in image_folders:
            by_release.setdefault(_release(images, listed), []).append(images)
        used = {
            release: own[0] if own and len(by_release) == 1 else _nearest(copies[0], own or tables)
            for release, copies in by_release.items()
        }
        known = {part.images for part in parts}
        new = [_Part(release, copies[0], used[release], folder) for release, copies in by_release.items()]
        parts += [part for part in new if part.images not in known]
        notes.append(_copies("table", list(dict.fromkeys(used.values())), own, folder))
        notes += [_copies("images", copies[:1], copies, folder) for copies in by_release.values()]
    return sorted(parts, key=lambda part: part.release != _FIRST), [note for note in notes if note]


def _copies(what: str, used: Sequence[Path], found: Sequence[Path], folder: Path) -> str:
    """A note of copies that are not used; empty if there are none."""
    others = ", ".join(below(copy, folder) for copy in found if copy not in used)
    names = ", ".join(below(one, folder) for one in used)
    return f"{what} of the flow release: {names}; other copies are not used: {others}" if others else ""


def _nearest(images: Path, tables: Sequence[Path]) -> Path:
    """The table whose folder is closest above an image folder."""
    return max(tables, key=lambda table: len(os.path.commonpath([images, table.parent])))


def _release(images: Path, listed: set[str]) -> str:
    """Release of an image folder: only the second has files of a listed clip with an added number."""
    stems = set(map(_file_stem, _images(images)))
    added = (stem + number for stem in listed for number in _ADDED)
    return _SECOND if any(name in stems and name not in listed for name in added) else _FIRST


def _images(folder: Path) -> list[Path]:
    return [path for path in entries(folder) if path.suffix.lower() == ".png"]


def _file_stem(path: Path) -> str:
    return path.stem.strip().lower()


def _stem(row: Row) -> str:
    """Name of the image of a row, without suffix, in lower case."""
    return f"{row.text('subject')}_{row.text('clip')}".lower()


def _rows(table: Path) -> tuple[Row, ...]:
    return read_table(table, tuple(_COLUMNS), **_COLUMNS).rows


def _read(collector: Collector, given: Sequence[Path]) -> None:
    corpus, collector.layout = collector.corpus, "flow_release"
    parts, notes = _parts(given or (collector.data_dir,))
    for note in notes:
        collector.note(note)
    several = any(part.release != _FIRST for part in parts)
    merged: dict[str, _Entry] = {}
    twice: list[tuple[str, str]] = []
    for part in parts:
        used = below(part.images, collector.data_dir)
        if several:
            collector.note(f"flow images of the release {part.release}: {used}")
        if beside := [folder.name for folder in folders(part.images.parent) if folder.name.lower() in _COPIES]:
            collector.note(f"flow images: {used}; copies next to it are not used: {', '.join(beside)}")
        twice += _merge(collector, merged, part)
    found = {clip: _record(corpus, clip, entry, several=several) for clip, entry in merged.items() if entry.paths}
    for clip, record in found.items():
        collector.add(record, merged[clip].where)
    for clip, where in twice:
        if clip in found:
            collector.add(dataclasses.replace(found[clip]), where)
    absent = [clip for clip in merged if clip not in found]
    if absent and found:
        listed = f"{', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}"
        collector.note(f"{len(absent)} listed clips of {corpus.name} have no image: {listed}")
    if several and found:
        counts = Counter(record.views for record in found.values())
        texts = (f"{count} clips have the views {', '.join(views)}" for views, count in counts.most_common())
        collector.note(f"{corpus.title}: {'; '.join(texts)}")


def _merge(collector: Collector, merged: dict[str, _Entry], part: _Part) -> list[tuple[str, str]]:
    """Add the clips and images of one part; returns the clips that its table lists twice, with the second row."""
    corpus, rows = collector.corpus, read_table(part.table, tuple(_COLUMNS), **_COLUMNS)
    collector.report_table(rows)
    listed = set(map(_stem, rows.rows))
    files = collector.by_key((_file_stem(path), path) for path in _images(part.images))
    suffixes = {view: suffix for view, suffix in _SUFFIXES.items() if view.startswith(f"{part.release}_")}
    seen, twice, unused = set[str](), list[tuple[str, str]](), 0
    for row in rows.rows:
        if row.text("corpus").lower() != corpus.name:
            continue
        subject = corpus.normal_subject(row.text("subject"))
        clip = f"{corpus.name}/{subject}/{corpus.normal_clip(row.text('clip'))}"
        emotion = _CLASSES.get(row.text("emotion"))
        if emotion is None:
            allowed = "label 0 negative, 1 positive or 2 surprise"
            collector.problem(row.where, allowed, f"{row.text('emotion')!r} of {clip}", "correct the cell")
            continue
        if clip in seen:
            twice.append((clip, row.where))
            continue
        seen.add(clip)
        entry = merged.setdefault(clip, _Entry(subject, emotion, row.where, {}))
        if emotion != entry.emotion:
            expected, remedy = f"{entry.emotion}, the label in the table read first", "correct one; the first is used"
            collector.problem(f"{part.release}, {row.where}: {clip}", expected, emotion, remedy, lost=False)
        stem = _stem(row)
        # The name of a clip may end in a number as well: its own image comes first.
        names = {view: stem + suffix for view, suffix in suffixes.items() if not (suffix and stem + suffix in listed)}
        own = {view: files[name] for view, name in names.items() if name in files}
        unused += len(own.keys() & entry.paths.keys())
        entry.paths.update(own | entry.paths)
    if unused:
        used = below(part.images, collector.data_dir)
        collector.note(
            f"{unused} flow images in {used} are not used: another folder has the same clips of {part.release}"
        )
    return twice


def _record(corpus: Corpus, clip: str, entry: _Entry, *, several: bool) -> RawClip:
    views = tuple(view for view in VIEWS if view in entry.paths)
    paths, subject = tuple(entry.paths[view] for view in views), f"{corpus.subject_pool}/{entry.subject}"
    record = RawClip(clip, subject, "micro", "flow", paths, emotion=entry.emotion, cropped=True)
    return dataclasses.replace(record, views=views) if several else record

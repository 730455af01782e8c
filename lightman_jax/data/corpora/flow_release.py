"""The public flow release of MEGC2019: one 28x28 image of u, v and strain per clip, and one table of labels.

As published, the table lies at the top and the images in `datasets/STSNet_whole_norm_u_v_os`, next to copies sorted by fold
(`three_norm_u_v_os`), which are not read. A blank may precede `.png`. The image of a clip is `{sub}_{filename_o}`; the column
`imagename` of the table names another file. Any part of the release may be missing.
"""

import dataclasses
from pathlib import Path

from lightman_jax.data.corpora.base import Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import below, entries, find_files, folders, walk
from lightman_jax.data.records import DataError, RawClip
from lightman_jax.data.tables.table import read_table

CORPORA = ("smic", "casme2", "samm")
"""The corpora of which the release has flow images."""

_TABLE = "combined_3_class2_for_optical_flow"
_IMAGES = "STSNet_whole_norm_u_v_os"
_COPIES = ("three_norm_u_v_os", "combined_datasets_whole")
_CLASSES = {"0": "negative", "1": "positive", "2": "surprise"}
_COLUMNS = {"corpus": ("dataset",), "subject": ("sub",), "clip": ("filenameo",), "emotion": ("label",)}


def released(corpus: Corpus) -> Corpus:
    """A corpus in `CORPORA` that is read from the flow release."""
    looked_for = f"the public flow release (table {_TABLE}.csv and folder {_IMAGES} of 28x28 images)"
    return dataclasses.replace(corpus, find=_find, read=_read, looked_for=looked_for)


def _find(data_dir: Path) -> list[Path]:
    """The folder, if it holds a table or an image folder of the release."""
    return [data_dir] if any(_parts(data_dir)) else []


def _parts(data_dir: Path) -> tuple[list[Path], list[Path]]:
    """Tables and image folders of the release; above a folder that holds only the images, its table."""
    images = [folder for folder in walk(data_dir) if folder.name.lower() == _IMAGES.lower()]
    above = [data_dir.parent, data_dir.parent.parent] if images else []
    tables = find_files(data_dir, _TABLE, depth=4)
    return tables or [file for folder in above for file in find_files(folder, _TABLE, depth=0)], images


def _read(collector: Collector) -> None:
    corpus, collector.layout = collector.corpus, "flow_release"
    tables, image_folders = _parts(collector.data_dir)
    if not tables or not image_folders:
        missing = f"image folder {_IMAGES}" if tables else f"table {_TABLE}.csv"
        raise DataError(f"{collector.data_dir} has no {missing}; restore it from the flow release")
    table, images = tables[0], image_folders[0]
    for what, copies in (("table", tables), ("images", image_folders)):
        if len(copies) > 1:
            others = ", ".join(below(copy, collector.data_dir) for copy in copies[1:])
            used = below(copies[0], collector.data_dir)
            collector.note(f"{what} of the flow release: {used}; other copies are not used: {others}")
    if beside := [folder.name for folder in folders(images.parent) if folder.name.lower() in _COPIES]:
        used = below(images, collector.data_dir)
        collector.note(f"flow images: {used}; copies next to it are not used: {', '.join(beside)}")
    files = collector.by_key((p.stem.strip().lower(), p) for p in entries(images) if p.suffix.lower() == ".png")
    absent, found = [], False
    rows = read_table(table, tuple(_COLUMNS), **_COLUMNS)
    collector.report_table(rows)
    for row in rows.rows:
        if row.text("corpus").lower() != corpus.name:
            continue
        subject = corpus.normal_subject(row.text("subject"))
        clip = f"{corpus.name}/{subject}/{corpus.normal_clip(row.text('clip'))}"
        path = files.get(f"{row.text('subject')}_{row.text('clip')}".lower())
        emotion = _CLASSES.get(row.text("emotion"))
        if emotion is None:
            allowed = "label 0 negative, 1 positive or 2 surprise"
            collector.problem(row.where, allowed, f"{row.text('emotion')!r} of {clip}", "correct the cell")
        elif path is None:
            absent.append(clip)
        else:
            found = True
            subject = f"{corpus.subject_pool}/{subject}"
            collector.add(RawClip(clip, subject, "micro", "flow", (path,), emotion=emotion, cropped=True), row.where)
    if absent and found:
        listed = f"{', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}"
        collector.note(f"{len(absent)} listed clips of {corpus.name} have no image: {listed}")

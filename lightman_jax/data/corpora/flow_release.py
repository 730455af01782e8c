"""The public flow release of MEGC2019: one 28x28 image of u, v and strain per clip, and one table of labels.

A blank may precede `.png`. The image of a clip is `{sub}_{filename_o}`; the column `imagename` of the table names another file.
Any part of the release may be there.
"""

import dataclasses
from pathlib import Path

from lightman_jax.data.corpora.base import Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.records import DataError, RawClip
from lightman_jax.data.corpora.tables import read_table
from lightman_jax.data.corpora.trees import child, entries, find_folders

CORPORA = ("smic", "casme2", "samm")
"""The corpora of which the release has flow images."""

_TABLE = "combined_3_class2_for_optical_flow.csv"
_IMAGES = "STSNet_whole_norm_u_v_os"
_CLASSES = {"0": "negative", "1": "positive", "2": "surprise"}
_COLUMNS = {"corpus": ("dataset",), "subject": ("sub",), "clip": ("filenameo",), "emotion": ("label",)}


def released(corpus: Corpus) -> Corpus:
    """A corpus in `CORPORA` that is read from the flow release."""
    looked_for = f"the public flow release (table {_TABLE} and folder {_IMAGES} of 28x28 images)"
    return dataclasses.replace(corpus, find=_find, read=_read, looked_for=looked_for)


def _find(data_dir: Path) -> list[Path]:
    return find_folders(data_dir, lambda folder: bool(child(folder, _TABLE) or child(folder, _IMAGES)), depth=1)


def _read(collector: Collector) -> None:
    corpus, collector.layout = collector.corpus, "flow_release"
    table, images = child(collector.tree, _TABLE), child(collector.tree, _IMAGES)
    if table is None or images is None:
        missing = f"table {_TABLE}" if table is None else f"image folder {_IMAGES}"
        raise DataError(f"{collector.tree} has no {missing}; restore it from the flow release")
    files = {path.stem.strip().lower(): path for path in entries(images) if path.suffix.lower() == ".png"}
    absent, found = [], False
    for row in read_table(table, tuple(_COLUMNS), **_COLUMNS).rows:
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

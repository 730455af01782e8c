"""The public flow release of MEGC2019: one 28x28 picture of u, v and strain per clip, and one label table.

Quirks read from the release: a blank may stand before `.png`; the clip's picture is `{sub}_{filename_o}`, while the
table's own `imagename` column names another file; any part of the release may be there.
"""

from pathlib import Path

from lightman_jax.data.corpora.catalog import CORPORA, normal_clip, normal_subject
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import DataError, RawClip, Reading
from lightman_jax.data.corpora.tables import read_table
from lightman_jax.data.corpora.trees import child, entries, find_folders

NAME = "flow_release"
TABLE = "combined_3_class2_for_optical_flow.csv"
PICTURES = "STSNet_whole_norm_u_v_os"
LOOKED_FOR = f"the public flow release (table {TABLE} beside a folder {PICTURES} of 28x28 pictures)"

_CLASSES = {"0": "negative", "1": "positive", "2": "surprise"}
_COLUMNS = {"corpus": ("dataset",), "subject": ("sub",), "clip": ("filenameo",), "emotion": ("label",)}


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders that hold the table or the pictures of the release."""
    return find_folders(data_dir, lambda folder: bool(child(folder, TABLE) or child(folder, PICTURES)), depth=1)


def read_clips(source: Source) -> Reading:
    """Read the clips of one corpus.

    Raises:
      DataError: no table, no picture folder, or a column is missing.
    """
    collector = Collector(NAME, source)
    table, pictures = child(source.tree, TABLE), child(source.tree, PICTURES)
    if table is None or pictures is None:
        missing, kind = (TABLE, "table") if table is None else (PICTURES, "picture folder")
        raise DataError(
            f"{source.tree} has no {kind} {missing}; put the file of the flow release back beside the rest of it"
        )
    files = {path.stem.strip().lower(): path for path in entries(pictures) if path.suffix.lower() == ".png"}
    absent = []
    for row in read_table(table, tuple(_COLUMNS), **_COLUMNS).rows:
        if row.text("corpus").lower() != source.corpus:
            continue
        people = CORPORA[source.corpus].people
        subject = normal_subject(people, row.text("subject"))
        clip = f"{source.corpus}/{subject}/{normal_clip(people, row.text('clip'))}"
        path = files.get(f"{row.text('subject')}_{row.text('clip')}".lower())
        emotion = _CLASSES.get(row.text("emotion"))
        if emotion is None:
            allowed = "label 0 negative, 1 positive or 2 surprise"
            collector.problem(row.where, allowed, f"{row.text('emotion')!r} of {clip}", "correct the cell")
        elif path is None:
            absent.append(clip)
        else:
            collector.add(
                RawClip(clip, f"{people}/{subject}", "micro", "flow", (path,), emotion=emotion, cropped=True), row.where
            )
    reading = collector.reading()
    if absent and reading.clips:
        listed = f"{', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}"
        collector.note(f"{len(absent)} listed clips of {source.corpus} have no picture: {listed}")
    return collector.reading()

"""FER-2013: `fer2013.csv` with the columns `emotion,pixels,Usage`, one 48x48 grey still image per row.

Its subjects are unknown, so every image counts as a subject, and its splits contain near duplicates: it can serve as a
macro corpus next to a corpus of other subjects, but not for testing.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import find_files
from lightman_jax.data.records import DataError, RawClip

SIDE = 48
_EMOTIONS = (*(name for name in BASIC_EMOTIONS if name != "contempt"), "neutral")


def _find(data_dir: Path) -> list[Path]:
    return find_files(data_dir, r"fer2013", {".csv"})


def _read(collector: Collector) -> None:
    collector.note("FER-2013 identifies no subjects: every image counts as a subject")
    try:
        for line, emotion, pixels in _rows(collector.tree):
            where = f"{collector.tree.name} line {line}"
            if emotion not in map(str, range(len(_EMOTIONS))):
                collector.problem(where, "an emotion from 0 to 6", repr(emotion), "correct or remove the row")
            elif (count := len(pixels.split())) != SIDE * SIDE:
                collector.problem(where, f"{SIDE * SIDE} pixels", str(count), "take the table from the release again")
            else:
                # Numbered by line, as blank lines are passed over.
                number, label = line - 2, _EMOTIONS[int(emotion)]
                subject, paths = f"fer2013/{number}", (collector.tree,)
                clip = RawClip(f"{subject}/{number}", subject, "macro", "pixels", paths, (number,), emotion=label)
                collector.add(clip, where)
    except (OSError, csv.Error) as error:
        raise DataError(f"{collector.tree} cannot be read ({error}); take it from the release again") from error


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, emotion and pixels of each row."""
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        missing = {"emotion", "pixels"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{path} lacks the column {', '.join(sorted(missing))}; take it from the release again")
        for row in reader:
            yield reader.line_num, row["emotion"], row["pixels"] or ""


FER2013 = Corpus(
    name="fer2013",
    title="FER-2013",
    obtain="take fer2013.csv from the Kaggle challenge of 2013",
    looked_for="fer2013.csv (columns emotion,pixels,Usage)",
    find=_find,
    read=_read,
    pools=("macro",),
    emotions=dict.fromkeys(_EMOTIONS, 0),
)

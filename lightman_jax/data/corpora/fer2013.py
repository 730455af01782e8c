"""FER-2013: `fer2013.csv` with the columns `emotion,pixels,Usage`, a 48x48 grey still a row.

Who is shown is not known, so every picture counts as a person of its own, and near duplicates lie across its
splits: usable as a macro corpus beside other people, not to test on.
"""

import csv
import sys
from pathlib import Path

from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import DataError, RawClip, Reading
from lightman_jax.data.corpora.trees import find_files

NAME = "fer2013"
LOOKED_FOR = "fer2013.csv (columns emotion,pixels,Usage)"

_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
SIDE = 48


def find(data_dir: Path, corpus: str) -> list[Path]:
    """The table itself."""
    return find_files(data_dir, r"fer2013", {".csv"})


def read_clips(source: Source) -> Reading:
    """Read every row; its pixels stay in the table until they are needed."""
    collector = Collector(NAME, source)
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    collector.note("nobody is named in FER-2013: every picture counts as a person of its own")
    try:
        with source.tree.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file)
            missing = {"emotion", "pixels"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(
                    f"{source.tree} lacks the column {', '.join(sorted(missing))}; take it from the release again"
                )
            for row in reader:
                # By line and not by row: blank lines are passed over.
                number = reader.line_num - 2
                where = f"{source.tree.name} line {reader.line_num}"
                if row["emotion"] not in map(str, range(len(_EMOTIONS))):
                    collector.problem(
                        where, "an emotion from 0 to 6", repr(row["emotion"]), "correct or remove the row"
                    )
                elif (row["pixels"] or "").count(" ") != SIDE * SIDE - 1:
                    count = len((row["pixels"] or "").split())
                    collector.problem(
                        where, f"{SIDE * SIDE} pixels", f"{count}", "take the table from the release again"
                    )
                else:
                    name = f"fer2013/{number}"
                    emotion = _EMOTIONS[int(row["emotion"])]
                    still = RawClip(
                        f"{name}/{number}", name, "macro", "pixels", (source.tree,), (number,), emotion=emotion
                    )
                    collector.add(still, where)
    except (OSError, csv.Error) as error:
        raise DataError(f"{source.tree} cannot be read ({error}); take it from the release again") from error
    return collector.reading()

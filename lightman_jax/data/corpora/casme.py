"""CASME and CASME II: `sub01/EP01_12/` folders of pictures and a coding table.

CASME: pictures `[reg_]EP01_12-73.jpg`, table `CASME-coded-*.xls` with two apex columns, durations in milliseconds
  and unnamed columns. CASME II: pictures `[reg_]img46.jpg`, numbered as the table counts, table
  `CASME2-coding-*.xlsx`; the subject is `1` in one copy and `01` in another, clip names are not all padded
  (`EP01_2`). A copy of cropped faces comes before the selected frames, those before all frames.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.catalog import normal_subject
from lightman_jax.data.corpora.coding import coding_table
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.tables import read_table
from lightman_jax.data.corpora.trees import TABLES, find_files, find_folders, first_picture, folders, name_key

NAME = "casme"
LOOKED_FOR = (
    "CASME's own folders (sub01/EP01_12/*.jpg below Cropped or a RAW folder) and its coding table (CASME-coded-*.xls, "
    "CASME2-coding-*.xlsx)"
)

_TABLE = {"casme": r"casme(?![ _-]?(2|ii)).*", "casme2": r"casme[ _-]?(2|ii).*(coding|label).*"}
_CASME2_PICTURE = re.compile(r"(reg_)?img\d+\.")


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders that hold subject folders of one of the two corpora, told apart by the names of their pictures."""

    def is_it(folder: Path) -> bool:
        pictures = (
            name
            for subject in folders(folder)
            if re.fullmatch(r"sub\d+", subject.name, re.IGNORECASE)
            for clip in folders(subject)
            if (name := first_picture(clip))
        )
        name = next(pictures, "")
        return bool(name) and (corpus == "casme2") == bool(_CASME2_PICTURE.match(name))

    def preference(folder: Path) -> tuple[bool, bool, str]:
        name = str(folder.relative_to(data_dir)).lower()
        return ("crop" not in name, "selected" not in name, name)

    return sorted(find_folders(data_dir, is_it), key=preference)


def read_clips(source: Source) -> Reading:
    """Read every row of the coding table."""
    collector = Collector(NAME, source)
    wanted = ("onset", "apex", "offset", "action_units", "emotion")
    table = coding_table(collector, source, _TABLE[source.corpus], ("subject", "clip"), wanted)
    extra = read_table(table.path, ("subject", "clip"), ("total",)) if source.corpus == "casme" else None
    seconds = {row.line: _seconds(row.text("total")) for row in extra.rows} if extra else {}
    objective = _objective_classes(source)
    trees = {
        (normal_subject(source.corpus, subject.name), name_key(clip.name)): clip
        for subject in folders(source.tree)
        for clip in folders(subject)
    }
    for row in table.rows:
        key = (normal_subject(source.corpus, row.text("subject")), name_key(row.text("clip")))
        if not key[1] or not re.search(r"\d", key[0]):
            continue
        collector.add_row(
            row,
            trees.get(key),
            objective=objective.get(key, ""),
            seconds=seconds.get(row.line),
            cropped="crop" in source.tree.name.lower(),
            expected_folder=f"{key[0]}/{row.text('clip')}",
        )
    collector.unused(list(trees.values()))
    return collector.reading()


def _seconds(text: str) -> float | None:
    return float(text) / 1000 if re.fullmatch(r"\d{1,9}(\.\d+)?", text) and float(text) > 0 else None


def _objective_classes(source: Source) -> dict[tuple[str, str], str]:
    """Objective classes of CASME II, which come as a table of their own."""
    files = find_files(source.data_dir, r"casme[ _-]?(2|ii).*objective.*", TABLES) if source.corpus == "casme2" else []
    if not files:
        return {}
    table = read_table(files[0], ("subject", "clip", "objective"))
    return {
        (normal_subject("casme2", row.text("subject")), name_key(row.text("clip"))): row.text("objective")
        for row in table.rows
    }

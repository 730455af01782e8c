"""CASME: `sub01/EP01_12/[reg_]EP01_12-73.jpg` and the table `CASME-coded-*.xls`.

The table has two apex columns, durations in milliseconds and unnamed columns. A copy of cropped faces is preferred to the
selected frames, those to all frames.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from lightman_jax.data.corpora.base import ASK_CAS, BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import find_folders, list_frames, nested_folders
from lightman_jax.data.tables.table import Table

WANTED = ("onset", "apex", "offset", "action_units", "emotion")

_CASME2_IMAGE = re.compile(r"(reg_)?img\d+\.")


def find_trees(data_dir: Path, *, casme2: bool) -> list[Path]:
    """Folders with subject folders of CASME or of CASME II, which differ in the names of their images."""

    def matches(folder: Path) -> bool:
        images = (list_frames(video).paths for video in nested_folders(folder, r"sub\d+"))
        name = next((paths[0].name.lower() for paths in images if paths), "")
        return bool(name) and casme2 == bool(_CASME2_IMAGE.match(name))

    def preference(folder: Path) -> tuple[bool, bool, str]:
        name = str(folder.relative_to(data_dir)).lower()
        return ("crop" not in name, "selected" not in name, name)

    return sorted(find_folders(data_dir, matches), key=preference)


def read_rows(collector: Collector, table: Table, objective: Mapping[tuple[str, str], str] | None = None) -> None:
    """Read every row of a coding table.

    Args:
      table: rows with the columns subject, clip and those of `WANTED`, and total (milliseconds) if it is known.
      objective: objective class by `Collector.clip_key`.
    """
    trees = collector.clip_folders()
    for row in table.rows:
        key = collector.clip_key(row.text("subject"), row.text("clip"))
        collector.add_row(
            row,
            trees.get(key),
            objective=(objective or {}).get(key, ""),
            seconds=_seconds(row.text("total")),
            cropped="crop" in collector.tree.name.lower(),
            expected_folder=f"{key[0]}/{row.text('clip')}",
        )
    collector.unused(trees.values())


def _read(collector: Collector) -> None:
    table = collector.coding_table(r"casme(?![ _-]?(2|ii)).*", ("subject", "clip"), WANTED, ("total",))
    read_rows(collector, table)


def _seconds(text: str) -> float | None:
    return float(text) / 1000 if re.fullmatch(r"\d{1,9}(\.\d+)?", text) and float(text) > 0 else None


CASME = Corpus(
    name="casme",
    title="CASME",
    obtain=ASK_CAS,
    looked_for="CASME's own folders (sub01/EP01_12/*.jpg below Cropped or a RAW folder) and its coding table "
    "(CASME-coded-*.xls)",
    find=lambda data_dir: find_trees(data_dir, casme2=False),
    read=_read,
    subject_format="sub{:02d}",
    fps=60,
    emotions=dict.fromkeys((*BASIC_EMOTIONS[1:], "repression", "tense"), 0),
    subjects=19,
)

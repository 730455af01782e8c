"""SAMM: `006/006_1_2/006_05562.jpg` in grey and `SAMM_Micro_FACS_Codes_v2.xlsx`, whose header stands below a dozen rows of notes.

Subjects are zero-padded text that spreadsheets turn into numbers. Clips hold about onset to offset, numbered as the
table counts.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.catalog import normal_subject
from lightman_jax.data.corpora.coding import coding_table
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.trees import find_folders, folders, name_key

NAME = "samm"
TABLE = r"samm.*micro.*(simulated_au|code).*"
LOOKED_FOR = "SAMM's own folders (006/006_1_2/006_05562.jpg) and its table (SAMM_Micro_FACS_Codes_v2.xlsx)"


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders that hold subject folders `006` of clip folders `006_1_2`."""
    return find_folders(data_dir, lambda folder: any(True for _ in _clips(folder)))


def read_clips(source: Source) -> Reading:
    """Read every row of the table of micro-movements."""
    collector = Collector(NAME, source)
    wanted = ("onset", "apex", "offset", "action_units", "emotion", "objective")
    table = coding_table(collector, source, TABLE, ("subject", "clip"), wanted)
    trees = {name_key(folder.name): folder for folder in _clips(source.tree)}
    for row in table.rows:
        subject, clip = row.text("subject"), row.text("clip")
        if re.fullmatch(r"\d+(_\d+)+", clip):
            expected = f"{normal_subject('samm', subject)}/{clip}"
            collector.add_row(row, trees.get(name_key(clip)), expected_folder=expected)
    collector.unused(list(trees.values()))
    return collector.reading()


def _clips(tree: Path) -> list[Path]:
    return [
        clip
        for subject in folders(tree)
        if re.fullmatch(r"\d{1,3}", subject.name)
        for clip in folders(subject)
        if re.fullmatch(r"\d+(_\d+)+", clip.name)
    ]

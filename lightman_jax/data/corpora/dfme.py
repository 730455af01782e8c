"""DFME: `{training|testA|testB}/{sub0003_01}/{NNNNN}.png`, counted from 0, and one table a split, with a rate for every row."""

import re
from pathlib import Path

from lightman_jax.data.corpora.catalog import normal_subject
from lightman_jax.data.corpora.coding import table_files
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.tables import read_table
from lightman_jax.data.corpora.trees import find_folders, folders, name_key

NAME = "dfme"
LOOKED_FOR = "DFME's own folders (training/sub0003_01/00000.png) and its tables (training_full_with_AU.xlsx)"

_RATES = (200, 300, 500)


def find(data_dir: Path, corpus: str) -> list[Path]:
    """The folder that holds the splits."""
    found = find_folders(data_dir, lambda folder: bool(_clips(folder)))
    return list(dict.fromkeys(folder.parent if folder != data_dir else folder for folder in found))


def read_clips(source: Source) -> Reading:
    """Read every row of every split's table that names an emotion; the labels of test splits may be withheld."""
    collector = Collector(NAME, source)
    files = table_files(source, r"(train|test).*")
    trees = {name_key(clip.name): clip for split in (source.tree, *folders(source.tree)) for clip in _clips(split)}
    for file in files:
        table = read_table(file, ("subject", "clip"), ("onset", "apex", "offset", "emotion", "rate", "action_units"))
        collector.missing_columns(table)
        for row in table.rows:
            clip, subject = row.text("clip"), row.text("subject")
            folder = trees.get(name_key(clip)) or trees.get(name_key(f"{normal_subject('dfme', subject)}_{clip}"))
            rate = row.text("rate")
            if rate and rate not in {str(value) for value in _RATES}:
                collector.problem(
                    row.where,
                    f"a rate of {', '.join(map(str, _RATES))} pictures a second",
                    rate,
                    "correct the cell; nothing but interpolation in time depends on it",
                    lost=False,
                )
            known = float(rate) if re.fullmatch(r"\d{1,6}(\.\d+)?", rate) else 0.0
            collector.add_row(row, folder, rate=known or None, expected_folder=clip)
    collector.unused(list(trees.values()))
    return collector.reading()


def _clips(split: Path) -> list[Path]:
    return [clip for clip in folders(split) if name_key(clip.name).startswith("sub") and "_" in clip.name]

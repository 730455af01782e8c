"""4DME, grey micro clips: `gray_micro[_crop]/{subject}/{fold_name}/*` and `4DME_Labelling_Micro_release v1.xlsx`.

Emotions may be compound (`Surprise+Positive`); action units may carry a mark for a kept one (`4(k)`).
"""

from pathlib import Path

from lightman_jax.data.corpora.catalog import normal_subject
from lightman_jax.data.corpora.coding import coding_table
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.trees import find_folders, folders, name_key

NAME = "fourdme"
LOOKED_FOR = "4DME's own folders (gray_micro/{subject}/{clip}/*) and its table (4DME_Labelling_Micro_release v1.xlsx)"


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders named `gray_micro`; cropped ones first."""
    found = find_folders(data_dir, lambda folder: folder.name.lower().startswith(("gray_micro", "grey_micro")))
    return sorted(found, key=lambda folder: ("crop" not in folder.name.lower(), str(folder)))


def read_clips(source: Source) -> Reading:
    """Read every row of the table of micro-expressions."""
    collector = Collector(NAME, source)
    wanted = ("onset", "apex", "offset", "action_units", "emotion")
    table = coding_table(
        collector, source, r"4dme.*micro.*", ("subject", "clip"), wanted, clip=("foldname", "filename")
    )
    trees = {
        (normal_subject("4dme", subject.name), name_key(clip.name)): clip
        for subject in folders(source.tree)
        for clip in folders(subject)
    }
    for row in table.rows:
        key = (normal_subject("4dme", row.text("subject")), name_key(row.text("clip")))
        if key[1]:
            collector.add_row(
                row,
                trees.get(key),
                cropped="crop" in source.tree.name.lower(),
                expected_folder=f"{row.text('subject')}/{row.text('clip')}",
            )
    collector.unused(list(trees.values()))
    return collector.reading()

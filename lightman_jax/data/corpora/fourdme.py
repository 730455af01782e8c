"""4DME, grey micro clips: `gray_micro[_crop]/{subject}/{fold_name}/*` and `4DME_Labelling_Micro_release v1.xlsx`.

Emotions may be compound (`Surprise+Positive`); action units may be marked as kept (`4(k)`).
"""

from pathlib import Path

from lightman_jax.data.corpora.base import ASK_OULU, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import find_folders


def _find(data_dir: Path) -> list[Path]:
    found = find_folders(data_dir, lambda folder: folder.name.lower().startswith(("gray_micro", "grey_micro")))
    return sorted(found, key=lambda folder: ("crop" not in folder.name.lower(), str(folder)))


def _read(collector: Collector) -> None:
    wanted = ("onset", "apex", "offset", "action_units", "emotion")
    table = collector.coding_table(r"4dme.*micro.*", ("subject", "clip"), wanted, clip=("foldname", "filename"))
    trees = collector.clip_folders()
    for row in table.rows:
        key = collector.clip_key(row.text("subject"), row.text("clip"))
        cropped, expected = "crop" in collector.tree.name.lower(), f"{row.text('subject')}/{row.text('clip')}"
        collector.add_row(row, trees.get(key), cropped=cropped, expected_folder=expected)
    collector.unused(trees.values())


FOURDME = Corpus(
    name="4dme",
    title="4DME (grey micro)",
    obtain=ASK_OULU,
    looked_for="4DME's own folders (gray_micro/{subject}/{clip}/*) and its table (4DME_Labelling_Micro_release v1.xlsx)",
    find=_find,
    read=_read,
    subject_format="{}",
    fps=60,
    emotions=dict.fromkeys(("negative", "others", "positive", "repression", "surprise"), 0),
    subjects=41,
)

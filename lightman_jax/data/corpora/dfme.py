"""DFME: `{training|testA|testB}/{sub0003_01}/{NNNNN}.png`, counted from 0, and one table per split, with a column `fps`."""

import re
from pathlib import Path

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import folders, name_key, walk


def _find(data_dir: Path) -> list[Path]:
    """The given folder: its splits may lie at different depths, such as `train_data/train_data` next to `test_A`."""
    return [data_dir] if _splits(data_dir) else []


def _splits(top: Path) -> list[Path]:
    return [folder for folder in walk(top, enter=lambda folder: not _is_clip(folder)) if _clips(folder)]


def _read(collector: Collector) -> None:
    """Read every row of every split's table; the tables of test splits may be without a column for the emotion."""
    trees = collector.by_key_in(
        _splits(collector.tree), lambda split: ((name_key(clip.name), clip) for clip in _clips(split))
    )
    wanted = ("onset", "apex", "offset", "emotion", "fps", "action_units")
    for row in collector.coding_table(r"(train|test).*", ("subject", "clip"), wanted).rows:
        clip, subject = row.text("clip"), collector.corpus.normal_subject(row.text("subject"))
        folder = trees.get(name_key(clip)) or trees.get(name_key(f"{subject}_{clip}"))
        fps = row.text("fps")
        if fps not in {"", "200", "300", "500"}:
            remedy = "correct the cell; it affects only interpolation in time"
            collector.problem(row.where, "200, 300 or 500 frames per second", fps, remedy, lost=False)
        known = float(fps) if re.fullmatch(r"\d{1,6}(\.\d+)?", fps) else 0.0
        collector.add_row(row, folder, fps=known or None, expected_folder=clip)
    collector.unused(trees.values())


def _clips(split: Path) -> list[Path]:
    return [clip for clip in folders(split) if _is_clip(clip)]


def _is_clip(folder: Path) -> bool:
    return re.fullmatch(r"sub_?\d+_.*", folder.name.strip(), re.IGNORECASE) is not None


DFME = Corpus(
    name="dfme",
    title="DFME",
    obtain="ask its makers (mea-lab-421.github.io) for it; a signed form is needed",
    looked_for="DFME's own folders (training/sub0003_01/00000.png) and its tables (training_full_with_AU.xlsx)",
    find=_find,
    read=_read,
    subject_format="sub{:04d}",
    subject_in_clip=True,
    counts_from=0,
    emotions=dict(zip(BASIC_EMOTIONS, (161, 100, 548, 265, 206, 278, 298), strict=True)),
    subjects=176,
    classes={"7": BASIC_EMOTIONS},
)

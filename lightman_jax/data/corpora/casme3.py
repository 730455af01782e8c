"""CAS(ME)^3 in both releases: `part_A/spNO.1/a/color/{N}.jpg`, and `Part_A_ME_clip/frame/spNo.1_a_355/355.jpg`.

Tables: `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` (micro), `..._MaE_label_...xlsx` (macro: `sub, seq, ...`),
  `CAS(ME)3_part_C_ME.xlsx` (part C: `sub, count, onset, offset, au`, no apex and no emotion). Labels write `spNO`,
  folders `spNo`; numbers may be text; an offset of 0 is missing; several movements share a video, so a clip's name
  holds its onset.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.coding import coding_table
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Pool, Reading
from lightman_jax.data.corpora.tables import Table
from lightman_jax.data.corpora.trees import TABLES, find_files, find_folders, first_picture, folders, name_key, walk

NAME = "casme3"
LOOKED_FOR = (
    "CAS(ME)^3's own folders (part_A/spNO.1/a/color/1.jpg or Part_A_ME_clip/frame/spNo.1_a_355/355.jpg) and its table "
    "(cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx; part C: CAS(ME)3_part_C_ME.xlsx)"
)

_MICRO = {"casme3": r"cas\(?me\)?\^?3_part_a_(?!mae).*", "casme3_c": r"cas\(?me\)?\^?3_part_c.*"}
_MACRO = r"cas\(?me\)?\^?3_part_a_mae.*"
_CLIP_FOLDER = re.compile(r"(spno\.\d+)_([a-z]+)_(\d+)", re.IGNORECASE)


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders of subjects or of cut clips, of the part that the corpus names."""
    part = "c" if corpus == "casme3_c" else "a"

    def is_it(folder: Path) -> bool:
        if folder.name.lower() in {"depth", "video"}:
            return False
        inside = folders(folder)
        named = re.search(rf"part_?{part}", str(folder), re.IGNORECASE) is not None
        if any(_CLIP_FOLDER.fullmatch(clip.name) and first_picture(clip) for clip in inside):
            return part == "a"
        if part == "c":
            return named and any(first_picture(v) or first_picture(v / "color") for s in inside for v in folders(s))
        return any(re.fullmatch(r"spno\.\d+", subject.name, re.IGNORECASE) for subject in inside)

    return find_folders(data_dir, is_it, depth=5)


def read_clips(source: Source) -> Reading:
    """Read the micro-expressions, and of part A the macro-expressions if their table is there."""
    collector = Collector(NAME, source)
    part_a = source.corpus == "casme3"
    wanted = ("offset", "action_units", *(("apex", "emotion", "objective") if part_a else ()))
    needed = ("subject", "clip", "onset")
    _read(collector, source, coding_table(collector, source, _MICRO[source.corpus], needed, wanted), "micro")
    if part_a and find_files(source.data_dir, _MACRO, TABLES):
        table = coding_table(collector, source, _MACRO, needed, ("apex", "offset", "emotion"))
        _read(collector, source, table, "macro")
    return collector.reading()


def _read(collector: Collector, source: Source, table: Table, pool: Pool) -> None:
    trees = {
        name_key("/".join(folder.relative_to(source.tree).parts[:2])): folder
        for folder in walk(source.tree, 3)
        if first_picture(folder) and "depth" not in folder.name.lower()
    }
    for row in table.rows:
        numbers = collector.numbers(row, "onset", "apex", "offset")
        if numbers is None:
            continue
        onset, apex, offset = numbers
        subject, video = row.text("subject"), row.text("clip").lower()
        folder = trees.get(name_key(f"{subject}/{video}")) or trees.get(name_key(f"{subject}_{video}_{onset}"))
        collector.add_row(
            row,
            folder,
            name=f"{video}_{onset}",
            pool=pool,
            apex=apex or None,
            offset=offset or None,
            labelled=source.corpus == "casme3",
            expected_folder=f"{subject}/{video}/color or {subject}_{video}_{onset}",
        )

"""CAS(ME)^3 in both releases: `part_A/spNO.1/a/color/{N}.jpg`, and `Part_A_ME_clip/frame/spNo.1_a_355/355.jpg`.

Tables: `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` (micro), `..._MaE_label_...xlsx` (macro: `sub, seq, ...`) and
`CAS(ME)3_part_C_ME.xlsx` (part C: `sub, count, onset, offset, au`, without apex and emotion). Labels write `spNO`, folders `spNo`;
numbers may be text; an offset of 0 is missing. Several movements may share a video, so the name of a clip includes its onset.
"""

import dataclasses
import functools
import re
from pathlib import Path

from lightman_jax.data.corpora.base import ASK_CAS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.records import Pool
from lightman_jax.data.corpora.tables import Table
from lightman_jax.data.corpora.trees import find_files, find_folders, first_image, folders, name_key, walk

_MACRO = r"cas\(?me\)?\^?3_part_a_mae.*"
_CLIP_FOLDER = re.compile(r"(spno\.\d+)_([a-z]+)_(\d+)", re.IGNORECASE)


def _find(data_dir: Path, part: str) -> list[Path]:
    """Folders of subjects, or of cut clips, of part `a` or `c`."""

    def matches(folder: Path) -> bool:
        if folder.name.lower() in {"depth", "video"}:
            return False
        inside = folders(folder)
        named = re.search(rf"part_?{part}", str(folder), re.IGNORECASE) is not None
        if any(_CLIP_FOLDER.fullmatch(clip.name) and first_image(clip) for clip in inside):
            return part == "a"
        if part == "c":
            return named and any(first_image(v) or first_image(v / "color") for s in inside for v in folders(s))
        return any(re.fullmatch(r"spno\.\d+", subject.name, re.IGNORECASE) for subject in inside)

    return find_folders(data_dir, matches, depth=5)


def _read(collector: Collector, part: str) -> None:
    needed = ("subject", "clip", "onset")
    if part == "c":
        table = collector.coding_table(r"cas\(?me\)?\^?3_part_c.*", needed, ("offset", "action_units"))
        return _read_table(collector, table, "micro", labelled=False)
    wanted = ("offset", "action_units", "apex", "emotion", "objective")
    table = collector.coding_table(r"cas\(?me\)?\^?3_part_a_(?!mae).*", needed, wanted)
    _read_table(collector, table, "micro")
    if find_files(collector.data_dir, _MACRO):
        table = collector.coding_table(_MACRO, needed, ("apex", "offset", "emotion"))
        _read_table(collector, table, "macro")


def _read_table(collector: Collector, table: Table, pool: Pool, *, labelled: bool = True) -> None:
    trees = {
        name_key("/".join(folder.relative_to(collector.tree).parts[:2])): folder
        for folder in walk(collector.tree, 3)
        if first_image(folder) and "depth" not in folder.name.lower()
    }
    for row in table.rows:
        subject, video = row.text("subject"), row.text("clip").lower()
        with collector.reporting():
            numbers = collector.numbers(row, zero_is_missing=True)
            name = f"{video}_{numbers['onset']}"
            folder = trees.get(name_key(f"{subject}/{video}")) or trees.get(name_key(f"{subject}_{name}"))
            movement = {"name": name, "pool": pool, "labelled": labelled, **numbers}
            expected = f"{subject}/{video}/color or {subject}_{name}"
            collector.add_row(row, folder, expected_folder=expected, **movement)


CASME3 = Corpus(
    name="casme3",
    title="CAS(ME)^3 part A",
    obtain=ASK_CAS,
    looked_for="CAS(ME)^3's own folders (part_A/spNO.1/a/color/1.jpg or Part_A_ME_clip/frame/spNo.1_a_355/355.jpg) and its "
    "table (cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx; part C: CAS(ME)3_part_C_ME.xlsx)",
    find=functools.partial(_find, part="a"),
    read=functools.partial(_read, part="a"),
    subject_format="spno.{}",
    pools=("micro", "macro"),
    fps=30,
    emotions={"anger": 64, "disgust": 250, "fear": 86, "happiness": 55, "others": 161, "sadness": 57, "surprise": 187},
    subjects=94,
    macro_clips=3143,
    classes={"7": ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")},
)

CASME3_C = dataclasses.replace(
    CASME3,
    name="casme3_c",
    title="CAS(ME)^3 part C",
    find=functools.partial(_find, part="c"),
    read=functools.partial(_read, part="c"),
    subject_pool="casme3_c",
    subject_format="c{}",
    pools=("micro",),
    emotions={},
    subjects=31,
    macro_clips=0,
    unverified=True,
    classes={},
)

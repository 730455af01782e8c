"""SAMM: `006/006_1_2/006_05562.jpg` in grey and `SAMM_Micro_FACS_Codes_v2.xlsx`, whose header follows a dozen rows of notes.

Subjects are zero-padded text that spreadsheets turn into numbers. Clips run from about onset to offset, numbered as in the
table.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, Corpus, Published
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import find_folders, first_image, name_key, nested_folders

TABLE = r"samm.*micro.*(facs|code).*"
_CLIPS = (r"\d{1,3}", r"\d+(_\d+)+")


def _find(data_dir: Path) -> list[Path]:
    def is_named_so(folder: Path) -> bool:
        """Whether images begin with the subject: folders of other corpora may look like SAMM's."""
        return any(first_image(clip).startswith(clip.name.split("_")[0]) for clip in nested_folders(folder, *_CLIPS))

    found = find_folders(data_dir, lambda folder: any(nested_folders(folder, *_CLIPS)))
    return sorted(found, key=is_named_so, reverse=True)


def _read(collector: Collector) -> None:
    wanted = ("onset", "apex", "offset", "action_units", "emotion", "objective")
    table = collector.coding_table(TABLE, ("subject", "clip"), wanted)
    trees = collector.by_key((name_key(folder.name), folder) for folder in nested_folders(collector.tree, *_CLIPS))
    for row in table.rows:
        clip = row.text("clip")
        if re.fullmatch(_CLIPS[1], clip):
            expected = f"{collector.corpus.normal_subject(row.text('subject'))}/{clip}"
            collector.add_row(row, trees.get(name_key(clip)), expected_folder=expected)
        else:
            collector.pass_over(row)
    collector.unused(trees.values())


SAMM = Corpus(
    name="samm",
    title="SAMM",
    obtain="ask Manchester Metropolitan University for it; a signed form is needed",
    looked_for="SAMM's own folders (006/006_1_2/006_05562.jpg) and its table (SAMM_Micro_FACS_Codes_v2.xlsx)",
    find=_find,
    read=_read,
    subject_format="{:03d}",
    subject_in_clip=True,
    fps=200,
    emotions=dict(zip((*BASIC_EMOTIONS, "others"), (57, 12, 9, 8, 26, 6, 15, 26), strict=True)),
    subjects=29,
    classes={
        "5": ("anger", "contempt", "happiness", "others", "surprise"),
        "7": BASIC_EMOTIONS,
    },
    # Objective classes: see CASME II.
    published={"3": Published(None, 28), "objective": Published((24, 13, 20, 8, 3), 21)},
)

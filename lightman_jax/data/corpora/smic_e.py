"""SMIC-E, the long videos: `HS_long/SMIC-HS-E/[HS/]s01/s01_ne_01/image{NNNNNN}.jpg` and `SMIC-HS-E_annotation[_2019].xlsx`.

`VIS_long/SMIC-VIS-E` and `NIR_long/SMIC-NIR-E` are alike. Frame numbers of the table count from `FirstF`, the
number of the film's first picture, where a copy has numbered its pictures anew; rows of text follow the last clip.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.catalog import normal_clip, normal_subject
from lightman_jax.data.corpora.coding import coding_table
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.trees import clip_folders, find_folders, folders

NAME = "smic_e"
LOOKED_FOR = (
    "SMIC-E's own folders (HS_long/SMIC-HS-E/s01/s01_ne_01/image*.jpg) and its table (SMIC-HS-E_annotation.xlsx)"
)

_CAMERAS = {"smic_e": "hs", "smic_e_vis": "vis", "smic_e_nir": "nir"}
_CLIP = r"s\d+_(ne|po|sur)_\d+"


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders that hold subject folders of long clips, below one named after the camera."""
    camera = _CAMERAS[corpus]

    def is_it(folder: Path) -> bool:
        named = any(camera in re.split(r"[^a-z]+", part.lower()) for part in folder.parts[-4:])
        return named and any(
            re.fullmatch(r"s\d+", subject.name, re.IGNORECASE)
            and any(re.fullmatch(_CLIP, clip.name, re.IGNORECASE) for clip in folders(subject))
            for subject in folders(folder)
        )

    return find_folders(data_dir, is_it, depth=5)


def read_clips(source: Source) -> Reading:
    """Read the annotated micro-expression of every long clip."""
    collector = Collector(NAME, source)
    camera = _CAMERAS[source.corpus]
    table = coding_table(
        collector,
        source,
        rf"smic[-_ ]?{camera}[-_ ]?e.*",
        ("clip", "onset"),
        ("offset", "emotion"),
        ("apex", "first"),
        onset=("onsetf", "onset", "onsetframe", f"onsetf{camera}", f"onset{camera}", f"{camera}onset"),
        offset=("offsetf", "offset", "offsetframe", f"offsetf{camera}", f"offset{camera}", f"{camera}offset"),
        first=("firstf", "firstframe", "first"),
    )
    trees = {normal_clip("smic", folder.name): folder for folder in clip_folders(source.tree, 2)}
    for row in table.rows:
        name = normal_clip("smic", row.text("clip"))
        if not re.fullmatch(_CLIP, name):
            continue
        code = name.split("_")
        numbers = collector.numbers(row, "onset", "apex", "offset", "first")
        if numbers is None:
            continue
        onset, apex, offset, first = numbers
        held = collector.frames(trees[name]).numbers if name in trees else ()
        if held and first and onset and not held[0] <= onset <= held[-1]:
            # A copy whose pictures were numbered anew.
            onset, apex, offset = (value and value - first + held[0] for value in (onset, apex, offset))
        collector.add_row(
            row,
            trees.get(name),
            subject=normal_subject("smic", code[0]),
            name=name,
            onset=onset,
            apex=apex,
            offset=offset,
            emotion=row.text("emotion") or {"ne": "negative", "po": "positive", "sur": "surprise"}[code[1]],
            expected_folder=f"{code[0]}/{name}",
        )
    collector.unused([folder for name, folder in trees.items() if re.fullmatch(_CLIP, name)])
    return collector.reading()

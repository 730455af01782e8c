"""SMIC-E, the long videos: `HS_long/SMIC-HS-E/[HS/]s01/s01_ne_01/image{NNNNNN}.jpg` and `SMIC-HS-E_annotation[_2019].xlsx`.

`VIS_long/SMIC-VIS-E` and `NIR_long/SMIC-NIR-E` have the same layout. Frame numbers of the table count from `FirstF`, the number
of the first image of the video; some copies have renumbered images. Rows of text follow the last clip. Rows without an offset,
seven of the table of 2019, are incomplete.
"""

import dataclasses
import functools
import re
from pathlib import Path

from lightman_jax.data.corpora.base import Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.smic import CAMERAS, CODES, SMIC, SMIC_VIS, check_code, normal_clip
from lightman_jax.data.folders.trees import Frames, find_folders, nested_folders
from lightman_jax.data.records import Movement

_CLIP = r"s\d+_(ne|po|sur)_\d+"


def _find(data_dir: Path, camera: str) -> list[Path]:
    def matches(folder: Path) -> bool:
        words = re.split(r"[^a-z]+", "/".join(folder.parts[-4:]).lower())
        named = [word for word in words if word in CAMERAS]
        return named[-1:] == [camera] and any(nested_folders(folder, r"s\d+", _CLIP))

    return find_folders(data_dir, matches, depth=5)


def _read(collector: Collector, camera: str) -> None:
    table = collector.coding_table(
        rf"smic[-_ ]?{camera}[-_ ]?e.*",
        ("clip", "onset"),
        ("offset", "emotion"),
        ("apex", "first", "subject"),
        onset=("onsetf", "onset", "onsetframe", f"onsetf{camera}", f"onset{camera}", f"{camera}onset"),
        offset=("offsetf", "offset", "offsetframe", f"offsetf{camera}", f"offset{camera}", f"{camera}offset"),
        first=("firstf", "firstframe", "first"),
    )
    trees = collector.by_key((normal_clip(f.name), f) for f in nested_folders(collector.tree, r"s\d+", _CLIP))
    for row in table.rows:
        name = normal_clip(row.text("clip"))
        if not re.fullmatch(_CLIP, name):
            collector.pass_over(row)
            continue
        subject, code, _ = name.split("_")
        emotion = row.text("emotion") or CODES[code]
        check_code(collector, row.where, name, emotion)
        movement = {
            "subject": row.text("subject") or subject,
            "name": name,
            "emotion": emotion,
            "expected_folder": f"{subject}/{name}",
        }
        collector.add_row(row, trees.get(name), **movement)
    collector.unused(trees.values())


def _shift(collector: Collector, movement: Movement, frames: Frames) -> int:
    """The difference of `FirstF` to the first image in a copy with renumbered images."""
    first, start, number = movement.first, frames.numbers[0], movement.onset or movement.offset
    if not first or number is None or (start > 1 and start <= number <= frames.numbers[-1]):
        return 0
    return first - start


def _long(corpus: Corpus, camera: str) -> Corpus:
    return dataclasses.replace(
        corpus,
        name="smic_e" if camera == "hs" else f"smic_e_{camera}",
        title=f"SMIC-{camera.upper()}-E",
        looked_for="SMIC-E's own folders (HS_long/SMIC-HS-E/s01/s01_ne_01/image*.jpg) and its table "
        "(SMIC-HS-E_annotation.xlsx)",
        find=functools.partial(_find, camera=camera),
        read=functools.partial(_read, camera=camera),
        published={},
        shift=_shift,
    )


SMIC_E, SMIC_E_VIS, SMIC_E_NIR = _long(SMIC, "hs"), _long(SMIC_VIS, "vis"), _long(SMIC_VIS, "nir")

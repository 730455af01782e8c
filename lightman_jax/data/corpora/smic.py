"""SMIC (HS, VIS, NIR): `{HS|VIS|NIR}/s{N}/micro/{negative|positive|surprise}/{clip}/[reg_]image{NNNNNN}.bmp`.

A cropped copy (`SMIC_all_cropped`) is preferred to a raw one. Only some copies pad the numbers in the names of subjects and
clips. The release has no table and no apex frames. A folder `macro` next to `micro`, which SMIC itself does not have, is
read as macro-expressions of the subject.
"""

import dataclasses
import functools
import re
from pathlib import Path

from lightman_jax.data.corpora.base import ASK_OULU, Corpus, Published, normal_emotion
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import below, child, find_folders, folders
from lightman_jax.data.records import POOLS

CAMERAS = ("hs", "vis", "nir")
CODES = {"ne": "negative", "po": "positive", "sur": "surprise"}


def normal_clip(text: str) -> str:
    """One spelling of a clip name.

    >>> normal_clip("s03_PO_2")
    's3_po_02'
    """
    parts = re.fullmatch(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", text.strip(), flags=re.IGNORECASE)
    return f"s{int(parts[1])}_{parts[2].lower()}_{int(parts[3]):02d}" if parts else text.strip()


def check_code(collector: Collector, where: str, name: str, emotion: str) -> None:
    """Report an emotion that contradicts the code in the normal name of a clip."""
    code = re.fullmatch(r"s\d+_(ne|po|sur)_\d+", name)
    if code and normal_emotion(emotion) in set(CODES.values()) - {CODES[code[1]]}:
        expected, remedy = f"{CODES[code[1]]}, as in the name {name}", f"correct one of the two; {emotion} is used"
        collector.problem(where, expected, repr(emotion), remedy, lost=False)


def _find(data_dir: Path, camera: str) -> list[Path]:
    """Folders of the camera that hold subject folders; cropped copies first."""
    others = set(CAMERAS) - {camera}

    def matches(folder: Path) -> bool:
        names = {part.lower() for part in (folder.name, folder.parent.name)}
        named = camera in names or (camera == "hs" and not names & others)
        return named and bool(_subjects(folder))

    return sorted(find_folders(data_dir, matches), key=lambda folder: (not _is_cropped(folder), str(folder)))


def _read(collector: Collector) -> None:
    cropped = _is_cropped(collector.tree)
    for subject in _subjects(collector.tree):
        for pool in POOLS:
            pool_folder = child(subject, pool)
            for label in folders(pool_folder) if pool_folder else ():
                for clip in folders(label):
                    fields = {"pool": pool, "emotion": label.name, "cropped": cropped}
                    name = normal_clip(clip.name)
                    check_code(collector, below(clip, collector.data_dir), name, label.name)
                    collector.add_folder(clip, subject.name, name=name, **fields)


def _is_cropped(tree: Path) -> bool:
    return any("cropped" in folder.name.lower() for folder in (tree, tree.parent))


def _subjects(folder: Path) -> list[Path]:
    return [
        path
        for path in folders(folder)
        if re.fullmatch(r"s\d+", path.name.strip(), re.IGNORECASE) and child(path, "micro")
    ]


SMIC = Corpus(
    name="smic",
    title="SMIC-HS",
    obtain=ASK_OULU,
    looked_for="SMIC's own folders (HS/s1/micro/negative/s1_ne_01/image*.bmp, below SMIC_all_cropped or SMIC_all_raw)",
    find=functools.partial(_find, camera="hs"),
    read=_read,
    subject_format="s{}",
    subject_in_clip=True,
    normal_clip=normal_clip,
    fps=100,
    emotions={"negative": 70, "positive": 51, "surprise": 43},
    subjects=16,
    subject_numbers=(1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20),
    published={"4": Published(None, 16)},
)

SMIC_VIS = dataclasses.replace(
    SMIC,
    name="smic_vis",
    title="SMIC-VIS",
    find=functools.partial(_find, camera="vis"),
    fps=25,
    emotions={"negative": 23, "positive": 28, "surprise": 20},
    subjects=8,
    subject_numbers=(),
    unverified=True,
    published={"4": Published(None, 8)},
)

SMIC_NIR = dataclasses.replace(SMIC_VIS, name="smic_nir", title="SMIC-NIR", find=functools.partial(_find, camera="nir"))

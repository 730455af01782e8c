"""SMIC as downloaded: `{HS|VIS|NIR}/s{N}/micro/{negative|positive|surprise}/{clip}/[reg_]image{NNNNNN}.bmp`.

A cropped copy (`SMIC_all_cropped`) comes before a raw one. Subject folders and clip names are padded in some copies
and not in others. There is no table and no apex. A folder `macro` beside `micro`, which SMIC itself does not have,
is read as the subject's macro-expressions.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.catalog import normal_clip
from lightman_jax.data.corpora.reader import Collector, Movement, Source
from lightman_jax.data.corpora.records import Pool, Reading
from lightman_jax.data.corpora.trees import child, find_folders, folders

NAME = "smic"
LOOKED_FOR = "SMIC's own folders (HS/s1/micro/negative/s1_ne_01/image*.bmp, below SMIC_all_cropped or SMIC_all_raw)"

_CAMERAS = {"smic": "hs", "smic_vis": "vis", "smic_nir": "nir"}
_POOLS: tuple[Pool, ...] = ("micro", "macro")


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders of the camera that hold subject folders; cropped copies first."""
    camera = _CAMERAS[corpus]
    others = set(_CAMERAS.values()) - {camera}

    def is_it(folder: Path) -> bool:
        names = {part.lower() for part in (folder.name, folder.parent.name)}
        mine = camera in names or (camera == "hs" and not names & others)
        return mine and any(True for _ in _subjects(folder))

    return sorted(find_folders(data_dir, is_it), key=lambda folder: (not _is_cropped(folder), str(folder)))


def read_clips(source: Source) -> Reading:
    """Read the micro clips of every subject, and macro clips where there are any."""
    collector = Collector(NAME, source)
    for subject in _subjects(source.tree):
        for pool in _POOLS:
            pool_folder = child(subject, pool)
            for label in folders(pool_folder) if pool_folder else ():
                for clip in folders(label):
                    collector.add_movement(
                        Movement(
                            where=str(clip.relative_to(source.data_dir)),
                            subject=subject.name,
                            name=normal_clip("smic", clip.name),
                            folder=clip,
                            pool=pool,
                            emotion=label.name,
                            cropped=_is_cropped(source.tree),
                        )
                    )
    return collector.reading()


def _is_cropped(tree: Path) -> bool:
    return any("cropped" in folder.name.lower() for folder in (tree, tree.parent))


def _subjects(folder: Path) -> list[Path]:
    return [
        path for path in folders(folder) if re.fullmatch(r"s\d+", path.name, re.IGNORECASE) and child(path, "micro")
    ]

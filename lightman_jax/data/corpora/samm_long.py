"""SAMM Long Videos: `SAMM_longvideos/006_1/006_1_0001.jpg` and `SAMM_LongVideos_V*_Release.xlsx`, whose rows follow ten of notes.

Each row is a micro- or macro-movement of a video; a video may have several. The table gives no emotions: those of the
micro-movements are joined from the table of SAMM (`SAMM_Micro_FACS_Codes*.xlsx`), if it is there. The subjects are those of
SAMM. As in published work, an offset of 0 means that the movement ends at its apex, and macro-movements of onset 0, which are
over-long, are left out; any other movement without onset or offset is incomplete.
"""

import dataclasses
import re
from pathlib import Path

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, parse_pool
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.samm import SAMM
from lightman_jax.data.corpora.samm import TABLE as SAMM_TABLE
from lightman_jax.data.corpora.spans import numbered
from lightman_jax.data.folders.trees import find_folders, first_image, folders, name_key
from lightman_jax.data.tables.table import read_bare_table

_VIDEO = r"\d{1,3}_\d+"
_COLUMNS = ("subject", "clip", "path", "onset", "apex", "offset", "total", "type", "action_units")


def _find(data_dir: Path) -> list[Path]:
    def matches(folder: Path) -> bool:
        return any(re.fullmatch(_VIDEO, video.name) and first_image(video) for video in folders(folder))

    def is_named_so(folder: Path) -> bool:
        return any(first_image(video).startswith(f"{video.name}_") for video in folders(folder))

    return sorted(find_folders(data_dir, matches), key=is_named_so, reverse=True)


def _read(collector: Collector) -> None:
    # All versions have the same columns in the same places.
    table = read_bare_table(
        collector.first_table(r"samm.*long.*", last=True),
        _COLUMNS,
        numeric="onset",
        anchor="type",
        is_anchor=parse_pool,
    )
    collector.report_table(table)
    emotions = _emotions(collector)
    videos = collector.by_key((name_key(folder.name), folder) for folder in folders(collector.tree))
    for row in table.rows:
        clip = row.text("clip")
        video = "_".join(clip.split("_")[:2])
        with collector.reporting():
            pool, numbers = collector.pool(row), collector.numbers(row)
            name, emotion = numbered(clip, numbers), emotions.get(name_key(clip), "") if pool == "micro" else ""
            if numbers["onset"] == 0 and pool == "macro":
                collector.note(f"{row.where} is left out: onset 0, the movement began before the video")
                continue
            fields = {"emotion": emotion, "labelled": bool(emotion), "long_video": True}
            movement = {"name": name, "pool": pool, **fields, **numbers}
            collector.add_row(row, videos.get(name_key(video)), expected_folder=video, **movement)


def _emotions(collector: Collector) -> dict[str, str]:
    if not collector.has_table(SAMM_TABLE):
        collector.note("no emotions: the table of SAMM that gives them (SAMM_Micro_FACS_Codes_v2.xlsx) was not found")
        return {}
    table = collector.coding_table(SAMM_TABLE, ("clip", "emotion"))
    return {name_key(row.text("clip")): row.text("emotion") for row in table.rows}


SAMM_LONG = dataclasses.replace(
    SAMM,
    name="samm_long",
    title="SAMM Long Videos",
    looked_for="SAMM Long Videos' own folders (SAMM_longvideos/006_1/006_1_0001.jpg) and its table "
    "(SAMM_LongVideos_V3_Release.xlsx)",
    find=_find,
    read=_read,
    pools=("micro", "macro"),
    ends_at_apex=True,
    emotions=dict.fromkeys((*BASIC_EMOTIONS, "others"), 0),
    subjects=0,
    macro_clips=343,
    classes={},
    published={},
)

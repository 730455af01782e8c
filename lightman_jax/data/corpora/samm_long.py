"""SAMM Long Videos: `SAMM_longvideos/006_1/006_1_0001.jpg` and `SAMM_LongVideos_V*_Release.xlsx`, whose rows follow ten of notes.

A row is a micro- or macro-movement of a video; several may lie in one. The table names no emotion: those of the
micro-movements are joined from SAMM's own table (`SAMM_Micro_FACS_Codes*.xlsx`) where that is there too. People are
those of SAMM.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.coding import table_files
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.samm import TABLE as SAMM_TABLE
from lightman_jax.data.corpora.tables import Row, read_bare_table, read_table
from lightman_jax.data.corpora.trees import TABLES, find_files, find_folders, first_picture, folders, name_key

NAME = "samm_long"
LOOKED_FOR = "SAMM Long Videos' own folders (SAMM_longvideos/006_1/006_1_0001.jpg) and its table (SAMM_LongVideos_V3_Release.xlsx)"

_VIDEO = r"\d{1,3}_\d+"
_COLUMNS = ("subject", "clip", "path", "onset", "apex", "offset", "total", "type", "action_units")


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders that hold video folders `006_1` of pictures."""

    def is_it(folder: Path) -> bool:
        return any(re.fullmatch(_VIDEO, video.name) and first_picture(video) for video in folders(folder))

    return find_folders(data_dir, is_it)


def read_clips(source: Source) -> Reading:
    """Read micro- and macro-movements."""
    collector = Collector(NAME, source)
    files = table_files(source, r"samm.*long.*")
    # The latest version; the columns stand in the same places in all of them.
    table = read_bare_table(files[-1], _COLUMNS, numeric="onset")
    emotions = _emotions(source, collector)
    videos = {name_key(folder.name): folder for folder in folders(source.tree)}
    for row in table.rows:
        video = "_".join(row.text("clip").split("_")[:2])
        kind = row.text("type").lower()
        if not kind.startswith(("micro", "macro")):
            collector.problem(
                row.where, "type Micro or Macro", repr(row.text("type")), "correct the cell; the row is left out"
            )
            continue
        _add(collector, row, videos.get(name_key(video)), video, kind, emotions)
    return collector.reading()


def _add(collector: Collector, row: Row, folder: Path | None, video: str, kind: str, emotions: dict[str, str]) -> None:
    numbers = collector.numbers(row, "onset", "apex", "offset")
    if numbers is None:
        return None
    onset, apex, offset = numbers
    if not onset:
        return collector.note(f"{row.where} is left out: onset 0, the movement began before the video")
    emotion = emotions.get(name_key(row.text("clip")), "") if kind.startswith("micro") else ""
    collector.add_row(
        row,
        folder,
        name=f"{row.text('clip')}_{onset}",
        pool="micro" if kind.startswith("micro") else "macro",
        apex=apex or None,
        offset=offset or None,
        emotion=emotion,
        labelled=bool(emotion),
        expected_folder=video,
    )
    return None


def _emotions(source: Source, collector: Collector) -> dict[str, str]:
    files = find_files(source.data_dir, SAMM_TABLE, TABLES)
    if not files:
        collector.note("no emotions: they stand in SAMM's table (SAMM_Micro_FACS_Codes_v2.xlsx), which is not there")
        return {}
    table = read_table(files[0], ("clip", "emotion"))
    return {name_key(row.text("clip")): row.text("emotion") for row in table.rows}

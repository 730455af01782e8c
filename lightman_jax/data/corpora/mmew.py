"""MMEW: micro clips in folders of pictures, macro-expressions as single stills or sequences, and `MMEW_Micro_Exp.xlsx`.

Three shapes are about: `Micro_Expression/{emotion}/{S13-07-001}/1.jpg` (as shipped),
`{S03}/{emotion}/{S03-01-002}/1.jpg` (as its makers describe it) and `Macro_Expression/S01/anger/S01-07-001.jpg` or
a folder of that name. Pictures count from 1 while the table may count from the start of the recording: such rows
are moved back by their onset. Where the two differ the table's emotion counts.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.catalog import EMOTION_ALIASES, normal_emotion, normal_subject
from lightman_jax.data.corpora.coding import coding_table
from lightman_jax.data.corpora.reader import Collector, Movement, Source
from lightman_jax.data.corpora.records import RawClip, Reading
from lightman_jax.data.corpora.tables import Row
from lightman_jax.data.corpora.trees import PICTURES, entries, find_folders, walk

NAME = "mmew"
LOOKED_FOR = "MMEW's own folders (Micro_Expression/happiness/S03-01-002/1.jpg) and its table (MMEW_Micro_Exp.xlsx)"

_CLIP = re.compile(r"(S\d+)-(\d+)-(\d+)", re.IGNORECASE)
_FOLDER_EMOTION = {"repression": "others"}


def find(data_dir: Path, corpus: str) -> list[Path]:
    """The folder given, if clip folders lie below it."""
    found = any(_CLIP.fullmatch(folder.name) for folder in walk(data_dir, 5))
    return [data_dir] if found else find_folders(data_dir, lambda folder: bool(_stills(folder)), 5)[:1]


def read_clips(source: Source) -> Reading:
    """Read the micro clips of the table and every macro clip."""
    collector = Collector(NAME, source)
    wanted = ("onset", "apex", "offset", "action_units", "emotion")
    table = coding_table(collector, source, r"mmew.*", ("clip",), wanted)
    micro: dict[str, Path] = {}
    for folder in walk(source.tree, 5):
        if folder.name.lower() == "macro_expression" or _CLIP.fullmatch(folder.name):
            is_macro = "macro" in str(folder.relative_to(source.data_dir)).lower()
            if _CLIP.fullmatch(folder.name) and is_macro:
                collector.add_movement(_macro(folder, source))
            elif _CLIP.fullmatch(folder.name):
                micro[folder.name.upper()] = folder
        for still in _stills(folder):
            _add_still(collector, still)
    for row in table.rows:
        if _CLIP.fullmatch(row.text("clip")):
            _add_micro(collector, row, micro.get(row.text("clip").upper()))
    collector.unused(list(micro.values()))
    return collector.reading()


def _add_micro(collector: Collector, row: Row, folder: Path | None) -> None:
    subject = row.text("clip").split("-")[0]
    numbers = collector.numbers(row, "onset", "apex", "offset")
    if numbers is None:
        return
    onset, apex, offset = numbers
    held = collector.frames(folder).numbers if folder else ()
    if held and onset is not None and onset > held[-1]:
        back = onset - held[0]
        onset, apex, offset = onset - back, apex - back if apex else None, offset - back if offset else None
        if offset is not None:
            offset = min(offset, held[-1])
    expected = f"Micro_Expression/{row.text('emotion')}/{row.text('clip')}"
    where = {"onset": onset, "apex": apex, "offset": offset}
    collector.add_row(row, folder, subject=subject, expected_folder=expected, cropped=True, **where)


def _macro(folder: Path, source: Source) -> Movement:
    return Movement(
        where=str(folder.relative_to(source.data_dir)),
        subject=folder.name.split("-")[0],
        name=folder.name,
        folder=folder,
        pool="macro",
        emotion=_folder_emotion(folder.parent),
    )


def _add_still(collector: Collector, still: Path) -> None:
    """A single picture of a macro-expression: it has no onset, so only representations of one picture can use it."""
    subject = normal_subject("mmew", still.stem.split("-")[0])
    clip = f"mmew/{subject}/{still.stem}"
    emotion = _folder_emotion(still.parent)
    collector.add(RawClip(clip, f"mmew/{subject}", "macro", "frames", (still,), emotion=emotion), str(still))


def _stills(folder: Path) -> list[Path]:
    return [p for p in entries(folder) if p.suffix.lower() in PICTURES and _CLIP.fullmatch(p.stem)]


def _folder_emotion(folder: Path) -> str:
    name = normal_emotion(folder.name)
    return _FOLDER_EMOTION.get(name, EMOTION_ALIASES.get(name, name))

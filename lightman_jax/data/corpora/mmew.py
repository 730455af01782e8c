"""MMEW: micro clips in folders of images, macro-expressions as single stills or sequences, and `MMEW_Micro_Exp.xlsx`.

Three layouts exist: `Micro_Expression/{emotion}/{S13-07-001}/1.jpg` (as shipped), `{S03}/{emotion}/{S03-01-002}/1.jpg` (as its
makers describe it) and `Macro_Expression/S01/anger/S01-07-001.jpg` or a folder of that name. Images count from 1, while the
table may count from the start of the recording: such rows are shifted by their onset. If folder and table name different
emotions, the table counts.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.base import Corpus, normal_emotion
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.records import RawClip
from lightman_jax.data.corpora.tables import Row
from lightman_jax.data.corpora.trees import IMAGE_SUFFIXES, entries, find_folders, walk

_CLIP = re.compile(r"(S\d+)-(\d+)-(\d+)", re.IGNORECASE)


def _find(data_dir: Path) -> list[Path]:
    found = any(_CLIP.fullmatch(folder.name) for folder in walk(data_dir, 5))
    return [data_dir] if found else find_folders(data_dir, lambda folder: bool(_stills(folder)), 5)[:1]


def _read(collector: Collector) -> None:
    wanted = ("onset", "apex", "offset", "action_units", "emotion")
    table = collector.coding_table(r"mmew.*", ("clip",), wanted)
    micro: dict[str, Path] = {}
    for folder in walk(collector.tree, 5):
        if _CLIP.fullmatch(folder.name):
            if "macro" in str(folder.relative_to(collector.data_dir)).lower():
                emotion = _folder_emotion(folder.parent)
                collector.add_folder(folder, folder.name.split("-")[0], pool="macro", emotion=emotion)
            else:
                micro[folder.name.upper()] = folder
        for still in _stills(folder):
            # Without an onset, only representations of one image can use it.
            subject = f"mmew/{collector.corpus.normal_subject(still.stem.split('-')[0])}"
            emotion = _folder_emotion(still.parent)
            clip = RawClip(f"{subject}/{still.stem}", subject, "macro", "frames", (still,), emotion=emotion)
            collector.add(clip, str(still))
    for row in table.rows:
        with collector.reporting():
            if _CLIP.fullmatch(row.text("clip")):
                _add_micro(collector, row, micro.get(row.text("clip").upper()))
    collector.unused(micro.values())


def _add_micro(collector: Collector, row: Row, folder: Path | None) -> None:
    onset, apex, offset = collector.numbers(row).values()
    available = collector.frames(folder).numbers if folder else ()
    if available and onset is not None and onset > available[-1]:
        shift = onset - available[0]
        onset, apex = available[0], apex - shift if apex else None
        offset = min(offset - shift, available[-1]) if offset else None
    subject, expected = row.text("clip").split("-")[0], f"Micro_Expression/{row.text('emotion')}/{row.text('clip')}"
    numbers = {"onset": onset, "apex": apex, "offset": offset}
    collector.add_row(row, folder, subject=subject, expected_folder=expected, cropped=True, **numbers)


def _stills(folder: Path) -> list[Path]:
    return [p for p in entries(folder) if p.suffix.lower() in IMAGE_SUFFIXES and _CLIP.fullmatch(p.stem)]


def _folder_emotion(folder: Path) -> str:
    name = normal_emotion(folder.name)
    return "others" if name == "repression" else name


MMEW = Corpus(
    name="mmew",
    title="MMEW",
    obtain="ask Shandong University (dpailab.com) for it by mail",
    looked_for="MMEW's own folders (Micro_Expression/happiness/S03-01-002/1.jpg) and its table (MMEW_Micro_Exp.xlsx)",
    find=_find,
    read=_read,
    subject_format="S{:02d}",
    pools=("micro", "macro"),
    fps=90,
    emotions={"anger": 8, "disgust": 72, "fear": 16, "happiness": 36, "others": 66, "sadness": 13, "surprise": 89},
    macro_clips=900,
    unverified=True,
    classes={"7": ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")},
)

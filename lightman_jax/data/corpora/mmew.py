"""MMEW: micro clips in folders of images, macro-expressions as single stills or sequences, and `MMEW_Micro_Exp.xlsx`.

Three layouts exist: `Micro_Expression/{emotion}/{S13-07-001}/1.jpg` (as shipped), `{S03}/{emotion}/{S03-01-002}/1.jpg` (as its
makers describe it) and `Macro_Expression/S01/anger/S01-07-001.jpg` or a folder of that name. Images count from 1, while the
table may count from the start of the video: such rows are shifted by their onset. They are recognised by numbers beyond the
last image, or by as many images as there are from onset to offset. If folder and table name different emotions, the table counts.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from lightman_jax.data.corpora.base import Corpus, normal_emotion
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import IMAGE_SUFFIXES, Frames, below, entries, find_folders, name_key, walk
from lightman_jax.data.records import Movement, RawClip
from lightman_jax.data.tables.table import Row

_DEPTH = 7
_CLIP = re.compile(r"(S\d+)-(\d+)-(\d+)", re.IGNORECASE)
_MACRO = re.compile(r"^macro[_ -]?expressions?/|/.*macro", re.IGNORECASE)


def _find(data_dir: Path) -> list[Path]:
    found = any(_CLIP.fullmatch(folder.name) for folder in walk(data_dir, _DEPTH))
    return [data_dir] if found else find_folders(data_dir, lambda folder: bool(_stills(folder)), _DEPTH)[:1]


def _read(collector: Collector) -> None:
    wanted = ("onset", "apex", "offset", "action_units", "emotion")
    table = collector.coding_table(r"mmew.*", ("clip",), wanted)
    clips = [folder for folder in walk(collector.tree, _DEPTH) if _CLIP.fullmatch(folder.name.strip())]
    macro = [
        folder for folder in clips if _MACRO.search(f"{collector.data_dir.name}/{below(folder, collector.data_dir)}")
    ]
    for folder in macro:
        fields = {"pool": "macro", "emotion": _folder_emotion(folder.parent)}
        collector.add_folder(folder, folder.name.split("-")[0], **fields)
    for still in (still for folder in walk(collector.tree, _DEPTH) for still in _stills(folder)):
        # Without an onset, only representations of one image can use it.
        subject = f"mmew/{collector.corpus.normal_subject(still.stem.split('-')[0])}"
        emotion = _folder_emotion(still.parent)
        clip = RawClip(f"{subject}/{still.stem}", subject, "macro", "frames", (still,), emotion=emotion)
        collector.add(clip, str(still))
    micro = collector.by_key((_key(folder.name), folder) for folder in clips if folder not in macro)
    for row in table.rows:
        with collector.reporting():
            _add_row(collector, row, micro)
    collector.unused(micro.values())


def _add_row(collector: Collector, row: Row, micro: Mapping[str, Path]) -> None:
    clip = row.text("clip")
    if not _CLIP.fullmatch(clip):
        return collector.pass_over(row)
    folder = micro.get(_key(clip))
    if folder is None and collector.pool(row, "micro") == "macro":
        return collector.count("macro rows of the table are not needed: macro-expressions are read by their folders")
    subject, expected = clip.split("-")[0], f"Micro_Expression/{row.text('emotion')}/{clip}"
    fields = {"subject": subject, "expected_folder": expected, "cropped": True}
    emotion, other = normal_emotion(row.text("emotion")), _folder_emotion(folder.parent) if folder else ""
    if emotion and other in set(collector.corpus.emotions) - {emotion}:
        remedy = f"correct one of the two; {emotion}, that of the table, is used"
        collector.problem(row.where, f"the emotion of the folder {other}", emotion, remedy, lost=False)
    return collector.add_row(row, folder, **fields)


def _shift(collector: Collector, movement: Movement, frames: Frames) -> int:
    """Onset minus first image of a row that counts from the start of the video; 0 for other rows."""
    onset, apex, offset = movement.onset, movement.apex, movement.offset
    first, last, count = frames.numbers[0], frames.numbers[-1], len(frames.numbers)
    if onset is None or onset == first or movement.pool == "macro":
        return 0
    fits = offset is not None and offset - onset + 1 == count
    in_order = apex is None or onset <= apex <= (apex if offset is None else offset)
    if not fits and (max(onset, apex or 0, offset or 0) <= last or not in_order):
        if offset is not None:
            collector.count(
                "clips have more images than their rows name; frame numbers are taken as those of the images"
            )
        return 0
    if fits:
        collector.count(
            "rows count from the start of the video, by their number of images; the onset is the first image"
        )
    else:
        found = (
            f"onset {onset}, offset {'-' if offset is None else offset} and {count} images numbered {first} to {last}"
        )
        remedy = f"the row counts from the start of the video: its onset is taken as image {first}"
        collector.problem(movement.where, "frame numbers of the images", found, remedy, lost=False)
    return onset - first


def _key(name: str) -> str:
    return name_key(name).upper()


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
    subject_in_clip=True,
    pools=("micro", "macro"),
    fps=90,
    shift=_shift,
    emotions={"anger": 8, "disgust": 72, "fear": 16, "happiness": 36, "others": 66, "sadness": 13, "surprise": 89},
    macro_clips=900,
    unverified=True,
    classes={"7": ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")},
)

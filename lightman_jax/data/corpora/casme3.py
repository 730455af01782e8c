"""CAS(ME)^3 in both releases: `part_A/spNO.1/a/color/{N}.jpg`, and `Part_A_ME_clip/frame/spNo.1_a_355/355.jpg`.

Part C: `part_C/RGB_Depth/part_C/part_C/01/a/color/{N}.jpg`, one video per subject. `depth` next to `color` is not read.

Tables: `cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx` (micro), `CAS(ME)3_part_A_v2.xls` (micro and macro by its column `Expression
type`), `..._MaE_label_...xlsx` (macro: `sub, seq, ...`) and `CAS(ME)3_part_C_ME.xlsx` (part C: `sub, count, onset, offset, au`,
without apex and emotion). Labels write `spNO`, folders `spNo`; numbers may be text; an offset of 0 is missing, so that the row is
incomplete. Several movements may share a video, so the name of a clip includes its onset.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from lightman_jax.data.corpora.base import ASK_CAS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.spans import numbered
from lightman_jax.data.folders.trees import find_folders, first_image, folders, name_key
from lightman_jax.data.records import Pool
from lightman_jax.data.tables.table import Table

_MACRO = r"cas\(?me\)?\^?3_part_a_mae.*"
_CLIP_FOLDER = re.compile(r"(spno\.\d+)_([a-z]+)_(\d+)", re.IGNORECASE)
_NOT_COLOUR = ("depth", "video")


def _find(data_dir: Path, part: str) -> list[Path]:
    """The first of the trees, which are read together: volumes of the release, and the cut clips next to the whole videos."""
    return _trees(data_dir, part)[:1]


def _trees(data_dir: Path, part: str) -> list[Path]:
    """Folders of subjects, or of cut clips, of part `a` or `c`."""

    def matches(folder: Path) -> bool:
        if folder.name.lower() in _NOT_COLOUR:
            return False
        below_top = "/".join((data_dir.name, *folder.relative_to(data_dir).parts))
        parts = set(re.findall(r"part[_ ]?([abc])(?![a-z])", below_top.lower()))
        if part == "c":
            return parts == {"c"} and any(_colour(video) for subject in folders(folder) for video in folders(subject))
        inside = folders(folder)
        if any(_CLIP_FOLDER.fullmatch(clip.name) and first_image(clip) for clip in inside):
            return True
        return parts <= {"a"} and any(re.fullmatch(r"spno\.\d+", s.name.strip(), re.IGNORECASE) for s in inside)

    return find_folders(data_dir, matches, depth=7)


def _colour(video: Path) -> Path | None:
    """Folder of the colour images of a video: `color` in it, or itself."""
    inside = [folder for folder in folders(video) if folder.name.lower() not in _NOT_COLOUR and first_image(folder)]
    named = [folder for folder in inside if folder.name.lower() in ("color", "colour", "rgb")]
    return next(iter(named or inside), video if first_image(video) else None)


def _cut_clips(tree: Path) -> Iterator[tuple[str, Path]]:
    yield from ((name_key(clip.name), clip) for clip in folders(tree) if _CLIP_FOLDER.fullmatch(clip.name))


def _videos(tree: Path) -> Iterator[tuple[str, Path]]:
    for subject in folders(tree):
        for video in folders(subject):
            if colour := _colour(video):
                yield name_key(f"{subject.name}/{video.name}"), colour


def _read(collector: Collector, part: str) -> None:
    needed = ("subject", "clip", "onset")
    if part == "c":
        return _read_part_c(collector)
    wanted = ("offset", "action_units", "apex", "emotion", "objective")
    table = collector.coding_table(r"cas\(?me\)?\^?3_part_a_(?!mae).*", needed, wanted)
    trees = _trees(collector.data_dir, part)
    cut = collector.by_key_in(trees, _cut_clips)
    videos = collector.by_key_in(trees, _videos)
    # The cut release has images of micro-expressions alone.
    collector.micro_only = bool(cut) and not videos
    _read_table(collector, table, "micro", cut, videos)
    if collector.has_table(_MACRO):
        _read_table(
            collector, collector.coding_table(_MACRO, needed, ("apex", "offset", "emotion")), "macro", cut, videos
        )


def _read_table(
    collector: Collector, table: Table, default: Pool, cut: dict[str, Path], videos: dict[str, Path]
) -> None:
    for row in table.rows:
        subject, video = row.text("subject"), row.text("clip").lower()
        with collector.reporting():
            numbers = collector.numbers(row)
            name = numbered(video, numbers)
            folder, clip = videos.get(name_key(f"{subject}/{video}")), cut.get(name_key(f"{subject}_{name}"))
            movement = {"name": name, "pool": collector.pool(row, default), "long_video": clip is None, **numbers}
            expected = f"{subject}/{video}/color or {subject}_{name}"
            collector.add_row(row, clip or folder, expected_folder=expected, **movement)


def _read_part_c(collector: Collector) -> None:
    """Part C: the column `count` numbers the movements of a subject, who has one video; a copy may have several."""
    wanted = ("offset", "action_units")
    table = collector.coding_table(r"cas\(?me\)?\^?3_part_c.*", ("subject", "clip", "onset"), wanted)
    videos: dict[str, dict[str, Path]] = {}
    for key, colour in collector.by_key_in(_trees(collector.data_dir, "c"), _videos).items():
        subject, video = key.split("/")
        videos.setdefault(collector.corpus.normal_subject(subject), {})[video] = colour
    for row in table.rows:
        own = videos.get(collector.corpus.normal_subject(row.text("subject")), {})
        with collector.reporting():
            numbers, count = collector.numbers(row), row.text("clip")
            folder = own.get(name_key(count)) or (next(iter(own.values())) if len(own) == 1 else None)
            movement = {"name": numbered(count, numbers), "labelled": False, "long_video": True, **numbers}
            collector.add_row(row, folder, expected_folder=f"{row.text('subject')}/a/color", **movement)


CASME3 = Corpus(
    name="casme3",
    title="CAS(ME)^3 part A",
    obtain=ASK_CAS,
    looked_for="CAS(ME)^3's own folders (part_A/spNO.1/a/color/1.jpg or Part_A_ME_clip/frame/spNo.1_a_355/355.jpg) and its "
    "table (cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx; part C: part_C/01/a/color/1.jpg and CAS(ME)3_part_C_ME.xlsx)",
    find=functools.partial(_find, part="a"),
    read=functools.partial(_read, part="a"),
    subject_format="spno.{}",
    pools=("micro", "macro"),
    fps=30,
    emotions={"anger": 64, "disgust": 250, "fear": 86, "happiness": 55, "others": 161, "sadness": 57, "surprise": 187},
    subjects=94,
    macro_clips=3143,
    classes={"7": ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")},
)

CASME3_C = dataclasses.replace(
    CASME3,
    name="casme3_c",
    title="CAS(ME)^3 part C",
    find=functools.partial(_find, part="c"),
    read=functools.partial(_read, part="c"),
    subject_pool="casme3_c",
    subject_format="c{}",
    pools=("micro",),
    emotions={},
    subjects=31,
    macro_clips=0,
    unverified=True,
    classes={},
)

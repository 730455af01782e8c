"""CAS(ME)^2: `rawpic/s15/15_0101disgustingteeth/img001.jpg` and `CAS(ME)^2code_final.xlsx`, three sheets without headers.

Sheet 1 names a participant, a video by its nickname and a running number, frames, action units, emotion and type.
The other two say which folder is meant: participant -> `s15`, nickname -> the four digits behind the first `_` of
the folder's name.
"""

import re
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.coding import table_files
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.tables import cell_text, read_bare_table, read_sheets
from lightman_jax.data.corpora.trees import find_folders, first_picture, folders, name_key

NAME = "casme_squared"
LOOKED_FOR = (
    "CAS(ME)^2's own folders (rawpic/s15/15_0101disgustingteeth/img001.jpg) and its table (CAS(ME)^2code_final.xlsx)"
)

_COLUMNS = ("subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "type")
_VIDEO = re.compile(r"\d+_(\d{4})\D*.*")


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders of subject folders `s15` with long videos; raw pictures before the cut ones."""

    def is_it(folder: Path) -> bool:
        return any(
            _VIDEO.fullmatch(video.name) and first_picture(video)
            for subject in folders(folder)
            if re.fullmatch(r"s\d+", subject.name, re.IGNORECASE)
            for video in folders(subject)
        )

    return sorted(find_folders(data_dir, is_it), key=lambda folder: ("raw" not in folder.name.lower(), str(folder)))


def read_clips(source: Source) -> Reading:
    """Read micro- and macro-expressions."""
    collector = Collector(NAME, source)
    files = table_files(source, r".*code_?final.*")
    table = read_bare_table(files[0], _COLUMNS, numeric="onset")
    subjects, videos = _keys(list(read_sheets(files[0]).values())[1:])
    trees = {
        (name_key(subject.name), found[1]): video
        for subject in folders(source.tree)
        for video in folders(subject)
        if (found := _VIDEO.fullmatch(video.name))
    }
    for row in table.rows:
        numbers = collector.numbers(row, "onset", "apex", "offset")
        if numbers is None:
            continue
        onset, apex, offset = numbers
        person = subjects.get(row.text("subject"), "")
        nickname = re.sub(r"_\d+$", "", row.text("clip"))
        code = videos.get(name_key(nickname), "")
        kind = row.text("type").lower()
        if not kind.startswith(("micro", "macro")):
            collector.problem(
                row.where, "micro-expression or macro-expression", repr(row.text("type")), "correct the cell"
            )
            continue
        collector.add_row(
            row,
            trees.get((name_key(person), code)),
            subject=person or row.text("subject"),
            name=f"{row.text('clip')}_{onset}",
            pool="micro" if kind.startswith("micro") else "macro",
            apex=apex or None,
            offset=offset or None,
            expected_folder=f"{person or 'of participant ' + row.text('subject')}/*_{code or '(code of ' + nickname + ')'}*",
        )
    return collector.reading()


def _keys(sheets: list[list[list[Any]]]) -> tuple[dict[str, str], dict[str, str]]:
    """Participant -> subject folder, and nickname -> video code, wherever in their sheets the columns stand."""
    subjects: dict[str, str] = {}
    videos: dict[str, str] = {}
    for row in (cells for sheet in sheets for cells in sheet):
        texts = [text for text in (cell_text(cell) for cell in row) if text]
        folder = next((text for text in texts if re.fullmatch(r"s\d+", text, re.IGNORECASE)), None)
        number = [text for text in texts if re.fullmatch(r"\d{1,3}", text)]
        code = next((text.zfill(4) for text in reversed(texts) if re.fullmatch(r"\d{3,4}", text)), None)
        words = [text for text in texts if re.search(r"[A-Za-z]", text) and text != folder]
        if folder and number:
            subjects[number[-1]] = folder
        elif code:
            videos.update({name_key(word): code for word in words})
    return subjects, videos

"""CAS(ME)^2: `rawpic/s15/15_0101disgustingteeth/img001.jpg` and `CAS(ME)^2code_final.xlsx`, three sheets without headers.

Sheet 1 gives a participant, the nickname of a video with a running number, frames, action units, emotion and type. The other
two map participants to folders (`s15`) and nicknames to the four digits after the first `_` of a folder name. As in published work,
an offset of 0 means that the movement ends at its apex; any other movement without onset or offset is incomplete.
"""

import re
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.base import ASK_CAS, Corpus, parse_pool
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.spans import numbered
from lightman_jax.data.folders.trees import find_folders, first_image, name_key, nested_folders
from lightman_jax.data.tables.table import cell_text, read_bare_table, read_sheets

_COLUMNS = ("subject", "clip", "onset", "apex", "offset", "action_units", "emotion", "type")
_VIDEO = r"\d+_\d{4}\D*.*"


def _find(data_dir: Path) -> list[Path]:
    """Folders of subject folders `s15` with long videos; raw images are preferred to cut ones."""
    found = find_folders(data_dir, lambda folder: any(map(first_image, nested_folders(folder, r"s\d+", _VIDEO))))
    return sorted(found, key=lambda folder: ("raw" not in folder.name.lower(), str(folder)))


def _read(collector: Collector) -> None:
    file = collector.first_table(r".*code_?final.*")
    table = read_bare_table(file, _COLUMNS, numeric="onset", anchor="type", is_anchor=parse_pool)
    collector.report_table(table)
    subjects, codes = _keys(list(read_sheets(file).values()))
    trees = collector.by_key(
        ((name_key(video.parent.name), video.name.split("_")[1][:4]), video)
        for video in nested_folders(collector.tree, ".*", _VIDEO)
    )
    for row in table.rows:
        participant, clip = row.text("subject"), row.text("clip")
        subject, nickname = subjects.get(participant, ""), re.sub(r"_\d+$", "", clip)
        code = codes.get(name_key(nickname), "")
        expected = f"{subject or f'of participant {participant}'}/*_{code or f'(code of {nickname})'}*"
        with collector.reporting():
            numbers, pool = collector.numbers(row), collector.pool(row)
            movement = {"subject": subject or participant, "name": numbered(clip, numbers), "pool": pool, **numbers}
            fields = {"cropped": "crop" in collector.tree.name.lower(), "long_video": True, "expected_folder": expected}
            collector.add_row(row, trees.get((name_key(subject), code)), **fields, **movement)


def _keys(sheets: list[list[list[Any]]]) -> tuple[dict[str, str], dict[str, str]]:
    """Subject folder by participant, and video code by nickname, whichever columns of the sheets hold them."""
    subjects: dict[str, str] = {}
    codes: dict[str, str] = {}
    for row in (cells for sheet in sheets for cells in sheet):
        texts = [text for text in (cell_text(cell) for cell in row) if text]
        if any(map(parse_pool, texts)):
            continue
        folder = next((text for text in texts if re.fullmatch(r"s\d+", text, re.IGNORECASE)), None)
        number = [text for text in texts if re.fullmatch(r"\d{1,3}", text)]
        code = next((text.zfill(4) for text in reversed(texts) if re.fullmatch(r"\d{3,4}", text)), None)
        if folder and number:
            subjects[number[-1]] = folder
        elif code:
            codes |= {name_key(text): code for text in texts if re.search(r"[A-Za-z]", text) and text != folder}
    return subjects, codes


CASME_SQUARED = Corpus(
    name="casme_squared",
    title="CAS(ME)^2",
    obtain=ASK_CAS,
    looked_for="CAS(ME)^2's own folders (rawpic/s15/15_0101disgustingteeth/img001.jpg) and its table "
    "(CAS(ME)^2code_final.xlsx)",
    find=_find,
    read=_read,
    subject_format="s{}",
    pools=("micro", "macro"),
    fps=30,
    emotions=dict.fromkeys(("negative", "others", "positive", "surprise"), 0),
    macro_clips=300,
    ends_at_apex=True,
)

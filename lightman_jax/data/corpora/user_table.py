"""Any other corpus: a table of one's own with the columns `clip, subject, label, onset, apex, offset, path`, csv or xlsx.

`clip, subject, label, path` are needed. `path`, relative to the table, is a folder of pictures, one picture, or a
film. Frame numbers are those in the pictures' names, and without them a clip is all of its pictures; in a film they
are counted from 1, and its onset and offset are needed. Further columns: `pool` (micro or macro, micro by default),
`action_units`, `fps`, and `box` (`top left side` of the face in the onset frame, pixels). MMI goes through this door.
"""

import re
from pathlib import Path

from lightman_jax.data.corpora.action_units import parse_action_units
from lightman_jax.data.corpora.catalog import normal_emotion
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import Pool, RawClip, Reading
from lightman_jax.data.corpora.tables import COLUMNS, Row, read_table
from lightman_jax.data.corpora.trees import PICTURES, TABLES, entries, walk

NAME = "table"
LOOKED_FOR = "a table of your own (csv or xlsx: clip, subject, label, path, and as they are known onset, apex, offset)"

_NEEDED = ("clip", "subject", "emotion", "path")
_WANTED = ("onset", "apex", "offset", "action_units", "rate", "pool", "face")
# A name becomes part of other names, of table cells that a spreadsheet may take for formulas, and of a report.
_PLAIN = re.compile(r"\w[\w .+()-]*")
_LONGEST_NAME, _LONGEST_PATH = 255, 1000
_DIGITS_OF_A_PLACE = 6
_VIDEOS = {".avi", ".mp4", ".mov", ".mkv", ".mpg", ".mpeg", ".webm", ".wmv"}


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Tables in the folder given."""
    return [path for folder in walk(data_dir, 1) for path in entries(folder) if path.suffix.lower() in TABLES]


def read_clips(source: Source) -> Reading:
    """Read every row of the table."""
    collector = Collector(NAME, source)
    table = read_table(source.tree, _NEEDED, _WANTED, clip=("clip", "filename"), emotion=("label", "emotion"))
    known = {name for field in (*_NEEDED, *_WANTED) for name in (*COLUMNS[field], "filename")}
    for column in table.header:
        if re.sub(r"[^a-z0-9]", "", column.lower()) not in known:
            allowed = "clip, subject, label, path, onset, apex, offset, pool, action_units, fps, box"
            collector.problem(
                source.tree.name, f"columns of {allowed}", column, "rename it; it is not read", lost=False
            )
    for row in table.rows:
        _add(collector, row, source)
    return collector.reading()


def _add(collector: Collector, row: Row, source: Source) -> None:
    name, subject, label = row.text("clip"), row.text("subject"), row.text("emotion")
    folder = source.tree.parent.resolve()
    place = row.text("path").replace("\\", "/")
    pool = row.text("pool").lower() or "micro"
    if not (name and subject and label):
        return collector.problem(
            row.where, "a clip, a subject and a label", f"{name!r}, {subject!r}, {label!r}", "fill the cells"
        )
    for word in (name, subject, label):
        if not _PLAIN.fullmatch(word):
            remedy = "rename it: letters, digits, blanks and .-+() after a first letter or digit"
            return collector.problem(row.where, "a plain name", repr(word), remedy)
    named = place.isprintable() and len(place) <= _LONGEST_PATH
    if not named or any(len(part.encode()) > _LONGEST_NAME for part in place.split("/")):
        return collector.problem(row.where, "a path", repr(place[:60]), "correct the cell")
    path = (folder / place).resolve()
    if not path.is_relative_to(folder):
        return collector.problem(
            row.where,
            f"a path below {folder}",
            str(path),
            "move the clips or the table, so that the table lies above them",
        )
    if pool not in ("micro", "macro"):
        return collector.problem(row.where, "pool micro or macro", repr(pool), "correct the cell; the clip is left out")
    rate, box = _rate(collector, row), _box(collector, row)
    which: Pool = "micro" if pool == "micro" else "macro"
    more = {"subject": subject, "pool": which, "rate": rate, "box": box, "expected_folder": str(path)}
    if path.is_dir() or not path.exists():
        return collector.add_row(row, path if path.is_dir() else None, **more)
    numbers = collector.numbers(row, "onset", "apex", "offset")
    if numbers is None:
        return None
    onset, apex, offset = numbers
    clip = RawClip(
        clip=f"table/{subject}/{name}",
        subject=f"table/{subject}",
        pool=which,
        kind="frames",
        paths=(path,),
        rate=rate or 0.0,
        emotion=normal_emotion(label),
        action_units=parse_action_units(row.text("action_units")),
        box=box,
    )
    if path.suffix.lower() in PICTURES:
        return collector.add(clip, row.where)
    if path.suffix.lower() not in _VIDEOS:
        allowed = ", ".join(sorted(PICTURES | _VIDEOS))
        return collector.problem(row.where, f"a folder, or a file of {allowed}", str(path), "correct the path")
    if onset is None or offset is None or not 1 <= onset < offset or (apex is not None and not onset <= apex <= offset):
        found = f"onset {onset}, apex {apex}, offset {offset}"
        return collector.problem(
            row.where, "1 <= onset <= apex <= offset for a film", found, "fill or correct the cells"
        )
    position = None if apex is None else apex - onset
    video = {"kind": "video", "numbers": tuple(range(onset, offset + 1)), "apex": position}
    return collector.add(RawClip(**{**vars(clip), **video}), row.where)


def _rate(collector: Collector, row: Row) -> float | None:
    text = row.text("rate")
    if re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        return float(text)
    if text:
        collector.problem(
            row.where, "a rate in pictures a second", repr(text), "correct the cell; taken as unknown", lost=False
        )
    return None


def _box(collector: Collector, row: Row) -> tuple[int, int, int] | None:
    text = row.text("face")
    numbers = re.findall(r"-?\d+", text)
    if len(numbers) == 3 and max(map(len, numbers)) < _DIGITS_OF_A_PLACE:
        return int(numbers[0]), int(numbers[1]), int(numbers[2])
    if text:
        collector.problem(
            row.where, "box as top left side", repr(text), "correct the cell; the face is looked for", lost=False
        )
    return None

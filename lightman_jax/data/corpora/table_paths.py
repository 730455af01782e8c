"""Names and paths in the rows of a user table: complete, safe, and found in other spellings."""

import re
import unicodedata
from pathlib import Path

from lightman_jax.data.corpora.base import parse_pool
from lightman_jax.data.folders.trees import below, entries, plain_name
from lightman_jax.data.records import LostClipError
from lightman_jax.data.tables.cells import cell_text
from lightman_jax.data.tables.table import Row

_MAX_PATH_PART = 255
# Names enter file names, reports, and table cells; a spreadsheet program takes these first letters for the begin of a formula.
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
_FORBIDDEN = "/\\<>\ufffd"
# Invisible, but part of words in Persian and Indian scripts.
_JOINERS = "\u200c\u200d"


def checked_path(row: Row, place: str, folder: Path, other_spelling: list[str]) -> Path:
    """The file or folder of a row whose names are complete and safe.

    Args:
      row: with the columns clip, subject, label and perhaps pool.
      place: its path as written, relative to the folder.
      folder: of the table.
      other_spelling: a path that only another spelling has is added to it.

    Raises:
      LostClipError: a name or the path is missing or unsafe, or the pool is unknown.
    """
    names, pool = [row.text(field) for field in ("clip", "subject", "label")], row.text("pool")
    if not all(names):
        found = ", ".join(repr(cell_text(row.cells[field])) for field in ("clip", "subject", "label"))
        remedy = "fill the cells; empty ones and marks such as nan, NA or None are missing"
        raise LostClipError(row.where, "a clip, a subject and a label", found, remedy)
    *ids, label = names
    # A label is no part of a path, and a number no formula.
    for name in (*ids, re.sub(r"^[+-](?=\d+([.,]\d+)?$)|/", "", label) or label):
        if fault := _name_fault(name):
            remedy = f"rename it without {fault}"
            raise LostClipError(
                row.where, "a plain name", ascii(name) if not name.isprintable() else repr(name), remedy
            )
    is_short = all(len(part.encode("utf-8", "replace")) <= _MAX_PATH_PART for part in place.split("/"))
    if not place or not is_short or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in place):
        raise LostClipError(row.where, "a path", repr(place[:60]), "correct the cell")
    path = located(folder, place, row.where)
    if path != (exact := _real(folder / place)):
        is_form = unicodedata.normalize("NFC", str(exact)) == unicodedata.normalize("NFC", str(path))
        texts = [(ascii if is_form else repr)(below(one, folder)) for one in (exact, path)]
        other_spelling.append(" is ".join(texts))
    if not path.is_relative_to(folder):
        remedy = "move the clips or the table, so that the clips lie below the folder of the table"
        raise LostClipError(row.where, f"a path below {folder}", str(path), remedy)
    if pool and not parse_pool(pool):
        raise LostClipError(row.where, "pool micro or macro", repr(pool), "correct the cell; the clip is left out")
    return path


def _name_fault(name: str) -> str:
    """What makes a name unfit for file names, reports and spreadsheets; empty if nothing does."""
    if name[0] in _FORMULA:
        return f"{name[0]} as first letter, which begins a formula in a spreadsheet"
    for letter in name:
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and letter not in _JOINERS:
            return f"the invisible letter {letter!a}"
        if letter in _FORBIDDEN:
            return f"{letter}, the mark of a letter lost in a conversion" if letter == "\ufffd" else letter
    return "" if name.strip(".") else "dots alone"


def located(folder: Path, place: str, where: str) -> Path:
    """The real path; parts that do not exist are searched for in another case and another form of Unicode.

    Raises:
      LostClipError: several files or folders differ in these alone.
    """
    path = folder
    for part in Path(place).parts:
        here = (path / part).exists()
        found = [] if here else [entry for entry in entries(path) if plain_name(entry.name) == plain_name(part)]
        if len(found) > 1:
            several = f"{found[0].name!r} and {found[1].name!r}"
            raise LostClipError(where, f"one file or folder {part!r}", several, "write the path as one of the two")
        path = found[0] if found else path / part
    return _real(path)


def _real(path: Path) -> Path:
    """A path without links to folders. A linked file keeps its name: those of content stores such as DVC's have no suffix."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name

"""Corrections of published annotation tables, by clip; each applies only if the table still holds the old value.

None is built in: public loaders list corrected frame numbers by row and without the replaced value, so that they cannot be
checked against another copy of the table. `--corrections` reads a table of corrections.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.records import DataError
from lightman_jax.data.tables.table import Row, read_table

FRAME_FIELDS = ("onset", "apex", "offset")
FIELDS = (*FRAME_FIELDS, "emotion", "action_units", "objective")


class Correction(NamedTuple):
    """One correction.

    Attributes:
      clip: `corpus/subject/clip`.
      field: one of `FIELDS`.
      old: value in the table, as text; empty if missing. The correction is skipped if the table has another value.
      new: value that replaces it.
      source: who found it.
    """

    clip: str
    field: str
    old: str
    new: str
    source: str = ""


def read_corrections(path: Path, report: Callable[[str], None] | None = None) -> tuple[Correction, ...]:
    """Read a table with the columns `clip, field, old, new, source`.

    Args:
      path: the table.
      report: called with each choice made in reading it, such as its encoding.

    Raises:
      DataError: the table or a row cannot be read, a row names a field that cannot be corrected, or a frame number is none.
    """
    names = {name: (name,) for name in ("clip", "field", "old", "new", "source")}
    table = read_table(path, ("clip", "field", "old", "new"), ("source",), **names).complete()
    if report:
        for note in table.notes:
            report(note)
    corrections = []
    for row in table.rows:
        field = row.text("field").lower()
        if field not in FIELDS:
            raise DataError(f"{row.where}: field {field!r} cannot be corrected; choose one of {', '.join(FIELDS)}")
        try:
            old, new = (_value(row, name, field) for name in ("old", "new"))
        except ValueError as error:
            raise DataError(f"{row.where}: {error}; {field} is a frame number") from error
        corrections.append(Correction(row.text("clip"), field, old, new, row.text("source")))
    return tuple(corrections)


def _value(row: Row, name: str, field: str) -> str:
    if field not in FRAME_FIELDS:
        return row.text(name)
    number = row.number(name)
    return "" if number is None else str(number)


def is_of(correction: Correction, clip: str) -> bool:
    """Whether a correction is of a clip; the two may be in different forms of Unicode."""
    return unicodedata.normalize("NFC", correction.clip) == unicodedata.normalize("NFC", clip)


def corrected(
    corrections: Sequence[Correction], clip: str, values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Changed values of a clip, and one sentence per correction, from the values as read, by field."""
    changes: dict[str, Any] = {}
    sentences = []
    for _, field, old, new, source in (one for one in corrections if is_of(one, clip)):
        current = values[field]
        if ("" if current is None else str(current)) != old:
            sentences.append(f"{clip}: {field} is {current!r}, not {old!r}; correction not applied")
            continue
        changes[field] = (int(new) if new else None) if field in FRAME_FIELDS else new
        sentences.append(f"{clip}: {field} {old or 'missing'} -> {new or 'missing'} {source}".strip())
    return changes, sentences

"""Corrections of published annotation tables, by clip; each applies only if the table still holds the old value.

None is built in: public loaders list corrected frame numbers by row and without the replaced value, so that they cannot be
checked against another copy of the table. `--corrections` reads a table of corrections.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.corpora.tables import read_table

FIELDS = ("onset", "apex", "offset", "emotion", "action_units", "objective")


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


def read_corrections(path: Path) -> tuple[Correction, ...]:
    """Read a table with the columns `clip, field, old, new, source`.

    Raises:
      DataError: the table cannot be read, or a row names a field that cannot be corrected.
    """
    names = {name: (name,) for name in ("clip", "field", "old", "new", "source")}
    table = read_table(path, ("clip", "field", "old", "new"), ("source",), **names)
    corrections = []
    for row in table.rows:
        field = row.text("field").lower()
        if field not in FIELDS:
            raise DataError(f"{row.where}: field {field!r} cannot be corrected; choose one of {', '.join(FIELDS)}")
        corrections.append(Correction(row.text("clip"), field, row.text("old"), row.text("new"), row.text("source")))
    return tuple(corrections)


def corrected(
    corrections: Sequence[Correction], clip: str, values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Changed values of a clip, and one sentence per correction, from the values as read, by field."""
    changes: dict[str, Any] = {}
    sentences = []
    for _, field, old, new, source in (one for one in corrections if one.clip == clip):
        current = values[field]
        if ("" if current is None else str(current)) != old:
            sentences.append(f"{clip}: {field} is {current!r}, not {old!r}; correction not applied")
            continue
        changes[field] = (int(new) if new else None) if field in ("onset", "apex", "offset") else new
        sentences.append(f"{clip}: {field} {old or 'missing'} -> {new or 'missing'} {source}".strip())
    return changes, sentences

"""Corrections of published annotation tables: keyed by clip, applied only where the old value stands, all switchable.

The frame numbers that loaders of the field correct are given there by row and without the value they replace, which
cannot be checked against another copy of a table. None of them is built in for that reason; a table of one's own is
read by `--corrections`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.corpora.tables import read_table

FIELDS = ("onset", "apex", "offset", "emotion", "action_units", "objective")


@dataclasses.dataclass(frozen=True)
class Correction:
    """One correction.

    Attributes:
      clip: `corpus/subject/clip`.
      field: one of `FIELDS`.
      old: what the table says, as text; empty for a missing value. Where it says something else nothing is changed.
      new: what is taken instead.
      source: who found it.
    """

    clip: str
    field: str
    old: str
    new: str
    source: str = ""


def read_corrections(path: Path) -> tuple[Correction, ...]:
    """Read corrections from a table with the columns `clip, field, old, new, source`.

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
    """The changes that corrections make to a clip's values, and a sentence on each.

    Args:
      corrections: all that are switched on.
      clip: `corpus/subject/clip`.
      values: by field, as read.
    """
    changes: dict[str, Any] = {}
    said = []
    for correction in corrections:
        if correction.clip != clip:
            continue
        standing = values[correction.field]
        if ("" if standing is None else str(standing)) != correction.old:
            said.append(f"{clip}: {correction.field} is {standing!r}, not {correction.old!r}; correction not applied")
            continue
        numeric = correction.field in ("onset", "apex", "offset")
        changes[correction.field] = (int(correction.new) if correction.new else None) if numeric else correction.new
        said.append(
            f"{clip}: {correction.field} {correction.old or 'missing'} -> {correction.new or 'missing'} {correction.source}".strip()
        )
    return changes, said

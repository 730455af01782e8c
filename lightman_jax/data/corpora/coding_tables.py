"""Choice among the annotation tables of a corpus: where they are, and which of several are read."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from lightman_jax.data.corpora.base import parse_pool
from lightman_jax.data.folders.trees import find_files
from lightman_jax.data.records import DataError
from lightman_jax.data.tables.table import Row, Table

_LEVELS = 4


def table_files(data_dir: Path, tree: Path, pattern: str) -> list[Path]:
    """Tables whose names match a pattern: in the given folder and near the images in it, or else above it, or far below."""
    found = find_files(data_dir, pattern, depth=2)
    for level, folder in enumerate(tree.absolute().parents[:_LEVELS]):
        if found and not folder.is_relative_to(data_dir):
            break
        # Far above the images, only the folder itself is searched.
        found += [file for file in find_files(folder, pattern, depth=(1, 1, 0, 0)[level]) if file not in found]
    return found or find_files(data_dir, pattern, depth=5)


def read_all(
    files: Sequence[Path], read: Callable[[Path], Table], key: Callable[[Row], Hashable | None]
) -> tuple[list[Table], str]:
    """The tables to read, and a sentence on the choice; empty without a choice.

    Tables without a common row are parts of one table. Of tables that list the same clips, the most complete one is read: the one
    with the most columns, then with the most clips.

    Args:
      files: the candidates.
      read: raises a `DataError` for a file without the needed columns.
      key: the movement of a row; None in rows of notes.

    Raises:
      DataError: none of the files can be read.
    """
    tables: list[tuple[Table, set[Hashable]]] = []
    passed = []
    for file in files:
        try:
            table = read(file)
        except DataError as error:
            passed.append(f"not read: {error}")
        else:
            tables.append((table, {key(row) for row in table.rows} - {None}))
    if not tables:
        raise DataError("; ".join(passed).replace("not read: ", ""))
    parts: list[Table] = []
    known: set[Hashable] = set()
    for table, keys in sorted(tables, key=lambda pair: (len(pair[0].absent), -len(pair[1]))):
        if parts and known & keys:
            more = len(keys - known)
            passed.append(f"{table.path.name} lists the same clips" + (f" and {more} more" if more else ""))
        else:
            parts.append(table)
            known |= keys
    names = ", ".join(table.path.name for table in parts)
    choice = f"read the table {names}; {'; '.join(passed) or 'no two list the same clip'}"
    return parts, choice if len(files) > 1 else ""


def with_pools(table: Table, field: str, note: Callable[[str], None]) -> Table:
    """The table; without the cells of `field`, which a note states, if none of them is a pool."""
    if field not in table.columns or any(parse_pool(row.text(field)) for row in table.rows):
        return table
    note(f"the column {table.columns[field]} names neither micro nor macro; it is not read")
    return dataclasses.replace(table, rows=tuple(Row(row.where, {**row.cells, field: None}) for row in table.rows))

"""Choice among the annotation tables of a corpus: where they are, and which of several are read."""

import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.corpora.tables import Row, Table
from lightman_jax.data.corpora.trees import find_files


def table_files(data_dir: Path, tree: Path, pattern: str) -> list[Path]:
    """Tables whose names match a pattern: in the given folder, or else near the images, above them, or deeper."""
    above = [folder for folder in (tree.parent, tree.parent.parent) if folder != folder.parent]
    return (
        find_files(data_dir, pattern)
        or next(filter(None, (find_files(folder, pattern, depth=1) for folder in above)), [])
        or find_files(data_dir, pattern, depth=5)
    )


def read_all(
    files: Sequence[Path], read: Callable[[Path], Table], key: Callable[[Row], Hashable]
) -> tuple[list[Table], str]:
    """The first readable table and the tables that add to it, and a sentence on the choice; empty without a choice.

    Tables without a common row are parts of one table. Of tables that list the same clips, the first is read.

    Args:
      files: the candidates, the preferred one first.
      read: raises a `DataError` for a file without the needed columns.
      key: the movement of a row; false in rows of notes.

    Raises:
      DataError: none of the files can be read.
    """
    parts: list[Table] = []
    passed, errors = [], []
    known: set[Hashable] = set()
    for file in files:
        try:
            table = read(file)
        except DataError as error:
            errors.append(str(error))
            passed.append(f"{file.name} is not such a table")
            continue
        keys = {key(row) for row in table.rows if key(row)}
        if parts and known & keys:
            more = len(keys - known)
            passed.append(f"{file.name} lists the same clips" + (f" and {more} more" if more else ""))
        else:
            parts.append(table)
            known |= keys
    if not parts:
        raise DataError("; ".join(errors))
    names = ", ".join(table.path.name for table in parts)
    return parts, f"read the table {names}; {'; '.join(passed) or 'no two list the same clip'}" if len(
        files
    ) > 1 else ""


def pattern_words(pattern: str) -> str:
    """A pattern of file names as a user would write it.

    >>> pattern_words(r"(train|test).*"), pattern_words(r"casme[ _-]?(2|ii).*objective.*")
    ('(train|test)*', 'casme(2|ii)*objective*')
    """
    return re.sub(r"\[[^]]*\]\??|\(\?[!=][^)]*\)+|\\", "", pattern).replace(".*", "*").replace("?", "")

"""Where a release's annotation table lies: found by the name of its file, read by the names of its columns."""

from collections.abc import Sequence
from pathlib import Path

from lightman_jax.data.corpora.catalog import CORPORA
from lightman_jax.data.corpora.reader import Collector, Source
from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.corpora.tables import Table, read_table
from lightman_jax.data.corpora.trees import TABLES, find_files


def table_files(source: Source, pattern: str) -> list[Path]:
    """Tables of a release by the pattern of their names, in the folder given or beside the pictures.

    Raises:
      DataError: there is none.
    """
    files = find_files(source.data_dir, pattern, TABLES) or find_files(source.tree.parent, pattern, TABLES, depth=0)
    if not files:
        raise DataError(
            f"{source.data_dir} has no annotation table of {CORPORA[source.corpus].title}; "
            f"looked for {pattern} as xlsx, xls or csv. Put the table of the release beside its pictures"
        )
    return files


def coding_table(
    collector: Collector,
    source: Source,
    pattern: str,
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    optional: Sequence[str] = (),
    **aliases: tuple[str, ...],
) -> Table:
    """The annotation table of a release, by the name of its file; says what columns it lacks and which other copies there are.

    Raises:
      DataError: no such file, or none of them has the columns needed.
    """
    files = table_files(source, pattern)
    errors = []
    for file in files:
        try:
            table = read_table(file, needed, wanted, optional, **aliases)
        except DataError as error:
            errors.append(str(error))
            continue
        collector.missing_columns(table)
        if len(files) > 1:
            collector.note(f"of {', '.join(f.name for f in files)} the table {file.name} was read")
        return table
    raise DataError("; ".join(errors))

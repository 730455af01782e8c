"""Readers of facial-expression corpora, from a downloaded folder to clip records. One file per corpus."""

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightman_jax.data.corpora import flow_release
from lightman_jax.data.corpora.base import Corpus
from lightman_jax.data.corpora.corrections import Correction
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.records import MARKER, DataError, Reading


def read_corpus(
    dataset: str,
    data_dir: Path | Sequence[Path],
    corrections: Sequence[Correction] = (),
    *,
    incomplete: Literal["skip", "keep"] = "skip",
) -> Reading:
    """Find and read a dataset below a folder; there is at least one clip or problem.

    Args:
      dataset: a name in `DATASETS` or `CORPORA`.
      data_dir: the folder, or several folders with parts of the flow releases.
      corrections: corrections of the annotation tables.
      incomplete: whether to skip or keep clips without an onset or an offset; see `spans.completed`.

    Raises:
      DataError: a folder does not exist, holds no clip of the dataset, or is one of several that are no flow releases.
    """
    given = [data_dir] if isinstance(data_dir, Path) else list(data_dir)
    title = (DATASETS.get(dataset) or CORPORA[dataset]).title
    corpora = [CORPORA[name] for name in (DATASETS[dataset].corpora if dataset in DATASETS else (dataset,))]
    obtain = "; ".join(corpus.obtain for corpus in corpora)
    if missing := [folder for folder in given if not folder.is_dir()]:
        raise DataError(
            f"the folder {missing[0]} does not exist. Give --data_dir the folder that holds {title}. To get it: {obtain}"
        )
    of_release = [corpus for corpus in corpora if corpus.name in flow_release.CORPORA]
    if len(given) > 1:
        if not of_release:
            names = ", ".join(map(str, given))
            raise DataError(f"{title} has no flow release, so it is read from one folder; found {names}; choose one")
        given = flow_release.in_order(given)
    data_dir, several = given[0], tuple(given) if len(given) > 1 else ()
    released = [flow_release.released(corpus, several) for corpus in of_release]
    # Either images of every corpus or flow of every corpus: a mixture could not be compared.
    for candidates in (released,) if several else (corpora, released):
        found = [_read_first(corpus, data_dir, tuple(corrections), incomplete == "keep") for corpus in candidates]
        readings = [reading for reading in found if reading is not None and (reading.clips or reading.problems)]
        if readings:
            pairs = zip(of_release if candidates is released else corpora, found, strict=True)
            notes = [f"no clip of {corpus.title} was found" for corpus, one in pairs if one not in readings]
            if candidates is corpora and any(corpus.find(data_dir) for corpus in released):
                notes.append("the public flow release in the folder is not used: images are read")
            reading = _joined(readings)
            marked = any(_is_marked(folder, readings) for folder in given)
            return dataclasses.replace(reading, folders=several, notes=(*reading.notes, *notes), stand_in=marked)
    looked_for = " or ".join(dict.fromkeys(corpus.looked_for for corpus in (*corpora, *released)))
    entries = sorted(path.name for path in data_dir.iterdir())
    listed = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    raise DataError(
        f"{data_dir} holds no clip of {title}. Looked for {looked_for}; found {listed or 'nothing'}. To get it: {obtain}. "
        "Without --data_dir the command runs on synthetic stand-in clips"
    )


def _read_first(
    corpus: Corpus, data_dir: Path, corrections: tuple[Correction, ...], keep_incomplete: bool
) -> Reading | None:
    trees = corpus.find(data_dir)
    if not trees:
        return None
    collector = Collector(data_dir, trees[0], corpus, corrections, keep_incomplete=keep_incomplete)
    corpus.read(collector)
    reading = collector.reading()
    if len(trees) == 1:
        return reading
    others = ", ".join(str(tree) for tree in trees[1:4]) + (f" and {len(trees) - 4} more" if len(trees) > 4 else "")
    return dataclasses.replace(reading, notes=(*reading.notes, f"read {trees[0]}; other copies are not used: {others}"))


def _joined(readings: Sequence[Reading]) -> Reading:
    layout = "+".join(dict.fromkeys(reading.layout for reading in readings))
    fields = ("clips", "problems", "notes", "corrections")
    joined: dict[str, Any] = {
        name: tuple(dict.fromkeys(itertools.chain(*(getattr(reading, name) for reading in readings))))
        for name in fields
    }
    return dataclasses.replace(readings[0], layout=layout, **joined)


def _is_marked(data_dir: Path, readings: Sequence[Reading]) -> bool:
    """Whether `MARKER` lies in the given folder or above it, or above the first clip of a reading."""
    paths = [clip.paths[0] for reading in readings for clip in reading.clips[:1]]
    above = {parent for path in (data_dir / "x", *paths) for parent in Path(os.path.abspath(path)).parents}
    return any((folder / MARKER).exists() for folder in above)

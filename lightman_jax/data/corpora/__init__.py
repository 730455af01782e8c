"""One file a layout: the tree of a real download in, clip records out."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lightman_jax.data.corpora import (
    casme,
    casme3,
    casme_squared,
    ck_plus,
    dfme,
    fer2013,
    flow_release,
    fourdme,
    mmew,
    oulu_casia,
    samm,
    samm_long,
    smic,
    smic_e,
    user_table,
)
from lightman_jax.data.corpora.catalog import CORPORA, MARKER, PROTOCOLS
from lightman_jax.data.corpora.corrections import Correction
from lightman_jax.data.corpora.reader import Source
from lightman_jax.data.corpora.records import DataError, Reading

_LAYOUTS: dict[str, tuple[ModuleType, ...]] = {
    "smic": (smic, flow_release),
    "smic_vis": (smic,),
    "smic_nir": (smic,),
    "smic_e": (smic_e,),
    "smic_e_vis": (smic_e,),
    "smic_e_nir": (smic_e,),
    "casme": (casme,),
    "casme2": (casme, flow_release),
    "samm": (samm, flow_release),
    "samm_long": (samm_long,),
    "mmew": (mmew,),
    "casme_squared": (casme_squared,),
    "casme3": (casme3,),
    "casme3_c": (casme3,),
    "4dme": (fourdme,),
    "dfme": (dfme,),
    "ck_plus": (ck_plus,),
    "oulu_casia": (oulu_casia,),
    "fer2013": (fer2013,),
    "table": (user_table,),
}


def read_corpus(dataset: str, data_dir: Path, corrections: Sequence[Correction] = ()) -> Reading:
    """Find and read a dataset below a folder, whichever of its layouts is there.

    Args:
      dataset: a name in `PROTOCOLS` or `CORPORA`.
      data_dir: the folder a researcher points at.
      corrections: corrections of the tables.

    Returns:
      The reading, with at least one clip or one problem.

    Raises:
      DataError: the folder is missing, or holds no layout of the dataset.
    """
    corpora = PROTOCOLS[dataset].corpora if dataset in PROTOCOLS else (dataset,)
    title = PROTOCOLS[dataset].title if dataset in PROTOCOLS else CORPORA[dataset].title
    obtain = "; ".join(CORPORA[name].obtain for name in corpora)
    if not data_dir.is_dir():
        raise DataError(
            f"the folder {data_dir} does not exist. Give --data_dir the folder that holds {title}. To get it: {obtain}"
        )
    # One layout for all: a composite of raw pictures in one corpus and the release's flow in another compares nothing.
    for release in (False, True):
        found = [_read_one(name, data_dir, tuple(corrections), release=release) for name in corpora]
        readings = [reading for reading in found if reading is not None and (reading.clips or reading.problems)]
        if readings:
            return dataclasses.replace(_merged(readings), stand_in=_is_marked(data_dir, readings))
    looked_for = " or ".join(dict.fromkeys(layout.LOOKED_FOR for name in corpora for layout in _LAYOUTS.get(name, ())))
    entries = sorted(path.name for path in data_dir.iterdir())
    listed = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    raise DataError(
        f"{data_dir} holds no clip of {title}. Looked for {looked_for}; found {listed or 'nothing'}. To get it: {obtain}. "
        "Without --data_dir the command runs on invented stand-in clips"
    )


def _read_one(corpus: str, data_dir: Path, corrections: tuple[Correction, ...], *, release: bool) -> Reading | None:
    layouts = [layout for layout in _LAYOUTS.get(corpus, ()) if (layout is flow_release) == release]
    trees = layouts[0].find(data_dir, corpus) if layouts else []
    if not trees:
        return None
    reading: Reading = layouts[0].read_clips(Source(data_dir, trees[0], corpus, corrections))
    if len(trees) == 1:
        return reading
    others = ", ".join(str(tree) for tree in trees[1:4])
    return dataclasses.replace(reading, notes=(*reading.notes, f"read {trees[0]}; other copies are not used: {others}"))


def _merged(readings: Sequence[Reading]) -> Reading:
    if len(readings) == 1:
        return readings[0]
    return Reading(
        layout="+".join(dict.fromkeys(reading.layout for reading in readings)),
        root=readings[0].root,
        clips=tuple(clip for reading in readings for clip in reading.clips),
        problems=tuple(problem for reading in readings for problem in reading.problems),
        notes=tuple(note for reading in readings for note in reading.notes),
        corrections=tuple(correction for reading in readings for correction in reading.corrections),
    )


def _is_marked(data_dir: Path, readings: Sequence[Reading]) -> bool:
    """A marker at the folder given, above it, or above the first clip makes the whole reading invented."""
    paths = [clip.paths[0] for reading in readings for clip in reading.clips[:1]]
    above = {parent for path in (data_dir / "x", *paths) for parent in Path(os.path.abspath(path)).parents}
    return any((folder / MARKER).exists() for folder in above)

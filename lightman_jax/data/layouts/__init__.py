"""One file a layout: the tree of a real download in, clip records out."""

import dataclasses
from pathlib import Path

from lightman_jax.data.catalog import CORPORA, MARKER, PROTOCOLS
from lightman_jax.data.clips import DataError, Reading
from lightman_jax.data.layouts import flow_release, smic

_LAYOUTS = {"smic": (smic, flow_release), "casme2": (flow_release,), "megc2019": (flow_release,)}


def read_corpus(dataset: str, data_dir: Path) -> Reading:
    """Find and read a dataset below a folder, whichever of its layouts is there.

    Args:
      dataset: a name in `PROTOCOLS`.
      data_dir: the folder a researcher points at.

    Returns:
      The reading, with at least one clip or one problem.

    Raises:
      DataError: the folder is missing, or holds no layout of the dataset.
    """
    protocol = PROTOCOLS[dataset]
    obtain = "; ".join(CORPORA[name].obtain for name in protocol.corpora)
    if not data_dir.is_dir():
        raise DataError(
            f"the folder {data_dir} does not exist. Give --data_dir the folder that holds {protocol.title}. To get it: {obtain}"
        )
    looked_for = " or ".join(layout.LOOKED_FOR for layout in _LAYOUTS[dataset])
    for layout in _LAYOUTS[dataset]:
        root = layout.find(data_dir)
        if root is None:
            continue
        reading = layout.read_clips(root, protocol.corpora)
        if reading.clips or reading.problems:
            return dataclasses.replace(reading, stand_in=_is_marked(root))
    entries = sorted(path.name for path in data_dir.iterdir())
    found = (
        ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "") if entries else "nothing"
    )
    raise DataError(
        f"{data_dir} holds no clip of {protocol.title}. Looked for {looked_for}; found {found}. To get the corpus: {obtain}. "
        "Without --data_dir the command runs on invented stand-in clips"
        + (" of SMIC (--dataset=smic)." if dataset != "smic" else ".")
    )


def _is_marked(root: Path) -> bool:
    return any((folder / MARKER).exists() for folder in (root, *root.resolve().parents))

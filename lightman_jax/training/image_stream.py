"""Images of drawn clips, read from files on the host while the devices compute."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightman_jax.types import ImageArray

CALL_BYTES = 64 << 20
"""Most bytes of images that one call of a program takes, unless a single step needs more.

Choice: four such blocks are in memory: one in use, one on its way to the device, one read ahead and one being read.
"""


class ImageStream:
    """Reads the images of rows; macro clips are counted from the number of micro clips.

    Args:
      micro: images of the micro clips.
      macro: images of the macro clips, or None without.
    """

    def __init__(self, micro: ImageArray, macro: ImageArray | None) -> None:
        self._pools = [(micro, 0), *([] if macro is None else [(macro, len(micro))])]

    def read(self, rows: Any) -> NDArray[Any]:
        """Images of rows of any shape; a row that occurs several times is read once."""
        rows = np.asarray(rows)
        found, place = np.unique(rows, return_inverse=True)
        pool = self._pools[0][0]
        images = np.empty((rows.size, *pool.shape[1:]), pool.dtype)
        for clips, first in self._pools:
            own = np.flatnonzero((found >= first) & (found < first + len(clips)))
            read = clips[found[own] - first]
            # Straight to their places, so that memory holds the images that were read and the result.
            target = np.flatnonzero(np.isin(place.ravel(), own))
            images[target] = read[np.searchsorted(own, place.ravel()[target])]
        return images.reshape(*rows.shape, *pool.shape[1:])

    def ahead(self, rows: Sequence[NDArray[np.int32]]) -> Iterator[NDArray[Any]]:
        """Images of several arrays of rows in turn, of which the next is read while the current one is in use."""
        import grain  # Takes 0.2 s, and is needed for images in files only.

        source = grain.MapDataset.source(rows).map(self.read)
        return iter(source.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)))

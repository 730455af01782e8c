"""Images in array_record files, read when they are indexed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_READ_AT_ONCE = 64

Records = Callable[[Sequence[int]], Sequence[NDArray[Any]]]


class StoredImages:
    """Images `[n, ...]` of records, indexed as a NumPy array by rows, and by further axes of the images that are read.

    Results that are costly to compute from all images can be kept in `memo`, since the images do not change.

    Args:
      read: images of the given records; called by several threads.
      shape: `(n, ...)`.
      dtype: of the images.
    """

    def __init__(self, read: Records, shape: tuple[int, ...], dtype: Any) -> None:
        self._read, self.shape, self.dtype, self.ndim = read, shape, np.dtype(dtype), len(shape)
        self.memo: dict[Any, Any] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if isinstance(key, tuple):
            rows, *inner = key
            found = self[rows]
            return found[(*([slice(None)] if found.ndim == self.ndim else []), *inner)]
        numbers = np.arange(len(self))[key]
        images = np.empty((numbers.size, *self.shape[1:]), self.dtype)
        for first in range(0, numbers.size, _READ_AT_ONCE):
            read = self._read(numbers.ravel()[first : first + _READ_AT_ONCE].tolist())
            for place, image in enumerate(read, start=first):
                images[place] = image
        return images.reshape(*numbers.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("stored images cannot be read without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

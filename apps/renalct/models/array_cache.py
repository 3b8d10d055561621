"""Arrays in files, mapped into memory when they are needed: a bounded number, and a bounded size in all."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_FILES = 256  # each mapped file keeps a file descriptor, of which a process has about a thousand
_MEGABYTE = 1 << 20


class ArrayCache:
    """Memory maps of the `.npy` files that were read last; the oldest are closed when there are too many.

    The pages of a map belong to the operating system, which shares them among processes.
    """

    def __init__(self, limit_mb: float = 4096.0, most_files: int = _MOST_FILES) -> None:
        self._limit, self._most_files = limit_mb * _MEGABYTE, most_files
        self._open: OrderedDict[Path, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def read(self, path: Path) -> NDArray[Any]:
        """The array in a file, read-only."""
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        array: NDArray[Any] = np.load(path, mmap_mode="r")
        self._open[path] = array
        self._bytes += array.nbytes
        while len(self._open) > 1 and (len(self._open) > self._most_files or self._bytes > self._limit):
            _, oldest = self._open.popitem(last=False)
            self._bytes -= oldest.nbytes
        return array

    @property
    def files(self) -> int:
        """How many files are mapped."""
        return len(self._open)

    @property
    def megabytes(self) -> float:
        """The size of the mapped arrays."""
        return self._bytes / _MEGABYTE

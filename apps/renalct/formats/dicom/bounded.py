"""Data sets read within bounds: a file that claims millions of elements is damaged, and is given up in a second."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO, cast

from pydicom import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

_MOST_ELEMENTS = 20_000
"""Elements at the top of a data set; real headers have hundreds, with all private ones some thousands."""
_MOST_READS = 1_000_000
"""Reads for all elements, those in sequences included: an enhanced image of 2,000 frames needs less than half of it."""
_MOST_ZEROS = 1_000
"""Elements of nothing but zeros in a row, as which a file of zeros reads."""
_LARGE = 1 << 24
_NOTHING = bytes(8)
_PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


class TooManyElements(ValueError):
    """A file has more elements than any image: zeros, or other noise, read as a header."""


def read_dataset(
    stream: BinaryIO, *, stop_before_pixels: bool = False, specific_tags: Sequence[str] | None = None
) -> Dataset:
    """The data set of a stream, with or without a file's preamble and meta information.

    Raises `TooManyElements`, and what pydicom raises for damaged data.
    """
    seen = 0

    def enough(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal seen
        seen += 1
        if seen > _MOST_ELEMENTS:
            raise TooManyElements(f"more than {_MOST_ELEMENTS} elements")
        return stop_before_pixels and tag in _PIXEL_DATA

    tags: list[BaseTag | int] | None = None if specific_tags is None else [Tag(keyword) for keyword in specific_tags]
    dataset = read_partial(cast(BinaryIO, _CountedReads(stream)), stop_when=enough, force=True, specific_tags=tags)
    dataset.buffer = None  # the stream is closed long before the data set is done with
    return dataset


class _CountedReads:
    """A stream that allows a number of reads; what else it can do is what pydicom asks of a file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read, self._left, self._zeros = stream.read, _MOST_READS, 0
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left for a negative one."""
        self._left -= 1
        found = self._read(size if size < _LARGE else min(size, self._size_left()))
        if found:
            self._zeros = self._zeros + 1 if found == _NOTHING else 0
        if self._left < 0 or self._zeros > _MOST_ZEROS:
            raise TooManyElements(f"more than {_MOST_READS} reads, or {_MOST_ZEROS} empty elements in a row")
        return found

    def _size_left(self) -> int:
        """Bytes to the end: a length that the file cannot hold takes no memory."""
        here = self.tell()
        left = self.seek(0, io.SEEK_END) - here
        self.seek(here)
        return left

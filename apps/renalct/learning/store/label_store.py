"""The label store: all of its parts on one folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from renalct.learning.store.images import Images
from renalct.learning.store.leases import Leases
from renalct.learning.store.reviews import Reviews
from renalct.learning.store.scores import Scores
from renalct.learning.store.versions import Versions


class LabelStore(Images, Versions, Reviews, Leases, Scores):
    """Labels of images in a folder, made there if need be; nothing that was acknowledged is ever lost.

    The folder holds `labels.sqlite3` (SQLite in WAL mode, synchronous) and `blobs/` (files by the sha256 of their
    content). Any number of threads, processes and servers of one machine may use it at once; the folder must lie on a
    local disk. `clock` gives the time in seconds since 1970; leases end by it.

    Methods raise `InputError` for what was given (an id, a tag, a step that is not allowed) and `OutputError` when the
    disk is full or cannot be written; then nothing was changed.
    """

    def __init__(self, folder: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(Path(folder), clock)

    @property
    def folder(self) -> Path:
        """Where the store is."""
        return self._folder

    def close(self) -> None:
        """Close the connections of this process; the store can be used again, and opens new ones."""
        self._database.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self._folder, self._clock)


def _opened(folder: Path, clock: Callable[[], float]) -> LabelStore:
    return LabelStore(folder, clock=clock)

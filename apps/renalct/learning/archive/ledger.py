"""What is known of the archive's segmentations and series, in a database beside the label store."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from renalct.learning.store.connections import Connections

DATABASE = "archive.sqlite3"
_LOCK = "archive.lock"
_FIRST_PAUSE_S = 60.0
_LONGEST_PAUSE_S = 24 * 3600.0
_TABLES = """
CREATE TABLE IF NOT EXISTS sent (image TEXT, number INTEGER, series TEXT, PRIMARY KEY (image, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed (
    image TEXT, number INTEGER, tries INTEGER, again_at REAL, reason TEXT, PRIMARY KEY (image, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    series TEXT PRIMARY KEY, instances TEXT, reason TEXT, waits_for TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unusable (series TEXT PRIMARY KEY, reason TEXT) WITHOUT ROWID;
"""


class Failure(NamedTuple):
    """A version whose segmentation the archive did not take: how often it was tried, and why not."""

    image_id: str
    number: int
    tries: int
    reason: str


class Seen(NamedTuple):
    """A segmentation series that was dealt with: the instances that it had then.

    `reason` says why it was not taken in, `waits_for` names the image series that are not known yet.
    """

    instances: tuple[str, ...]
    reason: str = ""
    waits_for: tuple[str, ...] = ()


class Ledger:
    """The ledger of one label store; several threads and processes may use it.

    It can be lost: what was sent is sent again under the same UIDs, and what was taken in is recognized.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lock_file = folder / _LOCK
        self._clock = clock
        self._database = Connections(folder / DATABASE, prepare=_prepare)

    @contextmanager
    def exchange(self) -> Iterator[bool]:
        """Within it, whether this is the only exchange with the archive by any thread or process; False: another is."""
        with self._lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def mark_sent(self, image_id: str, number: int, *, series_instance_uid: str) -> None:
        """Note that a version is in the archive; "" for one that has nothing to send."""
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", (image_id, number, series_instance_uid))
            db.execute("DELETE FROM failed WHERE image = ? AND number = ?", (image_id, number))

    def sent(self) -> frozenset[tuple[str, int]]:
        """Image and number of every version that is in the archive."""
        with self._database.reading() as db:
            return frozenset(
                (str(image), int(number)) for image, number in db.execute("SELECT image, number FROM sent")
            )

    def sent_series(self) -> frozenset[str]:
        """The series in which versions are in the archive."""
        with self._database.reading() as db:
            return frozenset(str(series) for (series,) in db.execute("SELECT series FROM sent"))

    def mark_failed(self, image_id: str, number: int, *, reason: str) -> None:
        """Note that the archive did not take a version. It is tried again after a pause, which doubles each time."""
        with self._database.writing() as db:
            where = (image_id, number)
            row = db.execute("SELECT tries FROM failed WHERE image = ? AND number = ?", where).fetchone()
            tries = 1 + (int(row[0]) if row else 0)
            again_at = self._clock() + min(_FIRST_PAUSE_S * 2 ** (tries - 1), _LONGEST_PAUSE_S)
            db.execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?, ?)", (*where, tries, again_at, reason))

    def failures(self) -> tuple[Failure, ...]:
        """The versions that the archive did not take."""
        with self._database.reading() as db:
            rows = db.execute("SELECT image, number, tries, reason FROM failed ORDER BY image, number")
            return tuple(Failure(*row) for row in rows)

    def resting(self) -> frozenset[tuple[str, int]]:
        """Image and number of the versions that are not to be tried again yet."""
        with self._database.reading() as db:
            rows = db.execute("SELECT image, number FROM failed WHERE again_at > ?", (self._clock(),))
            return frozenset((str(image), int(number)) for image, number in rows)

    def mark_seen(self, series_instance_uid: str, seen: Seen) -> None:
        """Note that a segmentation series was dealt with as it is now."""
        row = (series_instance_uid, " ".join(seen.instances), seen.reason, " ".join(seen.waits_for))
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", row)

    def seen(self) -> dict[str, Seen]:
        """The segmentation series that were dealt with."""
        with self._database.reading() as db:
            rows = db.execute("SELECT series, instances, reason, waits_for FROM seen").fetchall()
        return {str(row[0]): Seen(tuple(row[1].split()), str(row[2]), tuple(row[3].split())) for row in rows}

    def mark_unusable(self, series_instance_uid: str, *, reason: str) -> None:
        """Note that a CT series can be no image to label."""
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO unusable VALUES (?, ?)", (series_instance_uid, reason))

    def unusable(self) -> dict[str, str]:
        """The CT series that are no images to label, and why."""
        with self._database.reading() as db:
            return {str(series): str(reason) for series, reason in db.execute("SELECT series, reason FROM unusable")}

    def close(self) -> None:
        """Close the connections of this process."""
        self._database.close()


def _prepare(db: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        db.execute(statement)

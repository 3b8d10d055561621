"""What every part of the store stands on: its folder, its database, its clock, and the audit log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.store.blobs import BlobFolder
from renalct.learning.store.connections import Connections
from renalct.learning.store.names import checked_id, shown
from renalct.learning.store.records import AuditEntry
from renalct.learning.store.schema import migrate

DATABASE = "labels.sqlite3"


class StoreBase:
    """A folder with a database and files, and the log of what was done to them."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = Path(folder)
        self._clock = clock
        self._blobs = BlobFolder(self._folder)
        self._database = Connections(self._folder / DATABASE, prepare=migrate)

    def record(self, action: str, *, by: str, image_id: str = "", detail: str = "") -> None:
        """Add a line to the audit log; the store itself adds one for everything that changes it."""
        with self._database.writing() as db:
            self._log(db, action, by=by, image_id=image_id, detail=detail)

    def audit(
        self, *, image_id: str = "", action: str = "", by: str = "", since: float = 0.0, last: int | None = None
    ) -> tuple[AuditEntry, ...]:
        """The lines of the audit log in their order, narrowed as asked; with `last` only so many of the newest."""
        wanted = {"image_id": image_id, "action": action, "by": by}
        given = {column: value for column, value in wanted.items() if value}
        where = " AND ".join(["at >= ?", *(f"{column} = ?" for column in given)])
        query = f"SELECT number, at, by, action, image_id, detail FROM audit WHERE {where} ORDER BY number DESC LIMIT ?"
        with self._database.reading() as db:
            rows = db.execute(query, (since, *given.values(), -1 if last is None else last)).fetchall()
        return tuple(AuditEntry(*row) for row in reversed(rows))

    def _log(self, db: sqlite3.Connection, action: str, *, by: str, image_id: str = "", detail: str = "") -> None:
        db.execute(
            "INSERT INTO audit (at, by, action, image_id, detail) VALUES (?, ?, ?, ?, ?)",
            (self._clock(), by, action, image_id, detail),
        )


def row_of(db: sqlite3.Connection, image_id: str) -> int:
    """The row of an image in the database. Raises `InputError` when it is not registered."""
    found = db.execute("SELECT id FROM images WHERE image_id = ?", (checked_id(image_id),)).fetchone()
    if found is None:
        raise InputError(f"there is no image {shown(image_id)} in the label store; register it first")
    return int(found[0])

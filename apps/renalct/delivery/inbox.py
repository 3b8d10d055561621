"""What senders gave us: every instance on the disk before it is acknowledged, and when a study is complete."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from renalct.delivery.inbox_state import InboxState, open_studies
from renalct.delivery.service_settings import Bounds, Patience


@dataclass(frozen=True, eq=False)
class Received:
    """An instance as it came: its identifiers, a hash of its data set and transfer syntax, and the file to keep.

    `is_ct` says that it is a CT image, which a finished study can be opened again for.
    """

    study_instance_uid: str
    sop_instance_uid: str
    content: str
    file: bytes = field(repr=False)
    is_ct: bool = True


class Reception(Enum):
    """What became of an instance."""

    STORED = "stored"  # it is on the disk
    DUPLICATE = "duplicate"  # the same was here already
    CONFLICT = "conflict"  # another data set is kept under its UID
    FULL = "full"  # there is no room for it now; nothing was kept


class Inbox:
    """The receiving side of an `InboxState`. Safe for the threads of many associations.

    Two data sets with one SOP Instance UID: the first is kept, for ever, and the second is a conflict, unless it is
    the same in the same transfer syntax, which makes it a duplicate. A duplicate whose file was deleted meanwhile is
    kept again, and opens nothing: the study was analysed with it.
    """

    def __init__(self, state: InboxState, *, bounds: Bounds | None = None, patience: Patience | None = None) -> None:
        self._state = state
        self._bounds = bounds or Bounds()
        self._patience = patience or Patience()
        self._gate = threading.Lock()
        self._on_their_way = 0

    def receive(self, instance: Received) -> Reception:
        """What became of an instance; it is durable when this returns.

        Raises `OutputError` when the disk or the database cannot be written; then the sender has to keep it.
        """
        with self._state.database.reading() as db:
            known = _known(db, instance.sop_instance_uid)
            if known is not None and (known.content != instance.content or known.held):
                return _reception_of(known, instance)
            if not self._has_begun(db, instance) and not self._may_begin(db):
                return Reception.FULL
        with self._room(len(instance.file)) as granted:
            if not granted:
                return Reception.FULL
            while (reception := self._keep(instance, self._state.blobs.put(instance.file))) is None:
                pass  # an older copy was deleted just after it was found to be there
        return reception

    def ended(self, study_instance_uids: Iterable[str], *, broken: bool) -> None:
        """An association that brought instances of these studies ended, and no other that does is open.

        `broken`: it was aborted or lost, not released.
        """
        quiet_s = self._patience.quiet_broken_s if broken else self._patience.quiet_s
        due_at = self._state.clock() + quiet_s
        with self._state.database.writing() as db:
            for uid in study_instance_uids:
                db.execute(
                    "UPDATE studies SET due_at = ?, arriving = ? WHERE uid = ? AND due_at IS NOT NULL",
                    (due_at, broken, uid),
                )

    def recover(self) -> int:
        """How many studies were not whole when the service was stopped; their senders get time to come again.

        Studies whose associations had been released keep their quiet time.
        """
        due_at = self._state.clock() + self._patience.quiet_broken_s
        with self._state.database.writing() as db:
            query = "UPDATE studies SET due_at = ? WHERE due_at IS NOT NULL AND arriving"
            return db.execute(query, (due_at,)).rowcount

    def _keep(self, instance: Received, digest: str) -> Reception | None:
        """Record an instance whose file was put into the inbox; None when the file is not there any more."""
        with self._state.database.writing() as db:
            known = _known(db, instance.sop_instance_uid)
            if known is not None and known.content != instance.content:
                return Reception.CONFLICT
            if not self._state.blobs.has(digest):
                return None
            if known is None:
                self._add(db, instance, digest)
                return Reception.STORED
            self._keep_again(db, instance, digest)
            return Reception.DUPLICATE

    def _has_begun(self, db: sqlite3.Connection, instance: Received) -> bool:
        row = db.execute("SELECT id FROM studies WHERE uid = ?", (instance.study_instance_uid,)).fetchone()
        return row is not None and row[0] in open_studies(db)

    def _may_begin(self, db: sqlite3.Connection) -> bool:
        return len(open_studies(db)) < self._bounds.max_studies

    @contextmanager
    def _room(self, size_bytes: int) -> Iterator[bool]:
        """Whether there is room for so many bytes, which nobody else is given meanwhile."""
        with self._gate, self._state.database.reading() as db:
            held_bytes = int(db.execute("SELECT bytes FROM held").fetchone()[0])
            more = self._on_their_way + size_bytes
            free_bytes = shutil.disk_usage(self._state.folder).free
            granted = held_bytes + more <= self._bounds.max_bytes and free_bytes - more >= self._bounds.min_free_bytes
            if granted:
                self._on_their_way += size_bytes
        try:
            yield granted
        finally:
            if granted:
                with self._gate:
                    self._on_their_way -= size_bytes

    def _add(self, db: sqlite3.Connection, instance: Received, digest: str) -> None:
        now = self._state.clock()
        uid = instance.study_instance_uid
        db.execute("INSERT OR IGNORE INTO studies (uid, first_at, last_at) VALUES (?, ?, ?)", (uid, now, now))
        study, due_at = db.execute("SELECT id, due_at FROM studies WHERE uid = ?", (uid,)).fetchone()
        had_runs = db.execute("SELECT 1 FROM runs WHERE study = ? LIMIT 1", (study,)).fetchone() is not None
        if instance.is_ct or due_at is not None or not had_runs:
            due_at = now + self._patience.quiet_open_s
        db.execute("UPDATE studies SET due_at = ?, last_at = ?, arriving = 1 WHERE id = ?", (due_at, now, study))
        db.execute(
            "INSERT INTO instances (sop_instance_uid, study, content, file, bytes, held, received_at) "
            "VALUES (?, ?, ?, ?, ?, 1, ?)",
            (instance.sop_instance_uid, study, instance.content, digest, len(instance.file), now),
        )

    def _keep_again(self, db: sqlite3.Connection, instance: Received, digest: str) -> None:
        now = self._state.clock()
        db.execute(
            "UPDATE instances SET held = 1, file = ?, received_at = ? WHERE sop_instance_uid = ?",
            (digest, now, instance.sop_instance_uid),
        )
        db.execute("UPDATE studies SET last_at = ? WHERE uid = ?", (now, instance.study_instance_uid))


@dataclass(frozen=True)
class _Known:
    content: str
    held: bool


def _known(db: sqlite3.Connection, sop_instance_uid: str) -> _Known | None:
    query = "SELECT content, held FROM instances WHERE sop_instance_uid = ?"
    row = db.execute(query, (sop_instance_uid,)).fetchone()
    return None if row is None else _Known(row[0], bool(row[1]))


def _reception_of(known: _Known, instance: Received) -> Reception:
    return Reception.DUPLICATE if known.content == instance.content else Reception.CONFLICT

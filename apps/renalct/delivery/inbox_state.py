"""What the parts of an inbox share: its folder, its database, its files, its clock, and the names of its studies."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path

from renalct.learning.store.blobs import BlobFolder
from renalct.learning.store.connections import Connections
from renalct.learning.store.schema import migrate
from renalct.runs.status import study_hash

DATABASE = "inbox.sqlite3"
OWNER = "inbox"


class RunState(StrEnum):
    """Where a run of a study is. Every run ends in one of the last three."""

    WAITING = "waiting"  # complete, and not yet analysed
    RUNNING = "running"  # a worker analyses it
    ANALYSED = "analysed"  # its results are on the disk, and not yet with the outbox
    DONE = "done"  # its results are with the outbox, or it has none to send
    FAILED = "failed"  # set aside, with its reason
    SUPERSEDED = "superseded"  # more images came before it began; a later run has them all


OPEN_STATES = (RunState.WAITING, RunState.RUNNING, RunState.ANALYSED)

_FIRST = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE studies (
        id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, first_at REAL NOT NULL, last_at REAL NOT NULL,
        due_at REAL, arriving INTEGER NOT NULL DEFAULT 1)""",
    "CREATE INDEX studies_by_due ON studies (due_at) WHERE due_at IS NOT NULL",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, study INTEGER NOT NULL REFERENCES studies (id), number INTEGER NOT NULL,
        identity TEXT NOT NULL, state TEXT NOT NULL, starts INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '', code TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '', made_at REAL NOT NULL, ended_at REAL,
        UNIQUE (study, number), UNIQUE (study, identity))""",
    "CREATE INDEX runs_by_state ON runs (state)",
    """CREATE TABLE instances (
        sop_instance_uid TEXT PRIMARY KEY, study INTEGER NOT NULL REFERENCES studies (id),
        run INTEGER REFERENCES runs (id), content TEXT NOT NULL, file TEXT NOT NULL, bytes INTEGER NOT NULL,
        held INTEGER NOT NULL, received_at REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX instances_by_study ON instances (study, held)",
    "CREATE TABLE held (one INTEGER PRIMARY KEY CHECK (one = 1), files INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO held VALUES (1, 0, 0)",
    """CREATE TRIGGER held_more AFTER INSERT ON instances WHEN NEW.held BEGIN
        UPDATE held SET files = files + 1, bytes = bytes + NEW.bytes; END""",
    """CREATE TRIGGER held_less AFTER DELETE ON instances WHEN OLD.held BEGIN
        UPDATE held SET files = files - 1, bytes = bytes - OLD.bytes; END""",
    """CREATE TRIGGER held_changed AFTER UPDATE OF held ON instances WHEN OLD.held <> NEW.held BEGIN
        UPDATE held SET files = files + NEW.held - OLD.held, bytes = bytes + (NEW.held - OLD.held) * NEW.bytes; END""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Statements that lead from each schema version to the next; append, never change what stands."""


class InboxState:
    """A folder with a database of studies, instances and runs, and with the received files.

    Everything is on the disk when a method that changes it returns. Several threads may use it; of processes one at a
    time may change it (`renalct serve` holds a lock), and others may read it.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = Path(folder)
        self.clock = clock
        self.blobs = BlobFolder(self.folder, owner=OWNER)
        self.database = Connections(
            self.folder / DATABASE, prepare=partial(migrate, migrations=MIGRATIONS, owner=OWNER), owner=OWNER
        )
        self.salt = self._made_once("salt", secrets.token_hex(16))

    def label(self, study_instance_uid: str) -> str:
        """The name of a study in logs and statuses, which tells nothing to whoever has not the salt of this folder."""
        return study_hash(study_instance_uid, salt=self.salt)

    def fact(self, name: str) -> str:
        """Something that the service noted of itself, "" where it did not."""
        with self.database.reading() as db:
            found = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return found[0] if found else ""

    def note(self, name: str, value: str) -> None:
        """Note something of the service itself."""
        with self.database.writing() as db:
            db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the database; a later use opens it anew."""
        self.database.close()

    def _made_once(self, name: str, value: str) -> str:
        with self.database.writing() as db:
            db.execute("INSERT OR IGNORE INTO facts (name, value) VALUES (?, ?)", (name, value))
        return self.fact(name)


def open_studies(db: sqlite3.Connection) -> set[int]:
    """The rows of the studies that are being received, wait, run, or are on their way to the outbox."""
    marks = ", ".join("?" * len(OPEN_STATES))
    rows = db.execute(
        f"SELECT id FROM studies WHERE due_at IS NOT NULL UNION SELECT study FROM runs WHERE state IN ({marks})",
        OPEN_STATES,
    )
    return {int(row[0]) for row in rows}

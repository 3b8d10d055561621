"""The tables of the queue, and a row of it as a value."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from renalct.delivery.instances import Instance
from renalct.delivery.queue_records import Queued, State

_FIRST = (
    """CREATE TABLE objects (
        number INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, sop_instance_uid TEXT NOT NULL,
        sop_class_uid TEXT NOT NULL, transfer_syntax_uid TEXT NOT NULL, study_instance_uid TEXT NOT NULL,
        series_instance_uid TEXT NOT NULL, modality TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        study TEXT NOT NULL, state TEXT NOT NULL, queued_at REAL NOT NULL, changed_at REAL NOT NULL,
        not_before REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, checks INTEGER NOT NULL DEFAULT 0,
        committed INTEGER NOT NULL DEFAULT 0, status INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '', revision INTEGER NOT NULL DEFAULT 0,
        UNIQUE (destination, sop_instance_uid))""",
    "CREATE INDEX objects_by_state ON objects (destination, state, attempts, number)",
    "CREATE INDEX objects_by_content ON objects (sha256)",
    "CREATE TABLE pauses (destination TEXT PRIMARY KEY, failures INTEGER, until REAL, reason TEXT) WITHOUT ROWID",
    "CREATE TABLE transactions (uid TEXT PRIMARY KEY, destination TEXT, asked_at REAL) WITHOUT ROWID",
)  # fmt: skip

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Statements that lead from each schema version to the next; append, never change what stands."""

_UIDS = ("sop_instance_uid", "sop_class_uid", "transfer_syntax_uid", "study_instance_uid", "series_instance_uid")
_OF_INSTANCE = (*_UIDS, "modality")
_OWN = (
    "number", "destination", "sha256", "size_bytes", "study", "state", "queued_at", "changed_at", "not_before",
    "attempts", "checks", "committed", "status", "reason", "note", "revision",
)  # fmt: skip
COLUMNS = ", ".join((*_OF_INSTANCE, *_OWN))
_CHANGING = (
    "sha256", "size_bytes", "state", "queued_at", "changed_at", "not_before", "attempts", "checks", "committed",
    "status", "reason", "note",
)  # fmt: skip


def queued_of(row: Sequence[Any]) -> Queued:
    """The value of a row with `COLUMNS`."""
    count = len(_OF_INSTANCE)
    values = dict(zip(_OWN, row[count:], strict=True))
    values["state"], values["committed"] = State(values["state"]), bool(values["committed"])
    return Queued(instance=Instance(*row[:count]), **values)


def insert(db: sqlite3.Connection, queued: Queued) -> bool:
    """Whether the object is new for its destination, and now in the queue; its number is chosen by the database."""
    names = [name for name in _OWN if name != "number"]
    values = [getattr(queued.instance, name) for name in _OF_INSTANCE] + [_plain(queued, name) for name in names]
    marks = ", ".join("?" * len(values))
    return bool(
        db.execute(
            f"INSERT INTO objects ({', '.join((*_OF_INSTANCE, *names))}) VALUES ({marks}) ON CONFLICT DO NOTHING",
            values,
        ).rowcount
    )


def update(db: sqlite3.Connection, queued: Queued) -> bool:
    """Whether the row was as it was when `queued` was read, and is now as `queued` says."""
    assignments = ", ".join(f"{name} = ?" for name in _CHANGING)
    values = [_plain(queued, name) for name in _CHANGING]
    return bool(
        db.execute(
            f"UPDATE objects SET {assignments}, revision = revision + 1 WHERE number = ? AND revision = ?",
            (*values, queued.number, queued.revision),
        ).rowcount
    )


def _plain(queued: Queued, name: str) -> Any:
    value = getattr(queued, name)
    return value.value if isinstance(value, State) else value

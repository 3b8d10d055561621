"""The tables of the store, and how an older database becomes the newest: one tuple of statements per schema version."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from renalct.core.errors import InputError

_IMMUTABLE = tuple(
    f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table} are only ever added'); END"
    for table in ("versions", "audit")
    for action in ("UPDATE", "DELETE")
)

_FIRST = (
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE images (
        id INTEGER PRIMARY KEY, image_id TEXT NOT NULL UNIQUE, location TEXT NOT NULL, sha256 TEXT NOT NULL,
        patient TEXT NOT NULL, series_instance_uid TEXT NOT NULL, study_instance_uid TEXT NOT NULL,
        content_key TEXT NOT NULL, registered_at REAL NOT NULL, reads INTEGER NOT NULL DEFAULT 1,
        pool_from INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'unassigned', comment TEXT NOT NULL DEFAULT '', level TEXT NOT NULL DEFAULT '',
        state_by TEXT NOT NULL DEFAULT '', state_at REAL, state_version INTEGER)""",
    "CREATE INDEX images_by_state ON images (state)",
    "CREATE INDEX images_by_content ON images (content_key)",
    """CREATE TABLE versions (
        image INTEGER NOT NULL REFERENCES images (id), tag TEXT NOT NULL, number INTEGER NOT NULL,
        sha256 TEXT NOT NULL, suffix TEXT NOT NULL, committed_at REAL NOT NULL, parent INTEGER,
        author TEXT NOT NULL, tool TEXT NOT NULL, model TEXT NOT NULL, comment TEXT NOT NULL, seconds REAL,
        info_json TEXT NOT NULL, uploaded TEXT NOT NULL, presence TEXT NOT NULL,
        PRIMARY KEY (image, tag, number)) WITHOUT ROWID""",
    "CREATE INDEX versions_by_author ON versions (author, tag, image)",
    """CREATE TABLE pointers (
        tag TEXT NOT NULL, image INTEGER NOT NULL REFERENCES images (id), number INTEGER NOT NULL,
        PRIMARY KEY (tag, image)) WITHOUT ROWID""",
    """CREATE TABLE leases (
        id INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES images (id), client TEXT NOT NULL,
        purpose TEXT NOT NULL, granted_at REAL NOT NULL, expires_at REAL NOT NULL, ended_at REAL,
        outcome TEXT NOT NULL DEFAULT '')""",
    "CREATE UNIQUE INDEX leases_open ON leases (image, client) WHERE outcome = ''",
    "CREATE INDEX leases_by_client ON leases (client, image)",
    "CREATE INDEX leases_by_expiry ON leases (expires_at) WHERE outcome = ''",
    """CREATE TABLE repeats (
        image INTEGER PRIMARY KEY REFERENCES images (id), after INTEGER NOT NULL, planned_at REAL NOT NULL)""",
    """CREATE TABLE scores (
        model TEXT NOT NULL, scorer TEXT NOT NULL, content_key TEXT NOT NULL, value REAL NOT NULL,
        why_json TEXT NOT NULL, PRIMARY KEY (model, scorer, content_key)) WITHOUT ROWID""",
    """CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, by TEXT NOT NULL, action TEXT NOT NULL,
        image_id TEXT NOT NULL, detail TEXT NOT NULL)""",
    "CREATE INDEX audit_by_image ON audit (image_id)",
    *_IMMUTABLE,
)  # fmt: skip

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Statements that lead from each schema version to the next; append, never change what stands."""


def migrate(
    connection: sqlite3.Connection,
    *,
    migrations: Sequence[Sequence[str]] | None = None,
    owner: str = "label store",
) -> None:
    """Bring a database to the newest schema in one transaction, or leave it as it was.

    `migrations` are the statements that lead from each version to the next (those of the label store). Raises
    `InputError` for a database that a newer renalct has written.
    """
    migrations = MIGRATIONS if migrations is None else migrations
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)  # another process may have been faster
        if found > len(migrations):
            raise InputError(
                f"the {owner} has schema version {found} and this renalct knows {len(migrations)}; update renalct"
            )
        for statements in migrations[found:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

"""Connections to the store's database: one for each use at a time, across threads and processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from renalct.core.errors import InputError, OutputError

BUSY_SECONDS = 60.0
_SETTINGS = (
    "PRAGMA synchronous = FULL",  # every commit is on the disk before it is acknowledged
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
)
_CHECKPOINT_PAGES = 1000


class Connections:
    """A pool of connections to one database file.

    A connection is used by one thread at a time. Before this process forks, the pool waits for those in use and
    closes all: SQLite keeps its locks per process, and a child must not inherit them. `owner` says in messages whose
    database it is.
    """

    def __init__(
        self, path: Path, *, prepare: Callable[[sqlite3.Connection], None], owner: str = "label store"
    ) -> None:
        self._path = path
        self._owner = owner
        self._idle: list[sqlite3.Connection] = []
        self._gate = threading.Condition()
        self._in_use = 0
        self._shut = False
        with translated(path.parent, owner=owner):
            connection = self._opened()
            try:
                _retried(lambda: _use_write_ahead_log(connection, path, owner))
                prepare(connection)
            except BaseException:
                connection.close()
                raise
        self._idle.append(connection)
        _close_before_forks(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose statements each see what is committed when they start."""
        with translated(self._path.parent, owner=self._owner), self._borrowed() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection whose statements all see one state of the database."""
        with self.reading() as connection, _transaction(connection, lambda: connection.execute("BEGIN")):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction that is durable when the block ends, and undone when it raises."""
        with self.reading() as connection, _transaction(connection, lambda: _begin_to_write(connection)):
            yield connection

    def close(self) -> None:
        """Close what is idle; a later use opens anew."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._gate:
            self._gate.wait_for(lambda: not self._shut, timeout=BUSY_SECONDS)
            self._in_use += 1
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._opened()
            try:
                yield connection
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                self._idle.append(connection)
                raise
            self._idle.append(connection)
        finally:
            with self._gate:
                self._in_use -= 1
                self._gate.notify_all()

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for setting in _SETTINGS:
            connection.execute(setting)
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        return connection

    def before_fork(self) -> None:
        """Let nobody in, wait for who is in, close all. The gate stays shut until the fork is done."""
        self._gate.acquire()
        self._shut = True
        if self._gate.wait_for(lambda: self._in_use == 0, timeout=BUSY_SECONDS):
            self.close()

    def after_fork_in_parent(self) -> None:
        """Open the gate again."""
        self._shut = False
        self._gate.notify_all()
        self._gate.release()

    def after_fork_in_child(self) -> None:
        """Start with a gate of its own and no connection."""
        self._gate = threading.Condition()
        self._in_use = 0
        self._shut = False


@contextmanager
def translated(folder: Path, *, owner: str = "label store") -> Iterator[None]:
    """Within it, what SQLite and the system refuse becomes an `OutputError` with a sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(_sentence(error, f"{owner} {folder}")) from error


def _sentence(error: sqlite3.Error, place: str) -> str:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return f"no space is left for the {place}; nothing was changed: free some, and try again"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return f"the {place} cannot be written (permission denied); give this user the right to write it"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"the {place} was busy for {BUSY_SECONDS:.0f} s; nothing was changed: try again"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"the database of the {place} is damaged ({error}); put back its last backup"
    return f"the {place} could not be used ({error}); nothing was changed"


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: Callable[[], object]) -> Iterator[None]:
    begin()
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def _begin_to_write(connection: sqlite3.Connection) -> None:
    """Wait for the one write lock in short steps: SQLite's own grow to 100 ms, and many writers would all sleep."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        _retried(lambda: connection.execute("BEGIN IMMEDIATE"), pause_s=0.002)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_SECONDS)}")


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path, owner: str = "label store") -> None:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    _refuse_mode(mode, path.parent, owner)


def _refuse_mode(mode: str, folder: Path, owner: str = "label store") -> None:
    if mode != "wal":
        raise InputError(
            f"{folder} lies on a file system without shared memory (a network share?), on which the {owner} cannot "
            "be safe; choose a folder on a local disk"
        )


def _retried(action: Callable[[], object], *, pause_s: float = 0.01) -> None:
    """Do what SQLite refuses at once, without waiting, while another process does the same."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            busy = (getattr(error, "sqlite_errorname", "") or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(pause_s)


def _close_before_forks(pool: Connections) -> None:
    """Register the pool for forks of this process; a pool that is gone is passed over."""
    reference = weakref.ref(pool)

    def tell(method: Callable[[Connections], None]) -> Callable[[], None]:
        def call() -> None:
            alive = reference()
            if alive is not None:
                method(alive)

        return call

    os.register_at_fork(
        before=tell(Connections.before_fork),
        after_in_parent=tell(Connections.after_fork_in_parent),
        after_in_child=tell(Connections.after_fork_in_child),
    )

"""What the queue stands on: its folder, its database, its files, and the locks of its senders."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from renalct.delivery.dead_letters import show_dead_letters
from renalct.delivery.queue_records import Queued, State
from renalct.delivery.queue_tables import COLUMNS, MIGRATIONS, queued_of, update
from renalct.formats.durable import held
from renalct.learning.store.blobs import BlobFolder, refused_writes
from renalct.learning.store.connections import Connections
from renalct.learning.store.schema import migrate

DATABASE = "queue.sqlite3"
DEAD_LETTERS = "dead-letters"
_LOCKS = "locks"
_OWNER = "queue"


class QueueBase:
    """A folder with a database and files."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = Path(folder)
        self._clock = clock
        is_new = not self.folder.exists()
        self._blobs = BlobFolder(self.folder, owner=_OWNER)
        with refused_writes(self.folder):
            if is_new:
                self.folder.chmod(0o700)
            for name in (_LOCKS, DEAD_LETTERS):
                (self.folder / name).mkdir(exist_ok=True)
        prepare = partial(migrate, migrations=MIGRATIONS, owner=_OWNER)
        self._database = Connections(self.folder / DATABASE, prepare=prepare, owner=_OWNER)
        self._show_dead_letters()

    def close(self) -> None:
        """Close what is open; a later use opens it again."""
        self._database.close()

    def now(self) -> float:
        """The time by the clock of this queue."""
        return self._clock()

    def content(self, queued: Queued) -> Path:
        """The file of an object, whose content was checked just now; never write into it.

        Raises `InputError` when it is not there any more, or damaged.
        """
        return self._blobs.path(queued.sha256)

    def change(self, *changed: Queued) -> bool:
        """Keep objects as they are now, made by `replace()` from what was read; durable when it returns.

        False when one has been changed by somebody else meanwhile: then that one stays as it is.
        """
        now, kept = self._clock(), True
        with self._database.writing() as db:
            for queued in changed:
                kept &= update(db, replace(queued, changed_at=now))
        if any(queued.state is State.DEAD for queued in changed):
            self._show_dead_letters()
        return kept

    def sender_of(self, destination: str) -> AbstractContextManager[bool]:
        """Within it nobody else sends to the destination; False when somebody else does just now.

        A process that is killed holds nothing.
        """
        name = f"{hashlib.sha256(destination.encode()).hexdigest()[:16]}.lock"
        return held(self.folder / _LOCKS / name, seconds=0)

    def _selected(self, where: str, values: Sequence[object] = (), *, order: str = "number") -> tuple[Queued, ...]:
        with self._database.reading() as db:
            return self._rows(db, where, values, order=order)

    def _rows(
        self, db: sqlite3.Connection, where: str, values: Sequence[object] = (), *, order: str = "number"
    ) -> tuple[Queued, ...]:
        query = f"SELECT {COLUMNS} FROM objects WHERE {where} ORDER BY {order}"
        return tuple(queued_of(row) for row in db.execute(query, tuple(values)).fetchall())

    def _show_dead_letters(self) -> None:
        dead = self._selected("state = ?", (State.DEAD.value,))
        with refused_writes(self.folder):
            show_dead_letters(self.folder / DEAD_LETTERS, dead, content=self.content)

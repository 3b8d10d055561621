"""What an inbox may forget: images and results that were delivered, what failed long ago, files that nobody needs."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from renalct.delivery.inbox_state import OPEN_STATES, InboxState, RunState
from renalct.delivery.service_settings import Retention


@dataclass(frozen=True)
class OnTheirWay:
    """The studies (by their salted hash) with results that are still being sent, and those with some given up."""

    undelivered: Collection[str] = ()
    given_up: Collection[str] = ()


@dataclass(frozen=True)
class _Held:
    """A study with files in the inbox and no run that is open: since when it rests, and whether a run of it failed."""

    study: int
    label: str
    rests_since: float
    failed: bool


class Keeping:
    """Applies a `Retention`; `results` is the folder of the results, by the names of their runs."""

    def __init__(self, state: InboxState, results: Path, *, retention: Retention | None = None) -> None:
        self._state = state
        self._results = results
        self._retention = retention or Retention()

    def clean(self) -> int:
        """Remove files that no record knows, which a stop left behind; how many. Nobody may be receiving yet."""
        with self._state.database.writing() as db:
            used = {row[0] for row in db.execute("SELECT file FROM instances WHERE held")}
            return self._state.blobs.remove_unused(used, older_than_s=0.0)

    def sweep(self, on_their_way: Callable[[], OnTheirWay]) -> int:
        """How many studies' images and results were deleted, because they were kept long enough."""
        with self._state.database.reading() as db:
            resting = _resting(db, self._state.label)
        if not resting:
            return 0
        sending = on_their_way()
        due = [study for study in resting if self._may_go(study, sending)]
        return sum(self._delete_files(study) for study in due)

    def forget(self) -> int:
        """How many studies were forgotten: nothing of them is held, and their record is old."""
        if self._retention.records_s is None:
            return 0
        before = self._state.clock() - self._retention.records_s
        query = (
            "SELECT id FROM studies WHERE last_at < ? AND due_at IS NULL AND NOT EXISTS (SELECT 1 FROM instances "
            f"WHERE study = studies.id AND held) AND NOT EXISTS ({_OPEN_RUNS})"
        )
        with self._state.database.writing() as db:
            old = db.execute(query, (before, *OPEN_STATES)).fetchall()
            for table, column in (("instances", "study"), ("runs", "study"), ("studies", "id")):
                db.executemany(f"DELETE FROM {table} WHERE {column} = ?", old)
        return len(old)

    def _may_go(self, study: _Held, sending: OnTheirWay) -> bool:
        if study.label in sending.undelivered:
            return False
        failed = study.failed or study.label in sending.given_up
        age_s = self._retention.failed_s if failed else self._retention.delivered_s
        return age_s is not None and study.rests_since <= self._state.clock() - age_s

    def _delete_files(self, study: _Held) -> bool:
        """First the results, then the record, then the images: a copy that comes in between is recorded, and kept.

        What a stop leaves undone is done by the next sweep or by `clean`.
        """
        with self._state.database.writing() as db:
            if study not in _resting(db, self._state.label):
                return False
            query = "SELECT sop_instance_uid, file FROM instances WHERE study = ? AND held"
            held = db.execute(query, (study.study,)).fetchall()
            for folder in self._results.glob(f"{study.label}-*"):
                shutil.rmtree(folder, ignore_errors=True)
            db.execute("UPDATE instances SET held = 0 WHERE study = ? AND held", (study.study,))
        with self._state.database.writing() as db:
            for uid, file in held:
                row = db.execute("SELECT held FROM instances WHERE sop_instance_uid = ?", (uid,)).fetchone()
                if row is None or not row[0]:
                    self._state.blobs.remove(file)
        return True


_OPEN_RUNS = f"SELECT 1 FROM runs WHERE study = studies.id AND state IN ({', '.join('?' * len(OPEN_STATES))})"


def _resting(db: sqlite3.Connection, label: Callable[[str], str]) -> list[_Held]:
    """The studies with files, of which nothing is being received, waits or runs."""
    query = (
        "SELECT id, uid, max(last_at, coalesce((SELECT max(ended_at) FROM runs WHERE study = studies.id), 0)), "
        "coalesce((SELECT state FROM runs WHERE study = studies.id ORDER BY number DESC LIMIT 1), '') "
        "FROM studies WHERE due_at IS NULL AND EXISTS (SELECT 1 FROM instances WHERE study = studies.id AND held) "
        f"AND NOT EXISTS ({_OPEN_RUNS})"
    )
    rows = db.execute(query, OPEN_STATES).fetchall()
    return [_Held(study, label(uid), float(since), state == RunState.FAILED) for study, uid, since, state in rows]

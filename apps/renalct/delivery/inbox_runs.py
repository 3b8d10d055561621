"""The studies of an inbox on their way through the analysis: every complete set of images runs once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from renalct.core.errors import ErrorCode
from renalct.delivery.inbox_state import InboxState, RunState
from renalct.delivery.service_settings import Attempts
from renalct.runs.status import Outcome, StudyStatus


@dataclass(frozen=True)
class Run:
    """One analysis of one set of images of a study.

    `study` is its salted hash, `number` counts the runs of the study from 1, `identity` is a hash of the images that
    belong to it, `files` are their sha256 in the inbox.
    """

    id: int
    study: str
    number: int
    identity: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """What logs and folders call it."""
        return f"{self.study}-{self.number}"


class RunQueue:
    """The state machine of runs: waiting > running > analysed > done, each step one durable transaction.

    A study whose images all came is one run. Images that come later make another run of all images, with a number and
    an identity of its own; a run that had not begun by then is superseded. The same set of images never runs twice.
    """

    def __init__(self, state: InboxState, *, attempts: Attempts | None = None) -> None:
        self._state = state
        self._attempts = attempts or Attempts()

    def recover(self) -> int:
        """How many runs were under way when the service was stopped; they wait again."""
        with self._state.database.writing() as db:
            return _move(db, RunState.RUNNING, to=RunState.WAITING)

    def close_complete(self) -> int:
        """How many studies became complete, each a new run, because nothing came for them for their quiet time."""
        now = self._state.clock()
        with self._state.database.writing() as db:
            due = db.execute("SELECT id FROM studies WHERE due_at <= ? ORDER BY due_at, id", (now,)).fetchall()
            for (study,) in due:
                self._make_run(db, study, now)
        return len(due)

    def next_run(self) -> Run | None:
        """The run that has waited longest, running from now on; None when none waits.

        A run that was started too often without an end is set aside instead.
        """
        with self._state.database.writing() as db:
            db.execute(
                "UPDATE runs SET state = ?, ended_at = ? WHERE state = ? AND EXISTS (SELECT 1 FROM runs AS later "
                "WHERE later.study = runs.study AND later.number > runs.number)",
                (RunState.SUPERSEDED, self._state.clock(), RunState.WAITING),
            )
            while True:
                row = db.execute(
                    "SELECT id, starts FROM runs WHERE state = ? ORDER BY deaths, id LIMIT 1", (RunState.WAITING,)
                ).fetchone()
                if row is None:
                    return None
                run, starts = row
                if starts < self._attempts.most_starts:
                    db.execute("UPDATE runs SET state = ?, starts = starts + 1 WHERE id = ?", (RunState.RUNNING, run))
                    return self._run(db, run)
                reason = f"the analysis was started {starts} times, and the service was stopped before it ended"
                self._fail(db, run, ErrorCode.BUG, reason)

    def analysed_runs(self) -> tuple[Run, ...]:
        """The runs whose results are on the disk and not yet with the outbox, oldest first."""
        with self._state.database.reading() as db:
            rows = db.execute("SELECT id FROM runs WHERE state = ? ORDER BY id", (RunState.ANALYSED,)).fetchall()
            return tuple(self._run(db, run) for (run,) in rows)

    def analysed(self, run: Run, status: StudyStatus) -> None:
        """The analysis of a run ended with a status, and its folder is durable; a failed one is set aside."""
        with self._state.database.writing() as db:
            failed = status.outcome is Outcome.FAILED
            db.execute(
                "UPDATE runs SET state = ?, outcome = ?, code = ?, reason = ?, ended_at = ? WHERE id = ? AND state = ?",
                (RunState.FAILED if failed else RunState.ANALYSED, status.outcome, status.code, status.reason,
                 self._state.clock(), run.id, RunState.RUNNING),
            )  # fmt: skip

    def done(self, run: Run) -> None:
        """The results of a run are with the outbox."""
        with self._state.database.writing() as db:
            db.execute(
                "UPDATE runs SET state = ? WHERE id = ? AND state = ?", (RunState.DONE, run.id, RunState.ANALYSED)
            )

    def died(self, run: Run, reason: str) -> bool:
        """The process that analysed a run died in it; whether the run is set aside, for it was not the first time."""
        with self._state.database.writing() as db:
            db.execute("UPDATE runs SET deaths = deaths + 1 WHERE id = ?", (run.id,))
            deaths = int(db.execute("SELECT deaths FROM runs WHERE id = ?", (run.id,)).fetchone()[0])
            if deaths < self._attempts.most_deaths:
                db.execute("UPDATE runs SET state = ? WHERE id = ?", (RunState.WAITING, run.id))
                return False
            self._fail(db, run.id, ErrorCode.BUG, f"{reason}, {deaths} times")
        return True

    def give_back(self, run: Run) -> None:
        """A run that was stopped without fault of its own waits again."""
        with self._state.database.writing() as db:
            db.execute(
                "UPDATE runs SET state = ?, starts = starts - 1 WHERE id = ? AND state = ?",
                (RunState.WAITING, run.id, RunState.RUNNING),
            )

    def set_aside(self, run: Run, code: ErrorCode, reason: str) -> None:
        """A run that cannot be analysed or handed on, with the reason."""
        with self._state.database.writing() as db:
            self._fail(db, run.id, code, reason)

    def retry_failed(self) -> int:
        """How many runs that were set aside wait again; only those whose images are still held."""
        with self._state.database.writing() as db:
            return db.execute(
                "UPDATE runs SET state = ?, starts = 0, deaths = 0, outcome = '', code = '', reason = '', "
                "ended_at = NULL WHERE state = ? AND NOT EXISTS (SELECT 1 FROM instances "
                "WHERE instances.study = runs.study AND instances.run <= runs.id AND NOT held)",
                (RunState.WAITING, RunState.FAILED),
            ).rowcount

    def _make_run(self, db: sqlite3.Connection, study: int, now: float) -> None:
        images = db.execute("SELECT sop_instance_uid, content FROM instances WHERE study = ? AND held", (study,))
        last = db.execute("SELECT max(number) FROM runs WHERE study = ?", (study,)).fetchone()[0]
        made = db.execute(
            "INSERT INTO runs (study, number, identity, state, made_at) VALUES (?, ?, ?, ?, ?)",
            (study, (last or 0) + 1, _identity(images), RunState.WAITING, now),
        ).lastrowid
        db.execute("UPDATE instances SET run = ? WHERE study = ? AND run IS NULL", (made, study))
        db.execute("UPDATE studies SET due_at = NULL WHERE id = ?", (study,))

    def _run(self, db: sqlite3.Connection, run: int) -> Run:
        study, uid, number, identity = db.execute(
            "SELECT study, uid, number, identity FROM runs JOIN studies ON studies.id = study WHERE runs.id = ?", (run,)
        ).fetchone()
        files = db.execute(
            "SELECT file FROM instances WHERE study = ? AND run <= ? AND held ORDER BY sop_instance_uid", (study, run)
        )
        return Run(run, self._state.label(uid), number, identity, tuple(file for (file,) in files))

    def _fail(self, db: sqlite3.Connection, run: int, code: ErrorCode, reason: str) -> None:
        db.execute(
            "UPDATE runs SET state = ?, outcome = ?, code = ?, reason = ?, ended_at = ? WHERE id = ?",
            (RunState.FAILED, Outcome.FAILED, code, reason, self._state.clock(), run),
        )


def _move(db: sqlite3.Connection, state: RunState, *, to: RunState) -> int:
    return db.execute("UPDATE runs SET state = ? WHERE state = ?", (to, state)).rowcount


def _identity(images: Iterable[tuple[str, str]]) -> str:
    """A hash of a set of images: of each its SOP Instance UID and its content."""
    hashed = sha256()
    for uid, content in sorted(images):
        hashed.update(f"{uid}\0{content}\n".encode())
    return hashed.hexdigest()

"""What senders ask of the queue and tell it: what is due, which destination is left alone, what was committed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from renalct.delivery.queue_base import QueueBase
from renalct.delivery.queue_records import Pause, Queued, State

_UNDELIVERED = (State.WAITING.value, State.ACCEPTED.value)


class QueueProgress(QueueBase):
    """The side of the queue that senders use."""

    def due(self, destination: str, state: State, *, limit: int, far_s: float) -> tuple[Queued, ...]:
        """The objects of a destination in a state whose time has come: those that were tried least first, then oldest.

        A time more than `far_s` ahead was written under a clock that was wrong, and has come as well.
        """
        now = self._clock()
        return self._selected(
            "destination = ? AND state = ? AND (not_before <= ? OR not_before > ?)",
            (destination, state.value, now, now + far_s),
            order=f"attempts, number LIMIT {int(limit)}",
        )

    def next_due(self, destination: str) -> float | None:
        """When the next object of a destination is due; None when nothing is on its way to it."""
        with self._database.reading() as db:
            query = "SELECT MIN(not_before) FROM objects WHERE destination = ? AND state IN (?, ?)"
            found = db.execute(query, (destination, *_UNDELIVERED)).fetchone()[0]
        return None if found is None else float(found)

    def pause_of(self, destination: str) -> Pause:
        """Whether a destination is left alone, until when, and why."""
        with self._database.reading() as db:
            query = "SELECT failures, until, reason FROM pauses WHERE destination = ?"
            found = db.execute(query, (destination,)).fetchone()
        return Pause(*found) if found else Pause()

    def set_pause(self, destination: str, pause: Pause) -> None:
        """Leave a destination alone, or (no failures) do so no more."""
        with self._database.writing() as db:
            db.execute("DELETE FROM pauses WHERE destination = ?", (destination,))
            if pause.failures:
                values = (destination, pause.failures, pause.until, pause.reason)
                db.execute("INSERT INTO pauses VALUES (?, ?, ?, ?)", values)

    def give_up(self, destination: str, *, queued_before: float, reason: str) -> tuple[Queued, ...]:
        """What of a destination was queued before a time and is still on its way; it is a dead letter now."""
        found = self._selected(
            "destination = ? AND state IN (?, ?) AND queued_at < ?", (destination, *_UNDELIVERED, queued_before)
        )
        dead = tuple(replace(each, state=State.DEAD, reason=each.reason or reason) for each in found)
        if dead:
            self.change(*dead)
        return dead

    # ---- storage commitment ---------------------------------------------------------------------------------------

    def commitment_asked(self, transaction_uid: str, destination: str) -> None:
        """Remember a transaction, so that its answer is understood whenever and wherever it comes."""
        with self._database.writing() as db:
            db.execute("INSERT INTO transactions VALUES (?, ?, ?)", (transaction_uid, destination, self._clock()))

    def commitment_of(self, transaction_uid: str) -> str | None:
        """The destination that was asked in a transaction; None for one that is not ours, or was answered."""
        with self._database.reading() as db:
            found = db.execute("SELECT destination FROM transactions WHERE uid = ?", (transaction_uid,)).fetchone()
        return None if found is None else str(found[0])

    def commitment_answered(self, transaction_uid: str) -> None:
        """Forget a transaction: its answer was understood."""
        with self._database.writing() as db:
            db.execute("DELETE FROM transactions WHERE uid = ?", (transaction_uid,))

    def accepted(self, destination: str, sop_instance_uids: Collection[str]) -> tuple[Queued, ...]:
        """Those of the objects that the destination has accepted and that are not confirmed yet."""
        wanted = set(sop_instance_uids)
        found = self._selected("destination = ? AND state = ?", (destination, State.ACCEPTED.value))
        return tuple(each for each in found if each.instance.sop_instance_uid in wanted)

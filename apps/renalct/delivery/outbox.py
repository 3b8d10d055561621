"""The durable queue of results on their way: what `put` acknowledged is delivered or told of, whatever is killed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from renalct.core.errors import InputError
from renalct.delivery.destinations import Destination
from renalct.delivery.instances import read_instance
from renalct.delivery.queue_progress import QueueProgress
from renalct.delivery.queue_records import Counts, Pause, Queued, State
from renalct.delivery.queue_tables import insert, update

__all__ = ["Counts", "Outbox", "Pause", "Queued", "State"]

_UNUSED_FOR_S = 600.0
"""A file that no object needs is kept so long: somebody may just be putting it in."""
_REMEMBERED_S = 90 * 24 * 3600.0
_AT_A_TIME = 400


class Outbox(QueueProgress):
    """A queue in a folder, which any number of threads and processes may use; a destination has one sender at a time.

    `queue.sqlite3` says what is where, `blobs/` has the files by the hash of their content, `dead-letters/` shows what
    was given up, each with its reason. No name in the folder tells of a patient; the files are the objects themselves,
    so the folder is to be protected like an archive. Everything raises `OutputError` when the folder cannot be written.
    """

    def put(
        self, files: Iterable[Path], destinations: Sequence[Destination], *, study: str = "", again: bool = False
    ) -> int:
        """How many objects were queued; all of them, durably, when it returns, or none when it raises.

        An object that was queued for a destination before (the same SOP Instance UID) is not queued again, whatever
        became of it; with `again` one that was delivered is. `study` is a word for lists that names no patient.
        Raises `InputError` for a file that is no DICOM object.
        """
        instances = {path: read_instance(path) for path in files}
        names = list(dict.fromkeys(destination.name for destination in destinations))
        if not names:
            raise InputError("no destination is given; name at least one")
        uids = {instance.sop_instance_uid for instance in instances.values()}
        known = {(each.destination, each.instance.sop_instance_uid): each for each in self.find(names, uids)}
        wanted = [
            (path, instance, name, before)
            for path, instance in instances.items()
            for name in names
            for before in [known.get((name, instance.sop_instance_uid))]
            if before is None or (again and before.state is State.DELIVERED)
        ]
        contents = {path: (self._blobs.put(path), path.stat().st_size) for path in {path for path, *_ in wanted}}
        now, queued = self._clock(), 0
        with self._database.writing() as db:
            for path, instance, name, before in wanted:
                sha256, size = contents[path]
                if before is not None:
                    queued += update(db, _anew(replace(before, sha256=sha256, size_bytes=size), now))
                    continue
                new = Queued(0, name, instance, sha256, size, study, State.WAITING, queued_at=now, changed_at=now)
                queued += insert(db, new)
        return queued

    def find(self, destinations: Collection[str], sop_instance_uids: Collection[str]) -> tuple[Queued, ...]:
        """What is known of these objects for these destinations, in the order of their queueing."""
        uids, names = sorted(sop_instance_uids), sorted(destinations)
        found: list[Queued] = []
        for start in range(0, len(uids), _AT_A_TIME):
            part = uids[start : start + _AT_A_TIME]
            where = f"sop_instance_uid IN ({_marks(part)}) AND destination IN ({_marks(names)})"
            found += self._selected(where, (*part, *names))
        return tuple(sorted(found, key=lambda each: each.number))

    def objects(self, state: State, *, destination: str = "") -> tuple[Queued, ...]:
        """The objects in a state, of one destination or of all, in the order of their queueing."""
        if destination:
            return self._selected("state = ? AND destination = ?", (state.value, destination))
        return self._selected("state = ?", (state.value,))

    def on_their_way(self, destinations: Collection[str]) -> tuple[Queued, ...]:
        """What is waiting for these destinations, or accepted there and not confirmed, in the order of its queueing."""
        names = sorted(destinations)
        where = f"state IN ('waiting', 'accepted') AND destination IN ({_marks(names)})"
        return self._selected(where, names)

    def dead_letters(self) -> tuple[Queued, ...]:
        """What was given up, with the reason; also shown in the folder `dead-letters`."""
        return self.objects(State.DEAD)

    def retry_dead(self, *, destination: str = "") -> int:
        """How many dead letters (of one destination or of all) are on their way again, as if they were new."""
        dead = self.objects(State.DEAD, destination=destination)
        now = self._clock()
        with self._database.writing() as db:
            count = sum(update(db, _anew(each, now)) for each in dead)
        self._show_dead_letters()
        return count

    def counts(self) -> tuple[Counts, ...]:
        """How many objects are in which state, for each destination that has any, sorted by name."""
        query = (
            "SELECT destination, SUM(state = 'waiting'), SUM(state = 'accepted'), SUM(state = 'delivered'), "
            "SUM(state = 'dead'), SUM(CASE WHEN state IN ('waiting', 'accepted') THEN size_bytes ELSE 0 END), "
            "MIN(CASE WHEN state IN ('waiting', 'accepted') THEN queued_at END) "
            "FROM objects GROUP BY destination ORDER BY destination"
        )
        with self._database.snapshot() as db:
            rows = db.execute(query).fetchall()
            pauses = {name: (until, reason) for name, until, reason in db.execute(_PAUSES).fetchall()}
        return tuple(Counts(*row, *pauses.get(row[0], ())) for row in rows)

    def tidy(self, *, unused_for_s: float = _UNUSED_FOR_S, remembered_s: float = _REMEMBERED_S) -> int:
        """Remove files that nothing needs any more, and what was delivered long ago; how many files.

        What is forgotten would be sent again when it is put in again.
        """
        now = self._clock()
        with self._database.writing() as db:
            delivered = (State.DELIVERED.value, now - remembered_s)
            db.execute("DELETE FROM objects WHERE state = ? AND changed_at < ?", delivered)
            db.execute("DELETE FROM transactions WHERE asked_at < ?", (now - remembered_s,))
            query = "SELECT DISTINCT sha256 FROM objects WHERE state != ?"
            used = {row[0] for row in db.execute(query, delivered[:1]).fetchall()}
            return self._blobs.remove_unused(used, older_than_s=unused_for_s)


_PAUSES = "SELECT destination, until, reason FROM pauses"


def _anew(queued: Queued, now: float) -> Queued:
    """The object as if it had just been queued."""
    return replace(
        queued, state=State.WAITING, queued_at=now, changed_at=now, not_before=0.0, attempts=0, checks=0,
        committed=False, status=0, reason="", note="",
    )  # fmt: skip


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))

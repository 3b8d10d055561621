"""Who may be given which case: leases with a time-out, planned double readings, blind repeats."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from renalct.core.errors import InputError
from renalct.learning.store.base import StoreBase, row_of
from renalct.learning.store.lease_rows import GIVEN_BACK, OPEN, close_expired, open_leases
from renalct.learning.store.names import checked_id, shown
from renalct.learning.store.records import Lease, checked_name
from renalct.learning.store.words import FINAL, REPEAT, CaseState, Purpose

_CHUNKS = (16, 500)
_IN_POOL = {CaseState.UNASSIGNED.value}
_READ_AGAIN = {CaseState.SUBMITTED.value, CaseState.APPROVED.value, CaseState.GOLD.value}

_CONTINUES = {
    Purpose.ANNOTATE: {Purpose.ANNOTATE},
    Purpose.CORRECT: {Purpose.ANNOTATE, Purpose.CORRECT},
    Purpose.REPEAT: {Purpose.REPEAT},
}
"""For each purpose, the purposes of a client's own lease that is as good, and is renewed as it is."""


@dataclass(frozen=True)
class _Candidate:
    """A case that is asked for: its state, how many readings are planned, who made one, who works on it."""

    row: int
    image_id: str
    state: str
    reads: int
    readers: frozenset[str]
    holders: frozenset[str]

    def open_to(self, client: str, purpose: Purpose, reads: int, due: frozenset[int]) -> bool:
        """Whether a client may be given the case."""
        if purpose is Purpose.REPEAT:
            return self.row in due
        others = self.holders - {client}
        if purpose is Purpose.CORRECT:
            return not others
        wanted = max(reads, self.reads)
        states = _IN_POOL | _READ_AGAIN if wanted > 1 else _IN_POOL
        return self.state in states and client not in self.readers and len(self.readers | others) < wanted


class Leases(StoreBase):
    """The part of the store that hands out cases."""

    def lease(
        self,
        client: str,
        wanted: Sequence[str],
        *,
        seconds: float,
        reads: int = 1,
        purpose: Purpose = Purpose.ANNOTATE,
    ) -> Lease | None:
        """A lease on the first of `wanted` that may be given to the client, None when there is none; atomic.

        `client` is the name that will stand as the author of the label. To annotate, a case must be unassigned and
        not with another client; or, where several readings are planned (`reads`, or `plan_reads` for the case), have
        fewer readers than that, of whom the client is none. See `Purpose` for going back and for blind repeats. A
        case that the client holds already counts as free for it: its lease is renewed.
        """
        checked_name(client, "the client of a lease")
        if not (math.isfinite(seconds) and seconds > 0) or reads < 1:
            raise InputError(f"a lease of {seconds} s for {reads} readings cannot be given; both are more than 0")
        with self._database.writing() as db:
            now = self._clock()
            self._close_expired(db, now)
            due = frozenset(_due(db, client)) if purpose is Purpose.REPEAT else frozenset()
            held = {lease.image_id: lease for lease in open_leases(db, now, client=client)}
            for case in _candidates(db, wanted, now):
                own = held.get(case.image_id)
                if own is not None and own.purpose in _CONTINUES[purpose]:
                    return self._renewed(db, own, now + seconds)
                if own is None and case.open_to(client, purpose, reads, due):
                    return self._granted(db, case, Lease(case.image_id, client, purpose, now, now + seconds))
        return None

    def renew(self, client: str, image_id: str, *, seconds: float) -> Lease:
        """The client's lease on a case, now running for so many seconds more. Raises `InputError` when it has none."""
        with self._database.writing() as db:
            now = self._clock()
            self._close_expired(db, now)
            for own in open_leases(db, now, client=client, image_id=checked_id(image_id)):
                return self._renewed(db, own, now + seconds)
        raise InputError(f"{shown(client)} has no lease on {shown(image_id)}; ask for the case again")

    def give_back(self, client: str, image_id: str) -> bool:
        """End the client's lease on a case without a label; whether there was one."""
        with self._database.writing() as db:
            ended = db.execute(
                "UPDATE leases SET outcome = ?, ended_at = ? WHERE image = ? AND client = ? AND outcome = ?",
                (GIVEN_BACK, self._clock(), row_of(db, image_id), client, OPEN),
            ).rowcount
            if ended:
                self._log(db, "give back", by=client, image_id=image_id)
        return bool(ended)

    def leases(self, *, client: str = "", image_id: str = "") -> tuple[Lease, ...]:
        """The leases that run, all or those of a client or on a case, in the order in which they were given."""
        with self._database.reading() as db:
            return tuple(open_leases(db, self._clock(), client=client, image_id=image_id))

    def plan_reads(self, image_ids: Iterable[str], *, reads: int, by: str) -> None:
        """Plan that each of the cases gets so many readings, each by another client."""
        if reads < 1:
            raise InputError(f"{reads} readings of a case cannot be planned; plan one or more")
        with self._database.writing() as db:
            for image_id in image_ids:
                db.execute("UPDATE images SET reads = ? WHERE id = ?", (reads, row_of(db, image_id)))
                self._log(db, "reads planned", by=by, image_id=image_id, detail=str(reads))

    def plan_repeats(self, image_ids: Iterable[str], *, after: int, by: str) -> None:
        """Plan that whoever labels one of the cases gets it once more, blind, after so many other cases of theirs."""
        if after < 1:
            raise InputError(f"a repeat after {after} other cases cannot be blind; plan it after one or more")
        with self._database.writing() as db:
            for image_id in image_ids:
                values = (row_of(db, image_id), after, self._clock())
                db.execute("INSERT OR REPLACE INTO repeats VALUES (?, ?, ?)", values)
                self._log(db, "repeat planned", by=by, image_id=image_id, detail=f"after {after} other cases")

    def due_repeats(self, client: str) -> tuple[str, ...]:
        """The cases that a client is to label once more now; lease them with `Purpose.REPEAT`."""
        with self._database.snapshot() as db:
            rows = _due(db, client)
            return tuple(db.execute("SELECT image_id FROM images WHERE id = ?", (row,)).fetchone()[0] for row in rows)

    def _granted(self, db: sqlite3.Connection, case: _Candidate, lease: Lease) -> Lease:
        db.execute(
            "INSERT INTO leases (image, client, purpose, granted_at, expires_at) VALUES (?, ?, ?, ?, ?)",
            (case.row, lease.client, lease.purpose.value, lease.granted_at, lease.expires_at),
        )
        detail = f"to {lease.purpose.value}, for {lease.expires_at - lease.granted_at:g} s"
        self._log(db, "lease", by=lease.client, image_id=lease.image_id, detail=detail)
        return lease

    def _renewed(self, db: sqlite3.Connection, lease: Lease, until: float) -> Lease:
        db.execute(
            "UPDATE leases SET expires_at = ? WHERE image = ? AND client = ? AND outcome = ?",
            (until, row_of(db, lease.image_id), lease.client, OPEN),
        )
        self._log(db, "renew", by=lease.client, image_id=lease.image_id)
        return Lease(lease.image_id, lease.client, lease.purpose, lease.granted_at, until)

    def _close_expired(self, db: sqlite3.Connection, now: float) -> None:
        for image_id, client in close_expired(db, now):
            self._log(db, "lease expired", by=client, image_id=image_id)


def _candidates(db: sqlite3.Connection, wanted: Sequence[str], now: float) -> Iterator[_Candidate]:
    """What is known of the wanted cases, in their order, read in chunks: the first few are mostly enough."""
    start, size = 0, _CHUNKS[0]
    while start < len(wanted):
        chunk = [checked_id(image_id) for image_id in wanted[start : start + size]]
        start, size = start + size, _CHUNKS[1]
        found = {case.image_id: case for case in _chunk(db, chunk, now)}
        for image_id in chunk:
            if image_id not in found:
                raise InputError(f"there is no image {shown(image_id)} in the label store; register it first")
            yield found[image_id]


def _chunk(db: sqlite3.Connection, chunk: Sequence[str], now: float) -> Iterator[_Candidate]:
    marks = ", ".join("?" for _ in chunk)
    images = f"SELECT id FROM images WHERE image_id IN ({marks})"
    readers: dict[int, set[str]] = {}
    for image, author in db.execute(
        f"SELECT image, author FROM versions JOIN images ON images.id = image WHERE image IN ({images}) AND tag = ? "
        "AND number > pool_from",
        (*chunk, FINAL),
    ):
        readers.setdefault(image, set()).add(author)
    holders: dict[int, set[str]] = {}
    for image, client in db.execute(
        f"SELECT image, client FROM leases WHERE image IN ({images}) AND outcome = ? AND expires_at > ? "
        "AND purpose <> ?",
        (*chunk, OPEN, now, Purpose.REPEAT.value),
    ):
        holders.setdefault(image, set()).add(client)
    rows = db.execute(f"SELECT id, image_id, state, reads FROM images WHERE image_id IN ({marks})", tuple(chunk))
    for row, image_id, state, reads in rows:
        readings, working = frozenset(readers.get(row, ())), frozenset(holders.get(row, ()))
        yield _Candidate(row, image_id, state, reads, readings, working)


def _due(db: sqlite3.Connection, client: str) -> list[int]:
    """Rows of the cases of which a client owes a repeat, those labelled first at the front."""
    planned = dict(db.execute("SELECT image, after FROM repeats"))
    done = {row[0] for row in db.execute("SELECT image FROM versions WHERE author = ? AND tag = ?", (client, REPEAT))}
    labelled = [
        row[0]
        for row in db.execute(
            "SELECT image FROM versions WHERE author = ? AND tag = ? GROUP BY image ORDER BY min(committed_at), image",
            (client, FINAL),
        )
    ]
    return [
        image
        for place, image in enumerate(labelled)
        if image in planned and image not in done and len(labelled) - place - 1 >= planned[image]
    ]

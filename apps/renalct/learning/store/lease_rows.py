"""Leases in the database: who works on what, until when; and how long a label took."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise

from renalct.learning.store.records import Lease, Version
from renalct.learning.store.words import Purpose

LONGEST_PAUSE_S = 20.0
"""A longer gap between two actions of an annotator is a pause (RootPainter counts so)."""

OPEN, SUBMITTED, EXPIRED, GIVEN_BACK = "", "submitted", "expired", "given back"

_COLUMNS = "image_id, client, purpose, granted_at, expires_at"


def end_lease(db: sqlite3.Connection, image: int, version: Version, activity: Sequence[float]) -> float | None:
    """End the lease under which a label was made, open or expired; the seconds that it took, None without one."""
    rows = db.execute(
        "SELECT id, purpose, granted_at FROM leases WHERE image = ? AND client = ? AND outcome IN (?, ?) "
        "ORDER BY granted_at DESC, id DESC",
        (image, version.note.author, OPEN, EXPIRED),
    ).fetchall()
    for lease, purpose, granted_at in rows:
        if Purpose(purpose).tag == version.tag:
            at = version.committed_at
            db.execute("UPDATE leases SET outcome = ?, ended_at = ? WHERE id = ?", (SUBMITTED, at, lease))
            return working_seconds(granted_at, at, activity)
    return None


def working_seconds(start: float, end: float, activity: Sequence[float] = ()) -> float:
    """The seconds from start to end; where times of activity are given, without gaps of more than 20 s between them.

    >>> working_seconds(0, 100), working_seconds(0, 100, [5, 15, 90])
    (100.0, 25.0)
    """
    if not activity:
        return max(0.0, float(end - start))
    times = [start, *sorted(time for time in activity if start < time < end), end]
    return float(sum(b - a for a, b in pairwise(times) if 0 < b - a <= LONGEST_PAUSE_S))


def close_expired(db: sqlite3.Connection, now: float) -> list[tuple[str, str]]:
    """Close the leases whose time is over; image and client of each."""
    rows = db.execute(
        "SELECT leases.id, image_id, client FROM leases JOIN images ON images.id = leases.image "
        "WHERE outcome = ? AND expires_at <= ?",
        (OPEN, now),
    ).fetchall()
    for lease, _, _ in rows:
        db.execute("UPDATE leases SET outcome = ?, ended_at = expires_at WHERE id = ?", (EXPIRED, lease))
    return [(image_id, client) for _, image_id, client in rows]


def open_leases(db: sqlite3.Connection, now: float, *, client: str = "", image_id: str = "") -> list[Lease]:
    """The leases that run, narrowed as asked, in the order in which they were given."""
    given = [(column, value) for column, value in (("client", client), ("image_id", image_id)) if value]
    where = "".join(f" AND {column} = ?" for column, _ in given)
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM leases JOIN images ON images.id = leases.image "
        f"WHERE outcome = ? AND expires_at > ?{where} ORDER BY granted_at, leases.id",
        (OPEN, now, *(value for _, value in given)),
    )
    return [Lease(row[0], row[1], Purpose(row[2]), row[3], row[4]) for row in rows]

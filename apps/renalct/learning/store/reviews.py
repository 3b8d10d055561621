"""The states of a case and its review, which state may follow which, and the same in the Reviewer's words.

    unassigned ──lease──▶ leased ──commit──▶ submitted ──▶ approved ──▶ gold
        ▲                                     │   ▲           │
        └──────────── relabel ────────────────┤   └─ commit ──┤
                                              ▼               ▼
                                            flagged ◀─────────┘

A commit makes a case submitted, whatever it was: an approval is of a version, not of a case. Leased is what an
unassigned case is called while a client works on it; a labelled case keeps its state then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from renalct.core.errors import InputError
from renalct.learning.store.base import StoreBase, row_of
from renalct.learning.store.names import shown
from renalct.learning.store.records import Review, checked_name
from renalct.learning.store.words import FINAL, CaseState, Level

TRANSITIONS: dict[CaseState, frozenset[CaseState]] = {
    CaseState.UNASSIGNED: frozenset({CaseState.SUBMITTED, CaseState.FLAGGED}),
    CaseState.LEASED: frozenset({CaseState.UNASSIGNED, CaseState.FLAGGED}),
    CaseState.SUBMITTED: frozenset({CaseState.UNASSIGNED, CaseState.FLAGGED, CaseState.APPROVED, CaseState.GOLD}),
    CaseState.FLAGGED: frozenset({CaseState.UNASSIGNED, CaseState.SUBMITTED, CaseState.APPROVED, CaseState.GOLD}),
    CaseState.APPROVED: frozenset({CaseState.SUBMITTED, CaseState.FLAGGED, CaseState.GOLD}),
    CaseState.GOLD: frozenset({CaseState.APPROVED, CaseState.FLAGGED}),
}
"""What a reviewer may make of a case; every state may also be set again, with another comment or level."""

_NEEDS_LABEL = {CaseState.SUBMITTED, CaseState.APPROVED, CaseState.GOLD}
_LONGEST_COMMENT = 10_000


class Reviews(StoreBase):
    """The part of the store that knows how far each case is."""

    def state(self, image_id: str) -> CaseState:
        """How far a case is."""
        return self.review(image_id).state

    def review(self, image_id: str) -> Review:
        """How far a case is, and who said so, when, of which version, with which comment and level."""
        with self._database.snapshot() as db:
            row = row_of(db, image_id)
            state, *rest = db.execute(
                "SELECT state, comment, level, state_by, state_at, state_version FROM images WHERE id = ?", (row,)
            ).fetchone()
            working = db.execute(
                "SELECT 1 FROM leases WHERE image = ? AND outcome = '' AND expires_at > ?", (row, self._clock())
            ).fetchone()
        found = CaseState(state)
        if found is CaseState.UNASSIGNED and working:
            found = CaseState.LEASED
        comment, level, by, at, version = rest
        return Review(found, comment, Level(level), by, at, version)

    def set_state(self, image_id: str, state: CaseState, *, by: str, comment: str = "", level: str = "") -> None:
        """Make a case flagged, approved, gold, submitted again, or unassigned (to be labelled anew).

        The comment replaces the earlier one; a level stays until another is given. A case that becomes unassigned
        keeps its labels, returns to the pool and may be given to anybody. Raises `InputError` for a step that
        `TRANSITIONS` does not have, and for a state that needs a label where there is none.
        """
        checked_name(by, "the reviewer of a case")
        rated = level_named(level)
        if len(comment) > _LONGEST_COMMENT:
            raise InputError(f"the comment has {len(comment)} characters; {_LONGEST_COMMENT} are the most that is kept")
        with self._database.writing() as db:
            row = row_of(db, image_id)
            older = CaseState(db.execute("SELECT state FROM images WHERE id = ?", (row,)).fetchone()[0])
            if state is CaseState.LEASED or (state is not older and state not in TRANSITIONS[older]):
                raise InputError(
                    f"{shown(image_id)} is {older.value} and cannot become {state.value}; it can become "
                    + " or ".join(sorted(s.value for s in TRANSITIONS[older]))
                )
            found = db.execute("SELECT number FROM pointers WHERE image = ? AND tag = ?", (row, FINAL)).fetchone()
            if state in _NEEDS_LABEL and found is None:
                raise InputError(f"{shown(image_id)} has no label yet and cannot become {state.value}; label it first")
            number = None if found is None else int(found[0])
            db.execute(
                "UPDATE images SET state = ?, comment = ?, level = coalesce(nullif(?, ''), level), state_by = ?, "
                "state_at = ?, state_version = ? WHERE id = ?",
                (state.value, comment, rated.value, by, self._clock(), number, row),
            )
            if state is CaseState.UNASSIGNED:
                db.execute(
                    "UPDATE images SET pool_from = (SELECT coalesce(max(number), 0) FROM versions WHERE image = ? "
                    "AND tag = ?) WHERE id = ?",
                    (row, FINAL, row),
                )
            told = [f"{older.value} to {state.value}", rated.value, comment]
            self._log(db, "state", by=by, image_id=image_id, detail="; ".join(word for word in told if word))

    def cases(self, *, state: CaseState | None = None, author: str = "") -> tuple[str, ...]:
        """The ids of all cases, of those in a state, of those whose labels an author made; in order of registration."""
        conditions, values = ["1"], []
        if state in (CaseState.UNASSIGNED, CaseState.LEASED):
            running = "EXISTS (SELECT 1 FROM leases WHERE image = images.id AND outcome = '' AND expires_at > ?)"
            conditions.append(f"state = 'unassigned' AND {'' if state is CaseState.LEASED else 'NOT '}{running}")
            values.append(self._clock())
        elif state is not None:
            conditions.append(f"state = '{state.value}'")
        query = f"SELECT image_id FROM images WHERE {' AND '.join(conditions)}"
        if author:
            query += " AND id IN (SELECT image FROM versions WHERE author = ? AND tag = ?)"
        with self._database.reading() as db:
            rows = db.execute(f"{query} ORDER BY id", (*values, *((author, FINAL) if author else ())))
            return tuple(str(row[0]) for row in rows)


@dataclass(frozen=True)
class SegmentationMeta:
    """What MONAI Label's Reviewer module reads and writes beside a label (`segmentationMeta`)."""

    status: str
    approved_by: str = ""
    level: str = ""
    comment: str = ""
    edit_time: int | str = ""

    def to_json(self) -> dict[str, Any]:
        """The object under the key `segmentationMeta`; the Reviewer needs every key."""
        return {
            "status": self.status,
            "approvedBy": self.approved_by,
            "level": self.level,
            "comment": self.comment,
            "editTime": self.edit_time,
        }

    @staticmethod
    def from_json(data: Any) -> SegmentationMeta:
        """What the Reviewer sent. Raises `InputError` when it is no object with a known status and level."""
        if not isinstance(data, dict):
            raise InputError(f"segmentationMeta is {shown(data)}; an object with status, level and comment is needed")
        words = {key: str(data.get(key) or "").strip() for key in ("status", "approvedBy", "level", "comment")}
        if words["status"] not in _STATES:
            known = ", ".join(repr(status) for status in _STATES)
            raise InputError(f"the status {shown(words['status'])} is not one of {known}")
        level_named(words["level"])
        told = data.get("editTime")
        time = told if isinstance(told, int) else ""
        return SegmentationMeta(words["status"], words["approvedBy"], words["level"], words["comment"], time)


_STATES = {
    "not segmented": CaseState.UNASSIGNED,
    "segmented": CaseState.SUBMITTED,
    "approved": CaseState.APPROVED,
    "flagged": CaseState.FLAGGED,
}
_STATUSES = {state: status for status, state in _STATES.items()} | {
    CaseState.LEASED: "not segmented",
    CaseState.GOLD: "approved",
}


def reviewer_meta(review: Review) -> SegmentationMeta:
    """A review in the Reviewer's words; gold is more than it knows, and becomes approved."""
    time = "" if review.at is None else int(review.at)
    return SegmentationMeta(_STATUSES[review.state], review.by, review.level.value, review.comment, time)


def reviewed_state(meta: SegmentationMeta, *, current: CaseState) -> CaseState:
    """The state that the Reviewer means; the current one where the Reviewer has the same word for it (gold)."""
    return current if _STATUSES[current] == meta.status else _STATES[meta.status]


def level_named(level: str) -> Level:
    """The level of that name. Raises `InputError` for one that the Reviewer does not know."""
    try:
        return Level(level)
    except ValueError as error:
        known = ", ".join(repr(known.value) for known in Level if known.value)
        raise InputError(f"the level {shown(level)} is not one of {known}") from error

"""The words of a label store: states of a case, presence of a structure, levels, purposes of a lease."""

from __future__ import annotations

from enum import Enum


class CaseState(Enum):
    """How far a case is. `reviews.TRANSITIONS` says which state may follow which."""

    UNASSIGNED = "unassigned"
    LEASED = "leased"
    SUBMITTED = "submitted"
    FLAGGED = "flagged"
    APPROVED = "approved"
    GOLD = "gold"


class Presence(Enum):
    """What the reader of a case says of a structure in it; `NOT_ASSESSED` is no statement, and trains nothing."""

    PRESENT = "present"
    ABSENT = "absent"
    NOT_ASSESSED = "not assessed"


class Level(Enum):
    """How hard a case was to label, in the words of MONAI Label's Reviewer; `UNKNOWN` where nothing was said."""

    UNKNOWN = ""
    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class Purpose(Enum):
    """Why a case is given to a client, which decides to whom it may be given.

    - `ANNOTATE`: a fresh reading, of a case that has fewer readers than planned (one, where nothing is planned);
    - `CORRECT`: going back to a case, one's own or another's; nobody else may be working on it;
    - `REPEAT`: a blind second reading by the same client, kept under its own tag.
    """

    ANNOTATE = "annotate"
    CORRECT = "correct"
    REPEAT = "repeat"

    @property
    def tag(self) -> str:
        """The tag under which the label of such a lease is committed."""
        return REPEAT if self is Purpose.REPEAT else FINAL


FINAL = "final"
"""The tag of an annotator's labels; the only one whose commits change the state of a case."""

ORIGINAL = "original"
"""The tag of a model's pre-labels, which are never training data."""

REPEAT = "repeat"
"""The tag of blind second readings, which never replace a label."""

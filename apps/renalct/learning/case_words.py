"""The words of the desk: ways to go back, cases in an order with their why, a case in somebody's hands, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from renalct.core.errors import InputError
from renalct.learning.store import Lease, StoredImage


class Back(Enum):
    """Ways to go back to a case that is not fresh: one's own, those in dispute, those to review, one by its id."""

    MINE = "mine"
    FLAGGED = "flagged"
    REVIEW = "review"
    CASE = "case"


@dataclass(frozen=True)
class Ranked:
    """A case that may be labelled next, and why: plain values, as they are sent to a viewer."""

    image_id: str
    why: Mapping[str, Any] = field(default_factory=dict)


Order = Callable[[Sequence[StoredImage], str], Sequence[Ranked]]
"""From the images that are not labelled and the name of a client: those to label, first those to label first."""


@dataclass(frozen=True)
class Given:
    """A case in the hands of a client until a time, and why it was this one."""

    image: StoredImage
    lease: Lease
    why: Mapping[str, Any]


@dataclass(frozen=True)
class DeskSettings:
    """How long a case is reserved for whom it was given to, and how many readings every case gets."""

    lease_minutes: float = 120.0
    readings: int = 1

    def __post_init__(self) -> None:
        if not self.lease_minutes > 0 or self.readings < 1:
            raise InputError("a lease lasts more than 0 minutes, and every case gets one reading or more")

    @property
    def lease_seconds(self) -> float:
        """The lease in seconds."""
        return 60.0 * self.lease_minutes


USUAL_DESK = DeskSettings()

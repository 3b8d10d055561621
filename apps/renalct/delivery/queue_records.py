"""What the queue tells of an object on its way to a destination."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from renalct.delivery.instances import Instance

LABEL_DIGITS = 12


class State(Enum):
    """How far an object is on its way to one destination."""

    WAITING = "waiting"
    ACCEPTED = "accepted"  # the destination said that it has it; what confirms that is outstanding
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Queued:
    """An object for a destination; `reason` says why it is not delivered yet, or never will be.

    `study` is the word under which it was queued (a salted hash, for example). `note` is a warning of the destination
    about what it took. Times are seconds since 1970. `revision` tells whether it changed since it was read.
    """

    number: int
    destination: str
    instance: Instance
    sha256: str
    size_bytes: int
    study: str
    state: State
    queued_at: float
    changed_at: float
    not_before: float = 0.0
    attempts: int = 0
    checks: int = 0
    committed: bool = False
    status: int = 0
    reason: str = ""
    note: str = ""
    revision: int = 0

    @property
    def label(self) -> str:
        """What it is called in logs and messages: its modality and a part of its content's hash."""
        return f"{self.instance.modality or 'object'}-{self.sha256[:LABEL_DIGITS]}"


@dataclass(frozen=True)
class Counts:
    """How many objects of a destination are in which state; `reason` says why the destination is not tried now."""

    destination: str
    waiting: int = 0
    accepted: int = 0
    delivered: int = 0
    dead: int = 0
    waiting_bytes: int = 0
    oldest_queued_at: float | None = None
    paused_until: float = 0.0
    reason: str = ""

    @property
    def undelivered(self) -> int:
        """What is still on its way."""
        return self.waiting + self.accepted


@dataclass(frozen=True)
class Pause:
    """A destination that could not be spoken to: since how many tries, until when it is left alone, and why."""

    failures: int = 0
    until: float = 0.0
    reason: str = ""

"""Contrast phases, and how sure we are of one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """The contrast phase of an abdominal CT."""

    NON_CONTRAST = "non-contrast"
    CORTICOMEDULLARY = "corticomedullary"
    NEPHROGRAPHIC = "nephrographic"
    EXCRETORY = "excretory"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PhaseEstimate:
    """A phase, the probability that it is right (0 to 1), and in words what it was estimated from."""

    phase: Phase = Phase.UNKNOWN
    probability: float = 0.0
    evidence: str = "nothing to estimate the phase from"

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"a probability lies between 0 and 1, not {self.probability}")

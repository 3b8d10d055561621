"""What the status of a stored object means for us: it is there, try again, or it will never be taken.

The same codes come by C-STORE (PS3.4 Table B.2-1, PS3.7 Annex C) and as reasons of STOW-RS (PS3.18 Table 10.5.3-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from renalct.formats.dicom.web_answers import failure_words
from renalct.runs.status import without_uids

_SUCCESS = 0x0000
_DUPLICATE = 0x0111
_WARNINGS = (0x0001, 0x0107, 0x0116)
_WORTH_ANOTHER_TRY = (0x0110, 0x0210, 0x0213, 0xFE00)
"""Processing failure, duplicate invocation, resource limitation, cancelled."""


class Verdict(Enum):
    """What is done with an object after its status."""

    STORED = "stored"
    TRY_AGAIN = "try again"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What became of one object; `words` is empty when all is well, and holds a warning when it was stored with one."""

    verdict: Verdict
    status: int = 0
    words: str = ""


def outcome_of(status: int) -> Outcome:
    """The outcome that a status stands for.

    Out of resources (A7xx) and what else may pass is tried again. Data that do not match (A9xx), that are not
    understood (Cxxx), and every code that is not known is refused: what nobody can explain is for a person to look at.
    That an object with this UID is there already (0111) is what we want.
    """
    if status == _SUCCESS:
        return Outcome(Verdict.STORED)
    if status == _DUPLICATE:
        return Outcome(Verdict.STORED, status, "it was there already (0111)")
    if status in _WARNINGS or status & 0xF000 == 0xB000:
        return Outcome(Verdict.STORED, status, warning_words(status))
    if status in _WORTH_ANOTHER_TRY or status & 0xFF00 == 0xA700:
        return Outcome(Verdict.TRY_AGAIN, status, failure_words(status))
    return Outcome(Verdict.REFUSED, status, failure_words(status))


def warning_words(status: int) -> str:
    """What a warning about a stored object says."""
    known = {0xB000: "values were changed", 0xB006: "elements were left out", 0xB007: "it does not match its class"}
    return f"stored with a warning: {known.get(status, 'see its log')} ({status:04X})"


class PeerUnavailable(Exception):
    """A destination cannot be used at all just now; the reason finishes the sentence "the destination ...".

    UIDs in it are replaced by their hash: it stands in logs.
    `needs_a_person` when waiting alone will not help: a wrong password, an unknown AE title, a certificate.
    """

    def __init__(self, reason: str, *, needs_a_person: bool = False) -> None:
        super().__init__(reason)
        self.reason = without_uids(reason)
        self.needs_a_person = needs_a_person

"""The settings of a host that has no command line of its own, from environment variables named ``RENALCT_...``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from renalct.core.errors import InputError
from renalct.core.nearest import did_you_mean
from renalct.formats.dicom.objects import SegmentationEncoding, SliceRange
from renalct.formats.dicom.rules import Rules
from renalct.runs.analysis import AnalysisSettings

_PREFIX = "RENALCT_"
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class HostSettings:
    """What an operator may choose by variables.

    `device` is the one to compute on; `analysis` how studies are read and written; `destinations` the file or address
    that results are sent to ("" for none), `outbox` the folder of the queue (None for one that is gone afterwards),
    and `wait_s` for how long a failed sending is tried again.
    """

    device: str = "auto"
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    destinations: str = ""
    outbox: Path | None = None
    wait_s: float = 60.0


VARIABLES = {
    "RENALCT_DEVICE": "auto (default: a GPU where there is one), cpu, cuda, or cuda:1",
    "RENALCT_SERIES_RULES": "a file of series rules, instead of the one that ships with the application",
    "RENALCT_REFUSAL_REPORT": "1 to write not_analysed.dcm, a structured report, for a study that is refused",
    "RENALCT_ALL_FRAMES": "1 to write segmentation frames for every slice, empty ones too",
    "RENALCT_LABEL_MAP_SEG": "1 to write the segmentation as LABELMAP (not every PACS takes it)",
    "RENALCT_SALT": "words that go into the hashes by which logs, statuses and folders name studies",
    "RENALCT_DESTINATIONS": "where results are sent: a file of destinations, or an address (docs/sending.md)",
    "RENALCT_OUTBOX": "a folder that outlives the run, for what could not be sent (renalct send --queue goes on)",
    "RENALCT_SEND_SECONDS": "for how long a sending that fails for now is tried again (default 60)",
}
"""What each variable is for."""


def settings_of_environment(environment: Mapping[str, str], *, rules: Path) -> HostSettings:
    """The settings that the variables give; `rules` is the file of series rules where none is named.

    Raises `InputError` for an unknown ``RENALCT_`` variable (a typing error must not leave results unsent), and for a
    value that cannot work.
    """
    for name in environment:
        if name.startswith(_PREFIX) and name not in VARIABLES:
            near = did_you_mean(name, VARIABLES, "; did you mean {}?")
            hint = near or f"; known are {', '.join(VARIABLES)}"
            raise InputError(f"there is no variable {name}{hint}")

    def text(name: str) -> str:
        return environment.get(name, "").strip()

    outbox = text("RENALCT_OUTBOX")
    return HostSettings(
        device=text("RENALCT_DEVICE") or "auto",
        analysis=AnalysisSettings(
            rules=Rules.read(Path(text("RENALCT_SERIES_RULES") or rules)),
            slices=SliceRange.SOURCE if _is_on(environment, "RENALCT_ALL_FRAMES") else SliceRange.FINDINGS,
            encoding=SegmentationEncoding.LABELMAP
            if _is_on(environment, "RENALCT_LABEL_MAP_SEG")
            else SegmentationEncoding.BINARY,
            refusal_report=_is_on(environment, "RENALCT_REFUSAL_REPORT"),
            salt=environment.get("RENALCT_SALT", ""),
        ),
        destinations=text("RENALCT_DESTINATIONS"),
        outbox=Path(outbox) if outbox else None,
        wait_s=_seconds(text("RENALCT_SEND_SECONDS") or "60"),
    )


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    word = environment.get(name, "").strip().lower()
    if word not in (*_YES, *_NO):
        raise InputError(f"{name} is {word!r}; give 1 or 0")
    return word in _YES


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise InputError(f"RENALCT_SEND_SECONDS is {text!r}; give a number of seconds, 0 or more")
    return seconds

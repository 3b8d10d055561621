"""How `renalct serve` listens, how much it holds, when a study is complete, how often it is tried, what it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from renalct.core.errors import InputError

DICOM_PORT = 11112
_LONGEST_AE_TITLE = 16
_MEGABYTE = 1_000_000
_GIGABYTE = 1_000_000_000
_HOUR_S = 3600.0


@dataclass(frozen=True)
class TLSFiles:
    """PEM files of a listener that speaks TLS. With `ca`, only peers with a certificate signed by it are let in."""

    certificate: Path
    key: Path
    ca: Path | None = None

    def __post_init__(self) -> None:
        for file in (self.certificate, self.key, self.ca):
            if file is not None and not file.is_file():
                raise InputError(f"there is no certificate or key file {file}; check the name")


@dataclass(frozen=True)
class ListenerSettings:
    """Who listens where, for whom.

    `calling` are the AE titles that may send (none: any may); whoever calls another title than `ae_title` is turned
    away. Port 0 takes a free one. `host` "" listens on every address. `idle_s` ends an association on which nothing
    comes, `negotiation_s` one that never begins (TLS included).
    """

    ae_title: str = "RENALCT"
    port: int = DICOM_PORT
    host: str = ""
    calling: tuple[str, ...] = ()
    max_associations: int = 10
    idle_s: float = 60.0
    negotiation_s: float = 30.0
    tls: TLSFiles | None = None

    def __post_init__(self) -> None:
        for title in (self.ae_title, *self.calling):
            if not 0 < len(title.strip()) <= _LONGEST_AE_TITLE or not title.isascii() or "\\" in title:
                raise InputError(f"{title!r} is no AE title; give 1 to 16 characters of ASCII, without backslash")
        if not 0 <= self.port <= 65535:
            raise InputError(f"{self.port} is no port; give one of 1 to 65535")
        if self.max_associations < 1 or min(self.idle_s, self.negotiation_s) <= 0:
            raise InputError("give at least one association, and times of more than 0 seconds")


@dataclass(frozen=True)
class Bounds:
    """How much waits on the disk at most; beyond it senders are told to come again (A700, out of resources).

    `max_bytes` are those of the received images that are held, `min_free_bytes` stay free on the disk, and
    `max_studies` is the number of studies that are being received, wait, or run: more may not begin, and those that
    have begun may go on.
    """

    max_bytes: int = 200 * _GIGABYTE
    min_free_bytes: int = 1000 * _MEGABYTE
    max_studies: int = 200

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_studies) < 1 or self.min_free_bytes < 0:
            raise InputError("the bounds of the queue leave no room for one study; give larger ones")


@dataclass(frozen=True)
class Patience:
    """When a study is complete: so long after the last of its images came, nothing more is expected.

    `quiet_s` counts from the end of the last association that brought images of the study, `quiet_open_s` from the
    last image while such an association is still open, and `quiet_broken_s` from an association that broke off, or
    from a start of the service after it was stopped: then the sender is likely to send again.
    """

    quiet_s: float = 30.0
    quiet_open_s: float = 120.0
    quiet_broken_s: float = 120.0

    def __post_init__(self) -> None:
        if min(self.quiet_s, self.quiet_open_s, self.quiet_broken_s) < 0:
            raise InputError("the quiet times before a study is complete are 0 seconds or more")


@dataclass(frozen=True)
class Attempts:
    """When an analysis is given up.

    A study whose analysis killed its process, or ran longer than `longest_s`, `most_deaths` times is set aside as
    failed, and so is one that was started `most_starts` times and never came to an end because the service itself
    was stopped.
    """

    most_deaths: int = 2
    most_starts: int = 10
    longest_s: float = _HOUR_S

    def __post_init__(self) -> None:
        if min(self.most_deaths, self.most_starts) < 1 or self.longest_s <= 0:
            raise InputError("an analysis needs at least one attempt and some time")


@dataclass(frozen=True)
class Retention:
    """How long received images and results are kept: `delivered_s` after all results reached their destinations,
    `failed_s` after an analysis failed, `records_s` the knowledge that a study was here (None: for ever).

    While the record is kept, the study sent again is recognized and not analysed again.
    """

    delivered_s: float | None = 24 * _HOUR_S
    failed_s: float | None = 7 * 24 * _HOUR_S
    records_s: float | None = 365 * 24 * _HOUR_S

    def __post_init__(self) -> None:
        if any(age is not None and not age >= 0 for age in (self.delivered_s, self.failed_s, self.records_s)):
            raise InputError("the times for which images are kept are 0 or more")


@dataclass(frozen=True)
class ServiceSettings:
    """Everything that `renalct serve` is told, but for what an analysis is and where results go.

    `grace_s` is how long the analysis under way, and associations that are open, may go on after a stop was asked for.
    """

    folder: Path
    listener: ListenerSettings = field(default_factory=ListenerSettings)
    bounds: Bounds = field(default_factory=Bounds)
    patience: Patience = field(default_factory=Patience)
    attempts: Attempts = field(default_factory=Attempts)
    retention: Retention = field(default_factory=Retention)
    grace_s: float = 20.0
    poll_s: float = 0.5

"""Listen as a DICOM node, analyse each complete study once, and send the results: the one-box set-up of a hospital.

Every image is on the disk before it is acknowledged, and every step is recorded, so that a stop at any moment, also by
kill -9 or a loss of power, neither loses nor doubles a study. A study is complete when nothing more came for it for a
while; images that come later make another run of it.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path

from renalct.commands.finite_numbers import number
from renalct.commands.stopping import stop_asked
from renalct.core.errors import InputError
from renalct.delivery.destinations import read_destinations
from renalct.delivery.inbox_runs import RunQueue
from renalct.delivery.inbox_state import DATABASE, InboxState
from renalct.delivery.service import Service
from renalct.delivery.service_settings import (
    Attempts,
    Bounds,
    ListenerSettings,
    Patience,
    Retention,
    ServiceSettings,
    TLSFiles,
)
from renalct.delivery.service_status import service_status
from renalct.delivery.worker import CascadeLoader, start_log
from renalct.formats.dicom.choose import DEFAULT
from renalct.formats.dicom.rules import Rules
from renalct.runs.analysis import AnalysisSettings

EPILOG = """examples:
  renalct serve --folder STATE --to PACS@pacs.example:104
  renalct serve --ae-title RENALCT --port 11112 --folder STATE --to destinations.json --calling SCANNER --calling PACS
  renalct serve --folder STATE --status
How it works, what it answers, and how to run it as a service: docs/serve.md
Not for clinical use."""

_GIGABYTE = 1_000_000_000
_HOUR_S, _DAY_S = 3600.0, 24 * 3600.0
_NOT_RUNNING = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct serve`."""
    usual = ServiceSettings(Path())
    parser.add_argument(
        "--folder", metavar="STATE", type=Path, required=True, help="where all is kept; on a local disk, protected"
    )
    parser.add_argument(
        "--to", metavar="FILE_OR_ADDRESS", help="file of destinations, https://.../dicom-web, or AETITLE@host:port"
    )
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="this destination of the file")
    parser.add_argument("--release", metavar="FOLDER", type=Path, help="weights to use (default: the starter release)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda, cuda:1, or auto")
    parser.add_argument("--rules", metavar="FILE", type=Path, help="which series may be read, as JSON")
    parser.add_argument("--refusal-report", action="store_true", help='send a report "not analysed" of refused studies')
    parser.add_argument("--status", action="store_true", help="print how the service of STATE is, as JSON, and end")
    parser.add_argument(
        "--retry-failed", action="store_true", help="let the studies of STATE that failed wait again, and end"
    )
    listener = parser.add_argument_group("who may send")
    listener.add_argument("--ae-title", default=usual.listener.ae_title, metavar="AET", help="ours (%(default)s)")
    listener.add_argument("--port", type=int, default=usual.listener.port, help="to listen on (%(default)s)")
    listener.add_argument("--host", default="", metavar="ADDRESS", help="to listen on (default: every one)")
    listener.add_argument("--calling", action="append", default=[], metavar="AET", help="may send (default: any)")
    listener.add_argument("--tls-certificate", type=Path, metavar="FILE", help="speak TLS only; a PEM file")
    listener.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (default: in the same file)")
    listener.add_argument("--tls-ca", type=Path, metavar="FILE", help="senders need a certificate of this authority")
    _add_numbers(
        listener,
        ("--max-associations", int, "N", usual.listener.max_associations, "open at the same time"),
        ("--idle", number, "SECONDS", usual.listener.idle_s, "after which a silent association is ended"),
    )
    _add_numbers(
        parser.add_argument_group("when a study is complete: so long after"),
        ("--quiet-time", number, "SECONDS", usual.patience.quiet_s, "the end of the association that brought it"),
        ("--quiet-open", number, "SECONDS", usual.patience.quiet_open_s, "its last image while it is open"),
        ("--quiet-broken", number, "SECONDS", usual.patience.quiet_broken_s, "an association broke off"),
    )
    _add_numbers(
        parser.add_argument_group("how much there may be, beyond which senders are told to come again"),
        ("--max-gb", number, "GB", usual.bounds.max_bytes / _GIGABYTE, "of images held"),
        ("--min-free-gb", number, "GB", usual.bounds.min_free_bytes / _GIGABYTE, "free on the disk, at least"),
        ("--max-studies", int, "N", usual.bounds.max_studies, "that wait"),
    )
    limits = parser.add_argument_group("how long things last")
    _add_numbers(
        limits,
        (
            "--longest-analysis",
            number,
            "SECONDS",
            usual.attempts.longest_s,
            "a study that takes longer, twice, failed",
        ),
        ("--grace", number, "SECONDS", usual.grace_s, "what is under way may go on after a stop was asked for"),
    )
    for name, unit, unit_s, default_s, words in (
        ("--keep-images", "HOURS", _HOUR_S, usual.retention.delivered_s, "images, after the results were delivered"),
        ("--keep-failed", "HOURS", _HOUR_S, usual.retention.failed_s, "images of studies that failed"),
        ("--keep-records", "DAYS", _DAY_S, usual.retention.records_s, "a study sent again is recognized for so long"),
    ):
        default = "always" if default_s is None else f"{default_s / unit_s:g}"
        words = f'{words}, or "always" ({default})'
        limits.add_argument(name, type=_age(unit_s), default=default, metavar=unit, help=words)


def _add_numbers(group: argparse._ArgumentGroup, *numbers: tuple[str, Callable[[str], float], str, float, str]) -> None:
    """Declare options that are numbers: name, type, unit, default and what it says."""
    for name, read, unit, default, words in numbers:
        group.add_argument(name, type=read, default=default, metavar=unit, help=f"{words} ({default:g})")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it, or print the status; the exit code."""
    if arguments.status:
        status = service_status(arguments.folder)
        print(json.dumps(status.to_json(), indent=2, ensure_ascii=False))
        return 0 if status.is_running else _NOT_RUNNING
    if arguments.retry_failed:
        return _retry_failed(arguments.folder)
    if not arguments.to:
        raise InputError("no destination is given; add --to with a file of destinations or an address")
    settings = _settings(arguments)
    destinations = read_destinations(arguments.to, names=arguments.only)
    rules = DEFAULT if arguments.rules is None else Rules.read(arguments.rules)
    start_log(logging.INFO)

    def loader(salt: str) -> CascadeLoader:
        analysis = AnalysisSettings(rules=rules, refusal_report=arguments.refusal_report, salt=salt)
        return CascadeLoader(arguments.release, arguments.device, analysis)

    service = Service(settings, destinations, loader)
    with stop_asked(service.stop):
        service.run(ready=lambda port: print(f"{settings.listener.ae_title} listens on port {port}", flush=True))
    return 0


def _settings(given: argparse.Namespace) -> ServiceSettings:
    """The settings that the options say. Raises `InputError` for what cannot work."""
    tls = None
    if given.tls_certificate is not None:
        tls = TLSFiles(given.tls_certificate, given.tls_key or given.tls_certificate, given.tls_ca)
    elif given.tls_key is not None or given.tls_ca is not None:
        raise InputError("--tls-key and --tls-ca need a --tls-certificate; add it")
    listener = ListenerSettings(
        given.ae_title, given.port, given.host, tuple(given.calling), given.max_associations, given.idle, tls=tls
    )
    return ServiceSettings(
        given.folder,
        listener,
        Bounds(round(given.max_gb * _GIGABYTE), round(given.min_free_gb * _GIGABYTE), given.max_studies),
        Patience(given.quiet_time, given.quiet_open, given.quiet_broken),
        Attempts(longest_s=given.longest_analysis),
        Retention(given.keep_images, given.keep_failed, given.keep_records),
        grace_s=given.grace,
    )


def _retry_failed(folder: Path) -> int:
    if not (folder / DATABASE).is_file():
        raise InputError(f"{folder} is not the folder of a renalct serve; give the one that it was started with")
    state = InboxState(folder)
    count = RunQueue(state).retry_failed()
    state.close()
    print(f"{count} failed {'study waits' if count == 1 else 'studies wait'} again")
    return 0


def _age(unit_s: float) -> Callable[[str], float | None]:
    """A reader of ages: a number of units as seconds, or None for "always"."""

    def age(text: str) -> float | None:
        return None if text == "always" else number(text) * unit_s

    return age

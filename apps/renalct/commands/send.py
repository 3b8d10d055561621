"""Send the DICOM objects of results to a PACS, by C-STORE or DICOMweb, exactly once.

What is given is put into a queue on disk first. What cannot be delivered now stays there, and is sent when the command
is given again, with or without new results. What an archive refuses for good becomes a dead letter, with the reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from renalct.commands.finite_numbers import number
from renalct.commands.stopping import stop_asked
from renalct.core.errors import InputError, TransferError
from renalct.delivery.destinations import read_destinations
from renalct.delivery.instances import result_files
from renalct.delivery.outbox import Outbox, Queued
from renalct.delivery.retries import RetryPolicy
from renalct.delivery.sending import SendSummary, deliver

EPILOG = """examples:
  renalct send RESULT --to https://archive.example/dicom-web
  renalct send RESULT --to PACS@pacs.example:104
  renalct send RESULT --to destinations.json --only archive
  renalct send --to destinations.json                 what was left, and nothing new
  renalct send --list
  renalct send --retry-dead --to destinations.json
How the file of destinations looks, with TLS, passwords and storage commitment: docs/sending.md
Not for clinical use."""
_USUAL = RetryPolicy()
_MOST_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct send`."""
    parser.add_argument(
        "results", metavar="RESULTS", type=Path, nargs="*", help="output folders of renalct predict, or DICOM files"
    )
    parser.add_argument(
        "--to", metavar="FILE_OR_ADDRESS", help="file of destinations, https://.../dicom-web, or AETITLE@host:port"
    )
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="this destination of the file")
    parser.add_argument("--queue", metavar="FOLDER", type=Path, help="where the queue is (default: one of this user)")
    parser.add_argument("--again", action="store_true", help="send what was delivered before once more")
    parser.add_argument(
        "--wait", type=number, default=60.0, metavar="SECONDS", help="try again for so long what fails for now (60)"
    )
    parser.add_argument(
        "--give-up-after", type=number, default=_USUAL.give_up_after_s / 3600, metavar="HOURS",
        help="what is in the queue for longer becomes a dead letter (168)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="show the queue and its dead letters, and send nothing")
    parser.add_argument("--retry-dead", action="store_true", help="send the dead letters again")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def usual_queue() -> Path:
    """The queue of this user: in the folder for the state of programs (XDG_STATE_HOME)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "renalct" / "outbox"


def run(arguments: argparse.Namespace) -> int:
    """Queue, send, and say what became of it; the exit code is 4 when something was not delivered."""
    folder = arguments.queue or usual_queue()
    if arguments.list:
        return _list(folder, as_json=arguments.json)
    if not arguments.to:
        raise InputError("no destination is given; add --to with a file of destinations or an address")
    if arguments.wait < 0:
        raise InputError(f"--wait is {arguments.wait:g}; it is 0 seconds or more")
    policy = RetryPolicy(give_up_after_s=3600 * arguments.give_up_after)
    destinations = read_destinations(arguments.to, names=arguments.only)
    files = result_files(arguments.results)
    outbox = Outbox(folder)
    if arguments.retry_dead:
        for destination in destinations:
            outbox.retry_dead(destination=destination.name)
    with stop_asked() as asked, _progress():
        summary = deliver(
            outbox, files, destinations, again=arguments.again, wait_s=arguments.wait, policy=policy,
            stop=lambda: bool(asked),
        )  # fmt: skip
    if arguments.json:
        print(json.dumps(_as_json(summary), indent=1, ensure_ascii=False))
    else:
        _tell(summary, folder)
    return 0 if summary.is_complete else TransferError.exit_code


@contextmanager
def _progress() -> Iterator[None]:
    """Within it, what has to wait is told at once; what was given up is told at the end."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("renalct: %(message)s"))
    handler.addFilter(lambda record: record.levelno == logging.WARNING)
    logger = logging.getLogger("renalct.delivery")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _tell(summary: SendSummary, folder: Path) -> None:
    before = summary.delivered_before
    print(f"{_objects(summary.delivered)} delivered" + (f", {before} had been delivered before" if before else ""))
    if summary.is_complete:
        return
    for name, reason in summary.problems:
        _complain(f"{name} {reason}")
    for words, found in (("waiting", summary.undelivered), ("given up", summary.dead)):
        for (destination, reason), labels in _grouped(found).items():
            _complain(f"{words}: {', '.join(labels)} for {destination}{': ' if reason else ''}{reason}")
    waiting, dead = len(summary.undelivered), len(summary.dead)
    _complain(
        f"{_objects(waiting + dead)} not delivered: {waiting} waiting in the queue (give the command again), {dead} "
        f"given up (renalct send --retry-dead sends them again); the queue is {folder}"
    )


def _grouped(found: Sequence[Queued]) -> dict[tuple[str, str], list[str]]:
    """The labels of objects by destination and reason; of many, the first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in found:
        groups.setdefault((each.destination, each.reason), []).append(each.label)
    return {
        key: labels if len(labels) <= _MOST_SHOWN else [*labels[:_MOST_SHOWN], f"and {len(labels) - _MOST_SHOWN} more"]
        for key, labels in groups.items()
    }


def _list(folder: Path, *, as_json: bool) -> int:
    if not folder.is_dir():
        raise InputError(f"there is no queue in {folder}; renalct send makes one, or name another by --queue")
    outbox = Outbox(folder)
    counts, dead = outbox.counts(), outbox.dead_letters()
    if as_json:
        told = {"destinations": [asdict(each) for each in counts], "dead": _described(dead)}
        print(json.dumps({"schema_version": 1, **told}, indent=1, ensure_ascii=False))
        return 0
    for each in counts:
        print(
            f"{each.destination}: {each.delivered} delivered, {each.waiting} waiting, {each.accepted} to be confirmed, "
            f"{each.dead} given up"
        )
        if each.reason:
            print(f"  it {each.reason}")
    for (destination, reason), labels in _grouped(dead).items():
        print(f"given up: {', '.join(labels)} for {destination}: {reason}")
    if not counts:
        print("the queue is empty")
    return 0


def _as_json(summary: SendSummary) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "delivered": summary.delivered,
        "delivered_before": summary.delivered_before,
        "waiting": _described(summary.undelivered),
        "dead": _described(summary.dead),
        "problems": [{"destination": name, "reason": reason} for name, reason in summary.problems],
    }


def _described(found: Sequence[Queued]) -> list[dict[str, Any]]:
    return [
        {"object": each.label, "destination": each.destination, "attempts": each.attempts, "reason": each.reason}
        for each in found
    ]


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"


def _complain(sentence: str) -> None:
    print(f"renalct: {sentence}", file=sys.stderr)

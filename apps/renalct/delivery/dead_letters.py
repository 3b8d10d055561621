"""The folder of dead letters: what was given up, as a DICOM file beside a JSON file that says why."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.delivery.queue_records import Queued


def show_dead_letters(folder: Path, dead: Iterable[Queued], *, content: Callable[[Queued], Path]) -> None:
    """Let a folder show these objects and no others: `LABEL-DESTINATION.dcm` (a link) and `.json` for each.

    The database is what counts; the folder is made after it, and again when the queue is opened. Raises OSError.
    """
    wanted = {name_of(queued): queued for queued in dead}
    for path in folder.iterdir():
        if path.name.removesuffix(".part").rpartition(".")[0] not in wanted:
            path.unlink(missing_ok=True)
    for name, queued in wanted.items():
        told, letter = folder / f"{name}.json", folder / f"{name}.dcm"
        text = json.dumps(_described(queued), indent=1, ensure_ascii=False) + "\n"
        if not told.exists() or told.read_text(encoding="utf-8") != text:
            _write(told, text)
        if not letter.exists():
            _link(letter, queued, content)


def name_of(queued: Queued) -> str:
    """The name of a dead letter without its ending: what it is, and for whom, as a hash."""
    return f"{queued.label}-{hashlib.sha256(queued.destination.encode()).hexdigest()[:6]}"


def _described(queued: Queued) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "object": queued.label,
        "kind": queued.instance.kind,
        "destination": queued.destination,
        "reason": queued.reason,
        "status": f"{queued.status:04X}" if queued.status else "",
        "attempts": queued.attempts,
        "study": queued.study,
        "queued_at": _day(queued.queued_at),
        "given_up_at": _day(queued.changed_at),
        "sha256": queued.sha256,
    }


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _link(letter: Path, queued: Queued, content: Callable[[Queued], Path]) -> None:
    """Another name for the file; on a file system without hard links there is the reason only, which has the hash."""
    try:
        os.link(content(queued), letter)
    except (InputError, FileExistsError, OSError):
        return

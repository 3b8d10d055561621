"""What became of a study, as ``status.json``: for programs that act on it, and without anything of the patient."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from renalct import __version__
from renalct.core.errors import ErrorCode, InputError
from renalct.formats.durable import write_durably

SCHEMA_VERSION = 1
STATUS = "status.json"

_UID = re.compile(r"\b(?:2\.25\.\d{8,}|[0-2](?:\.\d+){3,})")
_WORST_FIRST = (1, 3, 2, 4)


class Outcome(StrEnum):
    """How the analysis of a study ended."""

    OK = "ok"  # results were written
    NO_KIDNEY = "no-kidney"  # results were written, and say that no kidney was found
    REFUSED = "refused"  # the study cannot be analysed; the code says why
    FAILED = "failed"  # the program, its release or the machine failed; the study may be sound


@dataclass(frozen=True)
class StudyStatus:
    """What became of one study.

    `study` is a hash of its StudyInstanceUID (`study_hash`), "" where no header could be read. `code` (an `ErrorCode`)
    and `reason` (a sentence) say why a study was refused or failed, and of one with results why they were not sent
    (code transfer, exit code 4); else both are "". `files` are the names in the study's folder, without status.json.
    Nothing in it is of the patient, and series in it are named by hash.
    """

    outcome: Outcome
    study: str = ""
    code: str = ""
    reason: str = ""
    exit_code: int = 0
    release: str = ""
    release_digest: str = ""
    device: str = ""
    software_version: str = __version__
    kidneys: int = 0
    masses: int = 0
    notices: tuple[str, ...] = ()
    seconds_per_stage: tuple[tuple[str, float], ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.code and self.code not in set(ErrorCode):
            raise ValueError(f"{self.code!r} is no code of ErrorCode")
        bad = not self.has_results
        if bad and not self.code:
            raise ValueError("a study that was refused or failed has a code")
        if not bad and self.code not in ("", ErrorCode.TRANSFER):
            raise ValueError("a study with results has no code but transfer")
        if bool(self.code) != bool(self.exit_code):
            raise ValueError("a code and an exit code come together")

    @property
    def has_results(self) -> bool:
        """Whether the folder holds the results of an analysis."""
        return self.outcome in (Outcome.OK, Outcome.NO_KIDNEY)

    def to_json(self) -> dict[str, Any]:
        """The status as JSON values. Within a schema version keys are only added."""
        values = asdict(self) | {"seconds_per_stage": {name: round(s, 3) for name, s in self.seconds_per_stage}}
        return {"schema_version": SCHEMA_VERSION, **values}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StudyStatus:
        """The status of JSON values; keys that this version does not know are passed over.

        Raises `InputError` when they are of another schema version, or no status.
        """
        if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
            raise InputError(f"the status is not of schema version {SCHEMA_VERSION}; read it with the renalct it is of")
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        try:
            known["outcome"] = Outcome(known["outcome"])
            known["seconds_per_stage"] = tuple((known.get("seconds_per_stage") or {}).items())
            for name in ("notices", "files"):
                known[name] = tuple(known.get(name) or ())
            return cls(**known)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"the status lacks a value or holds a wrong one ({error})") from error


def study_hash(study_instance_uid: str, *, salt: str = "") -> str:
    """The name of a study in logs, statuses and folders: 16 hexadecimal digits that its UID and the salt give.

    Without a salt, whoever has the UID can tell that this is its study; with one, only who also has the salt. The
    hash of no UID is "".
    """
    if not study_instance_uid:
        return ""
    return hmac.new(salt.encode(), study_instance_uid.encode(), hashlib.sha256).hexdigest()[:16]


def without_uids(text: str, *, salt: str = "") -> str:
    """A sentence with every UID in it replaced by its hash, in brackets."""
    return _UID.sub(lambda found: f"[{study_hash(found.group(), salt=salt)}]", text)


def write_status(status: StudyStatus, folder: Path) -> Path:
    """Where the status was written, whole and on the disk. Raises `OutputError`."""
    path = folder / STATUS
    write_durably(path, json.dumps(status.to_json(), indent=2, ensure_ascii=False) + "\n")
    return path


def read_status(folder: Path) -> StudyStatus:
    """The status in a folder of results. Raises `InputError` when there is none, or it is damaged."""
    path = folder / STATUS
    try:
        return StudyStatus.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a status ({type(error).__name__}); analyse the study again"
        ) from error


def exit_code_of(statuses: Iterable[StudyStatus]) -> int:
    """The exit code for several studies: 0 when all have results that were sent, else that of the worst.

    A failure of ours (1) is worse than a release that cannot be used (3), that than a study that was refused (2), and
    that than results that were not taken (4).
    """
    found = {status.exit_code for status in statuses}
    return next((code for code in _WORST_FIRST if code in found), 0)

"""Where results are sent: DICOM nodes (C-STORE) and DICOMweb archives (STOW-RS), from strict JSON or an address."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from renalct.core.errors import InputError, RecipeError
from renalct.core.nearest import nearest_of
from renalct.delivery.access import Tls, WebAccess
from renalct.models.values import from_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_AE_TITLE = re.compile(r"[ !-\[\]-~]{1,16}")
"""PS3.5 6.2, value representation AE: the default repertoire without the backslash."""
_HIGHEST_PORT = 65535
_SCHEMA_VERSION = 1
_KEYS = ("schema_version", "destinations")


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """How storage commitment is asked for (PS3.4 Annex J).

    The answer comes on the association that asked, which stays open for `wait_s`, or on one that the archive opens to
    `port` of this computer (0 for none; a listener that is there already can take it, see `commitment.take_report`).
    Without an answer for `patience_s` it is asked again.
    """

    port: int = 0
    wait_s: float = 5.0
    patience_s: float = 3600.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise InputError(f"the port of the storage commitment is {self.port}; 1 to {_HIGHEST_PORT} are ports")
        if not 0 <= self.wait_s < math.inf or not 0 < self.patience_s < math.inf:
            raise InputError("wait_s of a storage commitment is 0 or more, and patience_s more than 0")


@dataclass(frozen=True, kw_only=True)
class DimseDestination:
    """A DICOM node that takes objects by C-STORE.

    With `find` it is asked afterwards by C-FIND whether each object is there, with `qido` the DICOMweb service of the
    same archive is asked, with `commitment` the archive takes responsibility for it. With `tls` all is encrypted.
    """

    name: str
    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "RENALCT"
    tls: Tls | None = None
    find: bool = False
    qido: WebAccess | None = None
    commitment: Commitment | None = None
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        _check_name(self.name)
        for title in (self.ae_title, self.calling_ae_title):
            if not _AE_TITLE.fullmatch(title) or not title.strip():
                raise InputError(
                    f"the AE title {title!r} of destination {self.name!r} is none; 1 to 16 characters are needed"
                )
        if not self.host.strip() or not 1 <= self.port <= _HIGHEST_PORT:
            raise InputError(f"destination {self.name!r} needs a host, and a port from 1 to {_HIGHEST_PORT}")
        _check_times(self)

    @property
    def is_confirmed(self) -> bool:
        """Whether somebody is asked afterwards if what was accepted is really there."""
        return self.find or self.qido is not None or self.commitment is not None


@dataclass(frozen=True, kw_only=True)
class WebDestination:
    """A DICOMweb archive that takes objects by STOW-RS; with `check` QIDO-RS tells afterwards whether each is there."""

    name: str
    web: WebAccess
    check: bool = True
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_times(self)

    @property
    def is_confirmed(self) -> bool:
        """Whether the archive is asked afterwards if what was accepted is really there."""
        return self.check


Destination = DimseDestination | WebDestination
_KINDS: Mapping[str, type[DimseDestination] | type[WebDestination]] = {
    "dimse": DimseDestination,
    "dicomweb": WebDestination,
}
_OF_WEB = (
    "url", "user", "password_file", "password_variable", "token_file", "token_variable", "allow_plain_http", "tls",
)  # fmt: skip


def read_destinations(place: Path | str, *, names: Sequence[str] = ()) -> tuple[Destination, ...]:
    """The destinations of a JSON file, or those with these names; or the one that an address describes.

    An address is ``https://archive.example/dicom-web`` or ``AETITLE@host:port``. Files that the JSON file names are
    looked for beside it. Raises `InputError` for what is neither, an unknown key (with the nearest known one) or name.
    """
    text = str(place)
    if not Path(text).is_file() and (text.startswith(("http://", "https://")) or "@" in text):
        return (_from_address(text),)
    found = _from_file(Path(text))
    for name in names:
        if name not in [each.name for each in found]:
            raise InputError(f"there is no destination {name!r}; {nearest_of(name, [each.name for each in found])}")
    return tuple(each for each in found if not names or each.name in names)


def _from_address(text: str) -> Destination:
    if text.startswith(("http://", "https://")):
        web = WebAccess(url=text)
        return WebDestination(name=text, web=web)
    ae_title, _, address = text.rpartition("@")
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or not ae_title or parts.path:
        raise InputError(f"{text!r} is no address of a DICOM node; give one like AETITLE@host:104")
    return DimseDestination(name=text, host=host, port=port, ae_title=ae_title)


def _from_file(path: Path) -> tuple[Destination, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the file of destinations {str(path)!r} cannot be read ({error.strerror}); give such a file, or an "
            "address like https://archive.example/dicom-web or AETITLE@host:104"
        ) from error
    except ValueError as error:
        raise InputError(f"{path.name} is no JSON ({error}); see docs/sending.md for an example") from error
    if not isinstance(content, dict) or not isinstance(content.get("destinations"), list):
        raise InputError(f'{path.name} has no list "destinations"; see docs/sending.md for an example')
    for key in content:
        if key not in _KEYS:
            raise InputError(f"{path.name} has the unknown key {key!r}; {nearest_of(key, _KEYS)}")
    if content.get("schema_version") != _SCHEMA_VERSION:
        raise InputError(
            f"{path.name} has the schema_version {content.get('schema_version')!r}; {_SCHEMA_VERSION} is needed"
        )
    try:
        found = tuple(
            _from_entry(entry, f"destinations[{number}]", path.parent)
            for number, entry in enumerate(content["destinations"])
        )
    except (RecipeError, InputError) as error:
        raise InputError(f"{path.name}: {error}") from error
    names = [each.name for each in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or not found:
        raise InputError(
            f"{path.name} has two destinations {doubled[0]!r}; give each a name of its own"
            if doubled
            else f"{path.name} has no destination; see docs/sending.md for an example"
        )
    return found


def _from_entry(entry: Any, where: str, folder: Path) -> Destination:
    """A destination of the file. The keys of a web address stand beside the others there."""
    if not isinstance(entry, dict):
        raise InputError(f"{where} is {entry!r}; an object is needed")
    kind = str(entry.get("kind"))
    if kind not in _KINDS:
        raise InputError(f"{where} has the kind {kind!r}; {nearest_of(kind, list(_KINDS))}")
    values = {key: _beside(value, key, folder) for key, value in entry.items() if key != "kind"}
    known = [name for name in _KINDS[kind].__dataclass_fields__ if name != "web"]
    if kind == "dicomweb":
        known = [*_OF_WEB, *known]
    for key in values:
        if key not in known:
            raise InputError(f"{where} has the unknown key {key!r}; {nearest_of(key, known)}")
    if kind == "dicomweb":
        values["web"] = {key: values.pop(key) for key in _OF_WEB if key in values}
    return from_json(_KINDS[kind], values, where=where)


def _beside(value: Any, key: str, folder: Path) -> Any:
    """The value, in which names of files are completed by the folder of the JSON file."""
    if isinstance(value, dict):
        return {inner: _beside(each, inner, folder) for inner, each in value.items()}
    if key.endswith("_file") and isinstance(value, str):
        return str(folder / os.path.expanduser(value))
    return value


def _check_name(name: str) -> None:
    """A plain word; or an address, which is the name of a destination that was given as one."""
    if not _NAME.fullmatch(name) and not name.startswith(("http://", "https://")) and "@" not in name:
        raise InputError(f"the name {name!r} of a destination is none; use letters, digits, '.', '_' and '-'")


def _check_times(destination: Destination) -> None:
    if not all(0 < time_s < math.inf for time_s in (destination.connect_timeout_s, destination.answer_timeout_s)):
        raise InputError(f"the time-outs of destination {destination.name!r} must be more than 0 seconds")

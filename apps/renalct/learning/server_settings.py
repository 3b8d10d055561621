"""The options of a label server, as text from its command line, to values."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.core.nearest import did_you_mean
from renalct.learning.acquisition.strategies import DEFAULT, Strategy, strategy_named
from renalct.learning.case_words import USUAL_DESK, DeskSettings
from renalct.learning.image_source import OWN_FOLDER
from renalct.learning.loop.auto_update import AutoSettings

LABELS, MODELS, IMAGES = "labels", "models", "images"
"""The folders of a server's home: the label store, the registry, and images that were fetched or converted."""

OF_MONAI_LABEL = frozenset({"server_mode"})
"""Options that MONAI Label itself reads from the same list."""


@dataclass(frozen=True)
class ServerSettings:
    """What an operator may choose. Without `auto_update` trainings are started by hand."""

    release: Path | None = None
    device: str = "cpu"
    store: Path | None = None
    has_models: bool = True
    strategy: Strategy = DEFAULT
    desk: DeskSettings = USUAL_DESK
    auto_update: AutoSettings | None = None
    users: Path | None = None
    most_upload_mb: int = 2048
    image_cache_gb: int = 100

    @property
    def image_cache_bytes(self) -> int:
        """How much of the disk fetched series may take."""
        return self.image_cache_gb * 10**9

    @property
    def most_upload_bytes(self) -> int:
        """The largest upload that is taken."""
        return self.most_upload_mb << 20

    def home(self, studies: str) -> Path:
        """The folder of labels, models and what is derived from images: beside the images of a folder; of an archive
        in the user's data folder, under a name made of its address."""
        if self.store is not None:
            return self.store
        if is_address(studies):
            base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
            return Path(base) / "renalct" / sha256(studies.rstrip("/").encode()).hexdigest()[:16]
        return Path(studies) / OWN_FOLDER


def is_address(studies: str) -> bool:
    """Whether the studies are those of a DICOMweb archive."""
    return studies.startswith(("http://", "https://"))


def settings_of_conf(conf: Mapping[str, Any]) -> ServerSettings:
    """The settings that ``--conf NAME VALUE`` gives. Raises `InputError` for an unknown name or an impossible value."""
    for name in conf:
        if name not in _READ and name not in OF_MONAI_LABEL:
            hint = did_you_mean(name, _READ)
            raise InputError(f"there is no option {name!r} of this app ({', '.join(_READ)}){hint}")
    read = {name: _READ[name](name, str(value).strip()) for name, value in conf.items() if name in _READ}
    lease, readings = read.pop("lease_minutes", None), read.pop("readings", None)
    desk = DeskSettings(lease or USUAL_DESK.lease_minutes, readings or USUAL_DESK.readings)
    models = read.pop("models", True)
    quiet, auto = read.pop("auto_quiet_minutes", None), read.pop("auto_update", None)
    if auto is not None and quiet is not None:
        auto = replace(auto, quiet_seconds=60 * quiet)
    return ServerSettings(desk=desk, has_models=models, auto_update=auto, **read)


def _whole(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}; a whole number is needed") from error
    if value < 0:
        raise InputError(f"{name} is {value}; it is 0 or more")
    return value


def _minutes(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}; a number is needed") from error


def _models(name: str, text: str) -> bool:
    if text not in ("all", "none"):
        raise InputError(f"{name} is {text!r}; it is 'all', or 'none' for a server to review labels on")
    return text == "all"


def _auto(name: str, text: str) -> AutoSettings | None:
    count = _whole(name, text)
    return AutoSettings(new_labels=count) if count else None


_READ: dict[str, Callable[[str, str], Any]] = {
    "release": lambda name, text: Path(text),
    "device": lambda name, text: text,
    "store": lambda name, text: Path(text),
    "models": _models,
    "strategy": lambda name, text: strategy_named(text),
    "lease_minutes": _minutes,
    "readings": _whole,
    "auto_update": _auto,
    "auto_quiet_minutes": _minutes,
    "users": lambda name, text: Path(text),
    "most_upload_mb": _whole,
    "image_cache_gb": _whole,
}

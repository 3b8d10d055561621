"""The registry of versions: every candidate is kept for ever, and one of them is the published release.

    REGISTRY/current.json            which version is published, and every publication before it; replaced as a whole
    REGISTRY/versions/v0001/         version.json, decision.json, decision.md, inputs.json, and the release in release/
    REGISTRY/frozen.json, frozen/    the frozen validation set
    REGISTRY/runs/r0001/             trainings; REGISTRY/status.json says how far the last one is

`renalct predict --release REGISTRY` takes the published version. To hand a release on, copy `versions/v0001/release`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError, OutputError, RecipeError, ReleaseError
from renalct.formats.durable import locked, sync_folder, sync_tree, write_durably
from renalct.models.release import CURRENT, load_release, save_release
from renalct.models.run_folder import CANDIDATE
from renalct.models.values import from_json, to_json

SCHEMA_VERSION = 1
DECISION, DECISION_TEXT, INPUTS = "decision.json", "decision.md", "inputs.json"
_VERSION, _VERSIONS, _LOCK = "version.json", "versions", ".lock"
_INCOMING = ".incoming"
_DAY = 86_400.0


@dataclass(frozen=True)
class RegistryVersion:
    """What `version.json` says: a candidate, from which run, and whether the gate let it through.

    `compared_with` is the digest of the release that it was compared with ("" for a floor); `parent` that of the one
    whose weights it started from ("" for a training from scratch).
    """

    name: str
    digest: str
    added_at: float
    run: str
    accepted: bool
    compared_with: str
    reason: str
    parent: str = ""


@dataclass(frozen=True)
class Publication:
    """That a version became the published one: when, by whom and why."""

    version: str
    digest: str
    at: float
    by: str
    reason: str


@dataclass(frozen=True)
class _Pointer:
    """The whole of `current.json`; `release` is the folder of the published release within the registry."""

    schema_version: int
    release: str
    history: tuple[Publication, ...]


class Registry:
    """The versions in a folder. Safe for several processes; what a stop at any moment leaves is always whole."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._clock = Path(folder), clock
        self._seen: tuple[tuple[int, int], tuple[Publication, ...]] | None = None

    def versions(self) -> tuple[RegistryVersion, ...]:
        """Every version, oldest first."""
        names = sorted(path.parent.name for path in self.folder.glob(f"{_VERSIONS}/v*/{_VERSION}"))
        return tuple(self.version(name) for name in names)

    def version(self, name: str) -> RegistryVersion:
        """A version by its name, for example ``v0003``. Raises `InputError` when there is none of that name."""
        path = self.folder / _VERSIONS / name / _VERSION
        if Path(name).name != name or not path.is_file():
            known = ", ".join(sorted(p.name for p in self.folder.glob(f"{_VERSIONS}/v*"))) or "none"
            raise InputError(f"the registry {self.folder} has no version {name!r}; it has {known}")
        return from_json(RegistryVersion, _read(path), where=_VERSION)

    def place(self, name: str) -> Path:
        """The folder of a version, with its decision and its inputs."""
        return self.folder / _VERSIONS / self.version(name).name

    def release_of(self, name: str) -> Path:
        """The folder of the release of a version."""
        return self.place(name) / CANDIDATE

    def history(self) -> tuple[Publication, ...]:
        """Every publication, oldest first; the last is the one that is live. Cheap to ask for again and again."""
        path = self.folder / CURRENT
        try:
            stat = path.stat()
        except FileNotFoundError:
            return ()
        mark = stat.st_mtime_ns, stat.st_ino
        if self._seen is None or self._seen[0] != mark:
            try:
                self._seen = mark, from_json(_Pointer, _read(path), where=CURRENT).history
            except (RecipeError, InputError) as error:
                raise ReleaseError(f"{path} does not say which version is published; publish one again") from error
        return self._seen[1]

    def current(self) -> Publication | None:
        """The live publication; None before the first."""
        history = self.history()
        return history[-1] if history else None

    def shadow(self) -> RegistryVersion | None:
        """The newest version, when it was never published: to be run beside the live one and looked at."""
        versions, published = self.versions(), {each.version for each in self.history()}
        return versions[-1] if versions and versions[-1].name not in published else None

    def add(
        self,
        release: Path,
        *,
        run: str,
        accepted: bool,
        compared_with: str,
        reason: str,
        parent: str = "",
        texts: Mapping[str, str] | None = None,
    ) -> RegistryVersion:
        """Keep a candidate as the next version, unpublished; `texts` are files to keep beside it, by name.

        Raises `ReleaseError` for a damaged release, and `OutputError`.
        """
        digest = load_release(release).digest
        incoming = self.folder / _VERSIONS / f"{_INCOMING}-{os.getpid()}-{time.monotonic_ns()}"
        try:
            incoming.mkdir(parents=True)
            shutil.copytree(release, incoming / CANDIDATE)
            for name, text in (texts or {}).items():
                (incoming / name).write_text(text, encoding="utf-8")
            with locked(self.folder / _LOCK):
                self._sweep()
                version = RegistryVersion(
                    self._next_name(), digest, self._clock(), run, accepted, compared_with, reason, parent
                )
                _stamp(incoming / CANDIDATE, version)
                (incoming / _VERSION).write_text(_text(to_json(version)), encoding="utf-8")
                sync_tree(incoming)
                os.rename(incoming, self.folder / _VERSIONS / version.name)
                sync_folder(self.folder / _VERSIONS)
        except OSError as error:
            shutil.rmtree(incoming, ignore_errors=True)
            raise OutputError(f"no version can be added to {self.folder} ({error.strerror})") from error
        return version

    def publish(self, name: str, *, by: str, reason: str = "", despite_the_gate: bool = False) -> Publication:
        """Make a version the published one; until the very last step the one before stays it.

        Raises `InputError` when the gate refused it, or when it was compared with another release than the one that is
        published now, unless it is published despite that, with a reason.
        """
        version = self.version(name)
        with locked(self.folder / _LOCK):
            now = self.current()
            if now is not None and now.version == name:
                return now
            if despite_the_gate:
                if not reason.strip():
                    raise InputError(f"{name} is published despite the gate; say why, the reason is kept")
            else:
                _refuse_unproven(version, now)
            return self._point_to(version, by, reason or version.reason)

    def rollback(self, *, by: str, reason: str, to: str = "") -> Publication:
        """Publish the version again that was live before the present one, or the one that is named.

        Raises `InputError` when there is none before it, or when the one named was never published.
        """
        with locked(self.folder / _LOCK):
            names = [each.version for each in self.history()]
            before = names[: names.index(names[-1])] if names else []
            if not (to in names if to else before):
                what = f"{to} was never published" if to else "no version was published before the present one"
                raise InputError(f"there is nothing to go back to in {self.folder}: {what}")
            return self._point_to(self.version(to or before[-1]), by, reason)

    def _point_to(self, version: RegistryVersion, by: str, reason: str) -> Publication:
        release = self.release_of(version.name)
        if load_release(release).digest != version.digest:
            raise ReleaseError(f"{release} is not the release that was added as {version.name}; restore its files")
        publication = Publication(version.name, version.digest, self._clock(), by, reason)
        within = release.relative_to(self.folder).as_posix()
        pointer = _Pointer(SCHEMA_VERSION, within, (*self.history(), publication))
        write_durably(self.folder / CURRENT, _text(to_json(pointer)))
        return publication

    def _next_name(self) -> str:
        numbers = [int(path.name[1:]) for path in self.folder.glob(f"{_VERSIONS}/v*") if path.name[1:].isdigit()]
        return f"v{max(numbers, default=0) + 1:04d}"

    def _sweep(self) -> None:
        """Remove what processes left that were killed while they added a version, a day ago or longer."""
        for path in self.folder.glob(f"{_VERSIONS}/{_INCOMING}-*"):
            if path.stat().st_mtime < time.time() - _DAY:
                shutil.rmtree(path, ignore_errors=True)


def _stamp(folder: Path, version: RegistryVersion) -> None:
    """Put the name of a version onto its release's card; the weights, and so the digest, stay as they are."""
    release = load_release(folder)
    save_release(replace(release, card=replace(release.card, version=version.name)), folder)


def _refuse_unproven(version: RegistryVersion, now: Publication | None) -> None:
    if not version.accepted:
        raise InputError(f"the gate refused {version.name}: {version.reason}")
    if now is not None and version.compared_with != now.digest:
        raise InputError(
            f"{version.name} was compared with another release than {now.version}, which is published now; train or "
            "compare again"
        )


def _text(data: Any) -> str:
    return json.dumps(data, indent=1) + "\n"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON; restore the file") from error

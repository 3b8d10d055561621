"""The folder of a cohort: one folder per study, written whole, is the truth; what else lies there follows from them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from renalct import __version__
from renalct.core.errors import InputError, OutputError
from renalct.formats.dicom.deidentify_values import Deidentification
from renalct.formats.durable import locked, sync_folder, sync_tree, write_durably
from renalct.formats.output_folder import write_refused
from renalct.runs.status import STATUS, Outcome, StudyStatus, read_status, write_status

SCHEMA_VERSION = 1
_CARD, _STUDIES, _WORK, _LOCK = "cohort.json", "studies", ".work", ".lock"
_KEPT_OF_A_REPORT = frozenset({STATUS, "report.json"})
_TRIES = 2
_MOST_MINUTES = 7 * 24 * 60


class Kept(Enum):
    """What is kept of a study's results."""

    ALL = "all"  # everything that `renalct predict` writes
    REPORT = "report"  # the measurements alone: report.json


@dataclass(frozen=True)
class CohortSettings:
    """What is done with every study of a cohort.

    `release` is a folder of weights (None: the starter). A study that takes longer than `minutes` is given up.
    """

    release: Path | None = None
    device: str = "cpu"
    kept: Kept = Kept.ALL
    deidentification: Deidentification | None = field(default=None, repr=False)
    minutes: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= _MOST_MINUTES:
            raise InputError(
                f"a study may take {self.minutes:g} minutes; give more than 0, and {_MOST_MINUTES} at most"
            )

    def describe(self, release_digest: str) -> dict[str, Any]:
        """What must be the same when the same folder is gone on with."""
        how = self.deidentification
        options = [] if how is None else ["basic profile"]
        options += [name for name in ("modified_dates", "clean_descriptors") if how is not None and getattr(how, name)]
        return {
            "software_version": __version__,
            "release_digest": release_digest,
            "kept": self.kept.value,
            "deidentified": options,
            "key": "" if how is None else how.pseudonym("the key of this cohort"),
        }


class CohortFolder:
    """A cohort's folder of results."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path).resolve()

    def study(self, name: str) -> Path:
        """Where the results of a study are, or will be."""
        return self.path / _STUDIES / name

    def status(self, name: str) -> StudyStatus | None:
        """What became of a study, None while nothing did."""
        return read_status(self.study(name)) if (self.study(name) / STATUS).is_file() else None

    def names(self) -> list[str]:
        """The studies that have a status, in alphabetical order."""
        return sorted(path.parent.name for path in (self.path / _STUDIES).glob(f"*/{STATUS}"))

    @contextmanager
    def opened(self, description: dict[str, Any]) -> Iterator[None]:
        """A time in which this process alone works here; what a killed one left unfinished is removed first.

        Raises `InputError` when the folder holds a cohort of other settings, or something else; `OutputError` when it
        cannot be written, or another process works in it.
        """
        try:
            (self.path / _STUDIES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_refused(self.path, error) from error
        with locked(self.path / _LOCK, seconds=1.0):
            self._check(description)
            shutil.rmtree(self.path / _WORK, ignore_errors=True)
            yield
            shutil.rmtree(self.path / _WORK, ignore_errors=True)

    def begin(self, name: str) -> int:
        """Note that a study is tried; returns how often it was begun before, since the folder was opened."""
        folder = self.path / _WORK / "tried"
        folder.mkdir(parents=True, exist_ok=True)
        before = sum((folder / f"{name}.{number}").exists() for number in range(_TRIES))
        if before < _TRIES:
            (folder / f"{name}.{before}").touch()
            sync_folder(folder)
        return before

    def scratch(self, name: str) -> Path:
        """A new empty folder for a study that is being analysed; its results move from there as a whole."""
        folder = self.path / _WORK / f"{name}.{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def keep(self, name: str, results: Path, kept: Kept) -> None:
        """Put a folder of results in its place, durably, with what is to be kept of it. Raises `OutputError`."""
        try:
            if kept is Kept.REPORT:
                for path in results.iterdir():
                    if path.name not in _KEPT_OF_A_REPORT:
                        path.unlink()
            sync_tree(results)
            shutil.rmtree(self.study(name), ignore_errors=True)
            results.rename(self.study(name))
            sync_folder(self.path / _STUDIES)
        except OSError as error:
            raise OutputError(f"the results of {name} cannot be written ({error.strerror})") from error

    def give_up(self, name: str, status: StudyStatus) -> None:
        """Write the status of a study that has no results, in place of whatever there is of it."""
        folder = self.scratch(f"{name}.given-up")
        write_status(status, folder)
        self.keep(name, folder, Kept.ALL)

    def forget_failures(self, names: list[str]) -> int:
        """Remove the studies that failed, so that they are tried again; returns how many."""
        failed = [n for n in names if (status := self.status(n)) is not None and status.outcome is Outcome.FAILED]
        for name in failed:
            shutil.rmtree(self.study(name))
        return len(failed)

    def _check(self, description: dict[str, Any]) -> None:
        path = self.path / _CARD
        if not path.is_file():
            others = [p.name for p in self.path.iterdir() if p.name not in (_STUDIES, _WORK, _LOCK)]
            if others or any((self.path / _STUDIES).iterdir()):
                raise InputError(f"the folder {self.path} is not empty and holds no cohort; choose another name")
            write_durably(path, json.dumps({"schema_version": SCHEMA_VERSION, **description}, indent=2) + "\n")
            return
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            differing = sorted(key for key, value in description.items() if earlier.get(key) != value)
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path} cannot be read; choose another folder") from error
        if differing:
            raise InputError(
                f"the folder {self.path} holds a cohort of another {', '.join(differing).replace('_', ' ')}; "
                "choose another folder, so that all its studies were analysed in the same way"
            )

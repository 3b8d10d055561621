"""Series of a DICOMweb archive kept in a folder: fetched once, bounded, never stale."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from renalct.core.errors import InputError, TransferError
from renalct.formats.dicom.web import DicomWeb

_PARTIAL = "partial-"
_ABANDONED_AFTER_S = 3600.0


USUAL_BYTES = 100_000_000_000
"""Some two hundred CTs of 500 slices with their NIfTI files."""

USUAL_KEEP_S = 900.0


class SeriesCache:
    """A folder of fetched series, at most `most_bytes` large; several threads and processes may share it.

    A fetched series lies in a folder named by its UID and by the UIDs of its instances, so that a series which has
    changed in the archive is another folder. What was used within `keep_s` seconds is never removed: somebody may be
    reading it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = USUAL_BYTES,
        keep_s: float = USUAL_KEEP_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._keep_s = keep_s
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, web: DicomWeb, study_instance_uid: str, series_instance_uid: str) -> Path:
        """The folder with the files of the series as the archive holds it now; fetched if it is not here yet.

        Raises `InputError` when the archive does not hold the series, `TransferError` when it cannot be asked, or
        sends other instances than it lists.
        """
        uids = web.instances(study_instance_uid, series_instance_uid)
        if not uids:
            raise InputError(f"{web.settings.place} holds no series {series_instance_uid}; refresh the list of images")
        target = self._folder / _name(series_instance_uid, uids)
        if target.is_dir():
            self._touch(target)
            return target
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._folder))
        try:
            files = web.fetch(study_instance_uid, series_instance_uid, partial)
            if len(files) != len(uids):
                raise TransferError(
                    f"{web.settings.place} lists {len(uids)} images of series {series_instance_uid} and sent "
                    f"{len(files)}; try again when the series is complete"
                )
            with suppress(OSError):  # another process was faster
                os.rename(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._touch(target)
        self._shrink()
        return target

    def newest(self, series_instance_uid: str) -> Path | None:
        """The series as it was fetched last, without asking the archive; None when it is not here."""
        found = sorted(self._folder.glob(f"{series_instance_uid}-*"), key=_used_at)
        return found[-1] if found else None

    def _touch(self, folder: Path) -> None:
        now = self._clock()
        with suppress(FileNotFoundError):
            os.utime(folder, (now, now))

    def _shrink(self) -> None:
        """Remove what was not used for longest until the bound holds, and what a killed process left."""
        now = self._clock()
        for partial in self._folder.glob(f"{_PARTIAL}*"):
            if now - _used_at(partial) > _ABANDONED_AFTER_S:
                shutil.rmtree(partial, ignore_errors=True)
        kept = sorted((f for f in self._folder.iterdir() if not f.name.startswith(_PARTIAL)), key=_used_at)
        total = sum(map(_bytes_of, kept))
        for folder in kept:
            if total <= self._most_bytes or now - _used_at(folder) <= self._keep_s:
                return
            total -= _bytes_of(folder)
            doomed = folder.with_name(f"{_PARTIAL}{folder.name}")
            with suppress(OSError):
                os.rename(folder, doomed)  # whole or gone: nobody finds half of a series
            shutil.rmtree(doomed, ignore_errors=True)


def _name(series_instance_uid: str, sop_instance_uids: tuple[str, ...]) -> str:
    return f"{series_instance_uid}-{hashlib.sha256(' '.join(sop_instance_uids).encode()).hexdigest()[:16]}"


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())

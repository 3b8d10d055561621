"""A DICOMweb archive as its client sees it: series found (QIDO-RS), fetched (WADO-RS) and stored (STOW-RS)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from renalct.core.errors import InputError, TransferError
from renalct.formats.dicom.web_answers import StoredInstance, stored_instances, told
from renalct.formats.dicom.web_settings import WebSettings, client_of

__all__ = ["ArchivedSeries", "DicomWeb", "StoredInstance", "WebSettings"]

_PAGE = 500
_FIELDS = (
    "StudyInstanceUID", "SeriesDescription", "SeriesDate", "SeriesTime", "StudyDate", "StudyTime", "PatientID",
    "NumberOfSeriesRelatedInstances",
)  # fmt: skip
_MOST_BYTES_PER_REQUEST = 64_000_000
_AS_STORED = (("application/dicom", "*"),)
"""Any transfer syntax: we read them all, and the archive need not recode."""


@dataclass(frozen=True)
class ArchivedSeries:
    """A series that the archive holds; "" and 0 where it does not say. Dates, times and `patient` are as in DICOM.

    `made_at` is the date and time of the series, in an order that can be compared.
    """

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    description: str = ""
    study_date: str = field(default="", repr=False)
    study_time: str = field(default="", repr=False)
    made_at: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    instances: int = 0


class DicomWeb:
    """The client of one archive; it may be used by several threads.

    Every method raises `TransferError` when the archive cannot be reached, refuses, or answers what is no DICOMweb.
    """

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self._of_thread = threading.local()

    def series(self, modality: str, *, study_instance_uid: str | None = None) -> tuple[ArchivedSeries, ...]:
        """The series of a modality (``CT``, ``SEG``), of one study or of all, sorted by their UIDs."""
        with told(self.settings.place, "list the series"):
            found = {
                entry.series_instance_uid: entry
                for page in self._pages(
                    lambda client, offset: client.search_for_series(
                        study_instance_uid,
                        search_filters={"Modality": modality},
                        fields=_FIELDS,
                        limit=_PAGE,
                        offset=offset,
                    )
                )
                for entry in map(_archived, page)
                if entry.modality == modality
            }
        return tuple(found[uid] for uid in sorted(found))

    def instances(self, study_instance_uid: str, series_instance_uid: str) -> tuple[str, ...]:
        """The SOP Instance UIDs of a series, sorted; empty when the archive does not hold it."""
        with told(self.settings.place, f"list the images of series {series_instance_uid}"):
            pages = self._pages(
                lambda client, offset: client.search_for_instances(
                    study_instance_uid, series_instance_uid, limit=_PAGE, offset=offset
                )
            )
            return tuple(sorted({_text(entry, "00080018") for page in pages for entry in page}))

    def fetch(self, study_instance_uid: str, series_instance_uid: str, folder: Path) -> tuple[Path, ...]:
        """The files of a series, one per instance, written into a folder that exists; pixels stay as stored."""
        paths = []
        with told(self.settings.place, f"fetch series {series_instance_uid}"):
            for number, instance in enumerate(
                self._client.iter_series(study_instance_uid, series_instance_uid, media_types=_AS_STORED), start=1
            ):
                paths.append(folder / f"IM{number:05d}.dcm")
                instance.save_as(paths[-1])
        if not paths:
            raise TransferError(f"{self.settings.place} sent no image of series {series_instance_uid}; look there")
        return tuple(paths)

    def store(self, files: Iterable[Path]) -> tuple[StoredInstance, ...]:
        """What became of each file, in their order. Nothing is sent twice by itself: ask again for what failed."""
        outcomes: list[StoredInstance] = []
        for batch in _batches(files):
            datasets = [_read(path) for path in batch]
            with told(self.settings.place, "store objects"):
                outcomes += stored_instances(self._client, datasets)
        return tuple(outcomes)

    @property
    def _client(self) -> DICOMwebClient:
        client = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = client_of(self.settings)
        return client

    def _pages(self, search: Any) -> Iterator[list[dict[str, Any]]]:
        """Pages until one brings nothing new: an archive may send fewer than asked, or know no offset."""
        seen: set[str] = set()
        while True:
            page = search(self._client, len(seen))
            keys = {str(entry.get("0020000E")) + str(entry.get("00080018")) for entry in page}
            if keys <= seen:
                return
            seen |= keys
            yield page


def _archived(entry: dict[str, Any]) -> ArchivedSeries:
    return ArchivedSeries(
        _text(entry, "0020000D"),
        _text(entry, "0020000E"),
        _text(entry, "00080060"),
        _text(entry, "0008103E"),
        _text(entry, "00080020"),
        _text(entry, "00080030"),
        _text(entry, "00080021") + _text(entry, "00080031"),
        _text(entry, "00100020"),
        int(_text(entry, "00201209") or 0),
    )


def _text(entry: dict[str, Any], tag: str) -> str:
    return str((entry.get(tag, {}).get("Value") or [""])[0] or "")


def _read(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path)
    except (InvalidDicomError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as a DICOM file; only DICOM objects can be stored") from error


def _batches(files: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    waiting = 0
    for path in files:
        size = path.stat().st_size
        if batch and waiting + size > _MOST_BYTES_PER_REQUEST:
            yield batch
            batch, waiting = [], 0
        batch.append(path)
        waiting += size
    if batch:
        yield batch

"""What can be known of a study that was refused: whose it is, and which objects were looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from renalct.core.errors import InputError
from renalct.formats.dicom.bounded import read_dataset
from renalct.formats.dicom.source_images import SliceReference
from renalct.formats.dicom.walk import FileReader, StudyFile, is_dicom, list_files
from renalct.formats.quiet import quietly

_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MOST_FILES = 20_000


@dataclass(frozen=True, eq=False)
class RefusedStudy:
    """A header of the study, and its objects by series, both in order of UIDs."""

    header: Dataset = field(repr=False)
    series: tuple[tuple[str, tuple[SliceReference, ...]], ...]


def find_refused_study(path: Path, *, study_instance_uid: str = "") -> RefusedStudy | None:
    """The study of the readable DICOM objects below `path` (or the one with that UID), None when none can be read.

    Objects of any kind count, for this is also asked where there is no CT. Of several studies the one with the lowest
    UID is taken. Never raises for what it finds.
    """
    try:
        files = list_files(path).files
    except InputError:
        return None
    found: dict[str, dict[str, dict[str, SliceReference]]] = {}
    headers: dict[str, tuple[str, StudyFile]] = {}
    with quietly(), FileReader() as reader:
        for file in files[:_MOST_FILES]:
            identity = _identity(reader, file)
            if identity is None or study_instance_uid not in ("", identity["StudyInstanceUID"]):
                continue
            study, instance = identity["StudyInstanceUID"], identity["SOPInstanceUID"]
            reference = SliceReference(identity["SOPClassUID"], instance)
            found.setdefault(study, {}).setdefault(identity["SeriesInstanceUID"], {})[instance] = reference
            headers[study] = min(headers.get(study, (instance, file)), (instance, file))
        if not found:
            return None
        study = min(found)
        with reader.open(headers[study][1]) as stream:
            header = read_dataset(stream, stop_before_pixels=True)
    series = tuple(
        (uid, tuple(reference for _, reference in sorted(instances.items())))
        for uid, instances in sorted(found[study].items())
    )
    return RefusedStudy(header, series)


def _identity(reader: FileReader, file: StudyFile) -> dict[str, str] | None:
    """The UIDs of an object, None when one is missing or no UID."""
    try:
        with reader.open(file) as stream:
            if not is_dicom(stream):
                return None
            header = read_dataset(stream, stop_before_pixels=True, specific_tags=_NEEDED)
            values = {keyword: str(header.get(keyword) or "") for keyword in _NEEDED}
    except Exception:  # pydicom and zipfile raise many types on damaged data
        return None
    return values if all(UID(value).is_valid and value for value in values.values()) else None

"""What is sent: the DICOM objects of results folders, or single DICOM files; everything else is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, MediaStorageDirectoryStorage

from renalct.core.errors import InputError
from renalct.formats.dicom.walk import is_serial_name
from renalct.formats.quiet import quietly

_MARKERS = ("report.json", "status.json")
_READ = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")


@dataclass(frozen=True)
class Instance:
    """A DICOM object by its header: what a peer is asked to take. Nothing here names a patient."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str

    @property
    def kind(self) -> str:
        """The name of its SOP class, for messages."""
        return str(UID(self.sop_class_uid).name)


def result_files(places: Iterable[Path]) -> tuple[Path, ...]:
    """The DICOM files of results folders (or of a folder of such folders) and the files given themselves, sorted.

    Raises `InputError` for a place that is none of these, holds no DICOM file, or cannot be looked at.
    """
    found: dict[Path, None] = {}
    for number, place in enumerate(places, start=1):
        try:
            found.update(dict.fromkeys(_files_in(place, number)))
        except OSError as error:
            raise InputError(
                f"what was given as number {number} cannot be looked at ({error.strerror}); check its path and the "
                "rights to it"
            ) from error
    return tuple(found)


def _files_in(place: Path, number: int) -> list[Path]:
    if place.is_file():
        read_instance(place)
        return [place]
    if not place.is_dir():
        raise InputError(f"there is no file or folder {str(place)!r}; check the spelling of the path")
    folders = [place] if _is_result(place) else [each for each in sorted(place.iterdir()) if _is_result(each)]
    if not folders:
        raise InputError(
            f"the folder that was given as number {number} holds no results of renalct (no "
            f"{' or '.join(_MARKERS)}); give the output folder of renalct predict, or DICOM files"
        )
    files = [file for folder in folders for file in sorted(folder.glob("*.dcm"))]
    if not files:
        raise InputError(
            f"the results that were given as number {number} hold no DICOM object: a study that was refused, "
            "or read from NIfTI, has none"
        )
    return files


def read_instance(path: Path) -> Instance:
    """The header of a DICOM file. Raises `InputError` for what is no DICOM object that could be stored."""
    told = path.name if is_serial_name(path.name) else "one of the files"
    try:
        with quietly():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_READ))
            syntax = header.file_meta.get("TransferSyntaxUID", "")
            values = {name: str(header.get(name) or "") for name in _READ}
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise InputError(f"{told} cannot be read as a DICOM file; only DICOM objects can be sent") from error
    missing = [name for name in _READ[:-1] if not values[name]]
    if missing or not syntax:
        raise InputError(f"{told} has no {missing[0] if missing else 'TransferSyntaxUID'}; export it again")
    if values["SOPClassUID"] == MediaStorageDirectoryStorage:
        raise InputError(f"{told} is a DICOMDIR, which no archive stores; give the objects that it lists")
    return Instance(
        values["SOPInstanceUID"],
        values["SOPClassUID"],
        str(syntax),
        values["StudyInstanceUID"],
        values["SeriesInstanceUID"],
        values["Modality"],
    )


def _is_result(folder: Path) -> bool:
    """Whether a folder holds results that are complete; unfinished ones have a name that begins with a dot."""
    return (
        folder.is_dir() and not folder.name.startswith(".") and any((folder / marker).is_file() for marker in _MARKERS)
    )

"""Segmentation objects of others, seen through their headers: of which image they are, who made them, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from renalct.core.errors import InputError
from renalct.formats.dicom.label_seg import MODEL_NAME
from renalct.formats.dicom.written import MANUFACTURER

_UNKNOWN_AUTHOR = "unknown (archive)"


@dataclass(frozen=True)
class SegHeader:
    """What a segmentation says of itself. `author` is who made it, never the patient.

    `is_automatic`: every segment is a program's answer that nobody corrected, so that it is no annotator's label.
    `is_ours`: a label server of renalct wrote it, this one or another.
    """

    sop_instance_uid: str
    referenced_series: tuple[str, ...]
    author: str
    is_automatic: bool
    is_ours: bool


def read_seg_header(path: Path) -> SegHeader:
    """The header of a segmentation file. Raises `InputError` when it cannot be read."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as a DICOM file; a DICOM segmentation is needed") from error
    kinds = {str(segment.get("SegmentAlgorithmType", "")) for segment in dataset.get("SegmentSequence", [])}
    return SegHeader(
        str(dataset.get("SOPInstanceUID", "")),
        tuple(str(item.get("SeriesInstanceUID", "")) for item in dataset.get("ReferencedSeriesSequence", [])),
        _author(dataset),
        kinds == {"AUTOMATIC"},
        (dataset.get("Manufacturer"), dataset.get("ManufacturerModelName")) == (MANUFACTURER, MODEL_NAME),
    )


def _author(dataset: Dataset) -> str:
    parts = str(dataset.get("ContentCreatorName") or "").replace("^", " ").split()
    name = "".join(c for c in " ".join(parts) if c.isprintable())[:64]
    return name or _UNKNOWN_AUTHOR

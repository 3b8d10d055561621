"""The source series as the writers need it: one plain header per slice, and what every written object copies from it.

The writers see every slice as a single-frame image with clean, complete attributes. Frames of an enhanced image get a
stand-in SOPInstanceUID, which `restore_references` turns into the image's own UID with the frame number. Patient and
study text never passes through other code: `copy_identity` copies the elements, with their character set.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, CTImageStorage
from pydicom.valuerep import format_number_as_ds

from renalct.core.grid import Grid
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.uids import derived_uid

_TO_LPS = np.array([-1.0, -1.0, 1.0])
_REQUIRED_BUT_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip
"""Type 2 attributes of the Patient and General Study modules: empty when unknown (PS3.3 C.7.1.1, C.7.2.1)."""
_COPIED = (
    *_REQUIRED_BUT_EMPTY, "IssuerOfPatientID", "PatientBirthTime", "OtherPatientIDs", "EthnicGroup", "PatientAge",
    "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified", "StudyDescription",
    "IssuerOfAccessionNumberSequence", "ProcedureCodeSequence", "TimezoneOffsetFromUTC", "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
)  # fmt: skip
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "BodyPartExamined")
_THICKEST_MM = 1000.0
_DATES_AND_SEX = {"StudyDate": "DA", "PatientBirthDate": "DA", "StudyTime": "TM", "PatientSex": "CS"}


@dataclass(frozen=True)
class SliceReference:
    """The image that shows a slice, and its frame (from 1) when it is an enhanced multi-frame image."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None = None


@dataclass(frozen=True, eq=False)
class SourceImages:
    """Slice k of the volume as `slices[k]` (header for the writers) and `references[k]` (what it really is)."""

    slices: tuple[Dataset, ...] = field(repr=False)
    references: tuple[SliceReference, ...] = field(repr=False)
    identity: Dataset = field(repr=False)
    grid: Grid

    @property
    def first(self) -> Dataset:
        """The header of slice 0."""
        return self.slices[0]


def source_images(series: LoadedSeries) -> SourceImages:
    """The slices of a loaded series as plain CT headers; the geometry is that of the volume's grid.

    Attributes that the standard requires but the source lacks are empty; dates, times and a sex that are not valid
    are left empty, too.
    """
    references = _references(series)
    grid = series.volume.grid
    header = series.headers[0]
    frame_of_reference = grid.frame_of_reference_uid or derived_uid("frame of reference", header.SeriesInstanceUID)
    shared = _shared_header(header, grid, str(frame_of_reference))
    slices = []
    for k, reference in enumerate(references):
        image = Dataset()
        image.update(shared)
        image.SOPInstanceUID = _stand_in(reference)
        x, y, z = grid.to_patient((0, 0, k)) * _TO_LPS
        image.ImagePositionPatient = [format_number_as_ds(v) for v in (x, y, z)]
        if not series.is_multiframe and "ImagePositionPatient" in series.headers[k]:
            image["ImagePositionPatient"] = series.headers[k]["ImagePositionPatient"]
        slices.append(image)
    return SourceImages(tuple(slices), references, identity_of(header), grid)


def copy_identity(source: SourceImages, target: Dataset) -> None:
    """Put the patient's and study's attributes into `target` exactly as the source has them."""
    for element in source.identity:
        target.add(deepcopy(element))
    if "SpecificCharacterSet" not in source.identity and "SpecificCharacterSet" in target:
        del target.SpecificCharacterSet


def restore_references(source: SourceImages, target: Dataset) -> None:
    """Replace stand-in UIDs of frames by the enhanced image's UID and, where frames are meant, the frame number."""
    by_stand_in = {_stand_in(r): r for r in source.references if r.frame_number is not None}
    if by_stand_in:
        _restore(target, by_stand_in)


def _references(series: LoadedSeries) -> tuple[SliceReference, ...]:
    if series.is_multiframe:
        header = series.headers[0]
        return tuple(SliceReference(header.SOPClassUID, header.SOPInstanceUID, n) for n in series.frame_numbers)
    return tuple(SliceReference(header.SOPClassUID, header.SOPInstanceUID) for header in series.headers)


def _stand_in(reference: SliceReference) -> UID:
    if reference.frame_number is None:
        return UID(reference.sop_instance_uid)
    return derived_uid("frame", reference.sop_instance_uid, str(reference.frame_number))


def _shared_header(header: Dataset, grid: Grid, frame_of_reference_uid: str) -> Dataset:
    shared = Dataset()
    for keyword in _REQUIRED_BUT_EMPTY:
        setattr(shared, keyword, "")
    shared.SOPClassUID = CTImageStorage
    shared.Modality = "CT"
    shared.StudyInstanceUID = header.StudyInstanceUID
    shared.SeriesInstanceUID = header.SeriesInstanceUID
    shared.FrameOfReferenceUID = frame_of_reference_uid
    shared.PositionReferenceIndicator = ""
    shared.Columns, shared.Rows = grid.shape[:2]
    unit = grid.affine[:3, :3] / np.asarray(grid.spacing_mm) * _TO_LPS[:, None] + 0.0  # no negative zeros
    shared.ImageOrientationPatient = [format_number_as_ds(v) for v in (*unit[:, 0], *unit[:, 1])]
    column_spacing, row_spacing, slice_spacing = grid.spacing_mm
    shared.PixelSpacing = [format_number_as_ds(row_spacing), format_number_as_ds(column_spacing)]
    thickness = _sound(header, "SliceThickness")
    is_number = thickness is not None and isinstance(thickness.value, float) and 0 < thickness.value < _THICKEST_MM
    shared.SliceThickness = format_number_as_ds(float(thickness.value) if is_number and thickness else slice_spacing)
    if grid.shape[2] > 1:
        shared.SpacingBetweenSlices = format_number_as_ds(slice_spacing)
    for keyword in ("ImageOrientationPatient", "PixelSpacing"):
        if keyword in header and "PerFrameFunctionalGroupsSequence" not in header:
            shared[keyword] = header[keyword]
    copied: tuple[str, ...] = _EQUIPMENT
    lossy = _sound(header, "LossyImageCompression")
    if lossy is not None and lossy.value == "01":
        copied += ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
    for keyword in copied:
        element = _sound(header, keyword)
        if element is not None and element.value:
            shared[keyword] = element
    return shared


def _sound(header: Dataset, keyword: str) -> DataElement | None:
    """An element of a header; None where it is absent, or its value damaged."""
    try:
        element: DataElement | None = header.get(Tag(keyword))
        return element
    except Exception:  # pydicom raises many types on damaged values
        return None


def identity_of(header: Dataset) -> Dataset:
    """The patient's and study's attributes of a header, as `copy_identity` copies them; what is not valid is empty."""
    identity = Dataset()
    if header.get("SpecificCharacterSet"):
        identity["SpecificCharacterSet"] = header["SpecificCharacterSet"]
    for keyword in _COPIED:
        element = _sound(header, keyword)
        if element is not None and _is_valid(keyword, element):
            identity[keyword] = element
        elif keyword in _REQUIRED_BUT_EMPTY:
            setattr(identity, keyword, "")
    return identity


def _is_valid(keyword: str, element: DataElement) -> bool:
    kind = _DATES_AND_SEX.get(keyword)
    value = str(element.value or "")
    if not value or kind is None:
        return True
    if kind == "DA":
        return len(value) == 8 and value.isdigit()
    if kind == "TM":
        return value.replace(".", "").isdigit() and len(value) <= 13
    return value in ("M", "F", "O")


def _restore(item: Dataset, by_stand_in: dict[UID, SliceReference]) -> None:
    for element in item:
        if element.VR != "SQ":
            continue
        lists_images = _lists_images(item, element)
        for child in element.value:
            reference = by_stand_in.get(child.get("ReferencedSOPInstanceUID"))
            if reference is not None:
                child.ReferencedSOPClassUID = reference.sop_class_uid
                child.ReferencedSOPInstanceUID = reference.sop_instance_uid
                if not lists_images:
                    child.ReferencedFrameNumber = reference.frame_number
            _restore(child, by_stand_in)
        if lists_images:
            element.value = list({child.ReferencedSOPInstanceUID: child for child in element.value}.values())


def _lists_images(item: Dataset, element: DataElement) -> bool:
    """Whether a sequence names whole images, once each: evidence, references of a series, and the source images."""
    if element.keyword == "SourceImageSequence":
        return "SOPClassUID" in item
    return element.keyword in ("ReferencedSOPSequence", "ReferencedInstanceSequence") and "SeriesInstanceUID" in item

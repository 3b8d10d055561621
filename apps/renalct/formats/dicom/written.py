"""What all objects of one analysis share: names, numbers, identifiers, equipment, times and texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

from highdicom import ContributingEquipment
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from renalct.core.findings import Kidney, Mass
from renalct.core.labels import Side
from renalct.core.report import Provenance, Report
from renalct.formats.dicom.codes import coding_schemes
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.source_images import SourceImages, copy_identity, restore_references, source_images
from renalct.formats.dicom.uids import UIDSource

MANUFACTURER = "renalct"
NOT_FOR_CLINICAL_USE = "not for clinical use"


class SliceRange(Enum):
    """Which source slices a segmentation has frames for."""

    FINDINGS = "findings"  # the contiguous range that holds all findings
    SOURCE = "source"  # every slice of the source series


class SegmentationEncoding(Enum):
    """How a segmentation stores its segments (PS3.3 C.8.20.2). Few viewers and archives know LABELMAP yet."""

    BINARY = "BINARY"
    LABELMAP = "LABELMAP"


class Role(Enum):
    """The objects of an analysis: each role is one series, with this number and description."""

    SEG = (9001, "AI kidney and mass segmentation")
    SR = (9002, "AI kidney and mass measurements")
    CLASS_ACTIVATION = (9003, "AI class activation")
    KEY_IMAGE = (9004, "AI key images")
    KEY_OBJECTS = (9005, "AI key objects")
    SR_DIAMETERS = (9006, "AI mass diameters")
    NOT_ANALYSED = (9007, "AI result: not analysed")


@dataclass(frozen=True)
class ObjectSettings:
    """When objects are written, and in which form.

    `now` is the only source of dates and times: with an equal `now`, equal input gives equal bytes. A `now` with a time
    zone is converted to the one that the source states. `configuration` names whatever else shaped the result.
    """

    now: datetime
    slices: SliceRange = SliceRange.FINDINGS
    encoding: SegmentationEncoding = SegmentationEncoding.BINARY
    configuration: str = ""


@dataclass(frozen=True, eq=False)
class Analysis:
    """A report on a source series, ready to be written as DICOM objects with their identifiers."""

    source: SourceImages
    report: Report
    settings: ObjectSettings
    uids: UIDSource = field(repr=False)

    @classmethod
    def of(cls, series: LoadedSeries, report: Report, settings: ObjectSettings) -> Analysis:
        """The analysis of a loaded series."""
        source = source_images(series)
        uids = UIDSource(
            str(source.first.StudyInstanceUID),
            str(source.first.SeriesInstanceUID),
            tuple(f"{r.sop_instance_uid}/{r.frame_number or ''}" for r in source.references),
            report.provenance.release_digest,
            report.provenance.software_version,
            "/".join((settings.slices.value, settings.encoding.value, settings.configuration)),
        )
        return cls(source, report, settings, uids)

    def tracking_uid(self, name: str) -> UID:
        """The tracking UID of a finding: the same in the segmentation and in the report."""
        return self.uids.uid("tracking", name)

    def object_arguments(self, role: Role, number: int = 1) -> dict[str, Any]:
        """The arguments that every highdicom constructor takes for instance `number` of a role's series."""
        provenance = self.report.provenance
        release = release_name(provenance)
        return {
            "series_instance_uid": self.uids.uid(role.name, "series"),
            "series_number": role.value[0],
            "sop_instance_uid": self.uids.uid(role.name, "instance", str(number)),
            "instance_number": number,
            "series_description": text(f"{role.value[1]} ({NOT_FOR_CLINICAL_USE})"),
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": release,
            "software_versions": [text(provenance.software_version), release],
            "device_serial_number": text(provenance.release_digest or "none"),
            "contributing_equipment": [self._equipment()],
        }

    def complete(self, target: Dataset) -> None:
        """Finish a new object: patient and study as in the source, times from `now`, references to frames."""
        organization = self.uids.uid("dimensions", str(target.SOPInstanceUID))
        complete_object(target, self.source, now=self.settings.now, organization_uid=organization)

    def _equipment(self) -> ContributingEquipment:
        provenance = self.report.provenance
        equipment = ContributingEquipment(
            manufacturer=MANUFACTURER,
            purpose_of_reference=codes.cid7005.ProcessingEquipment,
            manufacturer_model_name=release_name(provenance),
            software_versions=[text(provenance.software_version), release_name(provenance)],
            contribution_description=text(f"{provenance.trained_on} ({NOT_FOR_CLINICAL_USE})", 1024),
        )
        equipment.DeviceUID = self.uids.device_uid()
        return equipment


def complete_object(target: Dataset, source: SourceImages, *, now: datetime, organization_uid: UID) -> None:
    """Finish a new object made of a source: its patient and study, times from `now`, references to its frames."""
    copy_identity(source, target)
    offset = str(source.identity.get("TimezoneOffsetFromUTC", ""))
    now = _local(now, offset)
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    for kind in ("InstanceCreation", "Series", "Content"):
        if kind != "Content" or "ContentDate" in target:
            setattr(target, f"{kind}Date", date)
            setattr(target, f"{kind}Time", time)
    for equipment in target.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = date + time
    if "DateOfSecondaryCapture" in target:
        target.DateOfSecondaryCapture, target.TimeOfSecondaryCapture = date, time
    if "DimensionOrganizationSequence" in target:
        target.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization_uid
        for index in target.get("DimensionIndexSequence", []):
            index.DimensionOrganizationUID = organization_uid
    if "Rows" in target:  # where the source does not say, what is shown does: kidneys lie in the abdomen
        target.BodyPartExamined = source.first.get("BodyPartExamined") or "ABDOMEN"
    restore_references(source, target)


def private_codes(target: Dataset) -> None:
    """State in an object what the private coding scheme is."""
    target.CodingSchemeIdentificationSequence = coding_schemes()


def release_name(provenance: Provenance) -> str:
    """Name and version of the release, as short text."""
    return text(f"{provenance.release_name} {provenance.release_version}")


def kidney_names(kidneys: Iterable[Kidney]) -> list[str]:
    """The tracking identifier of each kidney, for example ``Kidney R``; numbered when a side occurs twice."""
    sides = [kidney.side for kidney in kidneys]
    letters = [side.value[0].upper() for side in sides]
    return [
        f"Kidney {letter}" if sides.count(side) == 1 else f"Kidney {letter}{sides[: at + 1].count(side)}"
        for at, (side, letter) in enumerate(zip(sides, letters, strict=True))
    ]


def label(finding: Kidney | Mass, name: str) -> str:
    """What a viewer shows for a finding, for example ``Left kidney`` or ``Mass L2 (left kidney)``."""
    side = "" if finding.side is Side.UNDETERMINED else f"{finding.side.value} "
    return f"{name} ({side}kidney)" if isinstance(finding, Mass) else f"{side}kidney".capitalize()


def text(value: str, length: int = 64) -> str:
    """Our own text in the characters that every character set has, at most `length` long, without backslashes."""
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().replace("\\", "/")
    plain = " ".join(plain.split())
    return plain if len(plain) <= length else plain[: length - 3].rstrip() + "..."


def _local(now: datetime, offset: str) -> datetime:
    if now.tzinfo is None or len(offset) != 5 or not offset[1:].isdigit():
        return now
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return now.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))

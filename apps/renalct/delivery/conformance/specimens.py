"""One object of every kind that renalct writes, of two made analyses that differ in all that may differ."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage

from renalct.core.errors import ErrorCode
from renalct.core.findings import (
    ActivationMap,
    Caliper,
    Classification,
    Findings,
    HUStatistics,
    Kidney,
    Mass,
)
from renalct.core.grid import Box, Grid
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.report import Provenance, Report
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.objects import (
    Analysis,
    ObjectSettings,
    SegmentationEncoding,
    write_objects,
    write_segmentation,
)
from renalct.formats.dicom.refusal_report import refusal_report
from renalct.formats.dicom.refused_study import RefusedStudy
from renalct.formats.dicom.source_images import SliceReference

KINDS = {
    "seg": "Segmentation of kidneys and masses (seg.dcm)",
    "sr": "Report of measurements (sr.dcm)",
    "sr_diameters": "Report of diameters (sr_diameters.dcm)",
    "class_activation": "Class-activation map (class_activation_*.dcm)",
    "key_image": "Key image (key_image_*.dcm)",
    "key_objects": "Key object selection (key_objects.dcm)",
    "not_analysed": "Report that a study was not analysed (not_analysed.dcm)",
    "label": "Label of an annotator (stored in an archive by the label server)",
}
"""The kinds of objects by the stem of their file, without its number, with the words for them."""


@dataclass(frozen=True, eq=False)
class Specimens:
    """The objects of one made analysis by kind, and the header of a source image."""

    source: Dataset
    objects: dict[str, Dataset]


@dataclass(frozen=True)
class _Case:
    """What tells the two made analyses apart."""

    uid_root: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    now: datetime
    patient: dict[str, str]
    provenance: Provenance
    side: Side
    mass_class: MassClass
    phase: PhaseEstimate
    code: ErrorCode
    masses: int = 1
    rows_along: tuple[float, float, float] = (1.0, 0.0, 0.0)
    is_multiframe: bool = False


_FULL = _Case(
    "1.2.3.1",
    (24, 20, 8),
    (0.8, 0.7, 2.5),
    datetime(2026, 1, 2, 3, 4, 5),
    {
        "SpecificCharacterSet": "ISO_IR 100", "PatientName": "Made^One", "PatientID": "ONE",
        "IssuerOfPatientID": "Hospital one", "PatientBirthDate": "19500102", "PatientSex": "F", "PatientAge": "075Y",
        "PatientSize": "1.7", "PatientWeight": "70", "StudyDate": "20260101", "StudyTime": "101112", "StudyID": "1",
        "AccessionNumber": "A1", "ReferringPhysicianName": "Doctor^One", "StudyDescription": "Abdomen one",
        "TimezoneOffsetFromUTC": "+0100", "Manufacturer": "Scanner one", "ManufacturerModelName": "Model one",
        "SoftwareVersions": "1.0", "DeviceSerialNumber": "11", "BodyPartExamined": "KIDNEY", "PatientBirthTime": "0102",
        "OtherPatientIDs": "ANOTHER", "EthnicGroup": "made", "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "made", "LongitudinalTemporalInformationModified": "UNMODIFIED",
        "ClinicalTrialSponsorName": "made", "ClinicalTrialProtocolID": "P1", "ClinicalTrialProtocolName": "made",
        "ClinicalTrialSiteID": "S1", "ClinicalTrialSiteName": "made", "ClinicalTrialSubjectID": "X1",
        "ClinicalTrialSubjectReadingID": "R1", "ClinicalTrialTimePointID": "T1",
    },
    Provenance("1.0", "first", "0.1", "ab" * 32, "Trained on one.", "one", "recipe-one"),
    Side.RIGHT,
    MassClass.SOLID,
    PhaseEstimate(Phase.NEPHROGRAPHIC, 0.75, "one"),
    ErrorCode.MISSING_SLICES,
)  # fmt: skip
_BARE = _Case(
    "1.2.3.2",
    (28, 26, 9),
    (0.9, 0.6, 3.5),
    datetime(2027, 2, 3, 14, 15, 16),
    {},
    Provenance("2.0", "second", "0.2", "cd" * 32, "Trained on two.", "two", "recipe-two"),
    Side.LEFT,
    MassClass.CYSTIC,
    PhaseEstimate(Phase.CORTICOMEDULLARY, 0.5, "two"),
    ErrorCode.LOSSY,
    masses=2,
    rows_along=(-1.0, 0.0, 0.0),
    is_multiframe=True,
)


def made_specimens() -> tuple[Specimens, Specimens]:
    """The objects of an analysis whose source says all that it may, and of one whose source says what it must."""
    return _specimens(_FULL), _specimens(_BARE)


def label_map_specimen() -> Dataset:
    """A segmentation written as LABELMAP."""
    series = _series(_FULL)
    report = Report(_findings(_FULL, series.volume.grid), _FULL.provenance, phase=_FULL.phase)
    settings = ObjectSettings(_FULL.now, encoding=SegmentationEncoding.LABELMAP)
    with tempfile.TemporaryDirectory() as temporary:
        _, (path,) = write_segmentation(Analysis.of(series, report, settings), Path(temporary))
        return pydicom.dcmread(path)


def _specimens(case: _Case) -> Specimens:
    series = _series(case)
    report = Report(_findings(case, series.volume.grid), case.provenance, phase=case.phase)
    columns, rows, _ = case.shape
    with tempfile.TemporaryDirectory() as temporary:
        pictures = {mass.number: np.zeros((rows, columns, 3), np.uint8) for mass in report.findings.masses}
        paths = write_objects(series, report, pictures, Path(temporary), settings=ObjectSettings(case.now))
        objects: dict[str, Dataset] = {
            path.stem.removesuffix(f"_{case.masses}"): pydicom.dcmread(path) for path in paths
        }
    header = series.headers[0]
    references = tuple(SliceReference(str(h.SOPClassUID), str(h.SOPInstanceUID)) for h in series.headers)
    refused = RefusedStudy(header, ((str(header.SeriesInstanceUID), references),))
    reason = f"for the reason {case.uid_root[-1]}"
    objects["not_analysed"] = refusal_report(refused, case.code, reason, provenance=case.provenance, now=case.now)
    values = np.zeros(case.shape, np.uint8)
    values[2:6, 2:6, 2 : 4 + case.masses] = Structure.KIDNEY if case.masses == 1 else Structure.ANGIOMYOLIPOMA
    origin = LabelOrigin(f"reader {case.uid_root[-1]}", int(case.uid_root[-1]), case.now)
    label = label_segmentation(series, LabelMap(values, series.volume.grid), origin)
    assert label is not None, "it has voxels"
    objects["label"] = label
    return Specimens(header, {kind: objects[kind] for kind in KINDS})


def _series(case: _Case) -> LoadedSeries:
    affine = np.diag([-case.rows_along[0], -case.rows_along[0], 1.0, 1.0]) @ np.diag([*case.spacing_mm, 1.0])
    affine[:3, 3] = [float(size) for size in case.shape]
    grid = Grid(case.shape, affine, UID(f"{case.uid_root}.3"))
    volume = CTVolume(np.zeros(case.shape[::-1], np.int16).transpose(2, 1, 0), grid)
    if case.is_multiframe:
        header = _header(case, grid, 0)
        header.SOPClassUID, header.NumberOfFrames = EnhancedCTImageStorage, case.shape[2]
        return LoadedSeries(volume, (header,), tuple(range(1, case.shape[2] + 1)))
    return LoadedSeries(volume, tuple(_header(case, grid, k) for k in range(case.shape[2])))


def _header(case: _Case, grid: Grid, k: int) -> Dataset:
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, f"{case.uid_root}.4.{k + 1}"
    header.StudyInstanceUID, header.SeriesInstanceUID = f"{case.uid_root}.1", f"{case.uid_root}.2"
    header.FrameOfReferenceUID, header.Modality = grid.frame_of_reference_uid, "CT"
    header.Columns, header.Rows = case.shape[:2]
    header.ImageOrientationPatient = [*case.rows_along, 0, case.rows_along[0], 0]
    header.PixelSpacing = [case.spacing_mm[1], case.spacing_mm[0]]
    header.SliceThickness = case.spacing_mm[2]
    x, y, z = grid.to_patient((0, 0, k))
    header.ImagePositionPatient = [-x, -y, z]
    for keyword, value in case.patient.items():
        setattr(header, keyword, value)
    return header


def _findings(case: _Case, grid: Grid) -> Findings:
    first = case.masses  # the first slice: another one in each case
    box = Box((2, 3, first), (7 + 5 * case.masses, 13, 6))  # with two masses it reaches into the first
    hu = HUStatistics(*((40.0, 11.0, -20.0, 90.0) if case is _FULL else (50.0, 12.0, -30.0, 95.0)))
    kidney = Kidney(case.side, Mask(box, np.ones(box.shape, bool)), 90 * hu.sd, 91 * hu.sd, (0.0, 0.0, 0.0), hu)
    return Findings((kidney,), tuple(_mass(case, grid, number, hu) for number in range(1, case.masses + 1)))


def _mass(case: _Case, grid: Grid, number: int, hu: HUStatistics) -> Mass:
    i = 10 + 5 * number
    box = Box((i, 5, 2), (i + 5, 9, 5))
    around = Box(box.start, (i + 5 + case.masses, 9 + case.masses, 5))  # of another size in each case
    voxels = np.ones(box.shape, bool)
    volume_ml = voxels.size * grid.voxel_ml
    return Mass(
        number=number,
        side=case.side,
        mask=Mask(box, voxels),
        centroid_mm=(0.0, 0.0, 0.0),
        volume_ml=volume_ml,
        average_diameter_mm=10 * volume_ml,
        longest_axial=Caliper(5 * case.spacing_mm[0], (i - 0.5, 7.0, 3.0), (i + 4.5, 7.0, 3.0)),
        short_axis=Caliper(4 * case.spacing_mm[1], (i + 2.0, 4.5, 3.0), (i + 2.0, 8.5, 3.0)),
        max_3d_diameter_mm=11 * volume_ml,
        hu=hu,
        fat_fraction=0.01 * hu.sd,
        enhancing_fraction=0.02 * hu.sd,
        classification=Classification(case.mass_class, (0.1, 0.2, 0.7) if case is _FULL else (0.2, 0.7, 0.1)),
        activation=ActivationMap(case.mass_class, around, np.full(around.shape, 0.01 * hu.sd, np.float32)),
    )

"""DICOM CT series and the segmentations (SEG) that refer to them, found by their headers."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import SegmentationStorage

from renalct.core.errors import InputError, NotCT
from renalct.formats.case_notes import CaseNotes, read_notes
from renalct.formats.dicom.headers import SeriesHeaders
from renalct.formats.dicom.scan import StudyScan, scan_study
from renalct.formats.dicom.seg_reading import LABELMAP_STORAGE
from renalct.formats.dicom.walk import list_files
from renalct.formats.labelled_pair import LabelledFolder, LabelledKind, LabelledPair

_HEADER = ("StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID", "PatientID", "ReferencedSeriesSequence")


def find_dicom(folder: Path) -> LabelledFolder | None:
    """The CT series of a folder that a segmentation refers to; None when it holds no DICOM segmentation.

    A pair is called by the UID of its series, its patient by the first study UID of all that share a PatientID, so
    that no identifier of a patient leaves the headers. Two segmentations of one series are a fault: which one is
    meant is not for us to say. A series that no segmentation refers to is counted in a notice.
    """
    segmentations = _segmentations(folder)
    if not segmentations:
        return None
    try:
        scan = scan_study(folder)
    except NotCT:
        scan = StudyScan(())
    patients = _patients(scan, segmentations)
    by_series: dict[tuple[str, int], list[_Segmentation]] = defaultdict(list)
    pairs = []
    for segmentation in segmentations:
        series = _series_of(segmentation, scan)
        if series is None:
            notes = CaseNotes(patient=patients[segmentation.study_instance_uid])
            name = segmentation.sop_instance_uid
            pairs.append(LabelledPair(name, LabelledKind.DICOM, None, segmentation.path, notes=notes))
        else:
            by_series[series.series_instance_uid, series.part].append(segmentation)
    labelled = [s for s in scan.series if (s.series_instance_uid, s.part) in by_series]
    pairs += [_pair(s, by_series[s.series_instance_uid, s.part], patients[s.study_instance_uid]) for s in labelled]
    without = len(scan.series) - len(labelled)
    notices = (f"{without} CT series have no segmentation and are not used.",) if without else ()
    return LabelledFolder(LabelledKind.DICOM, tuple(sorted(pairs, key=lambda pair: pair.name)), notices)


@dataclass(frozen=True)
class _Segmentation:
    """What the header of a segmentation says of itself and of the images that it was made on."""

    path: Path
    sop_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    series_instance_uid: str
    patient_id: str = field(repr=False)
    images: frozenset[str] = field(repr=False)


def _segmentations(folder: Path) -> list[_Segmentation]:
    found = []
    for file in list_files(folder).files:
        try:
            meta = read_file_meta_info(file.path)
            if meta.get("MediaStorageSOPClassUID") not in (SegmentationStorage, LABELMAP_STORAGE):
                continue
            header = pydicom.dcmread(file.path, stop_before_pixels=True, specific_tags=list(_HEADER))
        except (InvalidDicomError, OSError, EOFError, ValueError, KeyError):
            continue
        referenced = header.get("ReferencedSeriesSequence") or [Dataset()]
        images = referenced[0].get("ReferencedInstanceSequence") or ()
        found.append(
            _Segmentation(
                file.path,
                str(header.get("SOPInstanceUID", "")) or file.name,
                str(header.get("StudyInstanceUID", "")),
                str(header.get("FrameOfReferenceUID", "")),
                str(referenced[0].get("SeriesInstanceUID", "")),
                str(header.get("PatientID", "") or ""),
                frozenset(str(image.get("ReferencedSOPInstanceUID", "")) for image in images),
            )
        )
    return found


def _series_of(segmentation: _Segmentation, scan: StudyScan) -> SeriesHeaders | None:
    """The volume that a segmentation was made on: of the series that it names, or the only one in its place.

    Of a series that holds several volumes, the one that has most of the images that the segmentation names.
    """
    named = [s for s in scan.series if s.series_instance_uid == segmentation.series_instance_uid]
    if not named and not segmentation.series_instance_uid:
        place = (segmentation.study_instance_uid, segmentation.frame_of_reference_uid)
        named = [s for s in scan.series if (s.study_instance_uid, s.frame_of_reference_uid) == place]
        if len(named) > 1:
            return None
    return max(named, key=lambda s: sum(x.sop_instance_uid in segmentation.images for x in s.slices), default=None)


def _patients(scan: StudyScan, segmentations: list[_Segmentation]) -> dict[str, str]:
    """For each study UID, the first study UID of the same patient; a study without PatientID is a patient of its own.

    A series belongs to the patient of its study even where one of its headers lacks the PatientID.
    """
    studies = [(s.study_instance_uid, s.text("PatientID")) for s in scan.series]
    studies += [(s.study_instance_uid, s.patient_id) for s in segmentations]
    first: dict[str, str] = {}
    for study, patient_id in sorted(studies):
        if patient_id:
            first.setdefault(patient_id, study)
    own = {study: study for study, _ in studies}
    return own | {study: first[patient_id] for study, patient_id in studies if patient_id}


def _pair(series: SeriesHeaders, segmentations: list[_Segmentation], patient: str) -> LabelledPair:
    name = series.series_instance_uid + (f"_part{series.part}" if series.parts > 1 else "")
    chosen, notes, fault = segmentations[0], CaseNotes(), ""
    if len(segmentations) > 1:
        files = ", ".join(segmentation.path.name for segmentation in segmentations)
        fault = f"{len(segmentations)} segmentations refer to this series ({files}); keep the one that is meant"
    else:
        try:
            notes = read_notes(chosen.path)
        except InputError as error:
            fault = str(error)
    notes = notes.filled_from(CaseNotes(patient=patient))
    image = Counter(s.file.path.parent for s in series.slices).most_common(1)[0][0]
    return LabelledPair(name, LabelledKind.DICOM, image, chosen.path, notes=notes, series=series, fault=fault)

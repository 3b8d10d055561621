"""That a study was not analysed, and why, as a structured report (TID 1500) that stands beside its images in a PACS."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    FindingSite,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from renalct.core.findings import Findings
from renalct.core.grid import Grid
from renalct.core.report import NOT_FOR_CLINICAL_USE, Provenance, Report
from renalct.formats.dicom import codes
from renalct.formats.dicom.refused_study import RefusedStudy
from renalct.formats.dicom.source_images import SliceReference, SourceImages, identity_of
from renalct.formats.dicom.sr import device_observer
from renalct.formats.dicom.uids import UIDSource
from renalct.formats.dicom.written import (
    MANUFACTURER,
    Analysis,
    ObjectSettings,
    Role,
    private_codes,
    release_name,
    text,
)

FILE_NAME = "not_analysed.dcm"

_ENGLISH = Code("en-US", "RFC5646", "English (United States)")
_SOURCE = Code("260753009", "SCT", "Source")
_LONGEST_TEXT = 1024


def write_refusal_report(
    study: RefusedStudy, code: str, reason: str, folder: Path, *, provenance: Provenance, now: datetime
) -> Path:
    """Where the report was written: not_analysed.dcm.

    `code` is one of `ErrorCode`, `reason` a sentence. Equal arguments give equal bytes, another `now` changes dates
    and times only: a study that is refused again for the same reason gives the same object again.
    """
    path = folder / FILE_NAME
    refusal_report(study, code, reason, provenance=provenance, now=now).save_as(path, enforce_file_format=True)
    return path


def refusal_report(
    study: RefusedStudy, code: str, reason: str, *, provenance: Provenance, now: datetime
) -> Comprehensive3DSR:
    """The report: one group for all images, whose result is "not analysed", with the coded reason and its sentence."""
    analysis = _analysis(study, code, provenance=provenance, now=now)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device_observer(analysis)),
        procedure_reported=dicom.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=[_group(analysis, code, reason)],
        title=dicom.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(CodedConcept.from_code(_ENGLISH)),
    )
    written = Comprehensive3DSR(
        evidence=list(analysis.source.slices),
        content=content,
        is_complete=True,
        is_verified=False,
        is_final=False,
        **analysis.object_arguments(Role.NOT_ANALYSED),
    )
    items = content[0].ContentSequence
    items.insert(len(items) - 1, _image_library(analysis.source))
    analysis.complete(written)
    private_codes(written)
    return written


def _analysis(study: RefusedStudy, code: str, *, provenance: Provenance, now: datetime) -> Analysis:
    """An analysis without findings, whose source images are references without geometry: none was read."""
    identity = identity_of(study.header)
    images = tuple(
        _image(identity, str(study.header.StudyInstanceUID), series, reference)
        for series, references in study.series
        for reference in references
    )
    references = tuple(reference for _, found in study.series for reference in found)
    source = SourceImages(images, references, identity, Grid((1, 1, 1), np.eye(4)))
    uids = UIDSource(
        str(study.header.StudyInstanceUID),
        "",
        tuple(reference.sop_instance_uid for reference in references),
        provenance.release_digest,
        provenance.software_version,
        f"not analysed/{code}",
    )
    return Analysis(source, Report(Findings(), provenance), ObjectSettings(now), uids)


def _image(identity: Dataset, study_instance_uid: str, series_instance_uid: str, reference: SliceReference) -> Dataset:
    image = Dataset()
    image.update(identity)
    image.StudyInstanceUID, image.SeriesInstanceUID = study_instance_uid, series_instance_uid
    image.SOPClassUID, image.SOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    return image


def _group(analysis: Analysis, code: str, reason: str) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501 for the study as a whole."""
    provenance = analysis.report.provenance
    name = "Whole study"
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(analysis.tracking_uid(name), name),
        algorithm_id=AlgorithmIdentification(
            name=text(f"{release_name(provenance)} cascade"),
            version=text(provenance.release_version or "unversioned"),
            family=codes.ARTIFICIAL_INTELLIGENCE,
            manufacturer=MANUFACTURER,
        ),
        finding_sites=[FindingSite(codes.KIDNEY)],
        qualitative_evaluations=[
            QualitativeEvaluation(codes.RESULT, codes.NOT_ANALYSED),
            QualitativeEvaluation(codes.WHY_NOT_ANALYSED, codes.reason_not_analysed(code)),
        ],
    )
    for words in (NOT_FOR_CLINICAL_USE, f"Not analysed: {reason}"):
        group[0].ContentSequence.append(
            TextContentItem(name=dicom.DCM.Comment, value=text(words, _LONGEST_TEXT), relationship_type="CONTAINS")
        )
    return group


def _image_library(source: SourceImages) -> ContainerContentItem:
    """TID 1600 with one group that refers to every object; viewers look for it."""
    library, group = (
        ContainerContentItem(name, relationship_type=RelationshipTypeValues.CONTAINS)
        for name in (dicom.DCM.ImageLibrary, dicom.DCM.ImageLibraryGroup)
    )
    group.ContentSequence = ContentSequence(
        [
            ImageContentItem(
                _SOURCE,
                reference.sop_class_uid,
                reference.sop_instance_uid,
                relationship_type=RelationshipTypeValues.CONTAINS,
            )
            for reference in source.references
        ]
    )
    library.ContentSequence = ContentSequence([group])
    return library

"""The measurement groups of a report: per kidney and mass, and for the whole image."""

from __future__ import annotations

import math
from collections.abc import Iterable

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentSequence,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from renalct.core.findings import HUStatistics, Kidney, Mass
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.core.phase import Phase
from renalct.core.report import NOT_FOR_CLINICAL_USE
from renalct.formats.dicom import codes
from renalct.formats.dicom.seg import Segment
from renalct.formats.dicom.written import MANUFACTURER, Analysis, release_name, text

_LONGEST_TEXT = 1024


def segment_group(
    analysis: Analysis, segment: Segment, segmentation: Dataset
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """TID 1411: the measurements of a kidney or mass, and the class of a mass, with the segment they were made on."""
    finding = segment.finding
    mass = finding if isinstance(finding, Mass) else None
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(analysis.tracking_uid(segment.name), segment.name),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=segment.number,
            source_series=SourceSeriesForSegmentation(analysis.source.first.SeriesInstanceUID),
        ),
        finding_category=codes.ABNORMAL_STRUCTURE if mass else codes.ANATOMICAL_STRUCTURE,
        finding_type=codes.MASS if mass else codes.KIDNEY,
        finding_sites=[finding_site(finding)],
        algorithm_id=_algorithm(analysis, "segmentation", with_parameters=True),
        measurements=_measurements(finding, analysis),
        qualitative_evaluations=[_class(mass)] if mass else None,
    )
    if mass and mass.classification.mass_class is MassClass.UNKNOWN:
        _comment(group[0], f"The class is unknown: {mass.classification.reason}")
    return group


def whole_image_group(analysis: Analysis) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501, the only group when nothing was found: that, the contrast phase, and what a reader must know."""
    phase = analysis.report.phase
    phase_code = codes.PHASES[phase.phase]
    known = [] if phase.phase is Phase.UNKNOWN else [_probability(phase_code, phase.probability, None)]
    name = "Whole image"
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(analysis.tracking_uid(name), name),
        algorithm_id=_algorithm(analysis, "cascade", with_parameters=True),
        finding_sites=[FindingSite(codes.KIDNEY)],
        measurements=known or None,
        qualitative_evaluations=[QualitativeEvaluation(name, value) for name, value in _answers(analysis)],
    )
    for words in _words(analysis):
        _comment(group[0], words)
    return group


def whole_image_evaluations(analysis: Analysis) -> ContainerContentItem:
    """TID 1500 row 12, beside the groups of findings: what was found, the contrast phase, what a reader must know.

    A TID 1501 group among groups of TID 1411 means the same, but PixelMed's validator takes it for one of those.
    """
    container = ContainerContentItem(codes.QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS)
    container.ContentSequence = ContentSequence(
        [CodeContentItem(name, value, RelationshipTypeValues.CONTAINS) for name, value in _answers(analysis)]
    )
    for words in _words(analysis):
        _comment(container, words)
    return container


def _answers(analysis: Analysis) -> tuple[tuple[Code, Code], ...]:
    """The coded result and contrast phase."""
    findings, phase = analysis.report.findings, analysis.report.phase.phase
    none = codes.NO_MASS_FOUND if findings.kidneys else codes.NO_KIDNEY_FOUND
    return (codes.RESULT, codes.MASS_FOUND if findings.masses else none), (codes.CONTRAST_PHASE, codes.PHASES[phase])


def _words(analysis: Analysis) -> tuple[str, ...]:
    """The sentences that a reader must see."""
    report = analysis.report
    phase = report.phase
    return (
        NOT_FOR_CLINICAL_USE,
        report.provenance.trained_on,
        report.summary(),
        f"Contrast phase: {phase.phase.value}, probability {phase.probability:.2f} ({phase.evidence})",
        *report.notices,
    )


def _measurements(finding: Kidney | Mass, analysis: Analysis) -> list[Measurement]:
    return _mass_measurements(finding, analysis) if isinstance(finding, Mass) else _kidney_measurements(finding)


def _kidney_measurements(kidney: Kidney) -> list[Measurement]:
    return numbers(
        [
            (dicom.SCT.Volume, kidney.volume_ml, codes.MILLILITER),
            (codes.VOLUME_WITH_MASSES, kidney.volume_with_masses_ml, codes.MILLILITER),
        ],
        method=codes.VOXEL_SUM,
    ) + _attenuation(kidney.hu)


def _mass_measurements(mass: Mass, analysis: Analysis) -> list[Measurement]:
    millimeter, percent = dicom.UCUM.Millimeter, dicom.UCUM.Percent
    measured = numbers([(dicom.SCT.Volume, mass.volume_ml, codes.MILLILITER)], method=codes.VOXEL_SUM)
    measured += numbers(
        [
            (dicom.SCT.LongAxis, mass.longest_axial.length_mm, millimeter),
            (dicom.SCT.ShortAxis, mass.short_axis.length_mm, millimeter),
            (codes.MAXIMUM_3D_DIAMETER, mass.max_3d_diameter_mm, millimeter),
            (codes.EQUIVALENT_DIAMETER, mass.average_diameter_mm, millimeter),
        ]
    )
    measured += _attenuation(mass.hu)
    measured += numbers([(codes.FAT_FRACTION, 100 * mass.fat_fraction, percent)])
    if mass.enhancing_fraction is not None:
        measured += numbers([(codes.ENHANCING_FRACTION, 100 * mass.enhancing_fraction, percent)])
    if mass.classification.probabilities:
        classifier = _algorithm(analysis, "classification")
        measured += [
            _probability(codes.MASS_CLASSES[mass_class], probability, classifier)
            for mass_class, probability in zip(KNOWN_CLASSES, mass.classification.probabilities, strict=True)
        ]
    return measured


def _attenuation(hu: HUStatistics) -> list[Measurement]:
    values = (
        (dicom.SCT.Mean, hu.mean),
        (dicom.SCT.StandardDeviation, hu.sd),
        (dicom.SCT.Minimum, hu.min),
        (dicom.SCT.Maximum, hu.max),
    )
    return [
        Measurement(dicom.DCM.AttenuationCoefficient, _rounded(value), dicom.UCUM.HounsfieldUnit, derivation=derivation)
        for derivation, value in values
        if math.isfinite(value)
    ]


def numbers(rows: Iterable[tuple[Code, float, Code]], *, method: Code | None = None) -> list[Measurement]:
    """A measurement for each name, value and unit; a value that is not a number is left out."""
    return [
        Measurement(name, _rounded(value), unit, method=method) for name, value, unit in rows if math.isfinite(value)
    ]


def _probability(method: Code, probability: float, algorithm: AlgorithmIdentification | None) -> Measurement:
    """The probability of what `method` names, in percent."""
    return Measurement(
        dicom.DCM.Probability, _rounded(100 * probability), dicom.UCUM.Percent, method=method, algorithm_id=algorithm
    )


def _class(mass: Mass) -> QualitativeEvaluation:
    return QualitativeEvaluation(codes.MASS_CLASS, codes.MASS_CLASSES[mass.classification.mass_class])


def finding_site(finding: Kidney | Mass) -> FindingSite:
    """The kidney, and its side where that is known."""
    return FindingSite(codes.KIDNEY, laterality=codes.LATERALITY.get(finding.side))


def _algorithm(analysis: Analysis, task: str, *, with_parameters: bool = False) -> AlgorithmIdentification:
    provenance = analysis.report.provenance
    parameters = [
        text(f"recipe: {provenance.recipe_name}"),
        text(f"weights sha256: {provenance.release_digest}", _LONGEST_TEXT),
        text(f"training: {provenance.trained_on}", _LONGEST_TEXT),
    ]
    return AlgorithmIdentification(
        name=text(f"{release_name(provenance)} {task}"),
        version=text(provenance.release_version or "unversioned"),
        parameters=parameters if with_parameters else None,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MANUFACTURER,
    )


def _comment(group: Dataset, words: str) -> None:
    group.ContentSequence.append(
        TextContentItem(
            name=dicom.DCM.Comment, value=text(words, _LONGEST_TEXT) or "none", relationship_type="CONTAINS"
        )
    )


def _rounded(value: float) -> float:
    """Six significant digits: more than any of these measurements has, and readable in a viewer."""
    return float(f"{value:.6g}")

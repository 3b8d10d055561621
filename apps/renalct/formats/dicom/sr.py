"""The report as a Comprehensive 3D SR with TID 1500 (PS3.16), unverified and preliminary."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    UIDRefContentItem,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from renalct.formats.dicom.seg import Segment
from renalct.formats.dicom.source_images import SourceImages
from renalct.formats.dicom.sr_graphics import diameter_graphics, finding_graphics
from renalct.formats.dicom.sr_groups import segment_group, whole_image_evaluations, whole_image_group
from renalct.formats.dicom.written import MANUFACTURER, Analysis, Role, private_codes, release_name, text

_ENGLISH = Code("en-US", "RFC5646", "English (United States)")
_SOURCE = Code("260753009", "SCT", "Source")
_PIXELS = Code("{pixels}", "UCUM", "Pixels")
_COSINE = Code("{-1:1}", "UCUM", "{-1:1}")
_ORIENTATION = (
    dicom.DCM.ImageOrientationPatientRowX,
    dicom.DCM.ImageOrientationPatientRowY,
    dicom.DCM.ImageOrientationPatientRowZ,
    dicom.DCM.ImageOrientationPatientColumnX,
    dicom.DCM.ImageOrientationPatientColumnY,
    dicom.DCM.ImageOrientationPatientColumnZ,
)


def measurement_report(
    analysis: Analysis, segments: Sequence[Segment], segmentation: Dataset | None
) -> Comprehensive3DSR:
    """The structured report: a group per kidney and mass, where each lies on an image, and the result as a whole.

    `segmentation` is the object that the segments were written to, or None when there are none: the report then has
    one group, for the whole image, that says that no kidney was found.
    """
    if segmentation is None:
        return _finished(analysis, (), Role.SR)
    groups: list[ContentSequence] = [segment_group(analysis, segment, segmentation) for segment in segments]
    groups += [group for segment in segments for group in finding_graphics(analysis, segment)]
    return _finished(analysis, groups, Role.SR, evidence=[segmentation])


def diameter_report(analysis: Analysis, segments: Sequence[Segment]) -> Comprehensive3DSR | None:
    """The report of the diameters of the masses alone, as lines on their images; None when there is no such line."""
    groups = [group for segment in segments for group in diameter_graphics(analysis, segment)]
    return _finished(analysis, groups, Role.SR_DIAMETERS) if groups else None


def _finished(
    analysis: Analysis, groups: Sequence[ContentSequence], role: Role, *, evidence: Sequence[Dataset] = ()
) -> Comprehensive3DSR:
    """The report with these measurement groups, as the object of a role; without groups, with one for the whole image.

    Its evidence are the source images and whatever else is given.
    """
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device_observer(analysis)),
        procedure_reported=dicom.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=[whole_image_group(analysis)],
        title=dicom.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(CodedConcept.from_code(_ENGLISH)),
    )
    written = Comprehensive3DSR(
        evidence=[*analysis.source.slices, *evidence],
        content=content,
        is_complete=True,
        is_verified=False,
        is_final=False,
        **analysis.object_arguments(role),
    )
    # The constructor copies and parses the tree that it is given, which takes half a minute for 300 masses; the tree in
    # the object is the original, so that the rest is added after it.
    items = content[0].ContentSequence
    items.insert(len(items) - 1, _image_library(analysis.source))
    if groups:
        items[-1].ContentSequence = ContentSequence()
        for group in groups:
            items[-1].ContentSequence.extend(group)
        items.append(whole_image_evaluations(analysis))
    analysis.complete(written)
    private_codes(written)
    return written


def device_observer(analysis: Analysis) -> ObserverContext:
    """TID 1002: the software and release as the observer."""
    provenance = analysis.report.provenance
    return ObserverContext(
        dicom.DCM.Device,
        DeviceObserverIdentifyingAttributes(
            uid=analysis.uids.device_uid(),
            name=text(f"renalct {provenance.software_version}"),
            manufacturer_name=MANUFACTURER,
            model_name=release_name(provenance),
            serial_number=text(provenance.release_digest or "none"),
        ),
    )


def _image_library(source: SourceImages) -> ContainerContentItem:
    """TID 1600 with one group: what all source images share, then a reference to each.

    Positions stay in the images: repeated for every slice they would be most of the report.
    """
    image = source.first
    row_spacing, column_spacing = (float(v) for v in image.PixelSpacing)
    group = _container(dicom.DCM.ImageLibraryGroup)
    context = RelationshipTypeValues.HAS_ACQ_CONTEXT
    group.ContentSequence.append(CodeContentItem(dicom.DCM.Modality, dicom.cid29.ComputedTomography, context))
    group.ContentSequence.append(UIDRefContentItem(dicom.DCM.FrameOfReferenceUID, image.FrameOfReferenceUID, context))
    millimeter = dicom.UCUM.Millimeter
    numbers = [
        (dicom.DCM.PixelDataRows, int(image.Rows), _PIXELS),
        (dicom.DCM.PixelDataColumns, int(image.Columns), _PIXELS),
        (dicom.DCM.HorizontalPixelSpacing, column_spacing, millimeter),
        (dicom.DCM.VerticalPixelSpacing, row_spacing, millimeter),
        (dicom.DCM.SliceThickness, float(image.SliceThickness), millimeter),
    ]
    numbers += [
        (name, float(value), _COSINE) for name, value in zip(_ORIENTATION, image.ImageOrientationPatient, strict=True)
    ]
    for name, value, unit in numbers:
        group.ContentSequence.append(NumContentItem(name, value, unit, relationship_type=context))
    for sop_instance_uid, reference in {r.sop_instance_uid: r for r in source.references}.items():
        group.ContentSequence.append(
            ImageContentItem(
                _SOURCE,
                reference.sop_class_uid,
                sop_instance_uid,
                relationship_type=RelationshipTypeValues.CONTAINS,
            )
        )
    library = _container(dicom.DCM.ImageLibrary)
    library.ContentSequence.append(group)
    return library


def _container(name: Code) -> ContainerContentItem:
    item = ContainerContentItem(name, relationship_type=RelationshipTypeValues.CONTAINS)
    item.ContentSequence = ContentSequence()
    return item

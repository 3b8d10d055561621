"""Segmentation objects written from findings. Read back by `renalct.formats.dicom.seg_reading`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from renalct.core.errors import GeometryError
from renalct.core.findings import Kidney, Mass
from renalct.core.labels import MassClass, Structure
from renalct.core.volume import Mask
from renalct.formats.dicom import codes
from renalct.formats.dicom.seg_reading import read_segmentation
from renalct.formats.dicom.written import (
    MANUFACTURER,
    Analysis,
    Role,
    SegmentationEncoding,
    SliceRange,
    kidney_names,
    label,
    private_codes,
    release_name,
    text,
)
from renalct.pictures.colors import KIDNEY_COLOR, class_color

__all__ = ["MOST_FRAMES", "Segment", "read_segmentation", "segmentation", "segments_of"]

MOST_FRAMES = 2000
"""Above this number (65 MB at 512 x 512) a BINARY segmentation leaves out the frames in which a segment is absent."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A finding as a segment: its number from 1, its tracking identifier, and the finding itself."""

    number: int
    name: str
    finding: Kidney | Mass

    @property
    def mask(self) -> Mask:
        """The voxels of the segment."""
        return self.finding.mask

    @property
    def slice_range(self) -> range:
        """The slices from the first to the last voxel of the segment."""
        box = self.mask.box
        filled = np.flatnonzero(self.mask.voxels.any(axis=(0, 1))) + box.start[2]
        return range(int(filled[0]), int(filled[-1]) + 1) if filled.size else range(0)


def segments_of(analysis: Analysis) -> tuple[Segment, ...]:
    """The kidneys, then the masses by number. Findings without a voxel have no segment.

    Raises `GeometryError` when a finding reaches outside the source images.
    """
    findings = analysis.report.findings
    named: list[tuple[str, Kidney | Mass]] = [
        *zip(kidney_names(findings.kidneys), findings.kidneys, strict=True),
        *((mass.name, mass) for mass in findings.masses),
    ]
    shape = analysis.source.grid.shape
    for name, finding in named:
        if any(stop > size for stop, size in zip(finding.mask.box.stop, shape, strict=True)):
            raise GeometryError(
                f"{name} reaches outside the {shape} voxels of the source images; give the images that were analysed"
            )
    filled = [(name, finding) for name, finding in named if finding.mask.count]
    return tuple(Segment(number, name, finding) for number, (name, finding) in enumerate(filled, 1))


def segmentation(analysis: Analysis, segments: Sequence[Segment]) -> Segmentation | None:
    """The segmentation object, or None when there are no segments.

    DICOM has no segmentation without segments (PS3.3 C.8.20.2: one or more items), and a kidney segment without voxels
    would claim a kidney: that nothing was found is said by the report alone. Frames cover the contiguous range of
    slices that holds the findings, or all source slices, every segment on every slice of it; when that makes more than
    `MOST_FRAMES`, a segment has frames only where it has voxels.
    """
    if not segments:
        return None
    settings = analysis.settings
    grid = analysis.source.grid
    first = min(segment.slice_range.start for segment in segments)
    last = max(segment.slice_range.stop for segment in segments)
    if settings.slices is SliceRange.SOURCE:
        first, last = 0, grid.shape[2]
    labels = settings.encoding is SegmentationEncoding.LABELMAP
    frames = (last - first) * (1 if labels else len(segments))
    written = Segmentation(
        source_images=analysis.source.slices[first:last],
        pixel_array=_frames(segments, grid.shape, range(first, last)),
        segmentation_type=settings.encoding.value,
        segment_descriptions=[_description(analysis, segment) for segment in segments],
        omit_empty_frames=frames > MOST_FRAMES and not labels,
        transfer_syntax_uid=RLELossless if labels else ExplicitVRLittleEndian,
        content_label="KIDNEY_MASS",
        content_description="AI result, unverified, not for clinical use",
        content_creator_name="renalct^",
        **analysis.object_arguments(Role.SEG),
    )
    analysis.complete(written)
    private_codes(written)
    return written


def _frames(segments: Sequence[Segment], shape: tuple[int, int, int], slices: range) -> NDArray[np.generic]:
    """Segment numbers, indexed (slice, row, column); one boolean plane per segment (last axis) where masks overlap."""
    columns, rows, _ = shape
    numbers = np.zeros((len(slices), rows, columns), dtype=np.uint8 if len(segments) < 256 else np.uint16)
    overlap = False
    for segment in segments:
        target, voxels = _placed(numbers, segment.mask, slices)
        overlap = overlap or bool(target[voxels].any())
        target[voxels] = segment.number
    if not overlap:
        return numbers
    planes = np.zeros((*numbers.shape, len(segments)), dtype=np.bool_)
    for segment in segments:
        target, voxels = _placed(planes[..., segment.number - 1], segment.mask, slices)
        target[voxels] = True
    return planes


def _placed(frames: NDArray[np.generic], mask: Mask, slices: range) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The part of the frames that a mask's box covers, as (i, j, k), and the mask's voxels there."""
    i, j, k = mask.box.slices
    inside = slice(max(k.start, slices.start), min(k.stop, slices.stop))
    placed = frames[inside.start - slices.start : inside.stop - slices.start, j, i]
    return placed.transpose(2, 1, 0), mask.voxels[:, :, inside.start - k.start : inside.stop - k.start]


def _description(analysis: Analysis, segment: Segment) -> SegmentDescription:
    finding = segment.finding
    provenance = analysis.report.provenance
    is_mass = isinstance(finding, Mass)
    color = class_color(finding.classification.mass_class) if isinstance(finding, Mass) else KIDNEY_COLOR
    description = SegmentDescription(
        segment_number=segment.number,
        segment_label=text(label(finding, segment.name)),
        segmented_property_category=codes.ABNORMAL_STRUCTURE if is_mass else codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=codes.MASS if is_mass else codes.KIDNEY,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=release_name(provenance),
            version=text(provenance.release_version or "unversioned"),
            family=codes.ARTIFICIAL_INTELLIGENCE,
            source=MANUFACTURER,
            parameters={"recipe": text(provenance.recipe_name), "weights sha256": text(provenance.release_digest)},
        ),
        anatomic_regions=[codes.KIDNEY] if is_mass else None,
        tracking_id=segment.name,
        tracking_uid=analysis.tracking_uid(segment.name),
        display_color=CIELabColor.from_rgb(*color),
    )
    description.SegmentDescription = text(
        f"AI result of {release_name(provenance)}, unverified, not for clinical use. {provenance.trained_on}", 1024
    )
    laterality = codes.LATERALITY.get(finding.side)
    coded_type = description.SegmentedPropertyTypeCodeSequence[0]
    if laterality is not None and is_mass:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [CodedConcept.from_code(laterality)]
    elif laterality is not None:
        coded_type.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(laterality)]
    modifier = _class_modifier(finding) if isinstance(finding, Mass) else None
    if modifier is not None:
        coded_type.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(modifier)]
    return description


def _class_modifier(mass: Mass) -> Code | None:
    """What tells the structure of a mass when the segmentation is read back; None for a tumor of unknown class."""
    if mass.classification.mass_class is not MassClass.UNKNOWN:
        return codes.MASS_CLASSES[mass.classification.mass_class]
    return codes.SEGMENTED_AS_CYST if mass.structure is Structure.CYST else None

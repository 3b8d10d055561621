"""Where findings lie, as graphics on single source images (TID 1410), for viewers to draw.

They stand in two reports, because of what viewers do with them (docs/viewers.md). In the report of measurements each
finding has a graphic under its own tracking identifier: OHIF opens no report with a finding that lies on no image. In a
second report, of the diameters alone, each line has a tracking identifier of its own: OHIF draws one graphic of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from highdicom.sr import (
    ImageRegion,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    SourceImageForRegion,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.sr.codedict import codes as dicom
from pydicom.sr.coding import Code

from renalct.core.findings import Caliper, Mass
from renalct.formats.dicom import codes
from renalct.formats.dicom.seg import Segment
from renalct.formats.dicom.sr_groups import finding_site, numbers
from renalct.formats.dicom.written import Analysis
from renalct.pictures.contours import outlines


@dataclass(frozen=True, eq=False)
class _Line:
    """A line through corners (column, row), counted from the corner of the first pixel of source slice `k`
    (PS3.3 C.18.6.1.1); `length_mm` is measured where it is a diameter, which `concept` and `words` name."""

    k: int
    corners: NDArray[np.float64]
    words: str = ""
    concept: Code | None = None
    length_mm: float = 0.0


def finding_graphics(analysis: Analysis, segment: Segment) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """The graphics of a finding under its own tracking identifier.

    For a mass these are its longest axial diameter and its short axis; for a kidney, and a mass whose diameters lie in
    no source image (the source is not axial), the outline on the slice where it is largest.
    """
    lines = _diameters(analysis, segment) or [_outline(segment)]
    return [_group(analysis, segment, line, segment.name) for line in lines]


def diameter_graphics(analysis: Analysis, segment: Segment) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """The diameters of a mass that lie in a source image, each under a tracking identifier of its own; else empty."""
    return [_group(analysis, segment, line, f"{segment.name} {line.words}") for line in _diameters(analysis, segment)]


def _diameters(analysis: Analysis, segment: Segment) -> list[_Line]:
    mass = segment.finding
    if not isinstance(mass, Mass):
        return []
    lines = (
        _diameter(analysis, mass.longest_axial, dicom.SCT.LongAxis, "long axis"),
        _diameter(analysis, mass.short_axis, dicom.SCT.ShortAxis, "short axis"),
    )
    return [line for line in lines if line is not None]


def _diameter(analysis: Analysis, caliper: Caliper, concept: Code, words: str) -> _Line | None:
    """The line of a caliper, whose ends are voxel indices: the centre of voxel (0, 0) is at (0.5, 0.5)."""
    start, stop = caliper.start, caliper.stop
    k = round(start[2])
    if max(abs(start[2] - k), abs(stop[2] - k)) > 1e-6 or not 0 <= k < len(analysis.source.slices):
        return None
    size = analysis.source.grid.shape[:2]
    corners = np.clip(np.array([start[:2], stop[:2]]) + 0.5, 0.0, size)
    return _Line(k, corners, words, concept, caliper.length_mm)


def _outline(segment: Segment) -> _Line:
    """The longest outline of the segment, closed, on the slice where it has most voxels."""
    mask = segment.mask
    largest = int(mask.voxels.sum(axis=(0, 1)).argmax())
    polygon = max(outlines(mask.voxels[:, :, largest].T), key=len)
    i, j, k = mask.box.start
    return _Line(k + largest, np.vstack([polygon, polygon[:1]]) + np.array([i, j]))


def _group(
    analysis: Analysis, segment: Segment, line: _Line, name: str
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    image = analysis.source.slices[line.k]
    is_mass = isinstance(segment.finding, Mass)
    measured = [] if line.concept is None else [(line.concept, line.length_mm, dicom.UCUM.Millimeter)]
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(analysis.tracking_uid(name), name),
        referenced_region=ImageRegion(
            "POLYLINE", line.corners, SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
        ),
        finding_category=codes.ABNORMAL_STRUCTURE if is_mass else codes.ANATOMICAL_STRUCTURE,
        finding_type=codes.MASS if is_mass else codes.KIDNEY,
        finding_sites=[finding_site(segment.finding)],
        measurements=numbers(measured) or None,
    )

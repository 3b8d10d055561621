"""Class-activation maps as Parametric Map objects (PS3.3 A.75)."""

from __future__ import annotations

import numpy as np
from highdicom import PixelMeasuresSequence, PlanePositionSequence, VOILUTTransformation
from highdicom.enum import CoordinateSystemNames
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes

from renalct.core.errors import GeometryError
from renalct.core.findings import Mass
from renalct.core.grid import Box
from renalct.core.labels import Side
from renalct.formats.dicom.codes import KIDNEY
from renalct.formats.dicom.source_images import SourceImages
from renalct.formats.dicom.written import Analysis, Role, text

_LATERALITY = {Side.LEFT: "L", Side.RIGHT: "R"}
_TO_LPS = np.array([-1.0, -1.0, 1.0])


def class_activation_map(analysis: Analysis, mass: Mass, *, number: int) -> ParametricMap | None:
    """The activation map of a mass as instance `number` of its series; None when it has none.

    Values are float32, from 0 to 1. The frames cover the map's box and nothing else: one for each source slice of it,
    with the pixel spacing and the orientation of the source and a position of its own. Frames of the source's full size
    would be zeros but for a few percent. Floats, and not integers with a slope, and the anatomy of the frames are what
    dcmqi needs (and 3D Slicer, which reads maps by it).
    """
    if mass.activation is None:
        return None
    box, values = mass.activation.box, mass.activation.values
    if any(stop > size for stop, size in zip(box.stop, analysis.source.grid.shape, strict=True)):
        raise GeometryError(f"the activation map of {mass.name} reaches outside the source images")
    of_class = f"{mass.name}, class {mass.activation.mass_class.title}"
    written = ParametricMap(
        source_images=analysis.source.slices[box.slices[2]],
        pixel_array=values.transpose(2, 1, 0).astype(np.float32),
        pixel_measures=_measures(analysis.source),
        plane_positions=_positions(analysis.source, box),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label="Grad-CAM",
                lut_explanation=text(f"Grad-CAM, {of_class}"),
                unit=codes.UCUM.NoUnits,
                value_range=(0.0, 1.0),
                slope=1.0,
                intercept=0.0,
                quantity_definition=codes.cid7469.ClassActivation,
            )
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="CLASS_ACTIVATION",
        content_description=text(f"{of_class}; AI, unverified, not for clinical use"),
        content_creator_name="renalct^",
        **analysis.object_arguments(Role.CLASS_ACTIVATION, number),
    )
    written.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(mass.side)]
    _turn_around(written)
    analysis.complete(written)
    return written


def _turn_around(written: ParametricMap) -> None:
    """Put the frames into the other order: along the slice normal, where highdicom writes them against it.

    dcmqi takes frames of a map in the order of the file, whatever their positions say, and would show it upside down.
    """
    items = list(written.PerFrameFunctionalGroupsSequence)
    places = [item.FrameContentSequence[0].DimensionIndexValues for item in items]
    frames = np.frombuffer(written.FloatPixelData, dtype=np.float32).reshape(len(items), -1)
    written.FloatPixelData = frames[::-1].tobytes()
    written.PerFrameFunctionalGroupsSequence = items[::-1]
    for item, place in zip(items[::-1], places, strict=True):
        item.FrameContentSequence[0].DimensionIndexValues = place


def _anatomy(side: Side) -> Dataset:
    """The kidney, and which (PS3.3 C.7.6.16.2.8)."""
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(KIDNEY)]
    anatomy.FrameLaterality = _LATERALITY.get(side, "U")
    return anatomy


def _measures(source: SourceImages) -> PixelMeasuresSequence:
    """The source's own pixel spacing and slice thickness."""
    image = source.first
    return PixelMeasuresSequence(image.PixelSpacing, image.SliceThickness, image.get("SpacingBetweenSlices"))


def _positions(source: SourceImages, box: Box) -> list[PlanePositionSequence]:
    """Where the first pixel of the box lies on each of its slices (mm, LPS), as far from the source's as pixels are."""
    i, j, k = box.slices
    from_corner = source.grid.affine[:3, :3] @ (i.start, j.start, 0) * _TO_LPS
    corners = [np.asarray(image.ImagePositionPatient, dtype=np.float64) for image in source.slices[k]]
    return [PlanePositionSequence(CoordinateSystemNames.PATIENT, corner + from_corner) for corner in corners]

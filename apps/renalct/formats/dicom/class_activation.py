"""Class-activation maps as Parametric Map objects (PS3.3 A.75)."""

from __future__ import annotations

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.sr.codedict import codes

from renalct.core.errors import GeometryError
from renalct.core.findings import Mass
from renalct.formats.dicom.written import Analysis, Role, text


def class_activation_map(analysis: Analysis, mass: Mass, *, number: int) -> ParametricMap | None:
    """The activation map of a mass, 0 to 1 (float32), as instance `number` of its series; None when it has none.

    Frames are the source slices that the map's box covers, at full size; outside the box they are 0.
    """
    if mass.activation is None:
        return None
    box, values = mass.activation.box, mass.activation.values
    columns, rows, slices = analysis.source.grid.shape
    if any(stop > size for stop, size in zip(box.stop, (columns, rows, slices), strict=True)):
        raise GeometryError(f"the activation map of {mass.name} reaches outside the source images")
    i, j, k = box.slices
    frames = np.zeros((box.shape[2], rows, columns), dtype=np.float32)
    frames[:, j, i] = values.transpose(2, 1, 0)
    of_class = f"{mass.name}, class {mass.activation.mass_class.title}"
    written = ParametricMap(
        source_images=analysis.source.slices[k],
        pixel_array=frames,
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
    analysis.complete(written)
    return written

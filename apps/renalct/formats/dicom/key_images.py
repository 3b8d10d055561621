"""Key images as Secondary Capture, and the Key Object Selection that points at them and at their source slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from renalct.core.findings import Mass
from renalct.formats.dicom.sr import device_observer
from renalct.formats.dicom.written import Analysis, Role, text

_SOURCE_PURPOSE = codes.DCM.SourceImageForImageProcessingOperation

RGBImage = NDArray[np.uint8]
"""Rows, columns, and red, green, blue."""


@dataclass(frozen=True, eq=False)
class KeyImage:
    """A written key image and the index of the source slice that it shows."""

    image: SCImage
    slice_index: int


def key_image(analysis: Analysis, mass: Mass, picture: RGBImage) -> KeyImage:
    """The picture of a mass (uint8, rows x columns x 3, burned-in text) as a Secondary Capture.

    It refers to the source slice of the mass's longest axial diameter, and has that slice's pixel spacing when it has
    its size. Instances are numbered like the masses.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a key image is uint8 with three colors, not {picture.dtype} of shape {picture.shape}")
    slice_index = min(max(round(mass.longest_axial.start[2]), 0), len(analysis.source.slices) - 1)
    source = analysis.source.slices[slice_index]
    row_spacing, column_spacing = (float(v) for v in source.PixelSpacing)
    written = SCImage(
        pixel_array=np.ascontiguousarray(picture),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=_patient_orientation(source),
        pixel_spacing=(row_spacing, column_spacing) if picture.shape[:2] == (source.Rows, source.Columns) else None,
        study_instance_uid=source.StudyInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **analysis.object_arguments(Role.KEY_IMAGE, mass.number),
    )
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(_SOURCE_PURPOSE)]
    written.SourceImageSequence = [reference]
    written.ConversionType = "SYN"
    written.BurnedInAnnotation = "YES"
    written.DerivationDescription = text(
        f"{mass.name}: window, contours and class activation drawn by AI; unverified, not for clinical use", 1024
    )
    analysis.complete(written)
    return KeyImage(written, slice_index)


def key_object_selection(analysis: Analysis, key_images: Sequence[KeyImage]) -> KeyObjectSelectionDocument | None:
    """The selection "Of Interest" of the key images and of the source slices they show; None without key images."""
    if not key_images:
        return None
    shown = [analysis.source.slices[k] for k in sorted({key.slice_index for key in key_images})]
    objects = [*(key.image for key in key_images), *shown]
    content = KeyObjectSelection(
        document_title=codes.DCM.OfInterest,
        referenced_objects=objects,
        observer_device_context=device_observer(analysis),
        description=text(
            f"Renal masses found by AI; unverified, not for clinical use. {analysis.report.summary()}", 1024
        ),
    )
    written = KeyObjectSelectionDocument(
        evidence=[*shown, *(key.image for key in key_images)],
        content=content,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **analysis.object_arguments(Role.KEY_OBJECTS),
    )
    analysis.complete(written)
    return written


def _patient_orientation(image: Dataset) -> tuple[str, str]:
    """The patient direction nearest to the rows and to the columns, for example ("L", "P") (PS3.3 C.7.6.1.1.1)."""
    row, column = np.asarray(image.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    return _nearest_direction(row), _nearest_direction(column)


def _nearest_direction(cosines: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(cosines)))
    return ("LPH" if cosines[axis] > 0 else "RAF")[axis]

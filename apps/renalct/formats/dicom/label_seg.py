"""An annotator's label map as a segmentation object: one segment per structure, on the slices that were labelled.

Read back by `renalct.formats.dicom.seg_reading`, which knows a structure by its code: a class that does not occur
leaves no trace, and the others stay what they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.uid import UID, ExplicitVRLittleEndian

from renalct import __version__
from renalct.core.errors import GeometryError
from renalct.core.labels import MassClass, Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom import codes
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.seg import MOST_FRAMES
from renalct.formats.dicom.source_images import SourceImages, source_images
from renalct.formats.dicom.uids import SOFTWARE_FACT, derived_uid
from renalct.formats.dicom.written import MANUFACTURER, NOT_FOR_CLINICAL_USE, complete_object, private_codes, text
from renalct.pictures.colors import KIDNEY_COLOR, RGB, class_color

MODEL_NAME = "renalct label"
_SERIES_NUMBER = 9100
_STRUCTURES = (Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA)
_COLORS: dict[Structure, RGB] = {
    Structure.KIDNEY: KIDNEY_COLOR,
    Structure.TUMOR: class_color(MassClass.SOLID),
    Structure.CYST: class_color(MassClass.CYSTIC),
    Structure.ANGIOMYOLIPOMA: class_color(MassClass.AML),
}


@dataclass(frozen=True)
class LabelOrigin:
    """Who made a label: `author` is a user name, `number` counts the versions of the image's labels from 1.

    `release` is the digest of the release whose answer the annotator began from, "" when it was drawn from nothing.
    `made_at` is the only source of dates and times.
    """

    author: str
    number: int
    made_at: datetime
    release: str = ""

    @property
    def series_description(self) -> str:
        """What a viewer shows for the series."""
        return text(f"{MODEL_NAME} v{self.number} by {self.author or 'unknown'} ({NOT_FOR_CLINICAL_USE})")


def label_segmentation(series: LoadedSeries, label_map: LabelMap, origin: LabelOrigin) -> Segmentation | None:
    """The segmentation object of a label map that lies on the grid of its series; None when nothing is labelled.

    DICOM has no segmentation without segments (PS3.3 C.8.20.2). The UIDs follow from the series, the voxels and the
    origin's author and number, so that a version that is written twice is one object. Raises `GeometryError` for a
    label map on another grid.
    """
    if not label_map.grid.same_as(series.volume.grid):
        raise GeometryError(
            f"a label map of {label_map.grid.shape} voxels does not lie on series "
            f"{series.headers[0].SeriesInstanceUID}; use the labels of this image"
        )
    source = source_images(series)
    frames = label_map.values.transpose(2, 1, 0)  # (slice, row, column)
    labelled = np.flatnonzero(frames.any(axis=(1, 2)))
    if not labelled.size:
        return None
    first, last = int(labelled[0]), int(labelled[-1]) + 1
    frames = frames[first:last]
    present = [structure for structure in _STRUCTURES if (frames == structure).any()]
    numbers = np.zeros(max(Structure) + 1, dtype=np.uint8)
    numbers[[int(structure) for structure in present]] = np.arange(1, len(present) + 1)
    uids = _Uids.of(source, label_map, origin)
    written = Segmentation(
        source_images=source.slices[first:last],
        pixel_array=numbers[frames],
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(structure, number, uids, origin) for number, structure in enumerate(present, start=1)
        ],
        series_instance_uid=uids.uid("series"),
        sop_instance_uid=uids.uid("instance"),
        series_number=_SERIES_NUMBER + origin.number,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=__version__,
        device_serial_number="none",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=(last - first) * len(present) > MOST_FRAMES,
        content_label="KIDNEY_LABEL",
        content_description=text(f"Label for training, {NOT_FOR_CLINICAL_USE}"),
        content_creator_name=f"{written_name(origin.author) or 'unknown'}^",
        series_description=origin.series_description,
    )
    complete_object(written, source, now=origin.made_at, organization_uid=uids.uid("dimensions"))
    private_codes(written)
    return written


def written_name(author: str) -> str:
    """An author's name as it stands in a segmentation: in plain characters, without the signs of a DICOM name."""
    return " ".join(text(author.replace("^", " ").replace("=", " "), 60).split())


@dataclass(frozen=True)
class _Uids:
    facts: tuple[str, ...]

    @classmethod
    def of(cls, source: SourceImages, label_map: LabelMap, origin: LabelOrigin) -> _Uids:
        content = hashlib.sha256(np.ascontiguousarray(label_map.values).tobytes()).hexdigest()
        header = source.first
        series = (str(header.StudyInstanceUID), str(header.SeriesInstanceUID))
        images = (f"{r.sop_instance_uid}/{r.frame_number or ''}" for r in source.references)
        return cls((SOFTWARE_FACT, "label", *series, *images, content, origin.author, str(origin.number)))

    def uid(self, role: str) -> UID:
        return derived_uid(*self.facts, role)


def _description(structure: Structure, number: int, uids: _Uids, origin: LabelOrigin) -> SegmentDescription:
    is_kidney = structure is Structure.KIDNEY
    kind = SegmentAlgorithmTypeValues.SEMIAUTOMATIC if origin.release else SegmentAlgorithmTypeValues.MANUAL
    algorithm = None
    if origin.release:
        algorithm = AlgorithmIdentificationSequence(
            name=MANUFACTURER,
            version=__version__,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            parameters={"weights sha256": text(origin.release)},
        )
    coded = {Structure.KIDNEY: codes.KIDNEY, Structure.CYST: codes.CYST}.get(structure, codes.MASS)
    description = SegmentDescription(
        segment_number=number,
        segment_label=structure.title,
        segmented_property_category=codes.ANATOMICAL_STRUCTURE if is_kidney else codes.ABNORMAL_STRUCTURE,
        segmented_property_type=coded,
        algorithm_type=kind,
        algorithm_identification=algorithm,
        anatomic_regions=None if is_kidney else [codes.KIDNEY],
        tracking_id=structure.title,
        tracking_uid=uids.uid(f"tracking {structure.title}"),
        display_color=CIELabColor.from_rgb(*_COLORS[structure]),
    )
    if structure is Structure.ANGIOMYOLIPOMA:
        modifier = CodedConcept.from_code(codes.MASS_CLASSES[MassClass.AML])
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return description

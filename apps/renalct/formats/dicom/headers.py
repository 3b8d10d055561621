"""What the headers of CT slices say: position, size, rescale and acquisition of each, and the series they form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from renalct.core.volume import Source
from renalct.formats.dicom.walk import StudyFile

Vector = tuple[float, float, float]

_AXES = "xyz"
_MOST_DIGITS = 5


@dataclass(frozen=True)
class Rescale:
    """Modality rescale of a slice (PS3.3 C.11.1); None or "" where the header does not say."""

    slope: float | None = None
    intercept: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Acquisition:
    """What tells acquisitions, phases and reconstructions within a series apart; None or "" where unknown.

    `time_s` counts from midnight, or from a fixed day where the date is known too.
    """

    number: int | None = None
    temporal_position: int | None = None
    contrast_phase: str = ""
    time_s: float | None = None
    image_type: tuple[str, ...] = ()
    kernel: str = ""
    thickness_mm: float | None = None
    kilovolts: float | None = None
    tilt_degrees: float = 0.0


@dataclass(frozen=True)
class SliceHeader:
    """One slice: a single-frame image, or frame `frame_number` (from 1) of a multi-frame one (else 0).

    Positions are DICOM patient coordinates (LPS) of the first pixel's centre; `spacing_mm` is PixelSpacing: the
    distance between rows, then between columns; `orientation` the direction cosines of a row, then of a column.
    """

    file: StudyFile
    sop_instance_uid: str
    frame_number: int
    instance_number: int | None
    frame_of_reference_uid: str
    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    orientation: tuple[float, ...]
    position_mm: Vector
    rescale: Rescale = Rescale()
    acquisition: Acquisition = Acquisition()
    photometric_interpretation: str = "MONOCHROME2"
    transfer_syntax_uid: str = ""
    is_lossy: bool = False

    @property
    def row_direction(self) -> NDArray[np.float64]:
        """Unit vector along a row (increasing column index), LPS."""
        return _unit(self.orientation[:3])

    @property
    def column_direction(self) -> NDArray[np.float64]:
        """Unit vector down a column (increasing row index), LPS."""
        return _unit(self.orientation[3:])

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector from slice to slice, LPS: row direction x column direction."""
        return _unit(np.cross(self.row_direction, self.column_direction))

    @property
    def where(self) -> str:
        """Position and origin for messages, for example ``z = -212.5 mm (InstanceNumber 12, IM0012.dcm)``."""
        if self.frame_number:
            image = f"frame {self.frame_number} of {self.file.name}"
        elif self.instance_number is None:
            image = self.file.name
        else:
            image = f"InstanceNumber {self.instance_number}, {self.file.name}"
        return f"{place(self.position_mm, self.normal)} ({image})"


def place(position_mm: NDArray[np.float64] | Vector, normal: NDArray[np.float64]) -> str:
    """The coordinate along the axis nearest to the slice normal, for messages: ``z = -212.5 mm`` (DICOM axes)."""
    axis = int(np.argmax(np.abs(normal)))
    return f"{_AXES[axis]} = {position_mm[axis]:.6g} mm"


@dataclass(frozen=True, eq=False)
class SeriesHeaders:
    """The slices of one CT volume, in any order, and the full header of one of them (without pixel data).

    A DICOM series that holds several volumes becomes several of these: `part` of `parts`, told apart by `split_by`.
    """

    slices: tuple[SliceHeader, ...] = field(repr=False)
    example: Dataset = field(repr=False)
    part: int = 1
    parts: int = 1
    split_by: str = ""

    def __post_init__(self) -> None:
        if not self.slices:
            raise ValueError("a series has at least one slice")

    def text(self, keyword: str) -> str:
        """An attribute of the example header as text; "" where it is absent, several values joined by a backslash."""
        try:
            value = self.example.get(keyword)
        except Exception:  # a damaged value is as good as none
            return ""
        if value is None:
            return ""
        return "\\".join(map(str, value)) if isinstance(value, list | tuple) or _is_multi(value) else str(value)

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID."""
        return self.text("StudyInstanceUID")

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID; the same for all parts of a series."""
        return self.text("SeriesInstanceUID")

    @property
    def frame_of_reference_uid(self) -> str:
        """FrameOfReferenceUID, "" where there is none."""
        return self.slices[0].frame_of_reference_uid

    @property
    def description(self) -> str:
        """SeriesDescription."""
        return self.text("SeriesDescription")

    @property
    def source(self) -> Source:
        """The identifiers of the study and series; a number too large to count series, perhaps somebody's, is none."""
        number = self.text("SeriesNumber")
        return Source(
            self.study_instance_uid,
            self.series_instance_uid,
            self.description,
            int(number) if number.isdecimal() and len(number) <= _MOST_DIGITS else None,
        )

    @property
    def is_multiframe(self) -> bool:
        """Whether the slices are frames of one enhanced image."""
        return self.slices[0].frame_number > 0

    @property
    def name(self) -> str:
        """How messages call it: ``series 1.2.3`` or ``part 2 of series 1.2.3``."""
        whole = f"series {self.series_instance_uid}"
        return whole if self.parts == 1 else f"part {self.part} of {whole}"

    @property
    def times_s(self) -> tuple[float, float] | None:
        """The earliest and latest acquisition time of a slice, None where none is known."""
        times = [s.acquisition.time_s for s in self.slices if s.acquisition.time_s is not None]
        return (min(times), max(times)) if times else None

    @property
    def extent_mm(self) -> tuple[float, float]:
        """The lowest and highest position of a slice along the slice normal."""
        normal = self.slices[0].normal
        along = [float(np.dot(s.position_mm, normal)) for s in self.slices]
        return min(along), max(along)


def _unit(vector: tuple[float, ...] | NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(array))
    return array / length if length > 0 else array


def _is_multi(value: object) -> bool:
    return type(value).__name__ == "MultiValue"

"""A CT series that was read from DICOM: its voxels, and the headers that written objects refer to."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom import Dataset

from renalct.core.errors import GeometryError
from renalct.core.volume import CTVolume


@dataclass(frozen=True, eq=False)
class LoadedSeries:
    """A volume with the DICOM headers of its slices, without pixel data.

    Of single-frame images `headers[k]` belongs to slice k of the volume and `frame_numbers` is empty. Of an enhanced
    multi-frame image there is one header, and `frame_numbers[k]` is the frame (counted from 1) of slice k.
    """

    volume: CTVolume
    headers: tuple[Dataset, ...] = field(repr=False)
    frame_numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        slices = self.volume.grid.shape[2]
        described = len(self.frame_numbers) if self.frame_numbers else len(self.headers)
        if described != slices or (self.frame_numbers and len(self.headers) != 1):
            raise GeometryError(f"{described} slice headers do not fit a volume of {slices} slices")

    @property
    def is_multiframe(self) -> bool:
        """Whether all slices are frames of one enhanced image."""
        return bool(self.frame_numbers)

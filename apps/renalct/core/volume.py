"""Images and label maps: an array on a `Grid`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Region, Structure
from renalct.core.phase import PhaseEstimate

HU = NDArray[Any]
"""Hounsfield units, indexed (i, j, k), int16 or float32."""


@dataclass(frozen=True)
class Source:
    """Where a volume came from: identifiers of the study and series, never of the patient. "" where unknown."""

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    series_description: str = ""
    series_number: int | None = None


@dataclass(frozen=True, eq=False)
class CTVolume:
    """CT numbers in HU (int16 or float32) on a grid, with the contrast phase and the source series.

    The array is made read-only: it is shared by every stage.
    """

    hu: HU = field(repr=False)
    grid: Grid
    phase: PhaseEstimate = PhaseEstimate()
    source: Source = Source()

    def __post_init__(self) -> None:
        if self.hu.shape != self.grid.shape:
            raise GeometryError(f"an image of shape {self.hu.shape} does not fit a grid of shape {self.grid.shape}")
        if self.hu.dtype not in (np.int16, np.float32):
            raise TypeError(f"CT numbers are int16 or float32, not {self.hu.dtype}")
        view = self.hu.view()
        view.setflags(write=False)
        object.__setattr__(self, "hu", view)

    def cropped(self, box: Box) -> CTVolume:
        """The part of the volume inside `box`, sharing memory."""
        return CTVolume(self.hu[box.slices], self.grid.cropped(box), self.phase, self.source)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """`Structure` values (uint8) on a grid."""

    values: NDArray[np.uint8] = field(repr=False)
    grid: Grid

    def __post_init__(self) -> None:
        if self.values.shape != self.grid.shape:
            raise GeometryError(
                f"a label map of shape {self.values.shape} does not fit a grid of shape {self.grid.shape}"
            )
        if self.values.dtype != np.uint8:
            raise TypeError(f"label values are uint8, not {self.values.dtype}")
        if self.values.size and int(self.values.max()) > max(Structure):
            raise LabelError(
                f"the label map holds the value {int(self.values.max())}; values run from 0 to {int(max(Structure))}"
            )
        view = self.values.view()
        view.setflags(write=False)
        object.__setattr__(self, "values", view)

    def region(self, region: Region) -> NDArray[np.bool_]:
        """Where the structures of a region are."""
        table = np.zeros(len(Structure), dtype=bool)
        table[[int(s) for s in region.value]] = True
        return table[self.values]


@dataclass(frozen=True, eq=False)
class Mask:
    """True voxels inside a box of a grid that is known from elsewhere; everything outside the box is false."""

    box: Box
    voxels: NDArray[np.bool_] = field(repr=False)

    def __post_init__(self) -> None:
        if self.voxels.shape != self.box.shape or self.voxels.dtype != np.bool_:
            raise ValueError(f"a mask holds booleans of its box's shape {self.box.shape}, not {self.voxels.shape}")
        view = self.voxels.view()
        view.setflags(write=False)
        object.__setattr__(self, "voxels", view)

    @property
    def count(self) -> int:
        """Number of true voxels."""
        return int(np.count_nonzero(self.voxels))

    def paint(self, target: NDArray[Any], value: int) -> None:
        """Write `value` into an array of the whole grid wherever this mask is true."""
        target[self.box.slices][self.voxels] = value

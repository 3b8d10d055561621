"""Labels cut to where they are, with the pieces that they fall into: what every check of labels looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.imaging.components import connected
from renalct.imaging.label_findings import Place

Booleans = NDArray[np.bool_]
_MARGIN_MM = 15.0


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected set of voxels (26 neighbours) inside `box` of a scene, of one structure where it has one."""

    box: Box
    count: int
    voxels: Booleans = field(repr=False)
    structure: Structure | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """A box about all labels with a margin: label values, HU (None without an image), and the image's whole grid."""

    grid: Grid
    box: Box
    values: NDArray[np.uint8] = field(repr=False)
    hu: NDArray[Any] | None = field(repr=False)

    @classmethod
    def of(cls, label_map: LabelMap, volume: CTVolume | None) -> Scene | None:
        """The scene of a label map; None when nothing is labelled. Raises `GeometryError` when the grids differ."""
        if volume is not None and not volume.grid.same_as(label_map.grid):
            raise GeometryError("the labels do not lie on the voxels of their image; save them on the image's own grid")
        tight = filled_box(label_map.values)
        if tight is None:
            return None
        grid = label_map.grid
        box = tight.grown([_MARGIN_MM / s for s in grid.spacing_mm], within=grid.shape)
        hu = None if volume is None else volume.hu[box.slices]
        return cls(grid, box, np.array(label_map.values[box.slices], order="F"), hu)

    @property
    def voxel_mm3(self) -> float:
        """The volume of a voxel."""
        return self.grid.voxel_ml * 1000.0

    @property
    def axial(self) -> int:
        """The axis along which slices follow each other."""
        return self.grid.axial_axis

    @property
    def voxel_mm2(self) -> float:
        """The area of a voxel on an axial slice."""
        return self.voxel_mm3 / self.grid.spacing_mm[self.axial]

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of each structure."""
        return _pieces(self.values, self.values)

    @cached_property
    def organs(self) -> tuple[Piece, ...]:
        """The pieces of everything that is labelled: kidneys with their masses, and what lies apart."""
        return _pieces(self.values > 0)

    @cached_property
    def masses(self) -> tuple[Piece, ...]:
        """The pieces of mass, whatever its structure."""
        return _pieces(self.values > Structure.KIDNEY)

    @cached_property
    def kidney(self) -> Booleans:
        """Where kidney is."""
        mask: Booleans = self.values == Structure.KIDNEY
        return mask

    def place(self, piece: Piece) -> Place:
        """A voxel of the piece: the one nearest to its middle on the slice where it is largest."""
        areas = piece.voxels.sum(axis=tuple(a for a in range(3) if a != self.axial))
        index = int(np.argmax(areas))
        plane = np.argwhere(np.take(piece.voxels, index, axis=self.axial))
        middle = plane[np.argmin(((plane - plane.mean(axis=0)) ** 2).sum(axis=1))]
        voxel = np.insert(middle, self.axial, index) + piece.box.start + self.box.start
        i, j, k = (int(v) for v in voxel)
        return Place.at((i, j, k), self.grid)

    def place_of(self, voxel: NDArray[np.intp]) -> Place:
        """The place of a voxel of the scene."""
        i, j, k = (int(v) for v in voxel + np.asarray(self.box.start))
        return Place.at((i, j, k), self.grid)

    def millimeters(self, piece: Piece, *, at_most: int = 3000) -> NDArray[np.float64]:
        """The positions of a piece's outer voxels in mm from the scene's corner; a regular choice of `at_most`."""
        return self.surface_mm(piece.voxels, at_most=at_most) + np.asarray(piece.box.start) * self.grid.spacing_mm

    def surface_mm(self, mask: Booleans, *, at_most: int = 1_000_000) -> NDArray[np.float64]:
        """The positions of a mask's outer voxels in mm from its first voxel."""
        inner = np.pad(mask, 1)
        for axis in range(3):
            middle = inner.copy()
            lower, upper = (np.roll(inner, shift, axis) for shift in (1, -1))
            inner = middle & lower & upper
        outer = np.argwhere(mask & ~inner[1:-1, 1:-1, 1:-1])
        chosen = outer[:: max(1, len(outer) // at_most)]
        return np.asarray(chosen * np.asarray(self.grid.spacing_mm), np.float64)

    def at_image_end(self, piece: Piece) -> bool:
        """Whether the piece reaches the first or last slice of the image: what is beyond was not seen."""
        start, stop = (getattr(piece.box, end)[self.axial] + self.box.start[self.axial] for end in ("start", "stop"))
        return bool(start == 0 or stop == self.grid.shape[self.axial])


def filled_box(values: NDArray[Any]) -> Box | None:
    """The box of all values that are not 0 (a NaN is not), quick in either memory order; None when there are none."""
    turned = values if values.flags.c_contiguous else values.T
    planes = np.flatnonzero(turned.reshape(len(turned), -1).any(axis=1))
    if not planes.size:
        return None
    first, last = int(planes[0]), int(planes[-1]) + 1
    inner = Box.around(turned[first:last] != 0).shifted((first, 0, 0))
    if turned is values:
        return inner
    return Box(inner.start[::-1], inner.stop[::-1])


def _pieces(where: NDArray[Any], structures: NDArray[np.uint8] | None = None) -> tuple[Piece, ...]:
    """Connected voxels of equal value, largest first; with the structure that they have in `structures`."""
    numbers, count = connected(where)
    if not count:
        return ()
    statistics = cc3d.statistics(numbers)
    sizes, boxes = statistics["voxel_counts"], statistics["bounding_boxes"]
    found = []
    for number in sorted(range(1, count + 1), key=lambda n: (-int(sizes[n]), n)):
        inside = boxes[number]
        box = Box(tuple(s.start for s in inside), tuple(s.stop for s in inside))
        voxels = numbers[inside] == number
        structure = None if structures is None else Structure(int(structures[inside][voxels][0]))
        found.append(Piece(box, int(sizes[number]), voxels, structure))
    return tuple(found)

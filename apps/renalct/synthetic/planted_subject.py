"""Good labels with their image, and what one needs to harm them: balls, margins, objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.grid import Box
from renalct.core.labels import Side, Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.imaging.components import connected
from renalct.imaging.measure import centroid_mm

Booleans = NDArray[np.bool_]
_SOFT_HU = (0, 130)


@dataclass(frozen=True, eq=False)
class Harm:
    """The labels with an error, and the voxels that are wrong (None: no single place)."""

    values: NDArray[np.uint8] = field(repr=False)
    where: Booleans | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Subject:
    """Good labels with their image."""

    volume: CTVolume = field(repr=False)
    label_map: LabelMap = field(repr=False)

    @property
    def values(self) -> NDArray[np.uint8]:
        """A copy to harm."""
        return self.label_map.values.copy(order="F")

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance of voxels along each axis."""
        return np.asarray(self.label_map.grid.spacing_mm)

    @property
    def axial(self) -> int:
        """The axis along which slices follow each other."""
        return self.label_map.grid.axial_axis

    @cached_property
    def away_mm(self) -> NDArray[np.float32]:
        """The distance of each voxel from the labels, in mm."""
        distance = ndimage.distance_transform_edt(self.label_map.values == 0, self.spacing_mm)
        return np.asarray(distance, np.float32)

    def ball(self, center: NDArray[np.generic], diameter_mm: float) -> Booleans:
        """A ball about a voxel; the voxel itself at least."""
        mask = np.zeros(self.label_map.grid.shape, bool)
        reach = np.ceil(diameter_mm / 2 / self.spacing_mm).astype(int)
        start = np.maximum(np.asarray(center, int) - reach, 0)
        stop = np.minimum(np.asarray(center, int) + reach + 1, mask.shape)
        axes = np.meshgrid(*[np.arange(a, b) for a, b in zip(start, stop, strict=True)], indexing="ij")
        offsets = [(axis - c) * s for axis, c, s in zip(axes, center, self.spacing_mm, strict=True)]
        inside = np.sum(np.square(offsets), axis=0) <= (diameter_mm / 2) ** 2
        mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = inside
        mask[tuple(int(c) for c in center)] = True
        return mask

    def any_voxel(self, where: Booleans, rng: np.random.Generator) -> NDArray[np.intp] | None:
        """A random voxel of a mask, or None when it is empty."""
        flat = np.flatnonzero(where)
        if not flat.size:
            return None
        return np.asarray(np.unravel_index(int(flat[rng.integers(flat.size)]), where.shape))

    def within(self, mask: Booleans, margin_mm: float) -> Booleans:
        """The voxels of a mask that are deeper in it than a margin."""
        box = Box.around(mask).grown(1, within=mask.shape)  # type: ignore[arg-type]
        inner = np.zeros_like(mask)
        if min(box.shape):
            inner[box.slices] = ndimage.distance_transform_edt(mask[box.slices], self.spacing_mm) > margin_mm
        return inner

    def soft(self) -> Booleans:
        """Soft tissue of the body that is not labelled."""
        hu = self.volume.hu
        soft: Booleans = (hu > _SOFT_HU[0]) & (hu < _SOFT_HU[1]) & (self.label_map.values == 0)
        return soft


def objects(mask: Booleans, *, least_voxels: float = 1.0) -> list[Mask]:
    """The connected objects of a mask, largest first."""
    numbers, count = connected(np.asfortranarray(mask))
    statistics = cc3d.statistics(numbers)
    sizes = statistics["voxel_counts"]
    found = []
    for number in sorted(range(1, count + 1), key=lambda n: -int(sizes[n])):
        inside = statistics["bounding_boxes"][number]
        if sizes[number] >= least_voxels:
            box = Box(tuple(s.start for s in inside), tuple(s.stop for s in inside))
            found.append(Mask(box, numbers[inside] == number))
    return found


def kidneys_by_side(label_map: LabelMap) -> tuple[tuple[Side, Mask], ...]:
    """The two largest kidneys with their sides, by patient coordinates; () unless there are two."""
    kidneys = objects(label_map.values == Structure.KIDNEY, least_voxels=5.0 / label_map.grid.voxel_ml)[:2]
    if len(kidneys) < 2:
        return ()
    first, second = (centroid_mm(mask, label_map.grid)[0] for mask in kidneys)
    sides = (Side.RIGHT, Side.LEFT) if first > second else (Side.LEFT, Side.RIGHT)
    return tuple(zip(sides, kidneys, strict=True))


def opposite(side: Side) -> Side:
    """The other side."""
    return Side.LEFT if side is Side.RIGHT else Side.RIGHT

"""From a label map to objects: one organ per kidney, and the masses that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.grid import Box
from renalct.core.labels import Region
from renalct.core.volume import LabelMap, Mask

Booleans = NDArray[np.bool_]
_THIRD_SHARE = 0.25


@dataclass(frozen=True)
class SeparationSettings:
    """What counts as an object. A kidney (with its masses) has at least `min_kidney_ml`; a mass at least
    `min_mass_diameter_mm` as the diameter of the sphere of equal volume. At least `min_parenchyma_share` of a kidney
    with its masses is parenchyma."""

    min_kidney_ml: float = 10.0
    min_mass_diameter_mm: float = 3.0
    min_parenchyma_share: float = 0.0

    @property
    def min_mass_ml(self) -> float:
        """The volume of the smallest mass."""
        return float(np.pi / 6 * self.min_mass_diameter_mm**3 / 1000.0)


@dataclass(frozen=True, eq=False)
class Organ:
    """One kidney: its parenchyma without masses, and its masses, each a mask on the label map's grid."""

    parenchyma: Mask = field(repr=False)
    masses: tuple[Mask, ...] = field(repr=False)

    @property
    def voxels(self) -> int:
        """Voxels of the kidney with its masses."""
        return self.parenchyma.count + sum(mass.count for mass in self.masses)


def separate(label_map: LabelMap, *, settings: SeparationSettings = SeparationSettings()) -> tuple[Organ, ...]:
    """The kidneys, largest first, each with its masses, largest first.

    Kidney and mass voxels that touch (26 neighbours) form one organ; smaller organs, and masses outside every organ,
    are dropped. Holes inside an organ become parenchyma. A patient may have any number of kidneys, none included; a
    third or later one counts when it has at least a quarter of the voxels of the largest.
    """
    everything = Box.around(label_map.values > 0)
    values = label_map.values[everything.slices]
    inside = LabelMap(np.ascontiguousarray(values), label_map.grid.cropped(everything)) if values.size else None
    if inside is None:
        return ()
    organ_or_mass, mass = inside.region(Region.KIDNEY_AND_MASS), inside.region(Region.MASS)
    voxel_ml = label_map.grid.voxel_ml
    organs = []
    for box, organ in _components(organ_or_mass, settings.min_kidney_ml / voxel_ml):
        if np.count_nonzero(organ & ~mass[box.slices]) < settings.min_parenchyma_share * np.count_nonzero(organ):
            continue
        whole = ndimage.binary_fill_holes(organ)
        kept = [
            (sub.shifted(box.start), part)
            for sub, part in _components(mass[box.slices] & organ, settings.min_mass_ml / voxel_ml)
        ]
        parenchyma = whole
        for sub, part in kept:
            parenchyma[sub.inside(box).slices][part] = False
        organs.append(
            Organ(
                Mask(box.shifted(everything.start), parenchyma),
                tuple(Mask(sub.shifted(everything.start), part) for sub, part in kept),
            )
        )
    return tuple(organ for n, organ in enumerate(organs) if n < 2 or organ.voxels >= _THIRD_SHARE * organs[0].voxels)


def without_masses(organ: Organ, dropped: Sequence[Mask], *, shape: tuple[int, int, int]) -> Organ:
    """The organ without these of its masses: what borders mostly on parenchyma becomes parenchyma.

    What borders mostly on something else (fat, liver, bowel) becomes background. What lies outside of the label map,
    whose `shape` is given, does not count.
    """
    kept = tuple(mass for mass in organ.masses if not any(mass is each for each in dropped))
    box = organ.parenchyma.box  # of the kidney with its masses
    around = box.grown(1, within=shape)
    before = _padded(organ.parenchyma, around)
    tissue = organ.parenchyma.voxels.copy()
    for mass in dropped:
        outer = mass.box.grown(1, within=shape)
        inside = _padded(mass, outer)
        shell = ndimage.binary_dilation(inside, np.ones((3, 3, 3), bool)) & ~inside
        if 2 * np.count_nonzero(before[outer.inside(around).slices] & shell) > np.count_nonzero(shell):
            tissue[mass.box.inside(box).slices] |= mass.voxels
    return Organ(Mask(box, tissue), kept)


def _padded(mask: Mask, box: Box) -> Booleans:
    """The voxels of a mask in a box around its own."""
    voxels = np.zeros(box.shape, bool)
    voxels[mask.box.inside(box).slices] = mask.voxels
    return voxels


def component_boxes(mask: Booleans, *, min_voxels: float) -> list[Box]:
    """The boxes of the 26-connected components of at least `min_voxels`, largest component first."""
    return [box for box, _ in _components(mask, min_voxels)]


def connected(
    mask: NDArray[Any], *, connectivity: Literal[6, 26] = 26, dtype: type[np.unsignedinteger[Any]] | None = None
) -> tuple[NDArray[Any], int]:
    """The number of the connected component that each true voxel belongs to (0 elsewhere), and how many there are.

    A mask that is one voxel thick is thickened for cc3d 4.1.1, which fails on some of them ("maximum length").
    """
    thin = 1 in mask.shape
    given = np.pad(mask, [(0, int(n == 1)) for n in mask.shape]) if thin else mask
    labels, count = cc3d.connected_components(given, connectivity=connectivity, return_N=True, out_dtype=dtype)
    return labels[tuple(slice(n) for n in mask.shape)].copy(order="K") if thin else labels, int(count)


def _components(mask: Booleans, min_voxels: float) -> list[tuple[Box, Booleans]]:
    """Components of at least `min_voxels`, by decreasing size, then by position."""
    labels, count = connected(mask)
    if count == 0:
        return []
    statistics = cc3d.statistics(labels, no_slice_conversion=True)
    sizes = statistics["voxel_counts"]
    order = sorted((n for n in range(1, count + 1) if sizes[n] >= min_voxels), key=lambda n: (-int(sizes[n]), n))
    found = []
    for number in order:
        x0, x1, y0, y1, z0, z1 = (int(v) for v in statistics["bounding_boxes"][number])
        box = Box((x0, y0, z0), (x1 + 1, y1 + 1, z1 + 1))
        found.append((box, labels[box.slices] == number))
    return found


def union_of(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all boxes, of which there is at least one."""
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    return whole


def joined_where_touching(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes, with those that overlap joined: a large mass can part a kidney in two."""
    joined: list[Box] = []
    for box in boxes:
        merged = box
        while touching := [other for other in joined if other.overlaps(merged)]:
            joined = [other for other in joined if other not in touching]
            merged = union_of([merged, *touching])
        joined.append(merged)
    return tuple(joined)

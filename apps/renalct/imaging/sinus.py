"""The renal sinus as part of the kidney: labels of the parenchyma alone, brought to the kidney's outer boundary.

KiTS readers leave the fat of the hilum out; the readers of Zhao et al. (2023, "Datasets") redrew the kidneys of KiTS21
with the sinus included. A network that is trained or measured on both needs one of the two everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.errors import RecipeError
from renalct.core.grid import Box
from renalct.core.labels import Region, Structure
from renalct.core.volume import LabelMap
from renalct.imaging.components import connected

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class SinusSettings:
    """Openings of the hilum narrower than twice `closing_mm` are closed; kidneys under `min_kidney_ml` are left."""

    closing_mm: float = 10.0
    min_kidney_ml: float = 1.0

    def __post_init__(self) -> None:
        if not self.closing_mm > 0:
            raise RecipeError(f"closing_mm is {self.closing_mm}; a radius above 0 mm is needed")


def fill_renal_sinus(label_map: LabelMap, *, settings: SinusSettings = SinusSettings()) -> LabelMap:
    """The label map with the sinus of each kidney labelled as kidney.

    The parenchyma of each kidney is closed on its own with a ball of `closing_mm`, and what it then encloses in an
    axial slice, alone or with its masses, is filled. Only background becomes kidney: masses keep every voxel, and two
    kidneys are never joined. Where a kidney is cut off by the edge of the image, it is taken to go on as at the edge.
    """
    filled = label_map.values.copy()
    shape, spacing = label_map.grid.shape, label_map.grid.spacing_mm
    for box, kidney, organ in _kidneys(label_map, settings.min_kidney_ml):
        cut = [(a == 0, b == n) for a, b, n in zip(box.start, box.stop, shape, strict=True)]
        whole = closed(kidney, spacing, settings.closing_mm, cut=cut) | organ
        for plane in np.moveaxis(whole, label_map.grid.axial_axis, 0):
            plane |= ndimage.binary_fill_holes(plane)
        part = filled[box.slices]
        part[whole & (part == Structure.BACKGROUND)] = Structure.KIDNEY
    return LabelMap(filled, label_map.grid)


def closed(
    mask: Booleans,
    spacing_mm: tuple[float, float, float],
    radius_mm: float,
    *,
    cut: Sequence[tuple[bool, bool]] = ((False, False),) * 3,
) -> Booleans:
    """The mask, which is not empty, with every place filled that a ball of the radius cannot enter (closing, in mm).

    Beyond the array there is nothing; at an end of an axis that is `cut` the mask goes on as it is there.
    """
    margin = [int(radius_mm / spacing) + 2 for spacing in spacing_mm]
    going_on = [(m * low, m * high) for m, (low, high) in zip(margin, cut, strict=True)]
    ending = [(m - low, m - high) for m, (low, high) in zip(margin, going_on, strict=True)]
    padded = np.pad(np.pad(mask, going_on, mode="edge"), ending)
    beyond = ndimage.distance_transform_edt(~padded, spacing_mm) > radius_mm
    inner = tuple(slice(m, m + n) for m, n in zip(margin, mask.shape, strict=True))
    if not beyond.any():
        return np.ones_like(mask)
    filled: Booleans = ndimage.distance_transform_edt(~beyond, spacing_mm)[inner] > radius_mm
    return filled | mask


def _kidneys(label_map: LabelMap, min_kidney_ml: float) -> Iterator[tuple[Box, Booleans, Booleans]]:
    """For each kidney its box, and inside it the parenchyma, and the parenchyma with the masses that it touches."""
    organs, count = connected(label_map.region(Region.KIDNEY_AND_MASS))
    if not count:
        return
    boxes = cc3d.statistics(organs)["bounding_boxes"]
    for number in range(1, count + 1):
        x, y, z = boxes[number]
        box = Box((x.start, y.start, z.start), (x.stop, y.stop, z.stop))
        organ = organs[box.slices] == number
        kidney = organ & (label_map.values[box.slices] == Structure.KIDNEY)
        if kidney.any() and np.count_nonzero(kidney) * label_map.grid.voxel_ml >= min_kidney_ml:
            yield box, kidney, organ

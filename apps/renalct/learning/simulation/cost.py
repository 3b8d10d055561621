"""What labelling a case costs: the length of the contours that a reader draws, from the labels."""

from __future__ import annotations

import math

import numpy as np

from renalct.core.volume import LabelMap
from renalct.learning.acquisition.why import FOREGROUND


def contour_mm(label_map: LabelMap) -> float:
    """The length in mm of the outlines of all structures on all axial slices.

    Edges between voxels are counted along the two axes of a slice and multiplied by pi / 4, which is right for outlines
    that run in all directions alike (Cauchy and Crofton). An edge between two structures is drawn once for each.
    """
    grid = label_map.grid
    axes = [axis for axis in range(3) if axis != grid.axial_axis]
    total = 0.0
    for structure in np.unique(label_map.values[label_map.values > 0]):
        padded = np.pad(label_map.values == structure, 1)
        for axis, other in (axes, axes[::-1]):
            edges = int(np.count_nonzero(np.diff(padded, axis=axis)))
            total += edges * grid.spacing_mm[other]
    return total * math.pi / 4


def volumes_ml(label_map: LabelMap) -> tuple[float, ...]:
    """How much of each of `FOREGROUND` a label map shows; an angiomyolipoma counts as a tumor."""
    counts = np.bincount(label_map.values.ravel(), minlength=5) * label_map.grid.voxel_ml
    kidney, tumor, cyst, angiomyolipoma = (float(n) for n in counts[1:5])
    found = (kidney, tumor + angiomyolipoma, cyst)
    assert len(found) == len(FOREGROUND)
    return found

"""Dice slice by slice, as systems that see one axial slice at a time report it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from renalct.metrics.evaluated import SliceScore

Counts = NDArray[np.int64]


def slice_scores(prediction: LabelMap, reference: LabelMap) -> tuple[SliceScore, ...]:
    """The Dice of kidney with masses and of tumor on every axial slice of two label maps on one grid, in order.

    Where both are empty it is 1, where one is empty 0.
    """
    axis = reference.grid.axial_axis
    box = Box.around((prediction.values > 0) | (reference.values > 0))
    inside = (
        [LabelMap(each.values[box.slices], each.grid.cropped(box)) for each in (prediction, reference)]
        if all(box.shape)
        else []
    )
    count, start = reference.grid.shape[axis], box.start[axis]
    empty = SliceScore(1.0, 1.0, False, False)
    scores = [empty] * count
    if inside:
        kidney, kidney_counts = _dice(inside[0], inside[1], Region.KIDNEY_AND_MASS, axis)
        tumor, tumor_counts = _dice(inside[0], inside[1], Region.TUMOR, axis)
        for n in range(box.shape[axis]):
            scores[start + n] = SliceScore(
                float(kidney[n]), float(tumor[n]), bool(kidney_counts[n]), bool(tumor_counts[n])
            )
    return tuple(scores)


def _dice(prediction: LabelMap, reference: LabelMap, region: Region, axis: int) -> tuple[NDArray[np.float64], Counts]:
    """Dice per slice, and the voxels of the reference there."""
    others = tuple(other for other in range(3) if other != axis)
    a, b = prediction.region(region), reference.region(region)
    both, first, second = (np.count_nonzero(each, axis=others) for each in (a & b, a, b))
    total = first + second
    dice = np.divide(2.0 * both, total, out=np.ones(total.shape), where=total > 0)
    return dice, second

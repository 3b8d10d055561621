"""How far two surfaces lie apart: surface Dice at a tolerance, Hausdorff distances, average distance."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from renalct.metrics.surfels import Booleans, Spacing, Surface, surface_of

Millimeters = NDArray[np.float64]

_NEAR_STEPS = 200
_LARGEST_TABLE = 2**27


@dataclass(frozen=True, eq=False)
class Distances:
    """From every surfel of each surface to the nearest surfel of the other, in the order of the surfaces.

    Surfels are measured from middle to middle and weigh as much as their area. Where one surface has no surfels, the
    distances of the other are infinite; the scores are then 0, or nan.
    """

    reference: Surface = field(repr=False)
    prediction: Surface = field(repr=False)
    of_reference_mm: Millimeters = field(repr=False)
    of_prediction_mm: Millimeters = field(repr=False)

    def surface_dice(self, tolerance_mm: float) -> float:
        """The share of both surfaces that lies within the tolerance of the other (Nikolov et al. 2018).

        1 when both are empty, 0 when one is (KiTS23).
        """
        whole = self.reference.area_mm2 + self.prediction.area_mm2
        if not whole:
            return 1.0
        near = self.reference.areas_mm2[self.of_reference_mm <= tolerance_mm].sum()
        return float((near + self.prediction.areas_mm2[self.of_prediction_mm <= tolerance_mm].sum()) / whole)

    def hausdorff_mm(self) -> float:
        """The greatest distance of a surfel of either surface from the other; nan when one is empty."""
        if not self._defined:
            return math.nan
        return float(max(self.of_reference_mm.max(), self.of_prediction_mm.max()))

    def hausdorff_percentile_mm(self, percent: float) -> float:
        """The distance within which that percentage of the area of each surface lies; nan when one is empty."""
        if not self._defined:
            return math.nan
        return max(
            _percentile(self.of_reference_mm, self.reference.areas_mm2, percent),
            _percentile(self.of_prediction_mm, self.prediction.areas_mm2, percent),
        )

    def average_mm(self) -> float:
        """The average distance over the area of both surfaces (ASSD); nan when one is empty."""
        if not self._defined:
            return math.nan
        moment = self.of_reference_mm @ self.reference.areas_mm2 + self.of_prediction_mm @ self.prediction.areas_mm2
        return float(moment / (self.reference.area_mm2 + self.prediction.area_mm2))

    @property
    def _defined(self) -> bool:
        return bool(len(self.reference) and len(self.prediction))


def compare_masks(
    reference: Booleans, prediction: Booleans, spacing_mm: Spacing, *, start: tuple[int, int, int] = (0, 0, 0)
) -> Distances:
    """The distances between the surfaces of two masks of one shape, cut out of larger ones at index `start`."""
    return compare_surfaces(
        surface_of(reference, spacing_mm, start=start), surface_of(prediction, spacing_mm, start=start)
    )


def compare_surfaces(reference: Surface, prediction: Surface) -> Distances:
    """The distances between two surfaces in voxels of one spacing."""
    return Distances(
        reference,
        prediction,
        nearest_mm(reference, prediction),
        nearest_mm(prediction, reference),
    )


def join_apart(one: Distances, other: Distances) -> Distances:
    """The distances between the joined surfaces of two parts of a patient that share no block, each compared alone.

    The same as comparing the whole, but only surfels that might lie nearer to the other part are measured again.
    """
    return Distances(
        one.reference.joined(other.reference),
        one.prediction.joined(other.prediction),
        np.concatenate(
            [
                _also_near(one.reference, one.of_reference_mm, other.prediction),
                _also_near(other.reference, other.of_reference_mm, one.prediction),
            ]
        ),
        np.concatenate(
            [
                _also_near(one.prediction, one.of_prediction_mm, other.reference),
                _also_near(other.prediction, other.of_prediction_mm, one.reference),
            ]
        ),
    )


def nearest_mm(surface: Surface, target: Surface) -> Millimeters:
    """The exact distance of every surfel of a surface from the nearest of the target; infinite without one.

    Most lie a few voxels apart: the surroundings are searched outwards in a table of the target's cells, step by step
    in the order of their length; what is farther off is left to a tree.
    """
    distances = np.full(len(surface), np.inf)
    if not len(surface) or not len(target):
        return distances
    steps, lengths_mm = _steps(surface.spacing_mm)
    margin = np.abs(steps).max(axis=0)
    low = np.minimum(surface.bounds[0], target.bounds[0]) - margin
    high = np.maximum(surface.bounds[1], target.bounds[1]) + margin
    shape = tuple(int(n) for n in high - low + 1)
    left = np.arange(len(surface))
    if math.prod(shape) <= _LARGEST_TABLE:
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        table = np.zeros(math.prod(shape), bool)
        table[(target.cells - low) @ strides] = True
        places = (surface.cells - low) @ strides
        for step, length_mm in zip(steps @ strides, lengths_mm, strict=True):
            hit = table[places + step]
            distances[left[hit]] = length_mm
            left, places = left[~hit], places[~hit]
            if not left.size:
                return distances
    distances[left] = _by_tree(surface.cells[left], target)
    return distances


def _by_tree(cells: NDArray[np.int32], target: Surface) -> Millimeters:
    spacing = np.asarray(target.spacing_mm)
    tree = KDTree(target.cells * spacing, balanced_tree=False, compact_nodes=False)
    _, index = tree.query(cells * spacing)
    return _length_mm(cells - target.cells[index], target.spacing_mm)


def _length_mm(steps: NDArray[np.int32], spacing_mm: Spacing) -> Millimeters:
    """Lengths of differences of indices, always by the same arithmetic, so that ties stay ties."""
    squares = (steps * np.asarray(spacing_mm)) ** 2
    lengths: Millimeters = np.sqrt(squares[:, 0] + squares[:, 1] + squares[:, 2])
    return lengths


@lru_cache(maxsize=64)
def _steps(spacing_mm: Spacing) -> tuple[NDArray[np.int32], Millimeters]:
    """The shortest differences of indices by increasing length, complete up to the longest of them."""
    reach_mm = (_NEAR_STEPS * math.prod(spacing_mm) * 3 / (4 * math.pi)) ** (1 / 3)
    ranges = [range(-int(reach_mm // s), int(reach_mm // s) + 1) for s in spacing_mm]
    steps = np.array(list(itertools.product(*ranges)), np.int32)
    lengths_mm = _length_mm(steps, spacing_mm)
    order = np.argsort(lengths_mm, kind="stable")
    order = order[lengths_mm[order] <= reach_mm]
    return steps[order], lengths_mm[order]


def _also_near(surface: Surface, distances_mm: Millimeters, target: Surface) -> Millimeters:
    """The distances, made shorter where the target is nearer than what they were measured to."""
    if not len(surface) or not len(target):
        return distances_mm
    below = target.bounds[0] - surface.cells
    above = surface.cells - target.bounds[1]
    least_mm = _length_mm(np.maximum(0, np.maximum(below, above)), surface.spacing_mm)
    again = np.flatnonzero(least_mm < distances_mm)
    if not again.size:
        return distances_mm
    shorter = distances_mm.copy()
    shorter[again] = np.minimum(shorter[again], _by_tree(surface.cells[again], target))
    return shorter


def _percentile(distances_mm: Millimeters, areas_mm2: NDArray[np.float64], percent: float) -> float:
    order = np.argsort(distances_mm)
    share = np.cumsum(areas_mm2[order])
    place = np.searchsorted(share / share[-1], percent / 100.0)
    return float(distances_mm[order[min(int(place), len(order) - 1)]])

"""How unsure probabilities are, voxel by voxel, and which part of a kidney region is worth most.

Every measure is scaled to 0 (sure) .. 1. A region's value is that of its patches, never the mean of everything: a mass
of 2 cm is one part in a hundred of a kidney region, and would not move that mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.errors import InputError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Region
from renalct.core.volume import Mask
from renalct.imaging.calipers import equivalent_sphere_diameter_mm
from renalct.models.cases import components
from renalct.models.prepare import grown_mask

PATCH_MM = 24.0
"""The side of a patch: it holds a mass of 2 cm with its rim, and is a tenth of a kidney."""
TOP_PATCHES = 3
"""How many patches, apart from each other, a region's value is the mean of; one alone would be ruled by noise."""
SMALL_MASS_MM = 30.0
"""Masses below this diameter are lifted: a mass of d mm weighs SMALL_MASS_MM / d, at most `MOST_LIFT`."""
MOST_LIFT = 3.0
RIM_MM = 4.0
"""How far around a small mass the lift reaches: a network is unsure at the border, more than inside."""
_LEAST_MASS_ML = 0.05  # a sphere of 4.6 mm; what is smaller is noise of a network that knows little
_NOTHING = 1e-9  # a filter's sum of zeros
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Patch:
    """A cube of a region and the mean of a measure in it."""

    box: Box
    value: float


def entropy_nats(probabilities: Floats) -> Floats:
    """The entropy (...) in nats of probabilities (classes, ...) that sum to 1; 0 log 0 is 0."""
    found: Floats = -(probabilities * np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))).sum(axis=0)
    return found


def entropy(probabilities: Floats) -> Floats:
    """The entropy (...) of probabilities (classes, ...) that sum to 1, as a share of its largest value, log classes."""
    return entropy_nats(probabilities) / np.float32(np.log(len(probabilities)))


def mutual_information(mean: Floats, expected_entropy: Floats) -> Floats:
    """BALD: the entropy of the mean answer less the mean entropy of the answers, as a share of log classes.

    `mean` is (classes, ...), `expected_entropy` (...) in nats. 0 where all answers are the same, however unsure they
    are; 1 where each is sure and all classes are answered equally often (Houlsby et al. 2011).
    """
    scaled = expected_entropy / np.float32(np.log(len(mean)))
    found: Floats = np.maximum(entropy(mean) - scaled, 0)
    return found


def disagreement(votes: NDArray[np.uint8]) -> Floats:
    """The share of pairs of answers (answers, ...) that decide for different values.

    Raises `InputError` for one answer, which cannot disagree.
    """
    count = len(votes)
    if count < 2:
        raise InputError("one answer cannot disagree; ask for those of the members, or for passes with dropout")
    same = np.zeros(votes.shape[1:], np.float32)
    for value in np.unique(votes):
        n = (votes == value).sum(axis=0, dtype=np.float32)
        same += n * (n - 1)
    found: Floats = 1 - same / np.float32(count * (count - 1))
    return found


def class_entropy(mean: Floats) -> Floats:
    """The entropy at each voxel times the probability of each class, (classes, ...): the class-weighted entropy H * p_c
    of ClaSP PE (arXiv 2601.13677)."""
    found: Floats = entropy(mean)[None] * mean
    return found


def small_mass_weights(decided: NDArray[np.uint8], grid: Grid) -> Floats:
    """The weight of each voxel of a decided region: 1, and more in small masses and `RIM_MM` around them."""
    weights = np.ones(decided.shape, np.float32)
    values = [int(structure) for structure in Region.MASS.value]
    for mass in components(np.isin(decided, values), _LEAST_MASS_ML / grid.voxel_ml):
        diameter = equivalent_sphere_diameter_mm(mass.count * grid.voxel_ml)
        lift = min(MOST_LIFT, SMALL_MASS_MM / diameter)
        if lift <= 1:
            continue
        lifted: Mask = grown_mask(mass, grid, RIM_MM)
        part = weights[lifted.box.slices]
        part[lifted.voxels] = np.maximum(part[lifted.voxels], np.float32(lift))
    return weights


def best_patches(values: Floats, grid: Grid, *, count: int = TOP_PATCHES) -> tuple[Patch, ...]:
    """The patches of `PATCH_MM` with the highest means, best first, none overlapping another.

    What lies beyond the region counts as 0. The first in memory order wins among equals. At least one patch is given;
    a later one only where its value is above 0.
    """
    return tuple(_best(values, grid, count))


def region_value(patches: tuple[Patch, ...], *, count: int = TOP_PATCHES) -> float:
    """The mean of the best `count` patches; those that are missing count as 0."""
    return sum(patch.value for patch in patches[:count]) / count


def _best(values: Floats, grid: Grid, count: int) -> Iterator[Patch]:
    pairs = zip(grid.spacing_mm, values.shape, strict=True)
    side = np.array([min(max(1, round(PATCH_MM / mm)), length) for mm, length in pairs])
    means = ndimage.uniform_filter(values.astype(np.float64), size=tuple(side), mode="constant")
    whole = [slice(n // 2, n // 2 + length - n + 1) for n, length in zip(side, values.shape, strict=True)]
    means = means[tuple(whole)]  # of the patches that lie inside, by their first voxel
    for number in range(count):
        start = np.array(np.unravel_index(int(means.argmax()), means.shape))
        value = max(0.0, float(means[tuple(start)]))
        if np.isneginf(means[tuple(start)]) or (number and value <= _NOTHING):
            return
        yield Patch(Box(tuple(start.tolist()), tuple((start + side).tolist())), value)
        means[tuple(slice(max(0, a - n + 1), a + n) for a, n in zip(start, side, strict=True))] = -np.inf

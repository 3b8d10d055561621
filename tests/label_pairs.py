"""Pairs of made masks and label maps, one disturbed from the other, and the peers that score them too."""

import warnings

import numpy as np
from renalct.core.volume import LabelMap
from scipy import ndimage
from shapes import grid_of


def made_pairs(count: int, *, seed: int):
    """Pairs (reference, prediction, spacing) of boolean masks: blobs that were moved, grown, eaten or lost.

    Shapes, spacings and kinds of damage vary; some masks reach the border of the array, some are a single voxel.
    """
    random = np.random.default_rng(seed)
    for number in range(count):
        shape = tuple(int(n) for n in random.integers(6, 24, 3))
        spacing = tuple(float(s) for s in random.choice([0.5, 0.78, 1.0, 1.5, 3.0, 5.0], 3))
        rough = ndimage.gaussian_filter(random.normal(size=shape), random.uniform(0.6, 3))
        reference = rough > np.quantile(rough, random.uniform(0.5, 0.97))
        kind = number % 6
        if kind == 0:
            prediction = np.roll(reference, tuple(random.integers(-2, 3, 3)), (0, 1, 2))
        elif kind == 1:
            prediction = ndimage.binary_dilation(reference, iterations=int(random.integers(1, 3)))
        elif kind == 2:
            prediction = ndimage.binary_erosion(reference)
        elif kind == 3:
            prediction = reference ^ (random.random(shape) < 0.03)
        elif kind == 4:
            other = ndimage.gaussian_filter(random.normal(size=shape), 1.5)
            prediction = other > np.quantile(other, 0.8)
        else:
            prediction = np.zeros(shape, bool)
            prediction[tuple(random.integers(0, n) for n in shape)] = True
        if not prediction.any():
            prediction = reference.copy()
        yield reference, prediction, spacing


def label_map(values, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)) -> LabelMap:
    """A label map on an upright grid."""
    values = np.asarray(values, np.uint8)
    return LabelMap(values, grid_of(values.shape, spacing, origin))


class PeerSurfaces:
    """What the package `surface-distance` finds; it uses names of scipy and numpy that are on their way out."""

    def __init__(self, reference, prediction, spacing):
        import surface_distance

        self._package = surface_distance
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._found = surface_distance.compute_surface_distances(reference, prediction, spacing)

    def dice(self, tolerance_mm):
        return self._package.compute_surface_dice_at_tolerance(self._found, tolerance_mm)

    def hausdorff(self, percent):
        return self._package.compute_robust_hausdorff(self._found, percent)

    def average(self):
        found = self._found
        moments = [found[f"distances_{a}"] @ found[f"surfel_areas_{b}"] for a, b in self._names]
        return sum(moments) / sum(found[f"surfel_areas_{b}"].sum() for _, b in self._names)

    def areas(self):
        return tuple(float(self._found[f"surfel_areas_{b}"].sum()) for _, b in self._names)

    _names = (("gt_to_pred", "gt"), ("pred_to_gt", "pred"))

"""Grids and shapes whose measurements are known by hand."""

import numpy as np
from renalct.core.grid import Box, Grid
from renalct.core.volume import Mask


def grid_of(shape, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)) -> Grid:
    """An upright RAS+ grid."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(tuple(shape), affine)


def ellipsoid(grid: Grid, center_mm, radii_mm) -> np.ndarray:
    """True at the voxel centres inside an ellipsoid with axes along the patient's."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    offset = (grid.to_patient(index) - np.asarray(center_mm)) / np.asarray(radii_mm)
    return (offset**2).sum(-1) <= 1.0


def mask_of(voxels: np.ndarray) -> Mask:
    """The mask of a whole array, in its smallest box."""
    box = Box.around(voxels)
    return Mask(box, voxels[box.slices].copy())

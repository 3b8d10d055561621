"""Diameters of a mask. A voxel counts with its faces: one voxel is as long as its spacing, n in a row n times that."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from renalct.core.findings import Caliper
from renalct.core.grid import Grid
from renalct.core.volume import Mask

Points = NDArray[np.float64]


def axial_calipers(mask: Mask, grid: Grid) -> tuple[Caliper, Caliper]:
    """The longest axial diameter, and the short axis: the greatest width across it on the same slice.

    The slice is that of the voxel axis nearest to head-foot; among equals the first. The mask must not be empty.
    """
    axial = grid.axial_axis
    plane_axes = [axis for axis in range(3) if axis != axial]
    spacing = np.asarray(grid.spacing_mm)[plane_axes]
    best, best_slice, best_hull = (0.0, np.zeros(2), np.zeros(2)), -1, np.zeros((0, 2))
    for index in range(mask.box.shape[axial]):
        plane = np.take(mask.voxels, index, axis=axial)
        if not plane.any() or _diagonal(plane, spacing) <= best[0]:
            continue
        hull = _hull(_face_centers(plane) * spacing)
        farthest = _farthest(hull)
        if farthest[0] > best[0]:
            best, best_slice, best_hull = farthest, index, hull
    length, start, stop = best
    across = _widest_across(best_hull, start, stop)

    def caliper(length_mm: float, a: Points, b: Points) -> Caliper:
        return Caliper(length_mm, *(_point(p / spacing, best_slice, axial, plane_axes, mask) for p in (a, b)))

    return caliper(length, start, stop), caliper(float(np.linalg.norm(across[1] - across[0])), *across)


def max_3d_diameter_mm(mask: Mask, grid: Grid) -> float:
    """The greatest distance between any two face centres of the mask, in mm."""
    return _farthest(_hull(_face_centers(mask.voxels) * np.asarray(grid.spacing_mm)))[0]


def equivalent_sphere_diameter_mm(volume_ml: float) -> float:
    """The diameter of the sphere of that volume."""
    return float(np.cbrt(6.0 * volume_ml * 1000.0 / np.pi))


def _face_centers(mask: NDArray[Any]) -> Points:
    """For every line of voxels along every axis, the centres of its two outermost faces, in index coordinates.

    The convex hull of these is that of all voxel face centres.
    """
    points = []
    for axis in range(mask.ndim):
        lines = np.nonzero(mask.any(axis=axis))
        first = np.argmax(mask, axis=axis)[lines] - 0.5
        last = mask.shape[axis] - np.argmax(np.flip(mask, axis), axis=axis)[lines] - 0.5
        for ends in (first, last):
            points.append(np.stack([*lines[:axis], ends, *lines[axis:]], axis=1))
    together: Points = np.concatenate(points).astype(np.float64)
    return together


def _hull(points: Points) -> Points:
    vertices: NDArray[np.intp] = ConvexHull(points).vertices
    hull: Points = points[vertices]
    return hull


def _farthest(hull: Points) -> tuple[float, Points, Points]:
    distances = cdist(hull, hull)
    a, b = divmod(int(np.argmax(distances)), len(hull))
    return float(distances[a, b]), hull[a], hull[b]


def _diagonal(plane: NDArray[Any], spacing: Points) -> float:
    """An upper bound of the diameter on that slice."""
    lengths = [np.ptp(np.flatnonzero(plane.any(axis=1 - axis))) + 1 for axis in range(2)]
    return float(np.hypot(*(np.asarray(lengths) * spacing)))


def _widest_across(hull: Points, start: Points, stop: Points) -> tuple[Points, Points]:
    """Ends of a line across the long axis, as wide as the hull and at the middle of its two extreme points."""
    along = (stop - start) / np.linalg.norm(stop - start)
    across = np.array([-along[1], along[0]])
    offsets = (hull - start) @ across
    low, high = hull[np.argmin(offsets)], hull[np.argmax(offsets)]
    foot = start + along * (((low + high) / 2 - start) @ along)
    return foot + across * offsets.min(), foot + across * offsets.max()


def _point(
    plane_point: Points, index: int, axial: int, plane_axes: list[int], mask: Mask
) -> tuple[float, float, float]:
    point = np.zeros(3)
    point[plane_axes] = plane_point
    point[axial] = index
    i, j, k = point + np.asarray(mask.box.start)
    return float(i), float(j), float(k)

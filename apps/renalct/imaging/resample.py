"""Resampling between grids with parallel axes: reorder, flip, scale and shift, one axis after the other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError
from renalct.core.grid import Grid

Float32 = NDArray[np.float32]
_PARALLEL = 1e-3
_CHUNK_VOXELS = 1 << 22
_SPLINE_REACH = 12  # values farther off weigh less than 1e-6 in a cubic spline


class Interpolation(Enum):
    """`LINEAR` averages over the target voxel when it is the larger one (anti-aliased); `CUBIC` lays a cubic spline
    through the values, as scipy and scikit-image do by order 3, and averages nothing; `NEAREST` keeps values."""

    LINEAR = "linear"
    CUBIC = "cubic"
    NEAREST = "nearest"


@dataclass(frozen=True)
class _AxisMap:
    """Along one target axis, source index = scale * target index + offset, on source axis `source_axis`."""

    source_axis: int
    scale: float
    offset: float
    target_length: int
    source_length: int

    @property
    def centers(self) -> NDArray[np.float64]:
        return self.scale * np.arange(self.target_length) + self.offset

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Which target voxels have their centre inside the source's field."""
        centers = self.centers
        inside: NDArray[np.bool_] = (centers >= -0.5 - _PARALLEL) & (centers <= self.source_length - 0.5 + _PARALLEL)
        return inside

    @property
    def nearest(self) -> NDArray[np.intp]:
        rounded = np.floor(self.centers + 0.5).astype(np.intp)
        clipped: NDArray[np.intp] = np.clip(rounded, 0, self.source_length - 1)
        return clipped

    def weights(self) -> tuple[slice, Float32]:
        """The source range that is needed, and a matrix (target, source range) of weights whose rows sum to 1."""
        width = max(1.0, abs(self.scale))
        centers = np.clip(self.centers, 0.0, self.source_length - 1.0)
        first = max(0, int(np.floor(centers.min() - width)))
        last = min(self.source_length, int(np.ceil(centers.max() + width)) + 1)
        distance = np.abs(np.arange(first, last) - centers[:, None])
        triangle = np.maximum(0.0, 1.0 - distance / width)
        return slice(first, last), (triangle / triangle.sum(axis=1, keepdims=True)).astype(np.float32)

    def spline_weights(self) -> tuple[slice, Float32]:
        """As `weights`, of the cubic spline through the values, which is mirrored at both ends."""
        centers = np.clip(self.centers, 0.0, self.source_length - 1.0)
        first = max(0, int(np.floor(centers.min())) - _SPLINE_REACH)
        last = min(self.source_length, int(np.ceil(centers.max())) + _SPLINE_REACH + 1)
        count = last - first
        whole = np.floor(centers).astype(np.intp)
        knots = whole[:, None] + np.arange(-1, 3)
        matrix = np.zeros((len(centers), count))
        rows = np.repeat(np.arange(len(centers)), 4)
        np.add.at(matrix, (rows, mirrored(knots - first, count).ravel()), _b_spline(centers[:, None] - knots).ravel())
        through = np.zeros((count, count))
        for step in (-1, 0, 1):
            np.add.at(through, (np.arange(count), mirrored(np.arange(count) + step, count)), _b_spline(np.array(step)))
        return slice(first, last), np.linalg.solve(through.T, matrix.T).T.astype(np.float32)


def resample(
    array: NDArray[Any],
    source: Grid,
    target: Grid,
    *,
    order: Interpolation = Interpolation.LINEAR,
    outside: float = 0.0,
) -> NDArray[Any]:
    """The values of `array` (i, j, k) or (c, i, j, k) on `source`, at the voxels of `target`.

    Linear and cubic interpolation give float32, nearest keeps the type. Target voxels whose centre lies outside the
    source's field get `outside`. Only the part of the source that the target needs is read. Raises `GeometryError` when
    the axes of the grids are not parallel or their frames of reference differ.
    """
    maps = _axis_maps(source, target)
    if array.shape[-3:] != source.shape:
        raise GeometryError(f"an array of shape {array.shape} does not fit a grid of shape {source.shape}")
    if array.ndim == 4:
        return np.stack([_resample(channel, maps, order, outside) for channel in array])
    return _resample(array, maps, order, outside)


def mirrored(index: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Indices folded back into 0 .. count - 1 at both ends, the end itself once: -1 is 1."""
    if count == 1:
        return np.zeros_like(index)
    folded = np.mod(index, 2 * count - 2)
    return np.minimum(folded, 2 * count - 2 - folded)


def _axis_maps(source: Grid, target: Grid) -> tuple[_AxisMap, ...]:
    if source.frame_of_reference_uid != target.frame_of_reference_uid:
        raise GeometryError(
            f"the grids have different frames of reference ({source.frame_of_reference_uid or 'none'} and "
            f"{target.frame_of_reference_uid or 'none'}); register the images first"
        )
    matrix = np.linalg.inv(source.affine) @ target.affine
    maps = []
    for axis in range(3):
        column = matrix[:3, axis]
        along = int(np.argmax(np.abs(column)))
        if np.abs(np.delete(column, along)).max() > _PARALLEL * abs(column[along]):
            raise GeometryError(
                "the axes of the two grids are not parallel; rotate the images to one orientation first"
            )
        maps.append(
            _AxisMap(along, float(column[along]), float(matrix[along, 3]), target.shape[axis], source.shape[along])
        )
    return tuple(maps)


def _resample(array: NDArray[Any], maps: tuple[_AxisMap, ...], order: Interpolation, outside: float) -> NDArray[Any]:
    covered = [m.covered for m in maps]
    ordered = array.transpose([m.source_axis for m in maps])
    if order is Interpolation.NEAREST:
        result: NDArray[Any] = ordered[np.ix_(*(m.nearest for m in maps))]
    elif not all(c.any() for c in covered):
        result = np.empty([m.target_length for m in maps], np.float32)
    else:
        result = _interpolate(ordered, maps, order)
    for axis, inside in enumerate(covered):
        if not inside.all():
            result[(slice(None),) * axis + (~inside,)] = outside
    return result


def _interpolate(array: NDArray[Any], maps: tuple[_AxisMap, ...], order: Interpolation) -> Float32:
    """Apply one weight matrix per axis; the slowest axis of memory comes last and is read in chunks."""
    found = (m.spline_weights() if order is Interpolation.CUBIC else m.weights() for m in maps)
    ranges, matrices = zip(*found, strict=True)
    array = array[ranges]
    slow = int(np.argmax(np.abs(array.strides)))
    first, second = sorted((a for a in range(3) if a != slow), key=lambda a: maps[a].target_length / array.shape[a])
    shape = [m.target_length for m in maps]
    shape[slow] = array.shape[slow]
    between = np.empty(shape, np.float32)
    step = max(1, _CHUNK_VOXELS * array.shape[slow] // array.size)
    for start in range(0, array.shape[slow], step):
        chunk = (slice(None),) * slow + (slice(start, start + step),)
        part = _along(matrices[first], array[chunk].astype(np.float32), first)
        between[chunk] = _along(matrices[second], part, second)
    return _along(matrices[slow], between, slow)


def _b_spline(distance: NDArray[Any]) -> NDArray[np.float64]:
    """The cubic B-spline at a distance from its knot."""
    near, far = np.abs(distance).astype(np.float64), 2 - np.abs(distance).astype(np.float64)
    values: NDArray[np.float64] = np.where(near < 1, 2 / 3 - near**2 + near**3 / 2, np.maximum(far, 0) ** 3 / 6)
    return values


def _along(matrix: Float32, array: Float32, axis: int) -> Float32:
    return np.moveaxis(np.tensordot(matrix, array, axes=(1, axis)), 0, axis)

"""Where voxels lie: `Grid` (index to patient millimetres) and `Box` (a block of indices)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renalct.core.errors import GeometryError

Affine = NDArray[np.float64]
"""4 x 4, voxel index (i, j, k, 1) to patient (x, y, z, 1) in mm, RAS+: x to the right, y anterior, z superior."""

_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class Box:
    """The voxels with start <= index < stop along each of the three axes."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    def __post_init__(self) -> None:
        if any(a < 0 or b < a for a, b in zip(self.start, self.stop, strict=True)):
            raise ValueError(f"a box runs from start to stop, not from {self.start} to {self.stop}")

    @classmethod
    def whole(cls, shape: tuple[int, int, int]) -> Box:
        """The box of a complete array of that shape."""
        return cls((0, 0, 0), shape)

    @classmethod
    def around(cls, mask: NDArray[np.bool_]) -> Box:
        """The smallest box that holds every true voxel of a 3D array; of zero size when there is none."""
        sides = []
        for axis in range(3):
            filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            sides.append((int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0))
        return cls(*(tuple(side[end] for side in sides) for end in (0, 1)))  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))  # type: ignore[return-value]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The index that cuts this box out of an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))  # type: ignore[return-value]

    def grown(self, margin: ArrayLike, within: tuple[int, int, int]) -> Box:
        """This box with `margin` voxels (one number, or one per axis) on every side, kept inside `within`."""
        steps = np.broadcast_to(np.asarray(margin), (3,))
        return Box(
            tuple(max(0, a - int(m)) for a, m in zip(self.start, steps, strict=True)),  # type: ignore[arg-type]
            tuple(min(n, b + int(m)) for b, m, n in zip(self.stop, steps, within, strict=True)),  # type: ignore[arg-type]
        )

    def inside(self, outer: Box) -> Box:
        """This box in the coordinates of an array that was cut out as `outer`."""
        return Box(
            tuple(a - o for a, o in zip(self.start, outer.start, strict=True)),  # type: ignore[arg-type]
            tuple(b - o for b, o in zip(self.stop, outer.start, strict=True)),  # type: ignore[arg-type]
        )

    def shifted(self, by: tuple[int, int, int]) -> Box:
        """This box, found in an array that starts at index `by` of another, in the other's coordinates."""
        return Box(
            tuple(a + d for a, d in zip(self.start, by, strict=True)),  # type: ignore[arg-type]
            tuple(b + d for b, d in zip(self.stop, by, strict=True)),  # type: ignore[arg-type]
        )

    def overlaps(self, other: Box) -> bool:
        """Whether a voxel lies in both."""
        pairs = zip(self.start, self.stop, other.start, other.stop, strict=True)
        return all(max(a, c) < min(b, d) for a, b, c, d in pairs)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(
            tuple(map(min, self.start, other.start)),  # type: ignore[arg-type]
            tuple(map(max, self.stop, other.stop)),  # type: ignore[arg-type]
        )


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in the patient: shape, affine and DICOM frame of reference ("" where there is none).

    The affine must be invertible with orthogonal axes (a sheared grid, for example of a tilted gantry, is refused).
    """

    shape: tuple[int, int, int]
    affine: Affine = field(repr=False)
    frame_of_reference_uid: str = ""

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("the affine of a grid is a finite 4 x 4 matrix")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"a grid has three axes of at least one voxel, not the shape {self.shape}")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if lengths.min() <= 0:
            raise GeometryError("the affine of a grid has an axis of zero length")
        unit = affine[:3, :3] / lengths
        if np.abs(unit.T @ unit - np.eye(3)).max() > 1e-3:
            raise GeometryError(
                "the axes of the grid are not at right angles (a tilted gantry, or a sheared affine); "
                "resample the images to an upright grid first"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j and k."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))  # type: ignore[return-value]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def canonical_axes(self) -> tuple[tuple[int, int], ...]:
        """For each patient axis R, A, S: the voxel axis nearest to it, and +1 or -1 for its direction."""
        unit = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        remaining, pairs = np.abs(unit), {}
        for _ in range(3):
            world, voxel = np.unravel_index(np.argmax(remaining), remaining.shape)
            pairs[int(world)] = (int(voxel), 1 if unit[world, voxel] > 0 else -1)
            remaining = remaining.copy()
            remaining[world, :] = remaining[:, voxel] = -1.0
        return tuple(pairs[world] for world in range(3))

    @property
    def axial_axis(self) -> int:
        """The voxel axis nearest to the patient's head-foot direction."""
        return self.canonical_axes[2][0]

    def to_patient(self, index: ArrayLike) -> NDArray[np.float64]:
        """Patient coordinates (mm, RAS+) of voxel indices; the last axis has length 3."""
        points: NDArray[np.float64] = np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T
        return points + self.affine[:3, 3]

    def to_index(self, point_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices of patient coordinates (mm, RAS+); the inverse of `to_patient`."""
        inverse = np.linalg.inv(self.affine)
        index: NDArray[np.float64] = np.asarray(point_mm, dtype=np.float64) @ inverse[:3, :3].T
        return index + inverse[:3, 3]

    def cropped(self, box: Box) -> Grid:
        """The grid of an array cut out as `box`."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_patient(box.start)
        return Grid(box.shape, affine, self.frame_of_reference_uid)

    def box_of(self, box: Box, other: Grid) -> Box:
        """The smallest box of this grid's voxels that covers `box` of a grid with parallel axes."""
        faces = np.asarray([box.start, box.stop], dtype=np.float64) - 0.5
        corners = self.to_index(other.to_patient(faces)) + 0.5
        first = np.floor(corners.min(axis=0) + _SAME_PLACE_MM).astype(int)
        last = np.ceil(corners.max(axis=0) - _SAME_PLACE_MM).astype(int)
        i0, j0, k0 = (int(v) for v in np.clip(first, 0, np.asarray(self.shape) - 1))
        i1, j1, k1 = (int(v) for v in np.clip(last, (i0 + 1, j0 + 1, k0 + 1), self.shape))
        return Box((i0, j0, k0), (i1, j1, k1))

    def canonical(self) -> Grid:
        """The same voxels with axes reordered and flipped so that i, j, k run nearest to R, A and S."""
        shape = tuple(self.shape[axis] for axis, _ in self.canonical_axes)
        affine = np.eye(4)
        corner = np.zeros(3)
        for world, (axis, sign) in enumerate(self.canonical_axes):
            affine[:3, world] = sign * self.affine[:3, axis]
            corner[axis] = 0 if sign > 0 else self.shape[axis] - 1
        affine[:3, 3] = self.to_patient(corner)
        return Grid(shape, affine, self.frame_of_reference_uid)  # type: ignore[arg-type]

    def with_spacing(self, spacing_mm: ArrayLike) -> Grid:
        """A grid over the same field of view with that spacing; the outer voxel faces of the first corner coincide."""
        new = np.broadcast_to(np.asarray(spacing_mm, dtype=np.float64), (3,))
        old = np.asarray(self.spacing_mm)
        shape = np.maximum(1, np.round(np.asarray(self.shape) * old / new).astype(int))
        return self._refined(shape, new / old)

    def with_shape(self, shape: tuple[int, int, int]) -> Grid:
        """A grid of that shape stretched over exactly the same field of view."""
        return self._refined(np.asarray(shape), np.asarray(self.shape) / np.asarray(shape))

    def _refined(self, shape: NDArray[np.int_], step: NDArray[np.float64]) -> Grid:
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * step
        affine[:3, 3] = self.to_patient((step - 1) / 2)
        return Grid(tuple(int(n) for n in shape), affine, self.frame_of_reference_uid)  # type: ignore[arg-type]

    def same_as(self, other: Grid) -> bool:
        """Whether both have the same voxels at the same places (to 0.001 mm) in the same frame of reference."""
        if self.shape != other.shape or self.frame_of_reference_uid != other.frame_of_reference_uid:
            return False
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), -1)
        distance = np.abs(self.to_patient(corners) - other.to_patient(corners))
        return bool(distance.max() <= _SAME_PLACE_MM)

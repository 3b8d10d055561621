"""The surface of a mask: its elements ("surfels") between voxels, and the area of each.

Every 2 x 2 x 2 block of voxels that is neither empty nor full holds one surfel, at the block's middle. Its area is that
of the triangles that marching cubes (Lorensen and Cline 1987) lays through the middles of the block's edges. Surfels
and areas are those of Nikolov et al. 2018 (the package `surface-distance`), on which KiTS scores.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]
Spacing = tuple[float, float, float]
_Corner = tuple[int, int, int]
_Areas = tuple[int, int, int]

_FULL = 255
_CASES: tuple[tuple[tuple[_Corner, ...], tuple[_Areas, ...]], ...] = (
    (((0, 0, 0),), ((1, 1, 1),)),
    (((0, 0, 0), (0, 0, 1)), ((2, 2, 0), (2, 2, 0))),
    (((0, 0, 0), (0, 1, 1)), ((1, 1, 1), (1, 1, 1))),
    (((0, 0, 0), (1, 1, 1)), ((1, 1, 1), (1, 1, 1))),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0)), ((4, 0, 0), (2, 2, 2), (1, 1, 1))),
    (((0, 0, 0), (0, 0, 1), (1, 1, 0)), ((2, 2, 0), (2, 2, 0), (1, 1, 1))),
    (((0, 1, 1), (1, 0, 1), (1, 1, 0)), ((1, 1, 1), (1, 1, 1), (1, 1, 1))),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)), ((4, 0, 0), (4, 0, 0))),
    (((0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)), ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0))),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)), ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2))),
    (((0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0)), ((2, 0, 2), (0, 2, 2), (1, 1, 1), (3, 3, 3))),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 1, 1)), ((4, 0, 0), (1, 1, 1), (1, 1, 1), (2, 2, 2))),
    (((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)), ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1))),
)
"""The ways in which a surface passes a block: the corners inside, and for each triangle the area of its shadows along
the three axes, in eighths of the block's faces. All others are these turned, mirrored, or with inside out."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The surfels of a mask: `cells` (n x 3, int32), the block between voxels i-1 and i along each axis being cell i,
    and `areas_mm2` (n). Cells are in raster order. An empty mask, and one without an end, have none."""

    cells: NDArray[np.int32] = field(repr=False)
    areas_mm2: NDArray[np.float64] = field(repr=False)
    spacing_mm: Spacing

    def __len__(self) -> int:
        return len(self.areas_mm2)

    @property
    def area_mm2(self) -> float:
        """The area of the whole surface."""
        return float(self.areas_mm2.sum())

    @cached_property
    def bounds(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The lowest and the highest cell along each axis; there must be a surfel."""
        columns = np.ascontiguousarray(self.cells.T)
        return columns.min(axis=1), columns.max(axis=1)

    def joined(self, other: Surface) -> Surface:
        """The surfels of both, for masks that share no block."""
        cells = np.concatenate([self.cells, other.cells])
        return Surface(cells, np.concatenate([self.areas_mm2, other.areas_mm2]), self.spacing_mm)


def surface_of(mask: Booleans, spacing_mm: Spacing, *, start: tuple[int, int, int] = (0, 0, 0)) -> Surface:
    """The surface of a mask that was cut out of a larger one at index `start`; outside the array everything is empty.

    A mask that reaches the border of the array is closed there. Quick on small arrays: cut the mask out first.
    """
    codes = _neighbor_codes(mask)
    flat = np.flatnonzero(codes + np.uint8(1) > 1)
    areas = area_table(spacing_mm)[codes.ravel()[flat]]
    cells = np.empty((flat.size, 3), np.int32, order="F")
    rest = flat.astype(np.int32) if codes.size < 2**31 else flat
    for axis in (2, 1):
        rest, cells[:, axis] = np.divmod(rest, codes.shape[axis])
    cells[:, 0] = rest
    cells += np.asarray(start, np.int32)
    return Surface(cells, areas, spacing_mm)


def area_table(spacing_mm: Spacing) -> NDArray[np.float64]:
    """The area in mm2 of each of the 256 patterns of a block, of voxels of that spacing.

    Bit 4 i + 2 j + k of a pattern is the corner (i, j, k). Patterns 0 and 255 have no area.
    """
    x, y, z = spacing_mm
    shadows_mm2 = _shadows() * np.array([y * z, x * z, x * y])
    areas: NDArray[np.float64] = np.linalg.norm(shadows_mm2, axis=-1).sum(axis=-1)
    return areas


def _neighbor_codes(mask: Booleans) -> NDArray[np.uint8]:
    """The pattern of every block of a mask, one more along each axis than there are voxels."""
    padded = np.zeros(tuple(n + 2 for n in mask.shape), np.uint8)
    padded[1:-1, 1:-1, 1:-1] = mask
    pairs = padded[:-1] | (padded[1:] << np.uint8(4))
    squares = pairs[:, :-1] | (pairs[:, 1:] << np.uint8(2))
    codes: NDArray[np.uint8] = squares[:, :, :-1] | (squares[:, :, 1:] << np.uint8(1))
    return codes


@cache
def _shadows() -> NDArray[np.float64]:
    """For each pattern up to four triangles by the areas of their shadows along the axes, in faces of the block."""
    table = np.zeros((_FULL + 1, 4, 3))
    for corners, triangles in _CASES:
        for turn in itertools.permutations(range(3)):
            shadows = np.array(triangles)[:, turn] / 8.0
            for mirror in itertools.product((0, 1), repeat=3):
                bits = [tuple(corner[axis] ^ mirror[axis] for axis in turn) for corner in corners]
                code = sum(1 << (4 * i + 2 * j + k) for i, j, k in bits)
                table[code] = table[_FULL - code] = 0
                table[code, : len(shadows)] = table[_FULL - code, : len(shadows)] = shadows
    return table

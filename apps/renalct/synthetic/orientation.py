"""Upright made volumes brought to the order and direction of axes that a series has, and their grid."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box, Grid
from renalct.core.volume import Mask
from renalct.synthetic.fields import Point

Scalar = TypeVar("Scalar", bound=np.generic)


class Turn:
    """Reorders and flips the axes of an array from R, A, S to an orientation, slices contiguous in memory."""

    def __init__(self, orientation: str) -> None:
        self.order = tuple("RLAPSI".index(letter) // 2 for letter in orientation)
        self.flips = tuple(letter in "LPI" for letter in orientation)

    def __call__(self, values: NDArray[Scalar]) -> NDArray[Scalar]:
        turned = values.transpose(self.order)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return np.ascontiguousarray(turned.transpose(2, 1, 0)).transpose(2, 1, 0)

    def box(self, box: Box, shape: tuple[int, int, int]) -> Box:
        """Where a box of the array lies after turning."""
        ends = []
        for axis, flip in zip(self.order, self.flips, strict=True):
            a, b, n = box.start[axis], box.stop[axis], shape[axis]
            ends.append((n - b, n - a) if flip else (a, b))
        return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))  # type: ignore[arg-type]

    def mask(self, mask: Mask, shape: tuple[int, int, int]) -> Mask:
        """A mask of the array after turning."""
        return Mask(self.box(mask.box, shape), self(mask.voxels))

    def grid(self, shape: tuple[int, int, int], *, spacing_mm: Point, center_mm: Point, uid: str) -> Grid:
        """The grid after turning of an upright array about a center."""
        affine = np.eye(4)
        affine[:3, 3] = [c - s * (n - 1) / 2 for c, s, n in zip(center_mm, spacing_mm, shape, strict=True)]
        for column, (axis, flip) in enumerate(zip(self.order, self.flips, strict=True)):
            step = spacing_mm[axis]
            affine[:3, column] = 0.0
            affine[axis, column] = -step if flip else step
            if flip:
                affine[axis, 3] += step * (shape[axis] - 1)
        return Grid(tuple(shape[axis] for axis in self.order), affine, uid)  # type: ignore[arg-type]


def frame_uid(*what: object) -> str:
    """A frame of reference UID that follows from what was made."""
    digest = hashlib.sha256(f"renalct phantom {' '.join(map(str, what))}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"

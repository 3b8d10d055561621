"""Planes through a volume as radiologists look at them, whatever the order and direction of the voxel axes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from renalct.core.grid import Box, Grid
from renalct.core.volume import Mask

_OBLIQUE = 0.26  # the sine of 15 degrees: a direction that leans more than that has a second letter
_LETTERS = (("L", "R"), ("P", "A"), ("F", "H"))  # the negative and the positive end of the axes R, A, S


class View(Enum):
    """The direction in which one looks: with the patient's right on the left (axial and coronal), anterior at the top
    (axial) or on the left (sagittal), the head at the top (coronal and sagittal)."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


# The patient axes (0 R, 1 A, 2 S) of columns, rows and the line of sight. Columns and rows run to the negative end.
_WORLD_AXES = {View.AXIAL: (0, 1, 2), View.CORONAL: (0, 2, 1), View.SAGITTAL: (1, 2, 0)}


@dataclass(frozen=True)
class Rectangle:
    """A part of a plane, in mm from the outer top left corner of the plane."""

    left_mm: float
    top_mm: float
    width_mm: float
    height_mm: float


@dataclass(frozen=True, eq=False)
class Cut:
    """Pixels (row, column) of a part of a plane, whose first pixel is (top, left) of the whole plane."""

    pixels: NDArray[Any]
    top: int = 0
    left: int = 0


@dataclass(frozen=True, eq=False)
class Plane:
    """The slice of a grid with the voxel index `index` along the axis nearest to the line of sight of a view."""

    grid: Grid
    view: View
    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.grid.shape[self.normal]:
            raise ValueError(f"slice {self.index} of {self.grid.shape[self.normal]} does not exist")

    @property
    def normal(self) -> int:
        """The voxel axis nearest to the line of sight."""
        return self._axis(2)[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole plane."""
        return self.grid.shape[self._axis(1)[0]], self.grid.shape[self._axis(0)[0]]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        return self.grid.spacing_mm[self._axis(1)[0]], self.grid.spacing_mm[self._axis(0)[0]]

    @property
    def extent(self) -> Rectangle:
        """The whole plane."""
        return Rectangle(0.0, 0.0, self.shape[1] * self.pixel_mm[1], self.shape[0] * self.pixel_mm[0])

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies at the left, right, top and bottom edge: R L A P H F, two letters where the plane is oblique."""
        ends = []
        for which in (0, 1):
            axis, sign = self._axis(which)
            direction = sign * self.grid.affine[:3, axis] / self.grid.spacing_mm[axis]
            ends += [direction_letters(-direction), direction_letters(direction)]
        return tuple(ends)  # type: ignore[return-value]

    def cut(self, array: NDArray[Any], box: Box | None = None) -> Cut | None:
        """The pixels of `array` (of the whole grid, or of a box of it) in this plane, without a copy.

        None when the plane does not pass through the box.
        """
        box = box or Box.whole(self.grid.shape)
        at = self.index - box.start[self.normal]
        if not 0 <= at < box.shape[self.normal] or 0 in box.shape:
            return None
        return self._placed(self._slice(array, at), box)

    def shadow(self, mask: Mask) -> Cut:
        """The mask as it is seen through all slices along the line of sight."""
        return self._placed(mask.voxels.any(axis=self.normal), mask.box)

    def slab(self, array: NDArray[Any], thickness_mm: float) -> NDArray[np.float32]:
        """The mean of the slices of a whole array within `thickness_mm` around the plane (this one at least)."""
        reach = int(thickness_mm / 2 / self.grid.spacing_mm[self.normal])
        start, stop = max(0, self.index - reach), min(self.grid.shape[self.normal], self.index + reach + 1)
        slices = [self._slice(array, at) for at in range(start, stop)]
        mean = np.zeros(slices[0].shape, dtype=np.float32)
        for each in slices:
            mean += each
        whole = self._placed(mean / np.float32(len(slices)), Box.whole(self.grid.shape))
        return whole.pixels

    def to_picture(self, index: ArrayLike) -> NDArray[np.float64]:
        """Positions (x, y) in mm from the outer top left corner of the plane, of indices (i, j, k)."""
        points = np.asarray(index, dtype=np.float64)
        place = []
        for which in (0, 1):
            axis, sign = self._axis(which)
            steps = points[..., axis] if sign > 0 else self.grid.shape[axis] - 1 - points[..., axis]
            place.append((steps + 0.5) * self.grid.spacing_mm[axis])
        return np.stack(place, axis=-1)

    def around(self, box: Box) -> Rectangle:
        """The rectangle that the voxels of a box cover."""
        corners = self.to_picture([np.asarray(box.start) - 0.5, np.asarray(box.stop) - 0.5])
        left, top = corners.min(axis=0)
        width, height = np.ptp(corners, axis=0)
        return Rectangle(float(left), float(top), float(width), float(height))

    def _axis(self, which: int) -> tuple[int, int]:
        """Voxel axis and direction (+1 or -1) of columns (0), rows (1) or the line of sight (2)."""
        axis, sign = self.grid.canonical_axes[_WORLD_AXES[self.view][which]]
        return axis, -sign

    def _slice(self, array: NDArray[Any], at: int) -> NDArray[Any]:
        selection: list[slice | int] = [slice(None)] * 3
        selection[self.normal] = at
        return array[tuple(selection)]

    def _placed(self, flat: NDArray[Any], box: Box) -> Cut:
        (column_axis, column_sign), (row_axis, row_sign) = self._axis(0), self._axis(1)
        pixels = flat if row_axis < column_axis else flat.T
        first = [
            box.start[axis] if sign > 0 else self.grid.shape[axis] - box.stop[axis]
            for axis, sign in ((row_axis, row_sign), (column_axis, column_sign))
        ]
        return Cut(pixels[::row_sign, ::column_sign], top=first[0], left=first[1])


def direction_letters(direction: NDArray[np.float64]) -> str:
    """The letters of a unit vector (RAS+): the nearest of R L A P H F, and a second one if it leans over 15 degrees."""
    order = [int(axis) for axis in np.argsort(-np.abs(direction), kind="stable")]
    letters = [_LETTERS[axis][int(direction[axis] > 0)] for axis in order if abs(direction[axis]) > _OBLIQUE]
    return "".join(letters[:2])


def square_pixels(pixels: NDArray[Any], pixel_mm: tuple[float, float], target_mm: float) -> NDArray[np.float32]:
    """The picture interpolated (bicubic, anti-aliased where it shrinks) to square pixels of about `target_mm`.

    It covers exactly the same field of view; rounding to whole pixels changes an axis by less than half a pixel.
    """
    rows, columns = pixels.shape
    size = max(1, round(columns * pixel_mm[1] / target_mm)), max(1, round(rows * pixel_mm[0] / target_mm))
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))

"""Slices in the axial, coronal and sagittal plane of one array, for 2D networks that each look at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from renalct.pictures.planes import View

T = TypeVar("T", bound=np.generic)
V = TypeVar("V")

_ORDER = {View.AXIAL: (0, 1, 2), View.CORONAL: (0, 2, 1), View.SAGITTAL: (1, 2, 0)}


def sliced(array: NDArray[T], view: View) -> NDArray[T]:
    """The array (..., x, y, z) with the axis across the slices of a view last: axial as it is, coronal (..., x, z, y),
    sagittal (..., y, z, x). It shares its memory."""
    return np.moveaxis(array, _ORDER[view][2] - 3, -1)


def sliced_axes(values: Sequence[V], view: View) -> tuple[V, V, V]:
    """One value for each axis (x, y, z), in the order that `sliced` gives the axes."""
    first, second, across = (values[axis] for axis in _ORDER[view])
    return first, second, across


def stacked(array: torch.Tensor, neighbors: int) -> torch.Tensor:
    """(c, x, y, n + 2 neighbors) as n slices with their neighbors as channels: (n, c * (1 + 2 neighbors), x, y)."""
    windows = array.unfold(-1, 1 + 2 * neighbors, 1)
    return windows.permute(3, 0, 4, 1, 2).flatten(1, 2)

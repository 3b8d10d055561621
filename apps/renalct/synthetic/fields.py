"""Smooth random fields and rotations: what makes made anatomy irregular."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Point = tuple[float, float, float]

_KNOT_SHARE = 0.479
"""Mean over positions of the sum of squared cubic B-spline weights: the variance that interpolation leaves per axis."""


def spline_weights(positions: Floats, knots: int) -> Floats:
    """Cubic B-spline weights (positions x knots) at fractional positions; outside the knots the edge is repeated."""
    clipped = np.clip(positions, 1.0, knots - 2.001)
    cell = np.floor(clipped).astype(np.int64)
    t = clipped - cell
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(positions), knots), dtype=np.float32)
    rows = np.arange(len(positions))
    for shift, part in enumerate(parts):
        weights[rows, cell + shift - 1] = part / 6
    return weights


class SmoothField:
    """A random field of mean 0 and variance 1 whose features are about `scale_mm` wide.

    It is defined in patient millimetres between two corners, so that the same draw gives the same field on any grid.
    """

    def __init__(self, rng: np.random.Generator, corners_mm: tuple[Point, Point], *, scale_mm: float) -> None:
        lower, upper = (np.asarray(corner, dtype=np.float64) for corner in corners_mm)
        self._lower, self._scale = lower, scale_mm
        knots = np.ceil((upper - lower) / scale_mm).astype(int) + 4
        self._values = rng.standard_normal(knots, dtype=np.float32) / np.float32(_KNOT_SHARE**1.5)

    def at(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """The values on the grid spanned by three coordinate axes (mm), shape (x, y, z)."""
        wx, wy, wz = (
            spline_weights(((axis.ravel() - low) / self._scale + 1).astype(np.float32), knots)
            for axis, low, knots in zip((x, y, z), self._lower, self._values.shape, strict=True)
        )
        first = np.tensordot(wx, self._values, (1, 0))
        return np.asarray(np.matmul(np.matmul(wy, first), wz.T), dtype=np.float32)


def field_around(rng: np.random.Generator, center: Point, *, reach_mm: float, scale_mm: float) -> SmoothField:
    """A smooth field over the cube of half-width `reach_mm` about a point."""
    middle = np.asarray(center)
    corners = tuple(middle - reach_mm), tuple(middle + reach_mm)
    return SmoothField(rng, corners, scale_mm=scale_mm)


def rotation(about_x: float = 0.0, about_y: float = 0.0, about_z: float = 0.0) -> NDArray[np.float64]:
    """The matrix that turns by three angles (radians), about x first, then y, then z."""
    cx, cy, cz = np.cos((about_x, about_y, about_z))
    sx, sy, sz = np.sin((about_x, about_y, about_z))
    turn_x = np.array(((1, 0, 0), (0, cx, -sx), (0, sx, cx)))
    turn_y = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    turn_z = np.array(((cz, -sz, 0), (sz, cz, 0), (0, 0, 1)))
    return np.asarray(turn_z @ turn_y @ turn_x)


def random_streams(*seed: int) -> Iterator[np.random.Generator]:
    """Independent random streams of one seed, one per stage, so that a change in one stage leaves the others."""
    stage = 0
    while True:
        yield np.random.default_rng((*seed, stage))
        stage += 1

"""The canvas on which anatomy is painted: an array of material numbers with coordinates in patient millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renalct.core.grid import Box
from renalct.synthetic.fields import Floats, Point, SmoothField


@dataclass(frozen=True, eq=False)
class Level:
    """Values of an implicit shape on a box of the canvas: under 1 is inside, 1 is the surface."""

    box: Box
    values: Floats


class Canvas:
    """Material numbers (uint8) on an upright grid: axes to the right, anterior and superior (RAS+).

    Painting is by the painter's algorithm: later shapes cover earlier ones. Work is done on the box of a shape.
    """

    def __init__(self, shape: tuple[int, int, int], *, spacing_mm: Point, center_mm: Point) -> None:
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.first_mm = tuple(c - s * (n - 1) / 2 for c, s, n in zip(center_mm, spacing_mm, shape, strict=True))
        self.material: NDArray[np.uint8] = np.zeros(shape, dtype=np.uint8)
        self._lines = tuple(
            (first + step * np.arange(n)).astype(np.float32)
            for first, step, n in zip(self.first_mm, spacing_mm, shape, strict=True)
        )

    def axes(self, start: tuple[int, ...], stop: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
        """Coordinates (mm) of the voxels from start to stop, shaped to broadcast; also outside the canvas."""
        lines = [
            (first + step * np.arange(a, b)).astype(np.float32)
            for first, step, a, b in zip(self.first_mm, self.spacing_mm, start, stop, strict=True)
        ]
        return lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :]

    def span(self, center: Point, reach: ArrayLike) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First and one-past-last voxel indices of the cuboid center +- reach (mm), not cut to the canvas."""
        low = (np.asarray(center) - reach - self.first_mm) / self.spacing_mm
        high = (np.asarray(center) + reach - self.first_mm) / self.spacing_mm
        return tuple(int(v) for v in np.ceil(low)), tuple(int(v) for v in np.floor(high) + 1)

    def window(self, center: Point, reach: ArrayLike) -> Box | None:
        """The part of the cuboid center +- reach (mm) that lies on the canvas, or None."""
        start, stop = self.span(center, reach)
        low = tuple(max(0, a) for a in start)
        high = tuple(min(n, b) for n, b in zip(self.shape, stop, strict=True))
        if any(b <= a for a, b in zip(low, high, strict=True)):
            return None
        return Box(low, high)  # type: ignore[arg-type]

    def ellipsoid(
        self,
        center: Point,
        radii: Point,
        *,
        turn: NDArray[np.float64] | None = None,
        wobble: SmoothField | None = None,
        amount: float = 0.0,
    ) -> Level | None:
        """The level of an ellipsoid whose radius `wobble` displaces by the relative `amount`; None when not in view."""
        stretch = 1.0 + 2.5 * amount
        reach = np.asarray(radii) * stretch
        if turn is not None:
            reach = np.abs(turn) @ reach
        box = self.window(center, reach)
        if box is None:
            return None
        x, y, z = self.axes(box.start, box.stop)
        values = ellipsoid_level((x, y, z), center, radii, turn)
        if wobble is not None:
            values += np.float32(2 * amount) * wobble.at(x, y, z)
        return Level(box, values)

    def column(self, path: NDArray[np.float64]) -> Level | None:
        """The level of an upright column; rows of `path` are z, center x, center y, radius x, radius y, z rising."""
        z_low, z_high = path[0, 0], path[-1, 0]
        low = (path[:, 1:3] - path[:, 3:5]).min(0)
        high = (path[:, 1:3] + path[:, 3:5]).max(0)
        middle = (*((low + high) / 2), (z_low + z_high) / 2)
        box = self.window(middle, (*((high - low) / 2), (z_high - z_low) / 2))
        if box is None:
            return None
        x, y, z = self.axes(box.start, box.stop)
        cx, cy, rx, ry = (np.interp(z, path[:, 0], path[:, n]).astype(np.float32) for n in range(1, 5))
        return Level(box, ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)

    def paint(self, level: Level | None, material: int, *, below: float = 1.0, over: int | None = None) -> None:
        """Write a material wherever the level is under `below` (and only over one other material, if given)."""
        if level is None:
            return
        target = self.material[level.box.slices]
        inside = level.values < below
        if over is not None:
            inside &= target == over
        np.copyto(target, np.uint8(material), where=inside)

    def tube(self, points: NDArray[np.float64], radius_mm: float, material: int, *, over: int | None = None) -> None:
        """Paint balls of one radius along a line of points (N x 3, mm)."""
        centers = _resampled(points, max(radius_mm * 0.5, min(self.spacing_mm) * 0.7))
        low = np.ceil((centers - radius_mm - self.first_mm) / self.spacing_mm).clip(0).astype(int)
        high = np.floor((centers + radius_mm - self.first_mm) / self.spacing_mm).astype(int) + 1
        high = np.minimum(high, self.shape)
        seen = (high > low).all(axis=1)
        for center, a, b in zip(centers[seen].tolist(), low[seen].tolist(), high[seen].tolist(), strict=True):
            x, y, z = (np.square(line[m:n] - c) for line, c, m, n in zip(self._lines, center, a, b, strict=True))
            inside = (x[:, None] + y)[:, :, None] + z < radius_mm**2
            target = self.material[a[0] : b[0], a[1] : b[1], a[2] : b[2]]
            if over is not None:
                inside &= target == over
            target[inside] = material


def ellipsoid_level(
    axes: tuple[Floats, Floats, Floats], center: Point, radii: Point, turn: NDArray[np.float64] | None = None
) -> Floats:
    """Squared relative distance from the center of an ellipsoid on broadcast coordinates; `turn` rotates it."""
    offsets = [axis - np.float32(c) for axis, c in zip(axes, center, strict=True)]
    if turn is None:
        parts = [(offset / np.float32(r)) ** 2 for offset, r in zip(offsets, radii, strict=True)]
        return np.asarray(parts[0] + parts[1] + parts[2])
    total = np.zeros((), dtype=np.float32)
    for own, radius in zip(turn.T, radii, strict=True):
        along = sum(np.float32(w / radius) * offset for w, offset in zip(own, offsets, strict=True))
        total = np.asarray(total + np.square(along))
    return total


def _resampled(points: NDArray[np.float64], step_mm: float) -> NDArray[np.float64]:
    """Points along a polyline at about equal steps, both ends kept."""
    lengths = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))))
    count = max(2, int(np.ceil(lengths[-1] / step_mm)) + 1)
    at = np.linspace(0.0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, points[:, axis]) for axis in range(3)], axis=1)

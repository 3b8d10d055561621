"""Outlines of boolean pictures: as polygons for vector graphics, and as a rim of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Polygon = NDArray[np.float64]
"""Corners (x, y) of a closed line, in pixels: the pixel (row, column) covers column to column + 1 and row to row + 1.
The last corner joins the first."""

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up; the object lies on the right hand


def outlines(mask: NDArray[np.bool_]) -> tuple[Polygon, ...]:
    """Closed polygons along the pixel edges between true and false of a 2D mask, holes included; empty for none.

    By the even-odd rule they hold exactly the true pixels. Pixels that touch at a corner are held together.
    """
    leaving = _edges(mask)
    polygons = []
    while leaving:
        point = next(iter(leaving))
        onward = [leaving[point][0]]
        walked: list[tuple[tuple[int, int], int]] = []
        while onward:
            step = onward[0]
            walked.append((point, step))
            leaving[point].remove(step)
            if not leaving[point]:
                del leaving[point]
            point = (point[0] + _STEPS[step][0], point[1] + _STEPS[step][1])
            # Where two pixels touch at a corner there are two ways on: the left turn keeps them together.
            onward = [turn for turn in ((step - 1) % 4, step, (step + 1) % 4) if turn in leaving.get(point, ())]
        before = [walked[-1], *walked[:-1]]
        corners = [corner for (corner, step), (_, last) in zip(walked, before, strict=True) if step != last]
        polygons.append(np.array(corners, dtype=np.float64))
    return tuple(polygons)


def beveled(polygon: Polygon, cut: float) -> Polygon:
    """The polygon with every corner cut off at `cut` along both of its edges, which must be at least twice as long.

    A staircase of steps of twice that length becomes a slanted line.
    """
    onward = np.roll(polygon, -1, axis=0) - polygon
    unit = onward / np.linalg.norm(onward, axis=1, keepdims=True)
    arriving = polygon - np.roll(unit, 1, axis=0) * cut
    points = np.stack([arriving, polygon + unit * cut], axis=1).reshape(-1, 2)
    repeated = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1) < cut * 1e-6
    return np.asarray(points[~repeated])


def rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The false pixels that share an edge with a true one: a line around the object that hides nothing of it."""
    return np.asarray(ndimage.binary_dilation(mask) & ~mask)


def _edges(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[int]]:
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (0, padded[:-2, 1:-1], 0, 0),  # top edge, walked to the right
        (1, padded[1:-1, 2:], 1, 0),  # right edge, walked down
        (2, padded[2:, 1:-1], 1, 1),  # bottom edge, walked to the left
        (3, padded[1:-1, :-2], 0, 1),  # left edge, walked up
    )
    leaving: dict[tuple[int, int], list[int]] = {}
    for step, neighbour, dx, dy in sides:
        rows, columns = np.nonzero(inside & ~neighbour)
        for x, y in zip((columns + dx).tolist(), (rows + dy).tolist(), strict=True):
            leaving.setdefault((x, y), []).append(step)
    return leaving

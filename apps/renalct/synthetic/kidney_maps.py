"""Kidneys and masses of one patient as maps of distances, ready to be bent and painted at any spacing.

Distances are signed millimetres, positive inside. Interpolated between slices they give smooth shapes where labels
would give steps; the exact volume is kept beside them. Axes run to the right, anterior and superior (RAS); the origin
is on the midline, at the height and depth of the kidneys' middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.errors import InputError
from renalct.core.grid import Box
from renalct.core.labels import Side, Structure
from renalct.core.volume import LabelMap
from renalct.imaging.components import connected
from renalct.synthetic.fields import Floats, Point, spline_weights

STEP_MM = 2.0
MARGIN_MM = 18.0  # about the organ: room for perirenal fat and for bending
_SMALLEST_ORGAN_ML = 3.0
_SMALLEST_MASS_ML = 0.033  # a sphere of 4 mm; smaller labelled crumbs are annotation debris and become their organ
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shape:
    """A smooth shape: distances on a grid of `step_mm` whose first voxel lies at `first_mm`, and its exact volume."""

    distance_mm: Floats = field(repr=False)
    first_mm: Point
    step_mm: float
    volume_ml: float

    @property
    def last_mm(self) -> Point:
        """Where the last voxel lies."""
        return tuple(f + self.step_mm * (n - 1) for f, n in zip(self.first_mm, self.distance_mm.shape, strict=True))  # type: ignore[return-value]

    @property
    def center_mm(self) -> Point:
        """The centroid of the inside; the middle of the grid when nothing is inside."""
        inside = np.argwhere(self.distance_mm > 0)
        index = inside.mean(axis=0) if len(inside) else (np.asarray(self.distance_mm.shape) - 1) / 2
        return tuple(float(v) for v in np.asarray(self.first_mm) + self.step_mm * index)  # type: ignore[return-value]

    def at(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Smooth distances on the grid that three coordinate axes (mm) span; the edge repeats outside."""
        out = self.distance_mm
        for axis, line, low in zip((0, 1, 2), (x, y, z), self.first_mm, strict=True):
            weights = spline_weights(((line.ravel() - low) / self.step_mm).astype(np.float32), out.shape[axis])
            out = np.moveaxis(np.tensordot(weights, out, (1, axis)), 0, axis)
        return np.ascontiguousarray(out, dtype=np.float32)

    def moved(self, by: Point) -> Shape:
        """The same shape at another place."""
        first = tuple(float(f + d) for f, d in zip(self.first_mm, by, strict=True))
        return Shape(self.distance_mm, first, self.step_mm, self.volume_ml)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class MassShape:
    """A mass: its shape, its structure in the label map, and the histology of a tumor ("" if unknown)."""

    shape: Shape
    structure: Structure
    histology: str = ""


@dataclass(frozen=True, eq=False)
class KidneyMap:
    """One kidney: `organ` with all of its masses, `parenchyma` without, both on one grid, and the masses."""

    side: Side
    organ: Shape
    parenchyma: Shape
    masses: tuple[MassShape, ...] = ()

    def moved(self, by: Point) -> KidneyMap:
        """The same kidney at another place."""
        masses = tuple(MassShape(m.shape.moved(by), m.structure, m.histology) for m in self.masses)
        return KidneyMap(self.side, self.organ.moved(by), self.parenchyma.moved(by), masses)


@dataclass(frozen=True, eq=False)
class PatientMap:
    """The kidneys of one patient about the origin."""

    name: str
    kidneys: tuple[KidneyMap, ...]


def patient_map(label_map: LabelMap, *, name: str, histology: str = "", midline_mm: float | None = None) -> PatientMap:
    """The kidneys of a label map as distances on a grid of 2 mm.

    `midline_mm` (patient x) tells the sides apart where only one kidney is labelled; without it the middle of the
    label map does. Raises `InputError` when no organ of at least 3 ml is labelled.
    """
    values, spacing, corner = _upright(label_map)
    organs = list(_organs(values, float(np.prod(spacing)) / 1000))
    if not organs:
        raise InputError(f"{name} has no labelled kidney of at least {_SMALLEST_ORGAN_ML:g} ml; leave it out")
    centers = [corner + np.asarray(spacing) * np.argwhere(organ).mean(axis=0) for organ in organs]
    fallback = corner[0] + spacing[0] * (values.shape[0] - 1) / 2 if midline_mm is None else midline_mm
    spread = max(c[0] for c in centers) - min(c[0] for c in centers)
    middle_x = (max(c[0] for c in centers) + min(c[0] for c in centers)) / 2 if spread > 60 else fallback
    middle = np.array((middle_x, *np.mean(centers, axis=0)[1:]))
    kidneys = []
    for organ, center in zip(organs, centers, strict=True):
        side = Side.RIGHT if center[0] > middle_x else Side.LEFT
        box = Box.around(organ)
        part = np.where(organ[box.slices], values[box.slices], 0).astype(np.uint8)
        first = corner - middle + np.asarray(spacing) * box.start
        kidneys.append(_kidney(part, spacing, first, side, histology))
    return PatientMap(name, tuple(kidneys))


def _upright(label_map: LabelMap) -> tuple[NDArray[np.uint8], Point, NDArray[np.float64]]:
    """Values with axes R, A, S, their spacing, and the patient coordinates of the first voxel."""
    axes, grid = label_map.grid.canonical_axes, label_map.grid.canonical()
    values = label_map.values.transpose([axis for axis, _ in axes])
    values = values[tuple(slice(None, None, sign) for _, sign in axes)]
    return np.ascontiguousarray(values), grid.spacing_mm, np.asarray(grid.affine[:3, 3])


def _organs(values: NDArray[np.uint8], voxel_ml: float) -> Iterator[Bools]:
    parts, count = connected(values > 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    for number in sorted(range(1, count + 1), key=lambda n: (-int(sizes[n]), n)):
        if sizes[number] * voxel_ml >= _SMALLEST_ORGAN_ML:
            yield parts == number


def _kidney(
    values: NDArray[np.uint8], spacing: Point, first: NDArray[np.float64], side: Side, histology: str
) -> KidneyMap:
    margin = [int(np.ceil(MARGIN_MM / s)) for s in spacing]
    values = np.pad(values, [(m, m) for m in margin])
    first = first - np.asarray(margin) * spacing
    voxel_ml = float(np.prod(spacing)) / 1000
    found = []
    for structure in (Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA):
        parts, count = connected(values == structure)
        for number in range(1, count + 1):
            inside = parts == number
            if np.count_nonzero(inside) * voxel_ml >= _SMALLEST_MASS_ML:
                found.append((structure, inside))
            else:
                values[inside] = Structure.KIDNEY
    organ = shape_of(values > 0, spacing, first)
    # A bare mass (its kidney resected) has no parenchyma: far outside everywhere.
    kidney = values == Structure.KIDNEY
    flat = np.full(organ.distance_mm.shape, -99.0, dtype=np.float32)
    parenchyma = shape_of(kidney, spacing, first) if kidney.any() else Shape(flat, organ.first_mm, STEP_MM, 0.0)
    masses = tuple(
        MassShape(shape_of(inside, spacing, first), structure, "" if structure is Structure.CYST else histology)
        for structure, inside in found
    )
    return KidneyMap(side, organ, parenchyma, masses)


def shape_of(inside: Bools, spacing_mm: Point, first_mm: NDArray[np.float64], *, step_mm: float = STEP_MM) -> Shape:
    """The smooth shape of true voxels (axes R, A, S) with their volume, on equal steps over the same field."""
    volume_ml = np.count_nonzero(inside) * float(np.prod(spacing_mm)) / 1000
    distance = ndimage.distance_transform_edt(inside, sampling=spacing_mm).astype(np.float32)
    distance -= ndimage.distance_transform_edt(~inside, sampling=spacing_mm).astype(np.float32)
    for axis, step in enumerate(spacing_mm):
        length = distance.shape[axis]
        count = max(4, int(np.floor((length - 1) * step / step_mm)) + 1)
        at = np.clip(np.arange(count) * step_mm / step, 0, length - 1)
        low = np.minimum(at.astype(int), max(length - 2, 0))
        share = (at - low).astype(np.float32)
        lower, upper = np.take(distance, low, axis), np.take(distance, np.minimum(low + 1, length - 1), axis)
        share = share.reshape([-1 if n == axis else 1 for n in range(3)])
        distance = lower + share * (upper - lower)
    return Shape(distance, tuple(float(v) for v in first_mm), step_mm, volume_ml)  # type: ignore[arg-type]

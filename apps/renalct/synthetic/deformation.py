"""Kidneys that no patient has: bent, scaled, tilted and mirrored ones, and masses that were swapped or grown anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.labels import KNOWN_CLASSES, MassClass, Side
from renalct.synthetic.canvas import ellipsoid_level
from renalct.synthetic.fields import Floats, Point, SmoothField, field_around, rotation
from renalct.synthetic.kidney_maps import KidneyMap, MassShape, PatientMap, Shape

_ELASTIC_SCALE_MM = 32.0
_SMALLEST_MM, _LARGEST_MM = 3.0, 40.0
_GAP_MM = (5.0, 10.0)  # sizes that label maps of operated tumors hardly hold
_GAP_SHARE = 0.45
_ENOUGH_VOXELS = 60


@dataclass(frozen=True)
class ShapeChange:
    """How far kidneys may differ from the ones they are made from; zeros leave them exactly as they are.

    `scale` is the largest relative change of a length, `tilt_rad` the standard deviation of each angle, `elastic_mm`
    that of the bending; `mirror` is the chance that left and right are exchanged.
    """

    scale: float = 0.12
    tilt_rad: float = 0.12
    elastic_mm: float = 2.0
    mirror: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.scale < 0.5 or self.tilt_rad < 0 or self.elastic_mm < 0 or not 0 <= self.mirror <= 1:
            raise ValueError("scale is from 0 to under 0.5, mirror from 0 to 1, tilt_rad and elastic_mm not negative")


USUAL_CHANGE = ShapeChange()
NO_CHANGE = ShapeChange(0.0, 0.0, 0.0, 0.0)


def changed(patient: PatientMap, change: ShapeChange, *, rng: np.random.Generator) -> PatientMap:
    """The patient's kidneys, each changed on its own, with the volumes that follow."""
    mirror = rng.random() < change.mirror
    kidneys = [_changed(_mirrored(k) if mirror else k, change, rng) for k in patient.kidneys]
    return PatientMap(patient.name, tuple(kidneys))


def _mirrored(kidney: KidneyMap) -> KidneyMap:
    def flip(shape: Shape) -> Shape:
        first = (-shape.last_mm[0], *shape.first_mm[1:])
        return Shape(np.ascontiguousarray(shape.distance_mm[::-1]), first, shape.step_mm, shape.volume_ml)

    side = Side.LEFT if kidney.side is Side.RIGHT else Side.RIGHT
    masses = tuple(MassShape(flip(m.shape), m.structure, m.histology) for m in kidney.masses)
    return KidneyMap(side, flip(kidney.organ), flip(kidney.parenchyma), masses)


def _changed(kidney: KidneyMap, change: ShapeChange, rng: np.random.Generator) -> KidneyMap:
    scales = 1 + rng.uniform(-change.scale, change.scale, 3)
    matrix = rotation(*rng.normal(0, change.tilt_rad, 3)) @ np.diag(scales)
    center = np.asarray(kidney.organ.center_mm)
    bends = [
        field_around(rng, tuple(center), reach_mm=150.0, scale_mm=_ELASTIC_SCALE_MM) for _ in range(3)
    ]  # fmt: skip
    if change == ShapeChange(0.0, 0.0, 0.0, change.mirror):
        return kidney
    where = _sources(kidney.organ, matrix, center, change.elastic_mm, bends)
    factor = float(np.prod(scales))

    def warp(shape: Shape) -> Shape:
        moved = ndimage.map_coordinates(shape.distance_mm, where, order=1, mode="nearest")
        before, after = np.count_nonzero(shape.distance_mm > 0), np.count_nonzero(moved > 0)
        grown = after / before if before > _ENOUGH_VOXELS else factor  # bending moves volume, too
        return Shape(moved * np.float32(factor ** (1 / 3)), shape.first_mm, shape.step_mm, shape.volume_ml * grown)

    masses = tuple(MassShape(warp(m.shape), m.structure, m.histology) for m in kidney.masses)
    return KidneyMap(kidney.side, warp(kidney.organ), warp(kidney.parenchyma), masses)


def _sources(
    shape: Shape, matrix: NDArray[np.float64], center: NDArray[np.float64], elastic_mm: float, bends: list[SmoothField]
) -> Floats:
    """For each voxel of a shape's grid, the voxel index (3 x shape) that its value comes from."""
    lines = [f + shape.step_mm * np.arange(n) for f, n in zip(shape.first_mm, shape.distance_mm.shape, strict=True)]
    x, y, z = np.meshgrid(*[line.astype(np.float32) for line in lines], indexing="ij", sparse=True)
    offsets = [axis - np.float32(c) for axis, c in zip((x, y, z), center, strict=True)]
    inverse = np.linalg.inv(matrix)
    out = np.empty((3, *shape.distance_mm.shape), dtype=np.float32)
    for n in range(3):
        along = sum(np.float32(w) * offset for w, offset in zip(inverse[n], offsets, strict=True))
        out[n] = along + np.float32(center[n] - shape.first_mm[n])
        if elastic_mm:
            out[n] += np.float32(elastic_mm) * bends[n].at(x, y, z)
    out /= np.float32(shape.step_mm)
    return out


def ellipsoid_mass(
    mass_class: MassClass, diameter_mm: float, *, rng: np.random.Generator, histology: str = ""
) -> MassShape:
    """A mass about the origin that is an uneven ellipsoid with exactly the volume of a sphere of that diameter."""
    radius = diameter_mm / 2
    step = float(np.clip(radius / 4, 0.4, 2.0))
    half = int(np.ceil(radius * 1.5 / step)) + 2
    line = (step * np.arange(-half, half + 1)).astype(np.float32)
    axes = (line[:, None, None], line[None, :, None], line[None, None, :])
    radii = tuple(radius * rng.uniform(0.78, 1.25, 3))
    level = ellipsoid_level(axes, (0.0, 0.0, 0.0), radii, rotation(*rng.uniform(-1.5, 1.5, 3)))
    amount = 0.04 if mass_class is MassClass.CYSTIC else 0.10
    wobble = field_around(rng, (0.0, 0.0, 0.0), reach_mm=2 * radius + 6, scale_mm=max(0.7 * radius, 2.0))
    level += np.float32(2 * amount) * wobble.at(*axes)
    distance = (np.float32(radius) * (1 - np.sqrt(np.maximum(level, 0)))).astype(np.float32)
    first = (-half * step,) * 3
    return MassShape(Shape(distance, first, step, np.pi / 6 * diameter_mm**3 / 1000), mass_class.structure, histology)


def random_diameter(rng: np.random.Generator) -> float:
    """A diameter of 3 to 40 mm, nearly half of them 5 to 10 mm."""
    if rng.random() < _GAP_SHARE:
        return float(rng.uniform(*_GAP_MM))
    return float(np.exp(rng.uniform(np.log(_SMALLEST_MM), np.log(_LARGEST_MM))))


def random_ellipsoids(count: int, *, rng: np.random.Generator) -> tuple[MassShape, ...]:
    """Ellipsoid masses about the origin, of random size and class: half cysts, some angiomyolipomas."""
    classes = rng.choice(len(KNOWN_CLASSES), size=count, p=(0.12, 0.45, 0.43))
    return tuple(ellipsoid_mass(KNOWN_CLASSES[c], random_diameter(rng), rng=rng) for c in classes)


def loosened(mass: MassShape, *, rng: np.random.Generator) -> MassShape:
    """A mass of some kidney cut free about the origin: turned, perhaps mirrored, and scaled by 0.7 to 1.3."""
    factor = rng.uniform(0.7, 1.3)
    matrix = rotation(*rng.normal(0, (0.3, 0.3, 1.5))) @ np.diag([1.0 if rng.random() < 0.5 else -1.0, 1.0, 1.0])
    shape = mass.shape
    center = np.asarray(shape.center_mm)
    inside = np.argwhere(shape.distance_mm > -2 * shape.step_mm)
    reach = 4.0 + factor * shape.step_mm * float(np.linalg.norm(inside - inside.mean(axis=0), axis=1).max(initial=1.0))
    half = int(np.ceil(reach / shape.step_mm)) + 1
    grid = Shape(np.zeros((2 * half + 1,) * 3, np.float32), (-half * shape.step_mm,) * 3, shape.step_mm, 0.0)
    where = _sources(grid, matrix * factor, np.zeros(3), 0.0, [])
    shift = (center - np.asarray(shape.first_mm) + np.asarray(grid.first_mm)) / shape.step_mm
    where += shift.astype(np.float32)[:, None, None, None]
    distance = ndimage.map_coordinates(shape.distance_mm, where, order=1, mode="nearest") * np.float32(factor)
    return MassShape(
        Shape(distance, grid.first_mm, shape.step_mm, shape.volume_ml * factor**3), mass.structure, mass.histology
    )


def places_on(kidney: KidneyMap, mass: MassShape, *, count: int, rng: np.random.Generator) -> tuple[Point, ...]:
    """Points where the center of a mass may lie: from deep in the parenchyma to mostly outside of its surface."""
    radius = (mass.shape.volume_ml * 1000 * 6 / np.pi) ** (1 / 3) / 2
    shape = kidney.organ
    points = []
    for _ in range(count):
        depth = rng.uniform(-0.55, 0.9) * radius
        near = np.argwhere(np.abs(shape.distance_mm - np.float32(depth)) < shape.step_mm)
        if not len(near):  # a mass that is larger than its kidney
            near = np.argwhere(shape.distance_mm > shape.distance_mm.max() - shape.step_mm)
        index = near[int(rng.integers(len(near)))] + rng.uniform(-0.5, 0.5, 3)
        points.append(tuple(float(v) for v in np.asarray(shape.first_mm) + shape.step_mm * index))
    return tuple(points)  # type: ignore[arg-type]

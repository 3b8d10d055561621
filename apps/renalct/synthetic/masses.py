"""Renal masses of a made patient: where they grow, their exact volume, and what they consist of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, MassClass, Side
from renalct.synthetic.anatomy import Build
from renalct.synthetic.appearance import Material, Palette, Prior
from renalct.synthetic.canvas import Canvas, ellipsoid_level
from renalct.synthetic.fields import Floats, Point, SmoothField, field_around, rotation
from renalct.synthetic.kidneys import KidneyShape

M = Material
_KEPT = (M.AIR, M.SKIN, M.FAT, M.BONE, M.MARROW, M.DISC, M.CANAL, M.TABLE_SHELL, M.TABLE_CORE)

# Solid masses: clear cell, papillary, chromophobe, oncocytoma, and how often each is drawn.
_SOLID: tuple[tuple[float, Prior], ...] = (
    (0.60, Prior((36, 135, 104, 92), 7, 24)),
    (0.18, Prior((36, 58, 70, 66), 6, 15)),
    (0.12, Prior((36, 84, 82, 76), 6, 14)),
    (0.10, Prior((36, 128, 112, 98), 6, 14)),
)
_NECROSIS = Prior((18, 22, 26, 28), 7, 9)
_CALCIFICATION = Prior((380, 380, 380, 380), 110, 60)
_AML_SOFT = Prior((42, 110, 92, 80), 8, 16)
_AML_FAT = Prior((-88, -84, -84, -84), 12, 14)
_CYST_WALL = Prior((20, 38, 48, 46), 6, 5)
_CYST_WITHIN_HU = 3.0


@dataclass(frozen=True)
class MassSpec:
    """A mass that is asked for: class, diameter of the sphere of equal volume, and side (None: either)."""

    mass_class: MassClass
    diameter_mm: float
    side: Side | None = None

    def __post_init__(self) -> None:
        if self.mass_class not in KNOWN_CLASSES:
            raise ValueError("a made mass is an angiomyolipoma, cystic or solid; unknown is only an answer")
        if not 1.0 <= self.diameter_mm <= 150.0:
            raise ValueError(f"a made mass is 1 to 150 mm wide, not {self.diameter_mm}")
        if self.side is Side.UNDETERMINED:
            raise ValueError("a made mass is on the left, on the right, or (None) on either side")


@dataclass(frozen=True, eq=False)
class PlacedMass:
    """A mass with its kidney and place, not painted yet."""

    spec: MassSpec
    kidney: KidneyShape
    center: Point

    @property
    def radius_mm(self) -> float:
        """Half of the diameter that was asked for."""
        return self.spec.diameter_mm / 2


def random_masses(rng: np.random.Generator) -> tuple[MassSpec, ...]:
    """None to four masses of 3 to 70 mm of any class, on either side."""
    count = int(rng.choice(5, p=(0.12, 0.30, 0.26, 0.20, 0.12)))
    classes = rng.choice(3, size=count, p=(0.22, 0.40, 0.38))
    sizes = np.exp(rng.uniform(np.log(3), np.log(70), count))
    return tuple(MassSpec(KNOWN_CLASSES[c], float(d)) for c, d in zip(classes, sizes, strict=True))


def place_masses(
    specs: tuple[MassSpec, ...], kidneys: tuple[KidneyShape, ...], build: Build, rng: np.random.Generator
) -> tuple[PlacedMass, ...]:
    """The masses at places where they touch their kidney and no other mass; those that find no room are left out."""
    placed: dict[int, PlacedMass] = {}
    for index in sorted(range(len(specs)), key=lambda n: -specs[n].diameter_mm):
        spec = specs[index]
        fitting = [k for k in kidneys if spec.side in (None, k.side)]
        if not fitting:
            continue
        best: tuple[float, PlacedMass] | None = None
        for _ in range(80):
            candidate = _candidate(spec, fitting[int(rng.integers(len(fitting)))], rng)
            trouble = _trouble(candidate, build)
            free = all(_apart(candidate, other) for other in placed.values())
            if free and (best is None or trouble < best[0]):
                best = trouble, candidate
            if best is not None and best[0] == 0.0:
                break
        if best is not None:
            kidney = best[1].kidney
            placed[index] = replace(best[1], spec=replace(spec, side=kidney.side))
    return tuple(placed[index] for index in sorted(placed))


def _candidate(spec: MassSpec, kidney: KidneyShape, rng: np.random.Generator) -> PlacedMass:
    """A random place: from inside the parenchyma to mostly outside of the kidney's surface."""
    radius = spec.diameter_mm / 2
    way = rng.standard_normal(3) * (1.0, 0.8, 1.0)
    way[1] = -abs(way[1]) if rng.random() < 0.9 else way[1]  # few grow at the hilum
    way /= np.linalg.norm(way)
    mean_half = 1 / np.linalg.norm(way / np.asarray(kidney.half_mm))
    outward = rng.uniform(-0.95, 0.55) * radius if radius > 4 else rng.uniform(-9, 0.3 * radius)
    share = max(0.25, (mean_half + outward) / mean_half)
    u, v, w = way * mean_half / np.asarray(kidney.half_mm) * share
    return PlacedMass(spec, kidney, tuple(kidney.point(u, v, w)))


def _trouble(mass: PlacedMass, build: Build) -> float:
    """0 at a place where nothing is in the way; more the further a mass would grow into spine or body wall (mm)."""
    x, y, _ = mass.center
    radius = mass.radius_mm
    sign = 1.0 if mass.kidney.side is Side.RIGHT else -1.0
    medial = 26 * build.scale + radius - sign * x
    lateral = sign * x + radius - 0.90 * build.width_mm
    posterior = -0.80 * build.depth_mm - (y - radius)
    return float(sum(max(0.0, over) for over in (medial, lateral, posterior)))


def _apart(one: PlacedMass, other: PlacedMass) -> bool:
    distance = np.linalg.norm(np.subtract(one.center, other.center))
    return bool(distance > 1.2 * (one.radius_mm + other.radius_mm) + 6.0)


def paint_halo(canvas: Canvas, mass: PlacedMass) -> None:
    """Perirenal fat that a growing mass pushes before it."""
    radius = mass.radius_mm + min(6.0, 2.0 + 0.2 * mass.radius_mm)
    level = canvas.ellipsoid(mass.center, (radius, radius, radius))
    if level is None:
        return
    target = canvas.material[level.box.slices]
    halo = level.values < 1
    for material in (*_KEPT, M.MUSCLE, M.ARTERY, M.VEIN):
        halo &= target != material
    np.copyto(target, np.uint8(M.PERIRENAL_FAT), where=halo)


def paint_mass(
    canvas: Canvas, mass: PlacedMass, palette: Palette, rng: np.random.Generator
) -> tuple[Box, NDArray[np.bool_]] | None:
    """Paint a mass; its box on the canvas and the voxels inside it, or None when it lies out of view.

    The surface is the level that encloses exactly the volume of a sphere of the asked diameter (at least one voxel).
    """
    level, uncut = _surface(canvas, mass, rng)
    inside = level < 1
    start = tuple(max(0, a) for a in uncut[0])
    stop = tuple(min(n, b) for n, b in zip(canvas.shape, uncut[1], strict=True))
    parts = _PAINTERS[mass.spec.mass_class](canvas, mass, level, uncut, palette, rng)
    if any(b <= a for a, b in zip(start, stop, strict=True)):
        return None
    cut = tuple(slice(a - u, b - u) for a, b, u in zip(start, stop, uncut[0], strict=True))
    box = Box(start, stop)  # type: ignore[arg-type]
    target = canvas.material[box.slices]
    np.copyto(target, parts[cut], where=inside[cut])
    return box, inside[cut]


Span = tuple[tuple[int, ...], tuple[int, ...]]


def _surface(canvas: Canvas, mass: PlacedMass, rng: np.random.Generator) -> tuple[Floats, Span]:
    radius = mass.radius_mm
    amount = 0.03 if mass.spec.mass_class is MassClass.CYSTIC else 0.07
    radii = tuple(radius * rng.normal(1, 0.07, 3).clip(0.85, 1.15))
    wobble = field_around(rng, mass.center, reach_mm=2 * radius + 6, scale_mm=max(radius * 0.8, 3.0))
    turn = rotation(*rng.uniform(-1, 1, 3))
    span = canvas.span(mass.center, radius * 1.4 + np.asarray(canvas.spacing_mm))
    axes = canvas.axes(*span)
    level = ellipsoid_level(axes, mass.center, radii, turn)
    level += np.float32(2 * amount) * wobble.at(*axes)
    voxels = max(1, round(np.pi / 6 * mass.spec.diameter_mm**3 / float(np.prod(canvas.spacing_mm))))
    bound = np.partition(level.ravel(), voxels)[voxels]
    return np.asarray(level / bound, dtype=np.float32), span


def _noise(canvas: Canvas, mass: PlacedMass, span: Span, scale_mm: float, rng: np.random.Generator) -> Floats:
    field: SmoothField = field_around(rng, mass.center, reach_mm=2 * mass.radius_mm + 6, scale_mm=scale_mm)
    return field.at(*canvas.axes(*span))


def _top_share(score: Floats, inside: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Where the score is among the given share of highest ones within `inside`."""
    values = score[inside]
    if share <= 0 or not values.size:
        return np.zeros_like(inside)
    return np.asarray(inside & (score > np.quantile(values, 1 - share)))


def _paint_cyst(
    canvas: Canvas, mass: PlacedMass, level: Floats, span: Span, palette: Palette, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Fluid, sometimes dense; some with a wall that enhances a little, few with septa."""
    hu = rng.uniform(45, 80) if rng.random() < 0.12 else rng.uniform(-3, 20)
    walled, septate = rng.random() < 0.3, rng.random() < 0.18
    normal = rng.standard_normal(3)
    parts = np.full(level.shape, palette.add(Prior((hu,) * 4, 0, _CYST_WITHIN_HU)), dtype=np.uint8)
    wall = palette.add(_CYST_WALL, shift_hu=rng.normal(0, _CYST_WALL.between_hu))
    if walled and mass.radius_mm > 5:
        parts[level > max(0.0, 1 - 1.2 / mass.radius_mm) ** 2] = wall
    if septate and mass.radius_mm > 9:
        axes = canvas.axes(*span)
        normal /= np.linalg.norm(normal)
        away = sum(np.float32(n) * (axis - np.float32(c)) for n, axis, c in zip(normal, axes, mass.center, strict=True))
        parts[np.abs(np.asarray(away)) < 0.8] = wall
    return parts


def _paint_solid(
    canvas: Canvas, mass: PlacedMass, level: Floats, span: Span, palette: Palette, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Enhancing tissue; larger masses with necrosis towards the middle, some with calcification."""
    kind = int(rng.choice(len(_SOLID), p=[share for share, _ in _SOLID]))
    prior = _SOLID[kind][1]
    parts = np.full(level.shape, palette.add(prior, shift_hu=rng.normal(0, prior.between_hu)), dtype=np.uint8)
    inside = level < 1
    necrotic, share = rng.random() < 0.65, rng.uniform(0.05, 0.5)
    uneven = _noise(canvas, mass, span, max(mass.radius_mm * 0.45, 3.0), rng)
    if necrotic and mass.radius_mm > 8:
        where = _top_share(uneven * np.float32(0.45) - level, inside, share * min(1.0, mass.radius_mm / 22))
        parts[where] = palette.add(_NECROSIS, shift_hu=rng.normal(0, _NECROSIS.between_hu))
    calcified, share = rng.random() < 0.15, rng.uniform(0.003, 0.02)
    specks = _noise(canvas, mass, span, 3.5, rng)
    if calcified and mass.radius_mm > 6:
        shift = rng.normal(0, _CALCIFICATION.between_hu)
        parts[_top_share(specks, inside, share)] = palette.add(_CALCIFICATION, shift_hu=shift)
    return parts


def _paint_aml(
    canvas: Canvas, mass: PlacedMass, level: Floats, span: Span, palette: Palette, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Soft tissue with islands of macroscopic fat, never calcified."""
    soft = palette.add(_AML_SOFT, shift_hu=rng.normal(0, _AML_SOFT.between_hu))
    fat = palette.add(_AML_FAT, shift_hu=rng.normal(0, _AML_FAT.between_hu))
    islands = _noise(canvas, mass, span, float(np.clip(mass.radius_mm * 0.4, 3.0, 9.0)), rng)
    parts = np.full(level.shape, soft, dtype=np.uint8)
    parts[_top_share(islands, level < 1, rng.uniform(0.3, 0.9))] = fat
    return parts


_PAINTERS = {MassClass.CYSTIC: _paint_cyst, MassClass.SOLID: _paint_solid, MassClass.AML: _paint_aml}

"""Kidneys and masses painted from their maps: exact volumes, cortex and medulla by depth, sinus, vessels, necrosis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.grid import Box
from renalct.core.labels import MassClass, Structure
from renalct.core.phase import Phase
from renalct.synthetic.appearance import FIRST_OWN, Material, Palette, Prior
from renalct.synthetic.canvas import Canvas, Level
from renalct.synthetic.enhancement import Enhancement, TumorLook
from renalct.synthetic.fields import Floats, field_around
from renalct.synthetic.kidney_maps import KidneyMap, MassShape, Shape

M = Material
_SINUS_CLOSING_MM = 9.0
_CORTEX_MM = (4.5, 7.5)
LABELED_RIM, LABELED_HILUM = FIRST_OWN, FIRST_OWN + 1  # fat inside the readers' outlines: at the edge, in the hilum
RENAL = (M.RENAL_CORTEX, M.RENAL_MEDULLA, M.CALYX, LABELED_RIM, LABELED_HILUM)
_RIM = Prior((-88, -88, -88, -88), 0, 14)
_HILUM = Prior((-35, -30, -30, -30), 0, 25)
_UNCOVERED = (M.AIR, M.SKIN, M.FAT, M.BONE, M.MARROW, M.DISC, M.CANAL, M.TABLE_SHELL, M.TABLE_CORE, M.MUSCLE)
_VESSELS = (M.ARTERY, M.VEIN)
_HARD = (M.BONE, M.MARROW, M.DISC, M.CANAL, M.AIR, M.SKIN)
_NECROSIS_HU, _CALCIUM_HU, _FAT_HU = 20.0, 380.0, -85.0
_VISIBLE_FAT = 0.6  # of angiomyolipomas; the others look like any solid mass and are labelled as tumor
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PaintedMass:
    """The materials of one painted mass, its class, structure, volume as asked for, and mean HU as asked for."""

    materials: tuple[int, ...]
    mass_class: MassClass
    structure: Structure
    asked_ml: float
    mean_hu: float
    box: Box


def add_labeled_fat(palette: Palette) -> None:
    """Make `LABELED_RIM` and `LABELED_HILUM` the first own materials of a palette that has none yet."""
    if (palette.add(_RIM), palette.add(_HILUM)) != (LABELED_RIM, LABELED_HILUM):
        raise ValueError("the fat inside the outlines is added to a palette before any mass")


def box_of(canvas: Canvas, shape: Shape, margin_mm: float = 0.0) -> Box | None:
    """The part of the canvas where a shape and a margin about it may lie; None when that is out of view."""
    inside = Box.around(shape.distance_mm > -margin_mm - shape.step_mm)
    if not inside.shape[0]:
        return None
    low = np.asarray(shape.first_mm) + shape.step_mm * np.asarray(inside.start)
    high = np.asarray(shape.first_mm) + shape.step_mm * (np.asarray(inside.stop) - 1)
    return canvas.window(tuple((low + high) / 2), (high - low) / 2 + 0.5 * shape.step_mm)


def bound_of(canvas: Canvas, shape: Shape, values: Floats) -> float:
    """The distance above which voxels belong to a shape, so that it has exactly its volume.

    `values` are its distances on a box of the canvas that holds it. A shape that is partly out of view is measured on
    its own field instead, at half of its own steps.
    """
    spacing: tuple[float, ...] = canvas.spacing_mm
    if not _in_view(canvas, shape):
        spacing = (shape.step_mm / 2,) * 3
        low, high = shape.first_mm, shape.last_mm
        x, y, z = (np.arange(a, b, spacing[0]).astype(np.float32) for a, b in zip(low, high, strict=True))
        values = shape.at(x[:, None, None], y[None, :, None], z[None, None, :])
    return _nth(values.ravel(), shape.volume_ml * 1000 / float(np.prod(spacing)))


def _nth(values: Floats, count: float) -> float:
    """The value that about `count` of the values (at least one) exceed."""
    if values.size < 2:
        return float(values.min(initial=1.0)) - 1.0
    rank = values.size - min(max(1, round(count)), values.size - 1) - 1
    return float(np.partition(values, rank)[rank])


def _in_view(canvas: Canvas, shape: Shape) -> bool:
    inside = Box.around(shape.distance_mm > 0)
    low = np.asarray(shape.first_mm) + shape.step_mm * (np.asarray(inside.start) - 1)
    high = np.asarray(shape.first_mm) + shape.step_mm * np.asarray(inside.stop)
    last = np.asarray(canvas.first_mm) + np.asarray(canvas.spacing_mm) * (np.asarray(canvas.shape) - 1)
    return bool((low >= canvas.first_mm).all() and (high <= last).all())


def paint_fat_about(canvas: Canvas, kidney: KidneyMap, fat_mm: float) -> None:
    """Perirenal fat: over organs as thick as asked, over muscle only a seam."""
    box = box_of(canvas, kidney.organ, fat_mm)
    if box is None:
        return
    distance = kidney.organ.at(*canvas.axes(box.start, box.stop))
    target = canvas.material[box.slices]
    for margin, spared in ((fat_mm, (*_UNCOVERED, *_VESSELS)), (1.8, _HARD)):
        table = np.ones(256, dtype=bool)
        table[list(spared)] = False
        halo = distance > np.float32(-margin)
        halo &= table[target]
        np.copyto(target, np.uint8(M.PERIRENAL_FAT), where=halo)


def paint_mapped_kidney(canvas: Canvas, kidney: KidneyMap, *, rim_mm: float, rng: np.random.Generator) -> None:
    """The organ with its sinus; masses are painted over it.

    Readers outline kidneys a little outside of their visible edge: the outer `rim_mm` of the organ are fat.
    """
    closed, center = _hull(kidney.organ), kidney.organ.center_mm
    pyramids = field_around(rng, center, reach_mm=140.0, scale_mm=rng.uniform(8, 12))
    contents = field_around(rng, center, reach_mm=140.0, scale_mm=rng.uniform(5, 8))
    cortex_mm = rng.uniform(*_CORTEX_MM)
    fluid, vein = rng.uniform(0.5, 1.1), rng.uniform(0.5, 0.9)
    box = box_of(canvas, closed)
    if box is None:
        return
    axes = canvas.axes(box.start, box.stop)
    inside = kidney.organ.at(*axes)
    inside -= np.float32(bound_of(canvas, kidney.organ, inside))
    outer = closed.at(*axes)
    organ = inside > 0
    target = canvas.material[box.slices]
    hollow = (outer > 0.5) & ~organ & ~np.isin(target, _HARD)
    mixed = contents.at(*axes)
    deep = outer > 4.0
    np.copyto(target, np.uint8(M.SINUS_FAT), where=hollow)
    np.copyto(target, np.uint8(M.URINE), where=hollow & deep & (mixed > fluid))
    np.copyto(target, np.uint8(M.VEIN), where=hollow & deep & (mixed < -vein))
    np.copyto(target, np.uint8(M.RENAL_CORTEX), where=organ)
    wedge = pyramids.at(*axes)
    medulla = organ & (outer > cortex_mm) & (inside > 0.8) & (wedge > -0.45)
    np.copyto(target, np.uint8(M.RENAL_MEDULLA), where=medulla)
    papilla = organ & (outer > 2.2 * cortex_mm) & (inside < 4.0) & (wedge > 1.0)
    np.copyto(target, np.uint8(M.CALYX), where=papilla)
    hilum = organ & (outer > 1.6 * cortex_mm) & (inside < 3.5) & (wedge < -0.7)
    np.copyto(target, np.uint8(LABELED_HILUM), where=hilum)
    np.copyto(target, np.uint8(LABELED_RIM), where=organ & (inside < np.float32(rim_mm)))


def _hull(organ: Shape) -> Shape:
    """The organ with its hilum closed: distances from the outer boundary alone."""
    step = organ.step_mm
    near = organ.distance_mm > -_SINUS_CLOSING_MM
    far = ndimage.distance_transform_edt(near, sampling=(step,) * 3).astype(np.float32) if not near.all() else None
    distance = organ.distance_mm if far is None else np.maximum(organ.distance_mm, far - np.float32(_SINUS_CLOSING_MM))
    return Shape(distance, organ.first_mm, step, organ.volume_ml)


def set_parenchyma_hu(canvas: Canvas, palette: Palette, enhancement: Enhancement) -> None:
    """Shift cortex and medulla alike, so that the parenchyma on the canvas has the mean HU asked for."""
    counts = np.bincount(canvas.material.ravel()[::3], minlength=256)[list(RENAL)]
    if not counts[:2].sum():
        return
    pair = list(RENAL[:2])
    if enhancement.phase is Phase.CORTICOMEDULLARY:  # the contrast of both goes with what arrives in the kidney
        middle = palette.hu[:, pair].mean(axis=1, keepdims=True)
        palette.hu[:, pair] = middle + (palette.hu[:, pair] - middle) * np.float32(min(1.2, enhancement.strength))
    mean = palette.hu[0, pair] @ counts[:2] / counts[:2].sum()
    palette.hu[0, pair] += np.float32(enhancement.kidney_hu - mean)


def claim_masses(canvas: Canvas, kidney: KidneyMap) -> tuple[Level | None, ...]:
    """For each mass of a kidney the level (under 1 inside) that takes its volume from the painted organ.

    Along the border to parenchyma the difference of both distances decides, so that no rim of the one is left on
    the other.
    """
    levels = []
    for mass in kidney.masses:
        box = box_of(canvas, mass.shape)
        levels.append(None if box is None else Level(box, _claim(canvas, kidney, mass, box)))
    return tuple(levels)


def _claim(canvas: Canvas, kidney: KidneyMap, mass: MassShape, box: Box) -> Floats:
    axes = canvas.axes(box.start, box.stop)
    score = _score(kidney, mass, axes)
    organ = np.isin(canvas.material[box.slices], RENAL)
    if _in_view(canvas, mass.shape):
        bound = _nth(score[organ], mass.shape.volume_ml * 1000 / float(np.prod(canvas.spacing_mm)))
    else:
        shape = mass.shape
        half = shape.step_mm / 2
        x, y, z = (np.arange(a, b, half).astype(np.float32) for a, b in zip(shape.first_mm, shape.last_mm, strict=True))
        whole = (x[:, None, None], y[None, :, None], z[None, None, :])
        bound = _nth(_score(kidney, mass, whole)[kidney.organ.at(*whole) > 0], shape.volume_ml * 1000 / half**3)
    depth = max(float(score.max(initial=0)) - bound, mass.shape.step_mm / 2)
    return np.where(organ, 1 - (score - np.float32(bound)) / np.float32(depth), np.float32(2)).astype(np.float32)


def _score(kidney: KidneyMap, mass: MassShape, axes: tuple[Floats, Floats, Floats]) -> Floats:
    """How much deeper a place lies in a mass than in parenchyma and in other masses (mm)."""
    others = np.maximum(kidney.parenchyma.at(*axes), np.float32(-2.5))
    for other in kidney.masses:
        if other is not mass:
            others = np.maximum(others, other.shape.at(*axes))
    return np.asarray(mass.shape.at(*axes) - others)


def free_level(canvas: Canvas, shape: Shape) -> Level | None:
    """The level (under 1 inside) of a mass that grows where it is put, of exactly its volume, whatever lies there."""
    box = box_of(canvas, shape, shape.step_mm)
    if box is None:
        return None
    distance = shape.at(*canvas.axes(box.start, box.stop))
    bound = bound_of(canvas, shape, distance)
    depth = max(float(shape.distance_mm.max()) - bound, shape.step_mm / 2)
    return Level(box, 1 - (distance - np.float32(bound)) / np.float32(depth))


def paint_mass_parts(
    canvas: Canvas, level: Level, mass: MassShape, palette: Palette, *, look: TumorLook, rng: np.random.Generator
) -> PaintedMass:
    """Paint a mass with what it consists of, so that its mean is that of `look`, and say what was painted.

    Where the outline of its kidney ran through fat, that of the mass does.
    """
    inside = level.values < 1
    center = mass.shape.center_mm
    radius = (mass.shape.volume_ml * 1000 * 6 / np.pi) ** (1 / 3) / 2
    reach = 3 * radius + 2 * mass.shape.step_mm + 10
    axes = canvas.axes(level.box.start, level.box.stop)

    def noise(scale_mm: float) -> Floats:
        return field_around(rng, center, reach_mm=reach, scale_mm=scale_mm).at(*axes)

    fat = mass.histology == "angiomyolipoma" or mass.structure is Structure.ANGIOMYOLIPOMA
    fat = fat and (mass.structure is Structure.ANGIOMYOLIPOMA or rng.random() < _VISIBLE_FAT)
    structure = Structure.ANGIOMYOLIPOMA if fat else mass.structure
    walled = rng.random() < 0.25
    shares, kinds = _contents(structure, radius, look, rng)
    base_hu = (look.mean_hu - float(np.dot(shares, [k.hu[0] for k in kinds]))) / max(1 - sum(shares), 0.2)
    low, high = (-10.0, 90.0) if structure is Structure.CYST else (15.0, look.mean_hu + 45.0)
    base_hu = look.mean_hu if fat else float(np.clip(base_hu, min(low, look.mean_hu), high))
    base = palette.add(Prior((base_hu,) * 4, 0, look.within_hu))
    numbers = [base]
    parts = np.full(inside.shape, base, dtype=np.uint8)
    for share, kind in zip(shares, kinds, strict=True):
        numbers.append(palette.add(kind))
        core = np.float32(0.9) * (1 - level.values) if kind.hu[0] == _NECROSIS_HU else np.float32(0)
        scale = 3.0 if kind.hu[0] == _CALCIUM_HU else float(np.clip(0.45 * radius, 2.5, 9.0))
        score = noise(scale) * np.float32(0.5) + core
        if inside.any():
            parts[inside & (score > np.quantile(score[inside], 1 - share))] = numbers[-1]
    if structure is Structure.CYST and walled and radius > 6:  # thin, and enhancing a little
        numbers.append(palette.add(Prior((42.0,) * 4, 0, 5)))
        parts[level.values > 1 - 1.0 / radius] = numbers[-1]
    target = canvas.material[level.box.slices]
    edge = target == LABELED_RIM
    if (inside & edge).any():
        numbers.append(palette.add(_RIM))
        parts[edge] = numbers[-1]
    np.copyto(target, parts, where=inside)
    classes = {Structure.CYST: MassClass.CYSTIC, Structure.ANGIOMYOLIPOMA: MassClass.AML}
    mass_class = classes.get(structure, MassClass.SOLID)
    return PaintedMass(tuple(numbers), mass_class, structure, mass.shape.volume_ml, look.mean_hu, level.box)


def _contents(
    structure: Structure, radius: float, look: TumorLook, rng: np.random.Generator
) -> tuple[list[float], list[Prior]]:
    """Shares of a mass that are not its usual tissue, and the CT numbers of each."""
    draws = rng.random(4)
    if structure is Structure.ANGIOMYOLIPOMA:
        return [0.25 + 0.6 * float(draws[0])], [Prior((_FAT_HU,) * 4, 0, 14)]
    if structure is Structure.CYST:
        return [], []
    shares, kinds = [], []
    if radius > 9 and draws[0] < 0.65 and look.mean_hu > 35:
        shares.append(float((0.05 + 0.35 * draws[1]) * min(1.0, radius / 25)))
        kinds.append(Prior((_NECROSIS_HU,) * 4, 0, 9))
    if radius > 6 and draws[2] < 0.12:
        shares.append(float(0.003 + 0.012 * draws[3]))
        kinds.append(Prior((_CALCIUM_HU,) * 4, 0, 60))
    return shares, kinds

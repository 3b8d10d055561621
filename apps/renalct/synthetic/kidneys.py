"""Kidneys of a made patient: bean-shaped, with cortex, medullary pyramids, sinus fat, calyces, vessels and ureter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.labels import Side
from renalct.synthetic.anatomy import Build
from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.fields import Floats, Point, SmoothField, field_around, rotation

M = Material
_KEPT = np.zeros(256, dtype=bool)  # what perirenal fat never covers
_KEPT[[M.AIR, M.SKIN, M.FAT, M.MUSCLE, M.BONE, M.MARROW, M.DISC, M.CANAL, M.TABLE_SHELL, M.TABLE_CORE]] = True
_KEPT[[M.ARTERY, M.VEIN]] = True


@dataclass(frozen=True, eq=False)
class KidneyShape:
    """Where one kidney lies. Columns of `turn` are its own axes: along the length (up), to the hilum, and across."""

    side: Side
    center: Point
    turn: NDArray[np.float64]
    half_mm: Point
    bend: float
    wobble: SmoothField
    fat_mm: float

    @classmethod
    def drawn(cls, side: Side, build: Build, rng: np.random.Generator) -> KidneyShape:
        """A kidney of an adult: 9 to 13 cm long, the upper pole medial and posterior, the hilum anteromedial."""
        sign = 1.0 if side is Side.RIGHT else -1.0
        size = rng.normal(1.0, 0.08) * (0.5 + 0.5 * build.scale)
        half = (55 * size * rng.normal(1, 0.06), 27 * size * rng.normal(1, 0.06), 24 * size * rng.normal(1, 0.07))
        high = (-14 if side is Side.RIGHT else 0) + rng.normal(0, 10)
        place = build.at(sign * rng.normal(64, 4), rng.normal(-36, 4), high)
        # Local axes before tilting: length = z, hilum = towards the midline, across = y.
        upright = np.array(((0, -sign, 0), (0, 0, 1), (1, 0, 0)), dtype=np.float64)
        tilt = rotation(rng.normal(0.16, 0.06), rng.normal(-0.22, 0.07) * sign, rng.normal(-0.65, 0.2) * sign)
        wobble = field_around(rng, place, reach_mm=2 * half[0], scale_mm=22 * size)
        fat = float(np.clip(rng.gamma(2.5, 1.5) + 0.18 * build.fat_mm, 1.5, 16))
        return cls(side, place, tilt @ upright, half, rng.uniform(0.15, 0.4), wobble, fat)

    def reach(self, margin_mm: float) -> NDArray[np.float64]:
        """Half-widths along x, y and z of a box about the center that holds the kidney and a margin."""
        half = np.asarray(self.half_mm, dtype=np.float64) * np.array((1.1, 1.1 + self.bend, 1.1))
        return np.asarray(np.abs(self.turn) @ half + margin_mm, dtype=np.float64)

    def own(self, axes: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats, Floats]:
        """Coordinates (mm) along the kidney's own axes."""
        offsets = [axis - np.float32(c) for axis, c in zip(axes, self.center, strict=True)]
        u, v, w = (
            np.asarray(sum(np.float32(c) * offset for c, offset in zip(column, offsets, strict=True)))
            for column in self.turn.T
        )
        return u, v, w

    def levels(self, axes: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats]:
        """Level of the whole bean and of its sinus (under 1 inside) on broadcast coordinates."""
        u, v, w = self.own(axes)
        length, width, thick = (np.float32(h) for h in self.half_mm)
        along = np.square(u / length)
        bean = along + np.square((v - np.float32(self.bend) * width * along) / width) + np.square(w / thick)
        uneven = self.wobble.at(*axes)
        bean += np.float32(0.07) * uneven
        sinus = np.square(u / (0.52 * length)) + np.square((v - 0.66 * width) / (0.62 * width))
        sinus += np.square(w / (0.42 * thick)) - np.float32(0.18) * uneven
        return bean.astype(np.float32), sinus.astype(np.float32)

    def point(self, u: float, v: float, w: float) -> NDArray[np.float64]:
        """The place in the patient of a point given in units of the half-axes."""
        along = np.array((u, v + self.bend * u * u, w)) * np.array(self.half_mm)
        return np.asarray(np.array(self.center) + self.turn @ along, dtype=np.float64)


def paint_perirenal_fat(canvas: Canvas, kidney: KidneyShape) -> None:
    """Fat about a kidney: over organs as thick as drawn, over muscle only a seam."""
    box = canvas.window(kidney.center, kidney.reach(kidney.fat_mm + 4))
    if box is None:
        return
    bean, _ = kidney.levels(canvas.axes(box.start, box.stop))
    target = canvas.material[box.slices]
    for margin, spared in ((kidney.fat_mm, _KEPT), (1.5, _bony())):
        halo = bean < (1 + margin / kidney.half_mm[1]) ** 2
        halo &= ~spared[target]
        np.copyto(target, np.uint8(M.PERIRENAL_FAT), where=halo)


def _bony() -> NDArray[np.bool_]:
    kept = np.zeros(256, dtype=bool)
    kept[[M.BONE, M.MARROW, M.DISC, M.AIR, M.SKIN]] = True
    return kept


def paint_kidney(canvas: Canvas, kidney: KidneyShape, build: Build, rng: np.random.Generator) -> None:
    """One kidney with its sinus, collecting system and vessels."""
    pyramids = field_around(rng, kidney.center, reach_mm=130.0, scale_mm=rng.uniform(9, 13))
    cortex_mm = rng.uniform(4.5, 7.5)
    _paint_vessels(canvas, kidney, build, rng)
    box = canvas.window(kidney.center, kidney.reach(3))
    if box is None:
        _paint_collecting_system(canvas, kidney, build, rng)
        return
    axes = canvas.axes(box.start, box.stop)
    bean, sinus = kidney.levels(axes)
    whole = bean < 1
    hollow = sinus < 1
    target = canvas.material[box.slices]
    np.copyto(target, np.uint8(M.SINUS_FAT), where=hollow & (bean < 1.08))
    parenchyma = whole & ~hollow
    np.copyto(target, np.uint8(M.RENAL_CORTEX), where=parenchyma)
    if whole.all() or not whole.any():
        depth: Floats = np.full(whole.shape, cortex_mm * 2, dtype=np.float32)
    else:
        depth = ndimage.distance_transform_edt(whole, sampling=canvas.spacing_mm)
    medulla = parenchyma & (depth > cortex_mm) & (pyramids.at(*axes) > -0.5) & (sinus > 1.12)
    np.copyto(target, np.uint8(M.RENAL_MEDULLA), where=medulla)
    _paint_collecting_system(canvas, kidney, build, rng)


def _paint_collecting_system(canvas: Canvas, kidney: KidneyShape, build: Build, rng: np.random.Generator) -> None:
    wide = 1.9 if rng.random() < 0.05 else rng.uniform(0.7, 1.15)  # few are obstructed
    middle = kidney.point(0.0, 0.72, 0.0)
    renal = (M.RENAL_CORTEX, M.RENAL_MEDULLA, M.SINUS_FAT)
    for u in np.linspace(-0.5, 0.5, 5):
        for w in (-0.32, 0.32):
            tip = kidney.point(u + rng.normal(0, 0.03), 0.12 + 0.4 * abs(u), w * rng.uniform(0.6, 1.1))
            line = np.stack([middle, (middle + tip) / 2 + rng.normal(0, 1, 3), tip])
            for over in renal:  # in the sinus it is no part of the kidney's label, in parenchyma it is
                material = M.URINE if over == M.SINUS_FAT else M.CALYX
                canvas.tube(line, 1.6 * wide, material, over=over)
                canvas.tube(line[-1:].repeat(2, 0), 3.1 * wide, material, over=over)
    outer = kidney.point(0.02, 1.15, 0.0)
    size = tuple(np.array((8.0, 9.0, 5.0)) * wide)
    pelvis = canvas.ellipsoid(tuple((middle + outer) / 2), size, turn=kidney.turn)
    canvas.paint(pelvis, M.URINE)
    sign = 1.0 if kidney.side is Side.RIGHT else -1.0
    path = [outer, kidney.point(-0.5, 1.25, 0.1)]
    path += [np.array(build.at(*p)) for p in ((sign * 38, -6, -80), (sign * 34, 8, -130), (sign * 40, -10, -205))]
    path.append(np.array(build.at(sign * 14, 2, -246)))
    canvas.tube(np.stack(path), 1.7 * wide, M.URINE)


def _paint_vessels(canvas: Canvas, kidney: KidneyShape, build: Build, rng: np.random.Generator) -> None:
    right = kidney.side is Side.RIGHT
    hilum, inner = kidney.point(0.08, 1.1, 0.1), kidney.point(0.0, 0.6, 0.05)
    origin = np.array(build.at(-6, -2, 8))
    behind = np.array(build.at(20, -20, 4)) if right else (origin + hilum) / 2
    canvas.tube(np.stack([origin, behind, hilum, inner]), rng.uniform(2.2, 3.2), M.ARTERY)
    cava = np.array(build.at(18, -4, 4))
    front = (cava + hilum) / 2 if right else np.array(build.at(-6, 12, 6))
    beside = np.array((0.0, 2.0, 3.0))
    canvas.tube(np.stack([cava, front, hilum + beside, inner + beside]), rng.uniform(3.5, 5.2), M.VEIN)
    for u in (-0.35, 0.35):
        canvas.tube(np.stack([inner, kidney.point(u, 0.5, -0.1)]), 1.8, M.VEIN)

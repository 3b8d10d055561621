"""Soft organs of the abdomen: liver, spleen, stomach, bowel, pancreas, adrenals, vessels, bladder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalct.synthetic.anatomy import Build
from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas, Level
from renalct.synthetic.fields import Point, field_around, rotation

_FAT = Material.VISCERAL_FAT


def paint_organs(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """All soft organs but the kidneys, inside the cavity of the trunk."""
    _paint_liver(canvas, build, rng)
    _organ(canvas, build.at(-100, -32, 72), (36, 52, 54), Material.SPLEEN, rng)
    _paint_stomach(canvas, build, rng)
    _paint_bowel(canvas, build, rng)
    _paint_small_organs(canvas, build, rng)
    _paint_vessels(canvas, build, rng)


def _organ(
    canvas: Canvas, center: Point, radii: Point, material: int, rng: np.random.Generator, *, amount: float = 0.08
) -> Level | None:
    """Paint one blob in the visceral fat, its place and size jittered, and give its level for what lies within."""
    place = tuple(np.asarray(center) + rng.normal(0, 4, 3))
    size = tuple(np.asarray(radii) * rng.normal(1.0, 0.07))
    wobble = field_around(rng, place, reach_mm=2 * max(size), scale_mm=max(size) * 0.6)
    level = canvas.ellipsoid(place, size, turn=rotation(*rng.normal(0, 0.15, 3)), wobble=wobble, amount=amount)
    canvas.paint(level, material, over=_FAT)
    return level


def _paint_liver(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    s = build.scale
    down = rng.uniform(95, 125)  # how far the right lobe reaches; the diaphragm and the wall cut what stands out
    _organ(canvas, build.at(82, 4, 72), (80 * s, 104, down), Material.LIVER, rng, amount=0.06)
    _organ(canvas, build.at(5, 46, 92), (88 * s, 46, 40), Material.LIVER, rng)
    behind = np.array([(140, 2, -34, 36, 30), (20, 2, -34, 40, 34)], dtype=float)[::-1]
    behind[:, 1:] *= s
    canvas.paint(canvas.column(behind), _FAT, over=Material.LIVER)  # the bare area beside spine and aorta
    for _ in range(9):
        start = np.array(build.at(*rng.normal((30, 12, 78), (6, 8, 8))))
        bend = start + rng.normal((25, 0, 8), (14, 20, 16))
        end = bend + rng.normal((22, 0, 8), (14, 22, 18))
        radius = rng.uniform(1.6, 4.0)
        canvas.tube(np.stack([start, bend, end]), radius, Material.LIVER_VESSEL, over=Material.LIVER)
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
        center = build.at(*rng.normal((75, 5, 65), (25, 30, 28)))
        radius = rng.uniform(3, 16)
        material = Material.LIVER_CYST if rng.random() < 0.6 else Material.LIVER_LESION
        wobble = field_around(rng, center, reach_mm=2 * radius, scale_mm=radius)
        level = canvas.ellipsoid(center, (radius, radius, radius * 0.9), wobble=wobble, amount=0.08)
        canvas.paint(level, material, over=Material.LIVER)
    if rng.random() < 0.8:
        _organ(canvas, build.at(62, 48, 18), (15, 24, 17), Material.GALLBLADDER, rng)
        center = build.at(62, 48, 22)
        level = canvas.ellipsoid(center, (13, 21, 15))
        canvas.paint(level, Material.GALLBLADDER, over=Material.LIVER)


def _hollow(canvas: Canvas, level: Level | None, wall: int, content: int, *, inner: float, gas_above_mm: float) -> None:
    """Wall, content, and gas that rises to the front (the patient lies on the back)."""
    canvas.paint(level, wall, over=_FAT)
    canvas.paint(level, content, below=inner, over=wall)
    if level is not None and np.isfinite(gas_above_mm):
        _, y, _ = canvas.axes(level.box.start, level.box.stop)
        target = canvas.material[level.box.slices]
        gas = (target == content) & (y > gas_above_mm) & (level.values < inner)
        np.copyto(target, np.uint8(Material.GAS), where=gas)


def _paint_stomach(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    full = rng.uniform(0.6, 1.15)
    content = int(rng.choice([Material.FLUID, Material.CHYME, Material.ORAL_CONTRAST], p=[0.55, 0.35, 0.10]))
    for place, radii in (((-62, 32, 78), (42, 42, 40)), ((-30, 52, 48), (40, 24, 22))):
        center = build.at(*place)
        size = tuple(np.asarray(radii) * full)
        wobble = field_around(rng, center, reach_mm=2 * max(size), scale_mm=22)
        level = canvas.ellipsoid(center, size, wobble=wobble, amount=0.09)
        gas = center[1] + rng.uniform(-0.1, 0.6) * size[1]
        _hollow(canvas, level, Material.STOMACH_WALL, content, inner=(1 - 4 / size[1]) ** 2, gas_above_mm=gas)


def _loop(canvas: Canvas, points: NDArray[np.float64], radius: float, content: int, rng: np.random.Generator) -> None:
    """One bowel loop: a chain of sacs with an enhancing wall; gas to the front of some."""
    gassy = rng.random() < (0.55 if content == Material.FECES else 0.22)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    count = max(3, int(lengths / (radius * 0.9)))
    at = np.linspace(0, len(points) - 1, count)
    centers = np.stack([np.interp(at, np.arange(len(points)), points[:, a]) for a in range(3)], axis=1)
    sizes = radius * rng.uniform(0.85, 1.12, count)
    levels = [canvas.ellipsoid(tuple(c), (r, r, r)) for c, r in zip(centers, sizes, strict=True)]
    surface = float(np.quantile(centers[:, 1], rng.uniform(0.2, 1.0))) + radius * rng.uniform(-0.3, 0.5)
    for level in levels:
        canvas.paint(level, Material.BOWEL_WALL, over=_FAT)
    for level, center, size in zip(levels, centers, sizes, strict=True):
        gas = max(surface, center[1] - 0.5 * size) if gassy else np.inf
        inner = max(0.0, 1 - 2.2 / size) ** 2
        _hollow(canvas, level, Material.BOWEL_WALL, content, inner=inner, gas_above_mm=gas)


def _paint_bowel(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    colon = [
        np.array([(88, 10, -150), (98, 18, -95), (100, 20, -40), (92, 36, 5), (86, 50, 22)]),
        np.array([(84, 52, 20), (40, 68, 2), (0, 72, -6), (-45, 66, 12), (-88, 34, 38)]),
        np.array([(-95, 12, 45), (-104, 4, 0), (-102, 4, -60), (-96, 8, -120), (-76, 16, -170)]),
        np.array([(-76, 16, -170), (-40, 20, -195), (0, -8, -185), (6, -34, -215), (0, -45, -280)]),
    ]
    for path in colon:
        points = np.array([build.at(*(p + rng.normal(0, 6, 3))) for p in path])
        fine = np.stack([np.interp(np.linspace(0, 4, 25), np.arange(5), points[:, a]) for a in range(3)], axis=1)
        content = int(Material.FECES if rng.random() < 0.7 else Material.FLUID)
        _loop(canvas, fine, rng.uniform(13, 24) * build.scale, content, rng)
    for _ in range(int(rng.integers(20, 40))):
        start = rng.uniform((-78, 5, -190), (78, 66, -5))
        turns = np.cumsum(np.vstack([start, rng.normal(0, 24, (3, 3)) * (1, 0.6, 0.8)]), axis=0)
        points = np.array([build.at(*np.clip(p, (-92, 4, -230), (92, 74, 6))) for p in turns])
        content = int(rng.choice([Material.CHYME, Material.FLUID, Material.BOWEL_WALL, Material.ORAL_CONTRAST],
                                 p=[0.4, 0.25, 0.29, 0.06]))  # fmt: skip
        _loop(canvas, points, rng.uniform(7, 14), content, rng)


def _paint_small_organs(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    pancreas = np.array([(38, 18, 2), (22, 24, 18), (-8, 30, 30), (-40, 16, 38), (-72, -4, 46)], dtype=float)
    points = np.array([build.at(*(p + rng.normal(0, 4, 3))) for p in pancreas])
    canvas.tube(points, rng.uniform(7, 11), Material.PANCREAS, over=_FAT)
    duodenum = np.array([(36, 30, 22), (46, 14, 10), (44, 6, -22), (10, 8, -34), (-20, 16, -28)], dtype=float)
    _loop(canvas, np.array([build.at(*p) for p in duodenum]), rng.uniform(9, 13), Material.CHYME, rng)
    for side in (1.0, -1.0):
        top = np.array((side * 30, -18, 66 if side > 0 else 70)) + rng.normal(0, 3, 3)
        for limb in ((side * 12, -16, -12), (side * 2, -20, -14)):
            line = np.array([build.at(*top), build.at(*(top + limb))])
            canvas.tube(line, rng.uniform(2.2, 3.4), Material.ADRENAL, over=_FAT)
    _organ(canvas, build.at(0, 22, -250), tuple(np.array((38, 34, 28)) * rng.uniform(0.6, 1.3)), Material.BLADDER, rng)


def _paint_vessels(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    wide = rng.uniform(0.85, 1.25)
    wander = rng.normal(0, 3, 2)

    def line(*points: tuple[float, float, float]) -> NDArray[np.float64]:
        return np.array([build.at(p[0] + wander[0], p[1] + wander[1], p[2]) for p in points])

    aorta = line((-14, -34, 420), (-14, -30, 190), (-10, -14, 110), (-7, -4, 40), (-5, 0, -40), (-4, 2, -98))
    cava = line((24, 6, 150), (24, -2, 100), (20, -6, 30), (18, -6, -40), (15, -6, -105))
    canvas.tube(cava, 10.5 * wide, Material.VEIN)
    canvas.tube(aorta, 9.5 * wide, Material.ARTERY)
    for side in (1.0, -1.0):
        canvas.tube(line((side * 2, 2, -98), (side * 32, -8, -150), (side * 50, 8, -200), (side * 72, 48, -270)),
                    5 * wide, Material.ARTERY)  # fmt: skip
        canvas.tube(line((14, -6, -105), (side * 36, -18, -152), (side * 54, 0, -200), (side * 66, 40, -270)),
                    6 * wide, Material.VEIN)  # fmt: skip
    canvas.tube(line((16, 22, -20), (14, 24, 22), (28, 16, 52), (42, 12, 70)), 6 * wide, Material.VEIN)
    canvas.tube(line((14, 24, 26), (-20, 26, 34), (-60, 4, 50), (-82, -20, 62)), 4 * wide, Material.VEIN)
    canvas.tube(line((-7, 4, 34), (-4, 18, 20), (0, 26, -40)), 3.5 * wide, Material.ARTERY)
    canvas.tube(line((-8, 6, 46), (-6, 18, 48), (-60, 0, 56), (-84, -18, 64)), 2.8, Material.ARTERY)
    for _ in range(14):  # mesenteric branches
        start = np.array((rng.uniform(-5, 15), 24, rng.uniform(-60, 0)))
        end = start + rng.normal((0, 12, -40), (38, 10, 26))
        canvas.tube(line(tuple(start), tuple((start + end) / 2 + rng.normal(0, 6, 3)), tuple(end)),
                    rng.uniform(1.2, 2.4), Material.VEIN, over=_FAT)  # fmt: skip

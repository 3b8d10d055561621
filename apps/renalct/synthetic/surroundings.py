"""What lies about mapped kidneys: a body that they fit into, and things nearby that look like kidneys and are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from renalct.core.labels import Side
from renalct.synthetic.anatomy import Build, paint_muscles, paint_thorax, paint_trunk
from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.fields import Floats, Point, field_around, rotation
from renalct.synthetic.kidney_maps import KidneyMap, PatientMap, Shape
from renalct.synthetic.organs import paint_organs
from renalct.synthetic.skeleton import paint_skeleton

M = Material
_COARSE_MM = 8.0
_SHIFTS_MM = (0.0, 6.0, 12.0, 18.0, 24.0)
_KIDNEY_X_MM, _KIDNEY_Y_MM, _LEAN_MM = 64.0, -36.0, 142.0
# How much a voxel of kidney upon each material is in the way; what is not listed gives way.
_TROUBLE = {
    M.BONE: 6.0, M.MARROW: 6.0, M.DISC: 6.0, M.CANAL: 8.0, M.AIR: 8.0, M.SKIN: 8.0, M.FAT: 4.0, M.MUSCLE: 1.5,
    M.ARTERY: 3.0, M.VEIN: 1.5, M.LUNG: 3.0, M.VISCERAL_FAT: 0.0,
}  # fmt: skip


def fitting_build(patient: PatientMap, *, rng: np.random.Generator) -> Build:
    """A body whose width fits the distance and the reach of the kidneys, slim to obese."""
    drawn = Build.drawn(rng)
    centers = [abs(k.organ.center_mm[0]) for k in patient.kidneys]
    reach = [_reach(k.organ) for k in patient.kidneys]
    width = 0.6 * _LEAN_MM * float(np.mean(centers)) / _KIDNEY_X_MM + 0.4 * drawn.width_mm
    width = max(width, max(reach) / 0.86)
    width = float(np.clip(width, 122, 185))
    return replace(drawn, width_mm=width, depth_mm=width * drawn.depth_mm / drawn.width_mm)


def _reach(shape: Shape) -> float:
    """How far from the midline the shape reaches."""
    columns = np.flatnonzero((shape.distance_mm > 0).any(axis=(1, 2)))
    if not columns.size:
        return 0.0
    ends = shape.first_mm[0] + shape.step_mm * columns[[0, -1]]
    return float(np.abs(ends).max())


def paint_body(canvas: Canvas, build: Build, streams: tuple[np.random.Generator, ...]) -> None:
    """Everything but kidneys; five streams, so that the same ones give the same body on any canvas."""
    painters = (paint_trunk, paint_thorax, paint_muscles, paint_organs, paint_skeleton)
    for paint, rng in zip(painters, streams, strict=True):
        paint(canvas, build, rng)


def settled(patient: PatientMap, build: Build, streams: tuple[np.random.Generator, ...]) -> PatientMap:
    """The kidneys moved to where they overlap spine, great vessels and body wall least; their distances are kept
    as far as that allows."""
    size = (2 * 1.25 * build.width_mm, 2 * 1.3 * build.depth_mm, 270.0)
    canvas = Canvas(
        tuple(int(s / _COARSE_MM) for s in size),  # type: ignore[arg-type]
        spacing_mm=(_COARSE_MM,) * 3,
        center_mm=(0.0, 0.0, 0.0),
    )
    paint_body(canvas, build, streams)
    table = np.zeros(256, dtype=np.float32)
    for material, weight in _TROUBLE.items():
        table[material] = weight
    trouble = table[canvas.material]
    depth = _KIDNEY_Y_MM * build.depth_mm / 102.0
    mean_y = float(np.mean([k.organ.center_mm[1] for k in patient.kidneys]))
    return PatientMap(
        patient.name, tuple(_settled(kidney, canvas, trouble, depth - mean_y) for kidney in patient.kidneys)
    )


def _settled(kidney: KidneyMap, canvas: Canvas, trouble: Floats, down_mm: float) -> KidneyMap:
    inside = np.argwhere(kidney.organ.distance_mm > 0)
    points = np.asarray(kidney.organ.first_mm) + kidney.organ.step_mm * inside[::7]
    sign = 1.0 if kidney.side is Side.RIGHT else -1.0
    best: tuple[float, Point] | None = None
    for out in (-6.0, *_SHIFTS_MM):
        for forth in (-6.0, *_SHIFTS_MM):
            shift = (sign * out, down_mm + forth, 0.0)
            index = np.rint((points + shift - canvas.first_mm) / canvas.spacing_mm).astype(int)
            index = np.clip(index, 0, np.asarray(canvas.shape) - 1)
            cost = float(trouble[tuple(index.T)].mean()) + 0.004 * (abs(out) + abs(forth))
            if best is None or cost < best[0]:
                best = cost, shift
    assert best is not None
    return kidney.moved(best[1])


def paint_distractors(canvas: Canvas, kidneys: tuple[KidneyMap, ...], *, rng: np.random.Generator) -> None:
    """Near each kidney: a spleen's tip or liver's edge, bowel, nodes, small vessels and strands in the fat."""
    for kidney in kidneys:
        center = np.asarray(kidney.organ.center_mm)
        left = kidney.side is Side.LEFT
        if rng.random() < 0.5:  # a lobe that reaches down beside the kidney
            beside = rng.uniform(28, 46) * (-1 if left else 1)
            place = center + np.array((beside, rng.uniform(-8, 18), rng.uniform(10, 45)))
            size = rng.uniform((14, 16, 18), (26, 34, 45))
            _blob(canvas, place, size, M.SPLEEN if left else M.LIVER, rng)
        for _ in range(int(rng.integers(0, 3))):
            place = center + rng.normal((0, 38, 0), (22, 8, 35))
            size = rng.uniform(7, 17) * rng.uniform(0.8, 1.25, 3)
            level_wall = M.BOWEL_WALL
            content = int(rng.choice([M.FLUID, M.CHYME, M.BOWEL_WALL, M.GAS], p=[0.3, 0.35, 0.2, 0.15]))
            _blob(canvas, place, size, level_wall, rng)
            _blob(canvas, place, size - 2.5, content, rng, over=level_wall)
        for _ in range(int(rng.integers(0, 4))):  # nodes, an accessory spleen, an adrenal nodule
            place = center + rng.normal((0, 10, 5), (24, 20, 35))
            kind = (M.PANCREAS, M.SPLEEN, M.ADRENAL)[int(rng.integers(3))]
            _blob(canvas, place, rng.uniform(2.5, 8) * rng.uniform(0.7, 1.3, 3), kind, rng)
        for _ in range(int(rng.integers(3, 12))):
            _strand(canvas, center, rng)


def paint_clutter(canvas: Canvas, build: Build, *, rng: np.random.Generator) -> None:
    """What fills a belly beside organs: small bowel, branching vessels of its mesentery, fat between muscle fibres."""
    for _ in range(int(rng.integers(8, 30))):
        place = np.array(build.at(rng.uniform(-85, 85), rng.uniform(5, 70), rng.uniform(-140, 60)))
        size = rng.uniform(7, 15) * rng.uniform(0.8, 1.6, 3)
        _blob(canvas, place, size, M.BOWEL_WALL, rng)
        content = int(rng.choice([M.FLUID, M.CHYME, M.BOWEL_WALL, M.GAS], p=[0.25, 0.4, 0.25, 0.1]))
        _blob(canvas, place, size - rng.uniform(1.5, 3), content, rng, over=M.BOWEL_WALL)
    for _ in range(int(rng.integers(20, 60))):
        start = np.array(build.at(rng.uniform(-80, 80), rng.uniform(-20, 70), rng.uniform(-140, 90)))
        line = np.stack([start, start + rng.normal(0, 10, 3), start + rng.normal(0, 25, 3)])
        material = M.ARTERY if rng.random() < 0.3 else M.VEIN
        canvas.tube(line, rng.uniform(0.7, 2.0), material, over=M.VISCERAL_FAT)
    bulk = rng.uniform(0.8, 1.25) * build.scale
    for side in (1.0, -1.0):  # the erector muscles bulge into the fat of the back
        x, y, _ = build.at(side * 36, -80, 0)
        column = np.array([(-260, x, y, 24 * bulk, 18 * bulk), (0, x, y, 34 * bulk, 27 * bulk), (260, x, y, 28, 22)])
        canvas.paint(canvas.column(column), M.MUSCLE, over=M.FAT)
    for _ in range(int(rng.integers(20, 60))):
        x = rng.uniform(12, 100) * (1 if rng.random() < 0.5 else -1)
        start = np.array(build.at(x, rng.uniform(-105, -50), rng.uniform(-140, 90)))
        line = np.stack([start, start + rng.normal(0, (7, 4, 30))])
        canvas.tube(line, rng.uniform(0.5, 1.3), M.FAT, over=M.MUSCLE)


def _blob(
    canvas: Canvas,
    place: NDArray[np.float64],
    size: NDArray[np.float64],
    material: int,
    rng: np.random.Generator,
    *,
    over: int | None = None,
) -> None:
    rx, ry, rz = (float(v) for v in np.maximum(size, 0.5))
    radii = (rx, ry, rz)
    center = (float(place[0]), float(place[1]), float(place[2]))
    wobble = field_around(rng, center, reach_mm=2.5 * max(radii), scale_mm=max(0.7 * max(radii), 2.0))
    level = canvas.ellipsoid(center, radii, turn=rotation(*rng.normal(0, 0.4, 3)), wobble=wobble, amount=0.08)
    for below in (M.VISCERAL_FAT, M.PERIRENAL_FAT) if over is None else (over,):
        canvas.paint(level, material, over=below)


def _strand(canvas: Canvas, center: NDArray[np.float64], rng: np.random.Generator) -> None:
    """A thin vessel or bridging septum in the perirenal fat."""
    start = center + rng.normal(0, (28, 24, 36))
    line = np.stack([start, start + rng.normal(0, 12, 3), start + rng.normal(0, 22, 3)])
    material = M.VEIN if rng.random() < 0.4 else M.MUSCLE
    canvas.tube(line, rng.uniform(0.5, 1.1), material, over=M.PERIRENAL_FAT)

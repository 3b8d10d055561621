"""Bones of a made patient: vertebrae, ribs, pelvis and thigh heads, each a shell of cortex around marrow."""

from __future__ import annotations

import numpy as np

from renalct.synthetic.anatomy import Build
from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas, Level
from renalct.synthetic.fields import Point, SmoothField, rotation

_CORTEX_MM = 2.0


def paint_skeleton(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """All bones that the canvas shows."""
    _paint_ribs(canvas, build, rng)
    _paint_pelvis(canvas, build, rng)
    _paint_spine(canvas, build, rng)


def _bone(canvas: Canvas, center: Point, radii: Point, *, turn: tuple[float, float, float] = (0, 0, 0)) -> None:
    matrix = rotation(*turn) if any(turn) else None
    level = canvas.ellipsoid(center, radii, turn=matrix)
    canvas.paint(level, Material.BONE)
    canvas.paint(level, Material.MARROW, below=max(0.0, 1 - _CORTEX_MM / min(radii)) ** 2)


def _paint_spine(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    s, pitch = build.scale, 35.0 * build.stretch
    bend = rng.normal(0, 5)
    phase = rng.uniform(0, pitch)
    for number in range(-4, 14):
        z = number * pitch + phase
        if z < -112 * build.stretch:
            continue
        size = 1.0 - 0.018 * max(number, 0)
        cx = bend * np.sin(z / 180.0)
        cy = -31.0 * build.depth_mm / 102.0 - 0.0006 * (z - 20) ** 2 * (1 if z < 20 else 0.35)
        rx, ry, half = 24 * s * size, 17 * s * size, 0.40 * pitch
        box = canvas.window((cx, cy, z), (rx * 1.2, ry * 1.2, pitch / 2))
        if box is not None:
            x, y, zz = canvas.axes(box.start, box.stop)
            rise = np.abs(zz - np.float32(z))
            waist = 1.0 + 0.12 * (rise / half) ** 2 - 0.08
            ring = ((x - np.float32(cx)) / (rx * waist)) ** 2 + ((y - np.float32(cy)) / (ry * waist)) ** 2
            ring = ring.astype(np.float32)
            canvas.paint(Level(box, ring), Material.DISC)
            solid = np.where(rise < half, ring, np.float32(2))
            canvas.paint(Level(box, solid), Material.BONE)
            inner = np.where(rise < half - _CORTEX_MM, ring, np.float32(2))
            canvas.paint(Level(box, inner), Material.MARROW, below=(1 - _CORTEX_MM / ry) ** 2)
        back = cy - ry
        for side in (1.0, -1.0):
            _bone(canvas, (cx + side * 13 * s, back - 8 * s, z + 4), (5 * s, 11 * s, 8))
            _bone(canvas, (cx + side * 30 * s, back - 12 * s, z + 2), (18 * s, 4.5, 5), turn=(0, 0, side * -0.25))
            _bone(canvas, (cx + side * 15 * s, back - 22 * s, z - 8), (6.5 * s, 8 * s, 15))
        _bone(canvas, (cx, back - 38 * s, z - 6), (3.5 * s, 17 * s, 11))
        canal = canvas.ellipsoid((cx, back - 9 * s, z), (10 * s, 8 * s, pitch))
        canvas.paint(canal, Material.CANAL)


def _paint_ribs(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    fall = rng.uniform(60, 85) * build.stretch
    for number in range(12):  # 0 is the twelfth rib
        reach = (0.30, 0.62, 0.82)[number] if number < 3 else 0.9
        along = np.linspace(0.02, reach, 40)
        z = (18 + 27 * number) * build.stretch - fall * np.sin(np.minimum(along, 0.8) * np.pi / 1.6)
        if not canvas_shows(canvas, float(z.min()) - 8, float(z.max()) + 8):
            continue
        for side in (1.0, -1.0):
            angle = -np.pi / 2 + side * along * np.pi * 0.93 + side * 0.12
            points = build.inner_wall(angle, z, outside_mm=6.5)
            canvas.tube(points, 5.4 * build.scale, Material.BONE)
            canvas.tube(points, 3.4 * build.scale, Material.MARROW)


def canvas_shows(canvas: Canvas, low_mm: float, high_mm: float) -> bool:
    """Whether any slice of the canvas lies between two heights."""
    bottom = canvas.first_mm[2]
    return high_mm >= bottom and low_mm <= bottom + canvas.spacing_mm[2] * (canvas.shape[2] - 1)


def _paint_pelvis(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    s, t = build.scale, build.stretch
    crest = (-88 + rng.normal(0, 6)) * t
    uneven = SmoothField(rng, ((-200, -200, -320), (200, 200, 0)), scale_mm=45.0)
    for side in (1.0, -1.0):
        box = canvas.window((side * 80 * s, -12.0, crest - 75 * t), (70 * s, 90.0, 78 * t))
        if box is not None:
            x, y, z = canvas.axes(box.start, box.stop)
            depth = (crest - z) / (150 * t)
            front_x, front_y = side * (122 - 38 * depth) * s, (52 - 20 * depth) * build.depth_mm / 102
            back_x, back_y = side * (42 + 4 * depth) * s, (-66 + 6 * depth) * build.depth_mm / 102
            dx, dy = front_x - back_x, front_y - back_y
            share = np.clip(((x - back_x) * dx + (y - back_y) * dy) / (dx * dx + dy * dy), 0, 1)
            bow = 9 * np.sin(share * np.pi) * side
            away = np.hypot(x - back_x - share * dx - bow, y - back_y - share * dy)
            above = np.maximum(0, (np.abs(share - 0.55) / 0.55) ** 2 * 75 * t - (crest - z))
            thick = 6.5 + 3 * np.abs(share - 0.5) + 1.2 * uneven.at(x, y, z)
            level = (np.hypot(away, above) - thick).astype(np.float32)
            canvas.paint(Level(box, level), Material.BONE, below=0.0)
            canvas.paint(Level(box, level), Material.MARROW, below=-2.2)
        _bone(canvas, (side * 92 * s, 8.0, -245 * t), (33 * s, 31 * s, 32 * t))
        ring = canvas.ellipsoid((side * 95 * s, 5.0, -248 * t), (27 * s, 27 * s, 27 * t))
        canvas.paint(ring, Material.MUSCLE)
        _bone(canvas, (side * 95 * s, 5.0, -248 * t), (24 * s, 24 * s, 24 * t))
        _bone(canvas, (side * 112 * s, 0.0, -290 * t), (19 * s, 19 * s, 60 * t), turn=(0, side * 0.25, 0))
        _bone(canvas, (side * 25 * s, 38.0, -275 * t), (30 * s, 9, 10), turn=(0, 0, side * -0.5))
    for step in range(8):  # the sacrum
        height = (-116 - 14 * step) * t
        behind = (-36 - 9 * step + 0.45 * step * step) * build.depth_mm / 102
        _bone(canvas, (0.0, behind, height), ((48 - 4.5 * step) * s, (19 - 1.3 * step) * s, 12 * t))

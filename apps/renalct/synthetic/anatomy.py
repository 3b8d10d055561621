"""The trunk of a made patient: proportions, body wall, fat, muscles, lungs, table; then organs, bones and kidneys.

Coordinates are patient millimetres with x to the right, y anterior, z superior; the origin is on the midline between
the kidneys, at the middle of the body's depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalct.synthetic.appearance import Material
from renalct.synthetic.canvas import Canvas, Level
from renalct.synthetic.fields import Floats, SmoothField

_TRUNK = ((-260.0, -220.0, -480.0), (260.0, 220.0, 480.0))
_POWER = 2.4  # of the superellipse that a cross section of the trunk is

# Relative half-widths along z (mm): of the lean body and of the inner (peritoneal and thoracic) cavity.
_LEVELS_MM = (-420, -300, -220, -150, -90, 0, 90, 180, 300, 360, 420)
_LEAN_WIDTH = (1.02, 1.14, 1.12, 1.06, 0.99, 0.97, 1.00, 1.04, 1.08, 1.05, 0.60)
_LEAN_DEPTH = (0.95, 1.00, 0.98, 0.95, 0.93, 0.97, 1.04, 1.06, 1.02, 0.90, 0.70)
_CAVITY_WIDTH = (0.05, 0.30, 0.56, 0.74, 0.88, 0.91, 0.92, 0.90, 0.82, 0.60, 0.20)
_CAVITY_DEPTH = (0.05, 0.50, 0.66, 0.72, 0.77, 0.80, 0.86, 0.88, 0.82, 0.60, 0.20)


@dataclass(frozen=True)
class Build:
    """The proportions of one patient: lean half-width and half-depth, fat thickness, and scale along z."""

    width_mm: float
    depth_mm: float
    fat_mm: float
    stretch: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Build:
        """Proportions of an adult, slim to obese."""
        width = float(np.clip(rng.normal(142, 9), 122, 165))
        return cls(width, width * rng.uniform(0.66, 0.78), float(rng.gamma(2.6, 6.5) + 5), rng.uniform(0.93, 1.07))

    @property
    def scale(self) -> float:
        """Size of the organs relative to a lean half-width of 142 mm."""
        return self.width_mm / 142.0

    def at(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """The place in this patient of a point that is given for a patient of average proportions."""
        return x * self.scale, y * self.depth_mm / 102.0, z * self.stretch

    def inner_wall(
        self, angle: NDArray[np.float64], z: NDArray[np.float64], *, outside_mm: float
    ) -> NDArray[np.float64]:
        """Points (N x 3) at an angle about the axis of the cavity, a distance outside its wall, at heights z."""
        level = z / self.stretch
        a = self.width_mm * np.interp(level, _LEVELS_MM, _CAVITY_WIDTH) + outside_mm
        b = self.depth_mm * np.interp(level, _LEVELS_MM, _CAVITY_DEPTH) + outside_mm
        radius = (np.abs(np.cos(angle) / a) ** _POWER + np.abs(np.sin(angle) / b) ** _POWER) ** (-1 / _POWER)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle) + self.cavity_shift_mm, z], axis=1)

    @property
    def cavity_shift_mm(self) -> float:
        """How far anterior the middle of the cavity lies."""
        return 0.07 * self.depth_mm


def paint_trunk(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """Air, table, skin, subcutaneous fat, the muscular wall and the fat that fills the cavity."""
    unevenness = SmoothField(rng, _TRUNK, scale_mm=55.0)
    x, y, z = canvas.axes((0, 0, 0), canvas.shape)
    field = unevenness.at(x, y, z)
    level = z / build.stretch
    lean_a, lean_b, in_a, in_b = (
        size * np.interp(level, _LEVELS_MM, profile).astype(np.float32)
        for size, profile in (
            (build.width_mm, _LEAN_WIDTH), (build.depth_mm, _LEAN_DEPTH),
            (build.width_mm, _CAVITY_WIDTH), (build.depth_mm, _CAVITY_DEPTH),
        )
    )  # fmt: skip
    fat = np.float32(build.fat_mm)
    whole = _superellipse(x, y, lean_a + fat, lean_b + 0.8 * fat)
    layers = (
        (whole + np.float32(0.04) * field) < 1,
        (whole + np.float32(0.04) * field) < 1 - np.float32(2.4 * 1.8 / build.width_mm),
        (_superellipse(x, y, lean_a, lean_b) - np.float32(0.03) * field) < 1,
        (_superellipse(x, y - np.float32(build.cavity_shift_mm), in_a, in_b) + np.float32(0.025) * field) < 1,
    )
    material = canvas.material
    inside = layers[0]
    np.copyto(material, np.uint8(Material.SKIN), where=inside)
    for layer, value in zip(layers[1:], (Material.FAT, Material.MUSCLE, Material.VISCERAL_FAT), strict=True):
        inside &= layer
        np.copyto(material, np.uint8(value), where=inside)
    planes = SmoothField(rng, _TRUNK, scale_mm=38.0).at(x, y, z)
    between = (np.abs(planes) < 0.07) & (material == Material.MUSCLE) & (y < np.float32(30.0))
    np.copyto(material, np.uint8(Material.FAT), where=between)  # fat planes between the muscles of back and buttocks
    _paint_table(canvas, -(build.depth_mm * 0.97 + 0.8 * build.fat_mm) - 2.0, x, y)


def _superellipse(x: Floats, y: Floats, a: Floats, b: Floats) -> Floats:
    return np.asarray((np.abs(x) / a) ** np.float32(_POWER) + (np.abs(y) / b) ** np.float32(_POWER))


def _paint_table(canvas: Canvas, back_mm: float, x: Floats, y: Floats) -> None:
    """A thin curved shell under the back, and a flat one below it."""
    top = back_mm - 6 + (x / 230.0) ** 2 * 42.0
    inside = (np.abs(x) < 225) & (y < top) & (y > back_mm - 55)
    shell = inside & ((y > top - 3) | (y < back_mm - 51))
    flat = np.broadcast_to(shell, (*shell.shape[:2], canvas.shape[2]))
    core = np.broadcast_to(inside, flat.shape)
    air = canvas.material == Material.AIR
    np.copyto(canvas.material, np.uint8(Material.TABLE_CORE), where=air & core)
    np.copyto(canvas.material, np.uint8(Material.TABLE_SHELL), where=air & flat)


def paint_thorax(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """Lungs above the domes of the diaphragm, the mediastinum and the heart."""
    bottom = 15.0 * build.stretch
    box = canvas.window((0.0, 0.0, bottom + 250.0), (250.0, 200.0, 250.0))
    domes = rng.normal((122, 112), 8) * build.stretch
    edges = rng.normal(36, 8, 2) * build.stretch
    heart_wobble = SmoothField(rng, _TRUNK, scale_mm=40.0)
    uneven = SmoothField(rng, _TRUNK, scale_mm=35.0)
    if box is None:
        return
    x, y, z = canvas.axes(box.start, box.stop)
    height = np.full((x.size, y.size, 1), 1e4, dtype=np.float32)
    for side, dome, edge in ((1.0, domes[0], edges[0]), (-1.0, domes[1], edges[1])):
        rho = ((x - side * 70 * build.scale) / (72 * build.scale)) ** 2 + ((y - 12) / (0.86 * build.depth_mm)) ** 2
        surface = edge + (dome - edge) * np.maximum(1 - rho**1.8, -0.2)
        away = side * x - (20 + 0.0016 * (y + 40) ** 2) * build.scale  # the mediastinum, wider in front
        np.copyto(height, surface.astype(np.float32), where=np.broadcast_to(away > 0, surface.shape))
    lungs = Level(box, height - z + np.float32(4.0) * uneven.at(x, y, z))
    canvas.paint(lungs, Material.LUNG, below=0.0, over=Material.VISCERAL_FAT)
    center = build.at(-22, 28, 168)
    radii = (58 * build.scale, 48 * build.scale, 46 * build.stretch)
    for over in (Material.LUNG, Material.VISCERAL_FAT):
        canvas.paint(canvas.ellipsoid(center, radii, wobble=heart_wobble, amount=0.06), Material.HEART, over=over)


def paint_muscles(canvas: Canvas, build: Build, rng: np.random.Generator) -> None:
    """Psoas and quadratus lumborum beside the spine, the paraspinal muscles with fat between, the diaphragm's crura."""
    bulk = rng.uniform(0.8, 1.2)
    for side in (1.0, -1.0):
        psoas = np.array([
            (30, 24, -30, 5, 6), (0, 30, -30, 10, 11), (-50, 37, -26, 15, 17), (-110, 46, -16, 19, 19),
            (-170, 60, 2, 18, 17), (-250, 78, 24, 13, 13),
        ])  # fmt: skip
        canvas.paint(canvas.column(_placed(psoas, build, side, bulk)), Material.MUSCLE)
        lumborum = np.array([(25, 52, -58, 5, 3), (-30, 62, -56, 12, 6), (-85, 70, -50, 12, 6), (-100, 74, -46, 3, 2)])
        canvas.paint(canvas.column(_placed(lumborum, build, side, bulk)), Material.MUSCLE)
        cleft = np.array([(260, 58, -82, 3, 9), (0, 62, -84, 4, 8), (-120, 56, -88, 6, 6)])
        canvas.paint(canvas.column(_placed(cleft, build, side, 1.0)), Material.FAT, over=Material.MUSCLE)
        crus = np.array([(-10, 9, -4, 4, 5), (40, 12, -4, 5, 8), (95, 20, -2, 5, 12)])
        canvas.paint(canvas.column(_placed(crus, build, side, 1.0)), Material.MUSCLE, over=Material.VISCERAL_FAT)


def _placed(path: NDArray[np.float64], build: Build, side: float, bulk: float) -> NDArray[np.float64]:
    """A column's path in this patient, z rising."""
    out = path[np.argsort(path[:, 0])].astype(np.float64)
    out[:, 0] *= build.stretch
    out[:, 1] *= side * build.scale
    out[:, 2] *= build.depth_mm / 102.0
    out[:, 3:] *= build.scale * bulk
    return out

"""A phantom: made CT volumes of one patient in one or more phases, with the truth about kidneys and masses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.errors import InputError
from renalct.core.grid import Box
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.phase import PhaseEstimate
from renalct.core.volume import CTVolume, LabelMap, Mask, Source
from renalct.synthetic import acquisition
from renalct.synthetic.anatomy import Build, paint_muscles, paint_thorax, paint_trunk
from renalct.synthetic.appearance import FIRST_OWN, Material, Palette
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.fields import Floats, SmoothField, random_streams
from renalct.synthetic.kidneys import KidneyShape, paint_kidney, paint_perirenal_fat
from renalct.synthetic.masses import (
    MassSpec,
    PlacedMass,
    paint_halo,
    paint_mass,
    place_masses,
    random_masses,
)
from renalct.synthetic.organs import paint_organs
from renalct.synthetic.orientation import Turn, frame_uid
from renalct.synthetic.settings import Coverage, PhantomSettings, demo_settings, random_settings
from renalct.synthetic.skeleton import paint_skeleton

_THIN_MM = 3.0  # thicker slices are averaged from 3, 5, ... finer ones: an odd number, so that a majority decides
_RENAL = (Material.RENAL_CORTEX, Material.RENAL_MEDULLA, Material.CALYX)
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TrueMass:
    """A mass as it was made: the voxels it fills, its class and side, and the diameter that was asked for."""

    mask: Mask = field(repr=False)
    mass_class: MassClass
    side: Side
    diameter_mm: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """Volumes of one made patient, one per phase on one grid, with the label map and the masses in it."""

    volumes: tuple[CTVolume, ...]
    label_map: LabelMap
    masses: tuple[TrueMass, ...]


def make_phantom(settings: PhantomSettings, *, seed: int) -> Phantom:
    """A phantom with these settings; the same seed gives the same bytes, and the same patient on any grid.

    Masses out of view are not listed. Raises `InputError` when masses that were asked for find no room in the kidneys.
    """
    streams = random_streams(seed)
    per_slice = max(1, int(np.ceil(settings.spacing_mm[2] / _THIN_MM - 1e-6))) // 2 * 2 + 1
    fine = (*settings.spacing_mm[:2], settings.spacing_mm[2] / per_slice)
    shape = (*settings.shape[:2], settings.shape[2] * per_slice)
    canvas = Canvas(shape, spacing_mm=fine, center_mm=settings.center_mm)
    palette = Palette(settings.phases, next(streams), spread=settings.spread)
    build = Build.drawn(next(streams))
    for paint in (paint_trunk, paint_thorax, paint_muscles, paint_organs, paint_skeleton):
        paint(canvas, build, next(streams))
    kidneys, placed = _plan(settings, build, streams)
    for kidney in kidneys:
        paint_perirenal_fat(canvas, kidney)
    for mass in placed:
        paint_halo(canvas, mass)
    by_side = {side: next(streams) for side in (Side.LEFT, Side.RIGHT)}
    for kidney in kidneys:
        paint_kidney(canvas, kidney, build, by_side[kidney.side])
    mass_rng = next(streams)
    painted = [(mass, paint_mass(canvas, mass, palette, mass_rng)) for mass in placed]
    values, masses = _truth(canvas, painted, per_slice)
    texture = _texture(canvas, next(streams))
    turned = Turn(settings.orientation)
    grid = turned.grid(
        settings.shape, spacing_mm=settings.spacing_mm, center_mm=settings.center_mm, uid=frame_uid(seed, settings)
    )
    volumes = tuple(
        CTVolume(turned(hu), grid, PhaseEstimate(phase, 1.0, "made in this phase"), Source(series_number=number))
        for number, (phase, hu) in enumerate(
            zip(settings.phases, _scanned(canvas, palette, texture, settings, next(streams)), strict=True), start=1
        )
    )
    masses = [replace(mass, mask=turned.mask(mass.mask, settings.shape)) for mass in masses]
    return Phantom(volumes, LabelMap(turned(values), grid), tuple(masses))


def _plan(
    settings: PhantomSettings, build: Build, streams: Iterator[np.random.Generator]
) -> tuple[tuple[KidneyShape, ...], tuple[PlacedMass, ...]]:
    """The kidneys that are present and the masses at their places."""
    both = {side: KidneyShape.drawn(side, build, next(streams)) for side in (Side.LEFT, Side.RIGHT)}
    rng = next(streams)
    if settings.coverage is not Coverage.ABDOMEN:
        return (), ()
    kidneys = tuple(both[side] for side in settings.kidneys)
    specs = random_masses(rng) if settings.masses is None else settings.masses
    placed = place_masses(specs, kidneys, build, rng)
    if settings.masses is not None and len(placed) < len(specs):
        raise InputError(
            f"{len(specs) - len(placed)} of {len(specs)} masses find no room in the kidneys; "
            "ask for fewer or smaller ones"
        )
    return kidneys, placed


def _truth(
    canvas: Canvas, painted: list[tuple[PlacedMass, tuple[Box, Bools] | None]], per_slice: int
) -> tuple[NDArray[np.uint8], list[TrueMass]]:
    """Label values and masses on the slices: what fills most of a voxel's height has it."""
    belongs = np.zeros(256, dtype=bool)
    belongs[list(_RENAL)] = True
    belongs[FIRST_OWN:] = True
    values = acquisition.majority(belongs[canvas.material], per_slice).astype(np.uint8) * np.uint8(Structure.KIDNEY)
    masses = []
    for mass, found in painted:
        if found is None:
            continue
        box, inside = found
        low, high = box.start[2] // per_slice * per_slice, -(-box.stop[2] // per_slice) * per_slice
        padded = np.pad(inside, ((0, 0), (0, 0), (box.start[2] - low, high - box.stop[2])))
        whole = acquisition.majority(padded, per_slice)
        start = (*box.start[:2], low // per_slice)
        tight = Box.around(whole)
        if not tight.shape[0]:
            continue
        mask = Mask(tight.shifted(start), whole[tight.slices])
        mask.paint(values, mass.spec.mass_class.structure)
        masses.append(TrueMass(mask, mass.spec.mass_class, mass.kidney.side, mass.spec.diameter_mm))
    return values, masses


def _texture(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """One field of variance 1, of fine and coarse patches, that makes every tissue uneven."""
    x, y, z = canvas.axes((0, 0, 0), canvas.shape)
    corners = ((-300.0, -300.0, -500.0), (300.0, 300.0, 500.0))
    texture = SmoothField(rng, corners, scale_mm=7.0).at(x, y, z)
    texture += SmoothField(rng, corners, scale_mm=24.0).at(x, y, z)
    texture *= np.float32(0.5**0.5)
    return texture


def _scanned(
    canvas: Canvas, palette: Palette, texture: Floats, settings: PhantomSettings, rng: np.random.Generator
) -> Iterator[NDArray[np.int16]]:
    """The CT numbers of each phase."""
    scanner = acquisition.Scanner(
        settings.spacing_mm,
        noise_sd_hu=settings.noise_sd_hu,
        sharpness=settings.sharpness,
        streaks_hu=settings.streaks_hu,
    )
    uneven = np.take(palette.within_hu, canvas.material)
    uneven *= texture
    per_slice = canvas.shape[2] // settings.shape[2]
    overlap = round((settings.slice_thickness_mm or 0.0) / canvas.spacing_mm[2])
    for row in range(len(palette.phases)):
        hu = np.take(palette.hu[row], canvas.material)
        hu += uneven
        if overlap > per_slice:
            hu = ndimage.uniform_filter1d(hu, overlap, axis=2, mode="nearest")
        hu = acquisition.average_slices(hu, per_slice)
        yield acquisition.acquire(hu, scanner, rng=rng)


__all__ = [
    "Coverage",
    "MassSpec",
    "Phantom",
    "PhantomSettings",
    "TrueMass",
    "demo_settings",
    "make_phantom",
    "random_settings",
]

"""Volumes like those of KiTS: mapped kidneys of patients or procedural ones in a made body, scanned as theirs were."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import Side, Structure
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, LabelMap, Mask, Source
from renalct.synthetic import acquisition
from renalct.synthetic.appearance import FIRST_OWN, Material, Palette
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.deformation import USUAL_CHANGE, ShapeChange, changed, loosened, places_on, random_ellipsoids
from renalct.synthetic.enhancement import (
    Enhancement,
    Measured,
    look_of,
    measured_enhancement,
    random_enhancement,
    random_histology,
)
from renalct.synthetic.fields import Floats, Point, SmoothField, random_streams
from renalct.synthetic.kidney_maps import KidneyMap, MassShape, PatientMap
from renalct.synthetic.mapped_kidneys import (
    LABELED_HILUM,
    RENAL,
    PaintedMass,
    add_labeled_fat,
    claim_masses,
    free_level,
    paint_fat_about,
    paint_mapped_kidney,
    paint_mass_parts,
    set_parenchyma_hu,
)
from renalct.synthetic.orientation import Turn, frame_uid
from renalct.synthetic.phantom import Phantom, TrueMass
from renalct.synthetic.surroundings import fitting_build, paint_body, paint_clutter, paint_distractors, settled

M = Material
_THINNEST_MM = 2.0  # slices thicker than this are averaged from finer ones
_HARD = (M.BONE, M.MARROW, M.DISC, M.CANAL, M.AIR, M.SKIN, M.LUNG)
_RIM_MM, _RIM_BETWEEN_MM = 0.7, 0.25  # measured on outlines of KiTS: the visible edge lies that far inside


@dataclass(frozen=True)
class KitsLikeSettings:
    """What a volume like those of KiTS shall be; None draws it, or takes it from the patient.

    `shape` are the voxels along the right-left, front-back and head-foot axes. `new_masses` is the largest number of
    masses added to those of the maps. `rim_mm` is how far outlines lie outside of the visible edge. `phase` None is the
    one that fits the patient's CT numbers.
    """

    spacing_mm: Point = (0.8, 0.8, 3.0)
    shape: tuple[int, int, int] = (320, 320, 60)
    phase: Phase | None = None
    change: ShapeChange = USUAL_CHANGE
    new_masses: int = 2
    rim_mm: float | None = None
    noise_sd_hu: float | None = None
    sharpness: float | None = None
    orientation: str = "LPS"

    def __post_init__(self) -> None:
        if min(self.spacing_mm) <= 0 or min(self.shape) < 1:
            raise ValueError(f"spacing {self.spacing_mm} mm and shape {self.shape} give no voxels")
        if self.new_masses < 0 or (self.noise_sd_hu is not None and self.noise_sd_hu < 0):
            raise ValueError("new_masses and noise_sd_hu are not negative")


@dataclass(frozen=True, eq=False)
class Donor:
    """A patient whose kidneys are used: their map, and what was measured on the images, where that is known."""

    patient: PatientMap = field(repr=False)
    measured: Measured | None = None


@dataclass(frozen=True, eq=False)
class MadeCase:
    """A made volume with its truth, the enhancement that was asked for, and each mass's volume and HU as asked."""

    phantom: Phantom = field(repr=False)
    enhancement: Enhancement
    asked: tuple[PaintedMass, ...] = ()


def make_kits_like(
    donor: Donor, settings: KitsLikeSettings, *, seed: int, others: tuple[PatientMap, ...] = ()
) -> MadeCase:
    """A volume of the donor's kidneys, changed, in a made body; the same seed gives the same bytes.

    Masses of `others` may be put on the kidneys, beside uneven ellipsoids of 3 to 40 mm.
    """
    streams = random_streams(seed, 77)
    patient = changed(donor.patient, settings.change, rng=next(streams))
    enhancement = _enhancement(donor, settings.phase, next(streams))
    build = fitting_build(patient, rng=next(streams))
    body_seeds = tuple(int(next(streams).integers(1 << 62)) for _ in range(5))
    patient = settled(patient, build, _bodies(body_seeds))
    canvas, per_slice, center = _canvas(patient, settings, next(streams))
    paint_body(canvas, build, _bodies(body_seeds))
    paint_clutter(canvas, build, rng=next(streams))
    palette = Palette((enhancement.phase,), next(streams), enhancement=enhancement.strength)
    rng = next(streams)
    for kidney in patient.kidneys:
        paint_fat_about(canvas, kidney, float(np.clip(rng.gamma(2.5, 1.6) + 0.2 * build.fat_mm, 2.0, 16.0)))
    paint_distractors(canvas, patient.kidneys, rng=next(streams))
    add_labeled_fat(palette)
    rng = next(streams)
    rim_mm = max(0.0, rng.normal(_RIM_MM, _RIM_BETWEEN_MM)) if settings.rim_mm is None else settings.rim_mm
    for kidney in patient.kidneys:
        paint_mapped_kidney(canvas, kidney, rim_mm=rim_mm, rng=rng)
    set_parenchyma_hu(canvas, palette, enhancement)
    painted = _own_masses(canvas, patient, palette, enhancement, next(streams))
    rng = next(streams)
    extra = _extra_masses(others, settings.new_masses, rng)
    painted += _put(canvas, patient, extra, palette, enhancement, rng)
    values, masses = _truth(canvas, painted, per_slice)
    hu = _scanned(canvas, palette, _scanner(settings, next(streams)), per_slice, next(streams))
    turned = Turn(settings.orientation)
    grid = turned.grid(
        settings.shape,
        spacing_mm=settings.spacing_mm,
        center_mm=center,
        uid=frame_uid("like kits", donor.patient.name, seed, settings),
    )
    estimate = PhaseEstimate(enhancement.phase, 1.0, "made in this phase")
    volume = CTVolume(turned(hu), grid, estimate, Source(series_number=1))
    masses = [replace(mass, mask=turned.mask(mass.mask, settings.shape)) for mass in masses]
    phantom = Phantom((volume,), LabelMap(turned(values), grid), tuple(masses))
    return MadeCase(phantom, enhancement, tuple(mass for mass, _ in painted))


def _bodies(seeds: tuple[int, ...]) -> tuple[np.random.Generator, ...]:
    return tuple(np.random.default_rng(seed) for seed in seeds)


def _enhancement(donor: Donor, phase: Phase | None, rng: np.random.Generator) -> Enhancement:
    if donor.measured is None:
        return random_enhancement(rng=rng, phase=phase)
    return measured_enhancement(donor.measured, rng=rng, phase=phase)


def _canvas(patient: PatientMap, settings: KitsLikeSettings, rng: np.random.Generator) -> tuple[Canvas, int, Point]:
    """The canvas about the kidneys, fine slices per slice, and its center; what does not fit is cut at random."""
    low = np.min([_extent(k)[0] for k in patient.kidneys], axis=0)
    high = np.max([_extent(k)[1] for k in patient.kidneys], axis=0)
    size = np.asarray(settings.shape) * settings.spacing_mm
    middle = (low + high) / 2
    spare = np.abs(size - (high - low)) / 2  # the field is moved within what keeps the kidneys in it, or over them
    reach = np.minimum(spare, (12.0, 12.0, 40.0))
    center = middle + rng.uniform(-1, 1, 3) * reach
    center[1] += min(18.0, 0.1 * size[1])  # there is more of the body before the kidneys than behind
    per_slice = max(1, int(np.ceil(settings.spacing_mm[2] / _THINNEST_MM - 1e-6))) // 2 * 2 + 1
    place = tuple(float(v) for v in center)
    canvas = Canvas(
        (*settings.shape[:2], settings.shape[2] * per_slice),
        spacing_mm=(*settings.spacing_mm[:2], settings.spacing_mm[2] / per_slice),
        center_mm=place,  # type: ignore[arg-type]
    )
    return canvas, per_slice, place  # type: ignore[return-value]


def _extent(kidney: KidneyMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    box = Box.around(kidney.organ.distance_mm > 0)
    first, step = np.asarray(kidney.organ.first_mm), kidney.organ.step_mm
    return first + step * np.asarray(box.start), first + step * np.asarray(box.stop)


Painted = list[tuple[PaintedMass, Side]]


def _own_masses(
    canvas: Canvas, patient: PatientMap, palette: Palette, enhancement: Enhancement, rng: np.random.Generator
) -> Painted:
    painted: Painted = []
    for kidney in patient.kidneys:
        levels = claim_masses(canvas, kidney)
        for mass, level in zip(kidney.masses, levels, strict=True):
            look = look_of(mass.structure, mass.histology, enhancement, rng=rng)
            if level is not None:
                painted.append((paint_mass_parts(canvas, level, mass, palette, look=look, rng=rng), kidney.side))
    return painted


def _extra_masses(others: tuple[PatientMap, ...], most: int, rng: np.random.Generator) -> tuple[MassShape, ...]:
    """New masses: those of other patients, cut free, and ellipsoids."""
    count = int(rng.integers(0, most + 1))
    pool = [mass for other in others for kidney in other.kidneys for mass in kidney.masses]
    swapped = int(rng.binomial(count, 0.4)) if pool else 0
    chosen = tuple(loosened(pool[int(rng.integers(len(pool)))], rng=rng) for _ in range(swapped))
    return chosen + random_ellipsoids(count - swapped, rng=rng)


def _put(
    canvas: Canvas,
    patient: PatientMap,
    masses: tuple[MassShape, ...],
    palette: Palette,
    enhancement: Enhancement,
    rng: np.random.Generator,
) -> Painted:
    """The new masses that find a place on a kidney in view, touching no other mass and no bone."""
    painted: Painted = []
    for mass in masses:
        kidney = patient.kidneys[int(rng.integers(len(patient.kidneys)))]
        if mass.structure is Structure.TUMOR and not mass.histology:
            mass = replace(mass, histology=random_histology(rng))
        look = look_of(mass.structure, mass.histology, enhancement, rng=rng, own=False)
        for place in places_on(kidney, mass, count=8, rng=rng):
            put = replace(mass, shape=mass.shape.moved(place))
            level = free_level(canvas, put.shape)
            if level is None:
                continue
            inside = level.values < 1
            under = canvas.material[level.box.slices][level.values < 1.25]
            touches = np.isin(under, RENAL).any()
            if not inside.any() or not touches or (under > LABELED_HILUM).any() or np.isin(under, _HARD).any():
                continue
            painted.append((paint_mass_parts(canvas, level, put, palette, look=look, rng=rng), kidney.side))
            break
    return painted


def _truth(canvas: Canvas, painted: Painted, per_slice: int) -> tuple[NDArray[np.uint8], list[TrueMass]]:
    """Label values and masses on the slices: what fills most of a voxel's height has it."""
    belongs = np.zeros(256, dtype=bool)
    belongs[list(RENAL)] = True
    belongs[FIRST_OWN:] = True
    values = acquisition.majority(belongs[canvas.material], per_slice).astype(np.uint8) * np.uint8(Structure.KIDNEY)
    masses = []
    for mass, side in painted:
        own = np.zeros(256, dtype=bool)
        own[list(mass.materials)] = True
        low, high = mass.box.start[2] // per_slice * per_slice, -(-mass.box.stop[2] // per_slice) * per_slice
        box = Box((*mass.box.start[:2], low), (*mass.box.stop[:2], high))
        whole = acquisition.majority(own[canvas.material[box.slices]], per_slice)
        tight = Box.around(whole)
        if not tight.shape[0]:
            continue
        mask = Mask(tight.shifted((*box.start[:2], low // per_slice)), whole[tight.slices])
        mask.paint(values, mass.structure)
        diameter = (mass.asked_ml * 6000 / np.pi) ** (1 / 3)
        masses.append(TrueMass(mask, mass.mass_class, side, diameter))
    return values, masses


def _scanner(settings: KitsLikeSettings, rng: np.random.Generator) -> acquisition.Scanner:
    """Noise that falls with the thickness of slices, and a kernel between smooth and sharp."""
    usual = float(np.clip(26.0 / np.sqrt(settings.spacing_mm[2]), 8, 26)) * float(np.exp(rng.normal(0, 0.35)))
    drawn = float(rng.random()), float(rng.uniform(0.5, 1.0)), float(rng.uniform(2, 8)) * (rng.random() < 0.15)
    noise = min(usual, 38.0) if settings.noise_sd_hu is None else settings.noise_sd_hu
    return acquisition.Scanner(
        settings.spacing_mm,
        point_spread_mm=drawn[1],
        noise_sd_hu=noise,
        sharpness=drawn[0] if settings.sharpness is None else settings.sharpness,
        streaks_hu=drawn[2] if settings.noise_sd_hu is None else 0.0,
    )


def _scanned(
    canvas: Canvas, palette: Palette, scanner: acquisition.Scanner, per_slice: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """The CT numbers of the slices: means of what lies in their thickness, uneven tissue, blur and noise."""
    hu: Floats | None = None
    within: Floats | None = None
    table = palette.hu[0] / np.float32(per_slice), palette.within_hu / np.float32(per_slice)
    for layer in range(per_slice):
        material = canvas.material[:, :, layer::per_slice]
        one, uneven = np.take(table[0], material), np.take(table[1], material)
        hu = one if hu is None else np.add(hu, one, out=hu)
        within = uneven if within is None else np.add(within, uneven, out=within)
    assert hu is not None and within is not None
    x, y, z = canvas.axes((0, 0, 0), canvas.shape)
    z = z[:, :, per_slice // 2 :: per_slice]
    corners = ((-300.0, -300.0, -500.0), (300.0, 300.0, 500.0))
    texture = SmoothField(rng, corners, scale_mm=5.0).at(x, y, z)
    texture += SmoothField(rng, corners, scale_mm=20.0).at(x, y, z)
    texture *= within
    hu += texture * np.float32(0.5**0.5)
    return acquisition.acquire(hu, scanner, rng=rng)

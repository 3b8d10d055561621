"""Made training cases: volumes like those of KiTS, and real slabs with kidneys and masses of other patients in them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError
from renalct.core.grid import Box
from renalct.core.labels import Side
from renalct.core.volume import LabelMap
from renalct.formats.kits_label_maps import (
    CaseRow,
    find_case_table,
    label_map_paths,
    read_case_table,
    read_kits_label_map,
)
from renalct.models.cases import Case, CaseFile, LabelledMass, Origin, stack_files
from renalct.synthetic.enhancement import Measured
from renalct.synthetic.kidney_maps import PatientMap, patient_map
from renalct.synthetic.kits_like import Donor, KitsLikeSettings, make_kits_like
from renalct.synthetic.pieces import cut_kidney, cut_mass
from renalct.synthetic.procedural import procedural_patient
from renalct.synthetic.transplant import transplant

_SMALLEST_MASS_ML = 0.065  # a sphere of 5 mm, as for real cases
_TRANSPLANT_SHARE = 0.5  # of the cases, where stacks are given
_THICKNESSES_MM = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
_THINNEST_MM = 1.0
_KIDNEY_SHARE = 0.3
_TRIES = 6


@dataclass(frozen=True)
class KitsLikeSources:
    """What made cases are made of: label maps by file with their measured rows, and slice stacks; both may be empty.

    Only patients in the sources shape made cases: give those of the training part and of no other.
    """

    label_maps: tuple[Path, ...] = ()
    rows: tuple[CaseRow, ...] = field(default=(), repr=False)
    stacks: tuple[CaseFile, ...] = field(default=(), repr=False)


def kits_like_sources(
    label_maps: Path | None = None,
    *,
    stacks: Path | None = None,
    table: Path | None = None,
    patients: Collection[str] | None = None,
    without: Collection[str] = (),
) -> KitsLikeSources:
    """The files of made cases; of `patients` alone (case names) where given, and never of those in `without`.

    The table of HU is looked for in the folder of label maps and beside it. Raises `InputError` for folders that hold
    nothing, and when none of the patients is in them.
    """

    def wanted(name: str) -> bool:
        return name not in without and (patients is None or name in patients)

    found = table if table or label_maps is None else find_case_table(label_maps)
    maps = () if label_maps is None else tuple(p for p in label_map_paths(label_maps) if wanted(p.stem))
    slabs = () if stacks is None else tuple(f for f in stack_files(stacks) if wanted(f.patient))
    if (label_maps is not None and not maps) or (stacks is not None and not slabs):
        raise InputError("none of the patients that are asked for has a label map or a stack; check their names")
    return KitsLikeSources(maps, read_case_table(found) if found else (), slabs)


def kits_like_files(
    label_maps: Path | None,
    seeds: range,
    *,
    stacks: Path | None = None,
    patients: Collection[str] | None = None,
    without: Collection[str] = (),
    shape: tuple[int, int, int] = (320, 320, 60),
) -> tuple[CaseFile, ...]:
    """Made cases, one per seed, each made when it is loaded, and always the same for a seed.

    Without label maps the kidneys are procedural. With `stacks`, half of the cases are real slabs with transplanted
    kidneys or masses. Made cases show the shapes and textures of their sources' patients: name those of the training
    part in `patients`, or those of the other parts in `without`.
    """
    sources = kits_like_sources(label_maps, stacks=stacks, patients=patients, without=without)
    return made_files(sources, seeds, shape=shape)


def made_files(sources: KitsLikeSources, seeds: range, *, shape: tuple[int, int, int]) -> tuple[CaseFile, ...]:
    """Made cases of these sources, one per seed."""
    names = [f"made_{seed:06d}" for seed in seeds]
    return tuple(
        CaseFile(name, name, Origin.PHANTOM, _Made(sources, seed, shape))
        for name, seed in zip(names, seeds, strict=True)
    )


@dataclass(frozen=True)
class _Made:
    sources: KitsLikeSources = field(repr=False)
    seed: int
    shape: tuple[int, int, int]

    def __call__(self) -> tuple[Case, ...]:
        rng = np.random.default_rng((self.seed, 5))
        slab = bool(self.sources.stacks) and rng.random() < _TRANSPLANT_SHARE
        case = transplanted_case(self.sources, rng, seed=self.seed) if slab else None
        return (case or made_case(self.sources, rng, seed=self.seed, shape=self.shape),)


def made_case(sources: KitsLikeSources, rng: np.random.Generator, *, seed: int, shape: tuple[int, int, int]) -> Case:
    """A made volume about the kidneys of a random patient, or about procedural ones."""
    if sources.label_maps:
        first, second = (sources.label_maps[int(n)] for n in rng.integers(len(sources.label_maps), size=2))
        donor, spacing = _donor(first, sources.rows)
        others: tuple[PatientMap, ...] = (_donor(second, sources.rows)[0].patient,)
    else:
        donor, others = Donor(procedural_patient(rng=rng)), ()
        plane = float(rng.uniform(0.65, 0.95))
        spacing = (plane, plane, float(rng.choice(_THICKNESSES_MM)))
    thick = max(_THINNEST_MM, spacing[2])
    settings = KitsLikeSettings(spacing_mm=(spacing[0], spacing[1], thick), shape=shape)
    phantom = make_kits_like(donor, settings, seed=seed, others=others).phantom
    least = _SMALLEST_MASS_ML / phantom.label_map.grid.voxel_ml
    masses = tuple(LabelledMass(m.mask, m.mass_class) for m in phantom.masses if m.mask.count >= least)
    name = f"made_{seed:06d}"
    return Case(name, name, Origin.PHANTOM, phantom.volumes[0], phantom.label_map, masses)


def _donor(path: Path, rows: tuple[CaseRow, ...]) -> tuple[Donor, tuple[float, float, float]]:
    """A patient with what was measured on the images, and the spacing of those."""
    found = read_kits_label_map(path)
    row = next((row for row in rows if row.case == found.case), None)
    patient = patient_map(
        found.label_map, name=found.case, histology=row.histology if row else "", midline_mm=found.midline_mm
    )
    if row is None:
        return Donor(patient), found.native_spacing_mm
    measured = Measured(row.percentiles_hu, row.mean_hu, row.kidney_ml, row.tumor_ml, row.cyst_ml)
    return Donor(patient, measured), found.native_spacing_mm


def transplanted_case(sources: KitsLikeSources, rng: np.random.Generator, *, seed: int) -> Case | None:
    """A slab of a patient with masses, or with a kidney, of other patients; None where nothing fits.

    A slab with another kidney is cut to as many slices as its donor has, and lists no masses: it is for segmentation.
    """
    recipient, name = _largest(_drawn(sources, rng)), f"made_{seed:06d}"
    if rng.random() < _KIDNEY_SHARE:
        return _with_kidney(recipient, _largest(_drawn(sources, rng)), name, rng)
    volume, label_map, masses = recipient.volume, recipient.label_map, list(recipient.masses)
    wanted = len(masses) + int(rng.integers(1, 3))
    for _ in range(_TRIES):
        donor = _largest(_drawn(sources, rng))
        if not donor.masses or len(masses) == wanted:
            continue
        mass = donor.masses[int(rng.integers(len(donor.masses)))]
        piece = cut_mass(donor.volume, donor.label_map, mass.mask)
        put = transplant(volume, label_map, piece, seed=int(rng.integers(1 << 31)))
        if put is not None:
            volume, label_map = put.volume, put.label_map
            masses.append(LabelledMass(put.mask, mass.mass_class))
    if len(masses) == len(recipient.masses):
        return None
    return Case(name, name, Origin.PHANTOM, volume, label_map, tuple(masses))


def _drawn(sources: KitsLikeSources, rng: np.random.Generator) -> CaseFile:
    return sources.stacks[int(rng.integers(len(sources.stacks)))]


def _largest(file: CaseFile) -> Case:
    return max(file.load(), key=lambda case: case.volume.grid.shape[2])


def _with_kidney(recipient: Case, donor: Case, name: str, rng: np.random.Generator) -> Case | None:
    piece = cut_kidney(donor.volume, donor.label_map, (Side.LEFT, Side.RIGHT)[int(rng.integers(2))])
    if piece is None:
        return None
    grid = recipient.volume.grid
    axis = grid.axial_axis
    height = int(piece.labels.shape[2] * piece.spacing_mm[2] / grid.spacing_mm[axis] + 1e-3)
    kept = min(height, grid.shape[axis])
    if not kept:
        return None
    first = int(rng.integers(grid.shape[axis] - kept + 1))
    start, stop = [0, 0, 0], list(grid.shape)
    start[axis], stop[axis] = first, first + kept
    box = Box(tuple(start), tuple(stop))  # type: ignore[arg-type]
    volume = recipient.volume.cropped(box)
    label_map = LabelMap(recipient.label_map.values[box.slices], volume.grid)
    put = transplant(volume, label_map, piece, seed=int(rng.integers(1 << 31)))
    return None if put is None else Case(name, name, Origin.PHANTOM, put.volume, put.label_map)

"""The cases of a simulation, each patient one case: resampled once for the network, with what its labels cost."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError, NotCT
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.imaging.plausibility import check_ct_numbers
from renalct.imaging.resample import Interpolation, resample
from renalct.learning.acquisition.why import FOREGROUND, PRESENT_ML
from renalct.learning.simulation.cost import contour_mm, volumes_ml
from renalct.models.cases import Case, CaseFile, Origin
from renalct.models.prepare import field_grid, grown_mm
from renalct.models.recipe import Stage
from renalct.models.splits import Patient, Split, split_by_shares
from renalct.models.values import from_json, to_json

_ABOUT = "about.json"
_AIR_HU = -1024.0
_REGION_MM = 45.0  # so much of other organs is seen that they can be mistaken


@dataclass(frozen=True)
class PooledCase:
    """A patient whose images are labelled together: what that costs, and how much of each class it shows.

    `contour_mm` is on the images' own voxels; `voxels` of foreground are counted on the network's grid.
    """

    name: str
    images: int
    contour_mm: float
    ml_by_class: tuple[float, ...]
    voxels: int
    folder: Path = field(compare=False, repr=False)

    def shows(self, structure: Structure) -> bool:
        """Whether the labels show a class."""
        return self.ml_by_class[FOREGROUND.index(structure)] >= PRESENT_ML

    @property
    def stratum(self) -> str:
        """The classes that it shows, in words."""
        return " ".join(s.title for s in FOREGROUND if self.shows(s))

    def load(self) -> tuple[Case, ...]:
        """Its images with their labels, on the network's grid."""
        return tuple(_read(self.name, self.folder / f"{self.name}_{n}.npz") for n in range(self.images))

    def file(self) -> CaseFile:
        """It as a training case."""
        return CaseFile(self.name, self.name, Origin.VOLUME, self.load)


@dataclass(frozen=True)
class _About:
    images: int
    contour_mm: float
    ml_by_class: tuple[float, ...]
    voxels: int


def pooled_cases(
    files: Sequence[CaseFile], stage: Stage, folder: Path, *, tell: Callable[[int, int], None] | None = None
) -> tuple[PooledCase, ...]:
    """The patients of the files, by name, their images written to `folder` for the stage's grid; what is there
    already is kept. Patients without any kidney or mass in their labels are left out, and images that are no CT."""
    folder.mkdir(parents=True, exist_ok=True)
    by_patient: dict[str, list[CaseFile]] = defaultdict(list)
    for file in files:
        by_patient[file.patient].append(file)
    found = []
    for number, (patient, given) in enumerate(sorted(by_patient.items()), start=1):
        path = folder / f"{patient}.{_ABOUT}"
        if path.exists():
            about = from_json(_About, json.loads(path.read_text(encoding="utf-8")), where=path.name)
        else:
            about = _write(patient, [case for file in given for case in file.load()], stage, folder)
            path.write_text(json.dumps(to_json(about)), encoding="utf-8")
        if about.voxels:
            found.append(PooledCase(patient, **{k: getattr(about, k) for k in _About.__annotations__}, folder=folder))
        if tell:
            tell(number, len(by_patient))
    return tuple(found)


def _write(patient: str, cases: Sequence[Case], stage: Stage, folder: Path) -> _About:
    contour, voxels, number = 0.0, 0, 0
    ml = np.zeros(len(FOREGROUND))
    for case in map(_about_kidneys, cases):
        if not _is_ct(case.volume):
            continue
        contour += contour_mm(case.label_map)
        ml += volumes_ml(case.label_map)
        own = case.volume.grid
        grid = field_grid(own, Box.whole(own.shape), replace(stage, margin_mm=0.0))
        hu = np.rint(resample(case.volume.hu, own, grid, outside=_AIR_HU)).astype(np.int16)
        labels = resample(case.label_map.values, own, grid, order=Interpolation.NEAREST)
        voxels += int(np.count_nonzero(labels))
        np.savez(folder / f"{patient}_{number}.npz", hu=hu, labels=labels, affine=grid.affine)
        number += 1
    rounded = tuple(round(float(v), 3) for v in ml)
    return _About(number, round(contour, 1), rounded, voxels)


def _is_ct(volume: CTVolume) -> bool:
    try:
        check_ct_numbers(volume)
    except NotCT:
        return False
    return True


def _about_kidneys(case: Case) -> Case:
    """The part of an image within `_REGION_MM` of its kidneys: what a cascade's segmenting stage is shown."""
    box = Box.around(case.label_map.values > 0)
    if not min(box.shape):
        return case
    box = grown_mm(box, case.volume.grid, _REGION_MM)
    part = LabelMap(case.label_map.values[box.slices], case.label_map.grid.cropped(box))
    return replace(case, volume=case.volume.cropped(box), label_map=part, masses=())


def _read(patient: str, path: Path) -> Case:
    with np.load(path) as data:
        grid = Grid(data["hu"].shape, data["affine"])
        volume, labels = CTVolume(data["hu"], grid), LabelMap(data["labels"], grid)
    return Case(path.stem, patient, Origin.VOLUME, volume, labels)


def pool_and_test(cases: Sequence[PooledCase], *, share: float, seed: int, most: int) -> Split:
    """The pool (`training`) and the frozen test part (`test`), with every class spread over both.

    Raises `InputError` when the pool has fewer than `most` cases.
    """
    split = split_by_shares([Patient(c.name, c.stratum) for c in cases], (1 - share, 0, share), seed=seed)
    if len(split.training) < most:
        raise InputError(
            f"{len(cases)} patients with labels leave a pool of {len(split.training)}, and {most} cases are to be "
            "labelled; give more patients, fewer rounds or fewer cases per round"
        )
    return split


def start_cases(pool: Sequence[PooledCase], count: int, *, seed: int) -> tuple[str, ...]:
    """The cases that are labelled before the first round, the same for every strategy of a seed: drawn at random, with
    every class present that the pool has (the last drawn that no class needs make room)."""
    cases = sorted(pool, key=lambda case: case.name)
    order = [cases[int(n)] for n in np.random.default_rng((seed, 11)).permutation(len(cases))]
    chosen, rest = order[:count], order[count:]
    for structure in FOREGROUND:
        new = next((case for case in rest if case.shows(structure)), None)
        if new is None or any(case.shows(structure) for case in chosen):
            continue
        free = [c for c in chosen if not any(_alone(c, s, chosen) for s in FOREGROUND)]
        if free:
            chosen[chosen.index(free[-1])] = new
    return tuple(case.name for case in chosen)


def _alone(case: PooledCase, structure: Structure, chosen: Sequence[PooledCase]) -> bool:
    return case.shows(structure) and sum(c.shows(structure) for c in chosen) == 1

"""Training cases: images with labels, of patients from any folder that `formats.labelled` knows, and phantoms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import InputError
from renalct.core.grid import Box
from renalct.core.labels import MassClass, Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.formats.case_notes import ALL_STRUCTURES, CaseNotes
from renalct.formats.labelled import find_labelled, read_labelled
from renalct.formats.labelled_pair import LabelledFolder, LabelledImage, LabelledKind, LabelledPair
from renalct.imaging.components import connected
from renalct.imaging.measure import fat_fraction
from renalct.imaging.sinus import SinusSettings, fill_renal_sinus
from renalct.synthetic.phantom import make_phantom, random_settings

_SMALLEST_MASS_ML = 0.065  # a sphere of 5 mm
_LEAST_FAT_FRACTION = 0.1
_AML_HISTOLOGY = "angiomyolipoma"
_CYSTIC_HISTOLOGY = ("multilocular_cystic_rcc", "mest")  # neither a solid tumor nor a cyst: not for the classifier


class Origin(Enum):
    """Where a case comes from."""

    SLAB = "slab of a patient"
    SINGLE_SLICE = "single slice of a patient"
    PHANTOM = "phantom"
    VOLUME = "volume of a patient"


@dataclass(frozen=True, eq=False)
class LabelledMass:
    """A mass on the case's grid, and what it is."""

    mask: Mask = field(repr=False)
    mass_class: MassClass


@dataclass(frozen=True, eq=False)
class Case:
    """An image with its label map and masses. Cases of one `patient` never stand on both sides of a split.

    `assessed` are the structures that the label map would show; of others it says nothing.
    """

    name: str
    patient: str
    origin: Origin
    volume: CTVolume = field(repr=False)
    label_map: LabelMap = field(repr=False)
    masses: tuple[LabelledMass, ...] = ()
    assessed: frozenset[Structure] = ALL_STRUCTURES


@dataclass(frozen=True)
class CaseFile:
    """A case that is read or made when `load` is called; it may give several cases (runs of slices).

    `pair` is what it is read from; None for a phantom.
    """

    name: str
    patient: str
    origin: Origin
    load: Callable[[], tuple[Case, ...]] = field(repr=False, compare=False)
    pair: LabelledPair | None = field(default=None, repr=False)

    @property
    def notes(self) -> CaseNotes:
        """Histology, diameter and assessed structures, as far as they are known before the case is read."""
        return self.pair.notes if self.pair else CaseNotes()


def case_files(folder: Path, *, sinus: SinusSettings | None = None) -> tuple[CaseFile, ...]:
    """The cases of a folder of labelled images of any known kind, by name; nothing is read yet.

    With `sinus` the renal sinus is filled when a case is read (`imaging.sinus`). Raises `InputError` for a folder of
    no kind that is known.
    """
    return files_of(find_labelled(folder), sinus=sinus)


def files_of(found: LabelledFolder, *, sinus: SinusSettings | None = None) -> tuple[CaseFile, ...]:
    """The cases of labelled images that were found."""
    return tuple(
        CaseFile(pair.name, pair.patient, _origin(pair.kind), _Labelled(pair, sinus), pair) for pair in found.pairs
    )


def _origin(kind: LabelledKind) -> Origin:
    slices = {LabelledKind.STACKS: Origin.SLAB, LabelledKind.SINGLE_SLICES: Origin.SINGLE_SLICE}
    return slices.get(kind, Origin.VOLUME)


def stack_files(folder: Path) -> tuple[CaseFile, ...]:
    """The patients of a folder of slice stacks. Raises `InputError` for a folder of another kind."""
    return _files_of_kind(folder, LabelledKind.STACKS)


def single_slice_files(folder: Path) -> tuple[CaseFile, ...]:
    """Full-field single slices of patients. Raises `InputError` for a folder of another kind."""
    return _files_of_kind(folder, LabelledKind.SINGLE_SLICES)


def _files_of_kind(folder: Path, kind: LabelledKind) -> tuple[CaseFile, ...]:
    found = find_labelled(folder)
    if found.kind is not kind:
        raise InputError(f"{folder} holds {found.kind.value}; {kind.value} are needed")
    return files_of(found)


def phantom_files(seeds: range, *, spacing_mm: tuple[float, float, float] | None = None) -> tuple[CaseFile, ...]:
    """Phantoms, one per seed, each its own patient; at `spacing_mm` instead of a clinical spacing where given."""
    return tuple(
        CaseFile(f"phantom_{seed:05d}", f"phantom_{seed:05d}", Origin.PHANTOM, _Made(seed, spacing_mm))
        for seed in seeds
    )


@dataclass(frozen=True)
class _Labelled:
    pair: LabelledPair
    sinus: SinusSettings | None

    def __call__(self) -> tuple[Case, ...]:
        return tuple(self._case(image) for image in read_labelled(self.pair))

    def _case(self, image: LabelledImage) -> Case:
        pair, labels = self.pair, image.label_map
        filled = labels if self.sinus is None else fill_renal_sinus(labels, settings=self.sinus)
        masses = masses_of(image.volume, labels, pair.notes)
        return Case(
            image.name, pair.patient, _origin(pair.kind), image.volume, filled, masses, assessed=pair.notes.assessed
        )


@dataclass(frozen=True)
class _Made:
    seed: int
    spacing_mm: tuple[float, float, float] | None

    def __call__(self) -> tuple[Case, ...]:
        settings = random_settings(np.random.default_rng((self.seed, 1)))
        if self.spacing_mm is not None:
            thick = max(settings.spacing_mm[2], self.spacing_mm[2])
            settings = replace(settings, spacing_mm=(*self.spacing_mm[:2], thick), slice_thickness_mm=None)
        phantom = make_phantom(settings, seed=self.seed)
        least = _SMALLEST_MASS_ML / phantom.label_map.grid.voxel_ml  # what the field's edge left of one is not a mass
        masses = tuple(LabelledMass(m.mask, m.mass_class) for m in phantom.masses if m.mask.count >= least)
        name = f"phantom_{self.seed:05d}"
        return (Case(name, name, Origin.PHANTOM, phantom.volumes[0], phantom.label_map, masses),)


def tumor_class(histology: str) -> MassClass:
    """What a tumor of a histology (KiTS words, "" for none) counts as; unknown where it is neither solid nor a cyst."""
    if histology in _CYSTIC_HISTOLOGY:
        return MassClass.UNKNOWN
    return MassClass.AML if histology == _AML_HISTOLOGY else MassClass.SOLID


def masses_of(volume: CTVolume, label_map: LabelMap, notes: CaseNotes) -> tuple[LabelledMass, ...]:
    """Labelled components of at least 5 mm; tumors count as solid but for AML by label or by histology.

    An AML by histology that shows no macroscopic fat is left out: on CT it is told from a solid mass by nobody
    (Zhao 2023 defines the class by its fat).
    """
    kinds = [(Structure.CYST, MassClass.CYSTIC), (Structure.ANGIOMYOLIPOMA, MassClass.AML)]
    if tumor_class(notes.histology) is not MassClass.UNKNOWN:
        kinds.append((Structure.TUMOR, tumor_class(notes.histology)))
    least = _SMALLEST_MASS_ML / label_map.grid.voxel_ml
    return tuple(
        LabelledMass(mask, mass_class)
        for structure, mass_class in kinds
        for mask in components(label_map.values == structure, least)
        if (structure, mass_class) != (Structure.TUMOR, MassClass.AML)
        or fat_fraction(volume.hu, mask) >= _LEAST_FAT_FRACTION
    )


def components(filled: NDArray[np.bool_], min_voxels: float) -> Iterator[Mask]:
    """The 26-connected components of at least `min_voxels`, largest first."""
    labels, count = connected(np.ascontiguousarray(filled))
    if not count:
        return
    statistics = cc3d.statistics(labels, no_slice_conversion=True)
    sizes = statistics["voxel_counts"]
    for number in sorted(range(1, count + 1), key=lambda n: (-int(sizes[n]), n)):
        if sizes[number] < min_voxels:
            return
        x0, x1, y0, y1, z0, z1 = (int(v) for v in statistics["bounding_boxes"][number])
        box = Box((x0, y0, z0), (x1 + 1, y1 + 1, z1 + 1))
        yield Mask(box, labels[box.slices] == number)

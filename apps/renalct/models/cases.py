"""Training cases: images with labels, from patients' slice stacks and phantoms; and their split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import MassClass, Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.formats.kits import SliceStack, read_single_slices, read_stack, stack_folders
from renalct.synthetic.phantom import make_phantom, random_settings

_SMALLEST_MASS_ML = 0.065  # a sphere of 5 mm
_CYSTIC_HISTOLOGY = ("multilocular_cystic_rcc", "mest")  # neither a solid tumor nor a cyst: not for the classifier


class Origin(Enum):
    """Where a case comes from."""

    SLAB = "slab of a patient"
    SINGLE_SLICE = "single slice of a patient"
    PHANTOM = "phantom"


@dataclass(frozen=True, eq=False)
class LabelledMass:
    """A mass on the case's grid, and what it is."""

    mask: Mask = field(repr=False)
    mass_class: MassClass


@dataclass(frozen=True, eq=False)
class Case:
    """An image with its label map and masses. Cases of one `patient` never stand on both sides of a split."""

    name: str
    patient: str
    origin: Origin
    volume: CTVolume = field(repr=False)
    label_map: LabelMap = field(repr=False)
    masses: tuple[LabelledMass, ...] = ()


@dataclass(frozen=True)
class CaseFile:
    """A case that is read or made when `load` is called; it may give several cases (runs of slices)."""

    name: str
    patient: str
    origin: Origin
    load: Callable[[], tuple[Case, ...]] = field(repr=False, compare=False)


def stack_files(folder: Path) -> tuple[CaseFile, ...]:
    """The patients of a folder of slice stacks."""
    return tuple(CaseFile(path.name, path.name, Origin.SLAB, _Stack(path)) for path in stack_folders(folder))


def single_slice_files(folder: Path) -> tuple[CaseFile, ...]:
    """Full-field single slices of patients."""
    return tuple(
        CaseFile(f"{stack.case}_single", stack.case, Origin.SINGLE_SLICE, _Given(stack))
        for stack in read_single_slices(folder)
    )


def phantom_files(seeds: range, *, spacing_mm: tuple[float, float, float] | None = None) -> tuple[CaseFile, ...]:
    """Phantoms, one per seed, each its own patient; at `spacing_mm` instead of a clinical spacing where given."""
    return tuple(
        CaseFile(f"phantom_{seed:05d}", f"phantom_{seed:05d}", Origin.PHANTOM, _Made(seed, spacing_mm))
        for seed in seeds
    )


@dataclass(frozen=True)
class _Stack:
    folder: Path

    def __call__(self) -> tuple[Case, ...]:
        stacks = read_stack(self.folder)
        return tuple(_stack_case(stack, f"{stack.case}_{n}", Origin.SLAB) for n, stack in enumerate(stacks))


@dataclass(frozen=True, eq=False)
class _Given:
    stack: SliceStack

    def __call__(self) -> tuple[Case, ...]:
        return (_stack_case(self.stack, f"{self.stack.case}_single", Origin.SINGLE_SLICE),)


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


def _stack_case(stack: SliceStack, name: str, origin: Origin) -> Case:
    return Case(name, stack.case, origin, stack.volume, stack.label_map, _masses_of(stack))


def _masses_of(stack: SliceStack) -> tuple[LabelledMass, ...]:
    """Labelled components of at least 5 mm; tumors count as solid but for AML by histology."""
    tumor_class = MassClass.AML if stack.histology == "angiomyolipoma" else MassClass.SOLID
    kinds = [(Structure.CYST, MassClass.CYSTIC)]
    if stack.histology not in _CYSTIC_HISTOLOGY:
        kinds.append((Structure.TUMOR, tumor_class))
    found = []
    for structure, mass_class in kinds:
        for mask in components(stack.label_map.values == structure, _SMALLEST_MASS_ML / stack.volume.grid.voxel_ml):
            found.append(LabelledMass(mask, mass_class))
    return tuple(found)


def components(filled: NDArray[np.bool_], min_voxels: float) -> Iterator[Mask]:
    """The 26-connected components of at least `min_voxels`, largest first."""
    labels, count = cc3d.connected_components(np.ascontiguousarray(filled), connectivity=26, return_N=True)
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


@dataclass(frozen=True)
class Split:
    """Patients for training and for validation."""

    training: tuple[str, ...]
    validation: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The hash of both lists."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def to_text(self) -> str:
        """The JSON text that is written to a file."""
        return json.dumps({"training": self.training, "validation": self.validation}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Split:
        """The split that a file holds."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(data["training"]), tuple(data["validation"]))


def split_patients(patients: Sequence[str], *, validation: int, seed: int) -> Split:
    """`validation` patients held out at random (the same for the same patients and seed), the others for training."""
    names = sorted(set(patients))
    order = np.random.default_rng(seed).permutation(len(names))
    held = sorted(names[n] for n in order[:validation])
    return Split(tuple(n for n in names if n not in set(held)), tuple(held))

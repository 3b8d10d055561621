"""Made annotators: how people with different habits correct a model's answer towards the truth, and what they send.

Used to rehearse a label server. The habits exaggerate what is seen of people: one traces carefully, one accepts what
looks right and draws generously, one forgets small masses and leaves holes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.labels import Structure
from renalct.core.volume import LabelMap

Booleans = NDArray[np.bool_]

_NEAR = np.ones((3, 3, 3), dtype=bool)
_GOOD_ENOUGH = 0.85
_JITTER = 0.15
_FORGETS = 0.6
_STRUCTURES = (Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA)
_SYNONYMS = {
    Structure.KIDNEY: "renal parenchyma",
    Structure.TUMOR: "Kidney Tumour",
    Structure.CYST: "renal_cyst",
    Structure.ANGIOMYOLIPOMA: "AML",
}


class Habit(Enum):
    """How an annotator works.

    - `CAREFUL`: traces everything, with a hand that shakes by a voxel; deletes the segments that stay empty, so that
      the values of the others move.
    - `HASTY`: keeps the model's kidney where it is good enough, draws masses a voxel too wide, uses other names in
      another order.
    - `FORGETFUL`: traces well but forgets the smallest mass in more than half of the cases and leaves a hole in a
      kidney, until somebody points at it.
    """

    CAREFUL = "careful"
    HASTY = "hasty"
    FORGETFUL = "forgetful"


@dataclass(frozen=True, eq=False)
class Drawn:
    """What an annotator sends: values on the image's grid, the names of the values, which structures were found and
    which were looked for and not found. The values are the annotator's own and say nothing without the names.
    """

    values: NDArray[np.uint8] = field(repr=False)
    names: tuple[tuple[str, int], ...]
    present: tuple[Structure, ...]
    absent: tuple[Structure, ...]


def draw(
    truth: LabelMap, shown: LabelMap | None, habit: Habit, rng: np.random.Generator, *, again: bool = False
) -> Drawn:
    """What an annotator of a habit makes of a case whose truth is known, from a model's answer (None: from nothing).

    `again`: the quality checks have pointed at something; who is not hasty takes more care.
    """
    values = {
        Habit.CAREFUL: lambda: truth.values.copy() if again else _shaken(truth.values, rng),
        Habit.HASTY: lambda: _widened(truth.values, None if shown is None else shown.values),
        Habit.FORGETFUL: lambda: truth.values.copy() if again else _forgotten(truth.values, rng),
    }[habit]()
    present = tuple(structure for structure in _STRUCTURES if (values == structure).any())
    absent = tuple(structure for structure in _STRUCTURES if structure not in present)
    if habit is Habit.CAREFUL:
        numbered = list(enumerate(present, start=1))
        titles = {structure: structure.title for structure in present}
    elif habit is Habit.HASTY:
        numbered = list(enumerate(reversed(present), start=1))
        titles = _SYNONYMS
    else:
        numbered = [(int(structure) + 1, structure) for structure in present]
        titles = {structure: structure.title for structure in present}
    sent = np.zeros(values.shape, dtype=np.uint8)
    for number, structure in numbered:
        sent[values == structure] = number
    names = tuple((titles[structure], number) for number, structure in numbered)
    return Drawn(sent, names if habit is not Habit.FORGETFUL else (("background", 1), *names), present, absent)


def _shaken(truth: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The truth with a share of the voxels at the outer border of the organs given to the other side."""
    organs = truth > 0
    within = organs & ~ndimage.binary_erosion(organs)
    dropped = within & (rng.random(truth.shape) < _JITTER)
    return np.where(dropped, np.uint8(0), truth)


def _widened(truth: NDArray[np.uint8], shown: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The model's kidney where it is good enough, else the true one; masses a voxel wider in their slices."""
    values = np.where(truth == Structure.KIDNEY, np.uint8(Structure.KIDNEY), np.uint8(0))
    if shown is not None and _dice(shown > 0, truth > 0) >= _GOOD_ENOUGH:
        values = np.where(shown > 0, np.uint8(Structure.KIDNEY), np.uint8(0))
    in_slice = _NEAR & (np.arange(3) == 1)
    for structure in _STRUCTURES[1:]:
        mass = truth == structure
        if mass.any():
            values[ndimage.binary_dilation(mass, in_slice)] = structure
    return values


def _forgotten(truth: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The truth without its smallest mass, more often than not, and with a hole in the largest kidney."""
    values = truth.copy()
    masses, count = ndimage.label(values > Structure.KIDNEY, _NEAR)
    if count and rng.random() < _FORGETS:
        sizes = np.bincount(masses.ravel())[1:]
        values[masses == 1 + int(np.argmin(sizes))] = Structure.KIDNEY
    kidneys, found = ndimage.label(values == Structure.KIDNEY, _NEAR)
    if found:
        largest = kidneys == 1 + int(np.argmax(np.bincount(kidneys.ravel())[1:]))
        depth = ndimage.distance_transform_edt(largest)
        values[ndimage.binary_dilation(_only(largest.shape, int(np.argmax(depth))), iterations=1) & largest] = 0
    return values


def _only(shape: tuple[int, ...], at: int) -> Booleans:
    voxel = np.zeros(shape, dtype=bool)
    voxel.flat[at] = True
    return voxel


def _dice(one: Booleans, other: Booleans) -> float:
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0

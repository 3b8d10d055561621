"""The annotations of single readers in a KiTS case, as one label map per reader, to measure how far readers agree.

A KiTS21 or KiTS23 case holds `kidney_instance-1_annotation-2.nii.gz` and the like in `segmentations/` or `instances/`:
every instance of kidney, cyst and tumor was delineated by several people, each a number from 1 on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.formats.annotation import refuse_other_grid

_FILE = re.compile(r"(kidney|cyst|tumor)_instance-(\d+)_annotation-(\d+)\.nii(\.gz)?$")
_PAINTED = (Structure.KIDNEY, Structure.CYST, Structure.TUMOR)
"""Where instances overlap the later structure stays, as in KiTS23 (`labels.py`: kidney, cyst, tumor)."""


@dataclass(frozen=True)
class Instance:
    """One kidney, cyst or tumor, and the file of each of its annotations (number, path), in order."""

    structure: Structure
    number: int
    annotations: tuple[tuple[int, Path], ...]


def instances_of(folder: Path) -> tuple[Instance, ...]:
    """The annotated instances in an annotation folder, in the order in which they are painted; other organs are left.

    Raises `InputError` when there are none.
    """
    found: dict[tuple[Structure, int], list[tuple[int, Path]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _FILE.match(path.name)
        if match:
            key = (Structure[match.group(1).upper()], int(match.group(2)))
            found.setdefault(key, []).append((int(match.group(3)), path))
    if not found:
        raise InputError(f"{folder} holds no annotations of instances (kidney_instance-1_annotation-1.nii.gz)")
    order = sorted(found, key=lambda key: (_PAINTED.index(key[0]), key[1]))
    return tuple(Instance(*key, tuple(sorted(found[key]))) for key in order)


def complete_readers(instances: Sequence[Instance]) -> tuple[int, ...]:
    """The annotation numbers that every instance has; agreement can only be measured between these."""
    numbers = [{number for number, _ in instance.annotations} for instance in instances]
    return tuple(sorted(set.intersection(*numbers))) if numbers else ()


def read_readers(folder: Path, *, seed: int | None = None) -> tuple[LabelMap, ...]:
    """One label map for each complete reader: annotation 1 of every instance, then annotation 2, ...

    With a `seed` the annotations of each instance are shuffled first, so that no annotation stands in two maps and
    pairs of maps mix the people, as KiTS21 samples them (`kits21/evaluation/README.md`): annotation 1 of two
    instances need not be of one person. All maps lie on one grid. Fewer than two complete readers give fewer than two
    maps. Raises `InputError` without annotations, and `GeometryError` when they lie on different grids.
    """
    instances = instances_of(folder)
    readers = complete_readers(instances)
    if not readers:
        return ()
    grid = nifti.read_grid(instances[0].annotations[0][1])
    maps = [np.zeros(grid.shape, np.uint8) for _ in readers]
    rng = None if seed is None else np.random.default_rng(seed)
    for instance in instances:
        files = [path for number, path in instance.annotations if number in readers]
        order = range(len(files)) if rng is None else rng.permutation(len(files))
        for values, n in zip(maps, order, strict=True):
            annotated, own = nifti.read_array(files[n])
            refuse_other_grid(own, grid, files[n].name)
            values[annotated > 0] = instance.structure
    return tuple(LabelMap(values, grid) for values in maps)

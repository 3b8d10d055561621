"""An annotator's label file to a label map: its values are understood by name, never by position."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.labels import Structure, structure_named
from renalct.core.volume import LabelMap
from renalct.formats import nifti, nrrd_labels

Names = tuple[tuple[str, int], ...]
"""Pairs of a name and the value that stands for it in a file."""

OUR_NAMES: Names = tuple((structure.title, int(structure)) for structure in Structure if structure)
"""The names of the values that renalct itself writes."""

_SAME_PLACE_VOXELS = 0.1


def read_annotation(path: Path, names: Names, *, grid: Grid) -> LabelMap:
    """The label map of an annotator's NIfTI or NRRD file, each value replaced by the structure that its name means.

    The names that a 3D Slicer segmentation carries itself win over `names`. Names of values that do not occur are
    ignored. Several values may mean one structure (left and right kidney). `grid` is that of the image, which the
    labels must share.

    Raises `LabelError` for a value without a name, a name that renalct does not know, and a value with two meanings;
    `GeometryError` for labels on another grid; `InputError` for a file of another kind.
    """
    if nifti.is_nifti(path):
        values, own_grid = nifti.read_array(path)
    elif path.name.lower().endswith(nrrd_labels.SUFFIX):
        labels = nrrd_labels.read_labels(path)
        values, own_grid, names = labels.values, labels.grid, labels.names or names
    else:
        raise InputError(f"{path.name} is not a label file that can be read; save it as .nii.gz, .nrrd or .seg.nrrd")
    refuse_other_grid(own_grid, grid, path.name)
    return LabelMap(_renamed(values, names, path.name), grid)


def refuse_other_grid(own: Grid, wanted: Grid, name: str) -> None:
    """Raise `GeometryError` unless labels lie on the voxels of their image, to a tenth of a voxel."""
    if own.shape != wanted.shape:
        raise GeometryError(
            f"{name} has {_times(own.shape)} voxels and its image {_times(wanted.shape)}; "
            "save the labels on the image's own grid"
        )
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in own.shape], indexing="ij"), -1)
    apart = np.linalg.norm(own.to_patient(corners) - wanted.to_patient(corners), axis=-1).max()
    if apart > _SAME_PLACE_VOXELS * min(wanted.spacing_mm):
        raise GeometryError(
            f"{name} lies up to {apart:.2f} mm away from its image; save the labels on the image's own grid"
        )


def _renamed(values: NDArray[Any], names: Names, file_name: str) -> NDArray[np.uint8]:
    present = np.unique(values)
    if not ((present >= 0) & (present == np.rint(present))).all():
        raise LabelError(f"{file_name} holds values that are not whole numbers from 0; it is not a label map")
    meanings = {int(value): _meaning(int(value), names, file_name) for value in present if value}
    renamed = np.zeros(values.shape, dtype=np.uint8)
    for value, structure in meanings.items():
        renamed[values == value] = structure
    return renamed


def _meaning(value: int, names: Names, file_name: str) -> Structure:
    given = [name for name, named_value in names if named_value == value]
    if not given:
        raise LabelError(f"{file_name} holds the value {value} without a name; name every segment, and save again")
    structures = {structure_named(name) for name in given}
    if len(structures) > 1:
        raise LabelError(
            f"the value {value} of {file_name} has several meanings ({_quoted(given)}); give each segment its own value"
        )
    return structures.pop()


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)

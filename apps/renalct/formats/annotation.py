"""An annotator's label file to a label map: its values are understood by name, never by position."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Side, Structure
from renalct.core.volume import LabelMap, Mask
from renalct.formats import nifti, nrrd_labels
from renalct.formats.segment_names import side_of_segment, structure_of_segment
from renalct.imaging.label_findings import NamedSide
from renalct.imaging.label_scene import filled_box

Names = tuple[tuple[str, int], ...]
"""Pairs of a name and the value that stands for it in a file."""

OUR_NAMES: Names = tuple((structure.title, int(structure)) for structure in Structure if structure)
"""The names of the values that renalct itself writes."""

_SAME_PLACE_VOXELS = 0.1


@dataclass(frozen=True, eq=False)
class Annotation:
    """A label map, the segments with a side in their name, and the names and voxels of those that are no labels."""

    label_map: LabelMap = field(repr=False)
    sided: tuple[NamedSide, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()


def read_annotation(path: Path, names: Names, *, grid: Grid) -> LabelMap:
    """The label map of `read_annotated`."""
    return read_annotated(path, names, grid=grid).label_map


def read_annotated(path: Path, names: Names, *, grid: Grid) -> Annotation:
    """An annotator's NIfTI or NRRD file, each value replaced by the structure that its name means.

    The names that a 3D Slicer segmentation carries itself win over `names`. Names of values that do not occur are
    ignored. Several values may mean one structure (left and right kidney). Background, scribbles and our own overlays
    are no labels and become background. Where segments overlap, a mass lies on its kidney. `grid` is that of the
    image, which the labels must share; it is compared before a voxel is read.

    Raises `LabelError` for a value without a name, a name that renalct does not know, a value with two meanings, and
    masses of two structures in one voxel; `GeometryError` for labels on another grid; `InputError` for a file of
    another kind.
    """
    if nifti.is_nifti(path):
        refuse_other_grid(nifti.read_grid(path), grid, path.name)
        parts = [_named(nifti.read_stored(path)[0], names, path.name)]
    elif path.name.lower().endswith(nrrd_labels.SUFFIX):
        refuse_other_grid(nrrd_labels.read_grid(path), grid, path.name)
        layers = nrrd_labels.read_layers(path)
        carried = any(layer.names for layer in layers)
        parts = [_named(layer.values, layer.names if carried else names, path.name) for layer in layers]
    else:
        raise InputError(f"{path.name} is not a label file that can be read; save it as .nii.gz, .nrrd or .seg.nrrd")
    values = np.zeros(grid.shape, np.uint8, order="F")
    for part in parts:
        _lay_over(values, part.values, path.name)
    return Annotation(
        LabelMap(values, grid),
        tuple(side for part in parts for side in part.sided),
        tuple(dropped for part in parts for dropped in part.dropped),
    )


def refuse_other_grid(own: Grid, wanted: Grid, name: str, *, other: str = "image") -> None:
    """Raise `GeometryError` unless labels lie on the voxels of their image (or `other`), to a tenth of a voxel.

    The same voxels in another order are refused as well: nothing tells a turned file from one that was mirrored by
    mistake.
    """
    advice = f"save the labels on the {other}'s own grid"
    if own.canonical_axes != wanted.canonical_axes:
        advice = f"its axes are mirrored or exchanged against those of the {other}: {advice}"
    if own.shape != wanted.shape:
        raise GeometryError(f"{name} has {_times(own.shape)} voxels and its {other} {_times(wanted.shape)}; {advice}")
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in own.shape], indexing="ij"), -1)
    apart = np.linalg.norm(own.to_patient(corners) - wanted.to_patient(corners), axis=-1).max()
    if apart > _SAME_PLACE_VOXELS * min(wanted.spacing_mm):
        raise GeometryError(f"{name} lies up to {apart:.2f} mm away from its {other}; {advice}")


@dataclass(frozen=True, eq=False)
class _Named:
    """One layer of a file: `Structure` values inside the box of what is labelled, sides, and what was dropped."""

    values: tuple[Box, NDArray[np.uint8]] = field(repr=False)
    sided: tuple[NamedSide, ...]
    dropped: tuple[tuple[str, int], ...]


def _named(values: NDArray[Any], names: Names, file_name: str) -> _Named:
    box = filled_box(values) or Box((0, 0, 0), (0, 0, 0))
    part = values[box.slices]
    present = np.flatnonzero(np.bincount(part.ravel())) if part.dtype == np.uint8 else np.unique(part)
    if not ((present >= 0) & (present == np.rint(present))).all():
        raise LabelError(f"{file_name} holds values that are not whole numbers from 0; it is not a label map")
    renamed = np.zeros(box.shape, dtype=np.uint8)
    sided, dropped = [], []
    for value in (int(v) for v in present if v):
        structure, given = _meaning(value, names, file_name)
        where = part == value
        renamed[where] = structure
        side = side_of_segment(given)
        if structure and side is not Side.UNDETERMINED:
            sided.append(NamedSide(side, structure, Mask(box, where)))
        if structure is Structure.BACKGROUND:
            dropped.append((given, int(np.count_nonzero(where))))
    return _Named((box, renamed), tuple(sided), tuple(dropped))


def _meaning(value: int, names: Names, file_name: str) -> tuple[Structure, str]:
    """The structure that a value means, and the first name that says so."""
    given = [name for name, named_value in names if named_value == value]
    if not given:
        raise LabelError(f"{file_name} holds the value {value} without a name; name every segment, and save again")
    meanings = {(structure_of_segment(name), side_of_segment(name)) for name in given}
    if len({structure for structure, _ in meanings}) > 1:
        raise LabelError(
            f"the value {value} of {file_name} has several meanings ({_quoted(given)}); give each segment its own value"
        )
    return structure_of_segment(given[0]), given[0] if len(meanings) == 1 else ""


def _lay_over(values: NDArray[np.uint8], layer: tuple[Box, NDArray[np.uint8]], file_name: str) -> None:
    """Add a layer: a mass covers the kidney that it lies on, and two masses in one voxel are refused."""
    box, added = layer
    below = values[box.slices]
    contested = (below > Structure.KIDNEY) & (added > Structure.KIDNEY) & (below != added)
    if contested.any():
        i, j, k = (int(v) for v in np.argwhere(contested)[0] + box.start)
        one, other = (Structure(int(v[contested][0])).title for v in (below, added))
        raise LabelError(
            f"{np.count_nonzero(contested)} voxels of {file_name} are {one} and {other} at once, the first at "
            f"({i}, {j}, {k}); one voxel can have one label: remove the overlap, and save again"
        )
    np.copyto(below, added, where=(added > Structure.KIDNEY) | ((below == 0) & (added > 0)))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)

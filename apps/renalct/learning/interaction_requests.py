"""What 3D Slicer and OHIF send of clicks and scribbles, to values; what is wrong with it, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure, structure_named
from renalct.core.volume import LabelMap
from renalct.formats import nifti, nrrd_labels
from renalct.formats.annotation import refuse_other_grid
from renalct.learning.interaction import Click, Scribbles

FOREGROUND, BACKGROUND = "foreground", "background"
STROKES = {f"{FOREGROUND}_scribbles": True, f"{BACKGROUND}_scribbles": False}


def clicks_by_name(request: Mapping[str, Any]) -> tuple[Click, ...]:
    """The clicks of a `deepedit` request: under the name of each label a list of voxels, as both viewers send them."""
    return tuple(click for structure in Structure for click in _clicks(request, structure.title, structure))


def clicks_on_one(request: Mapping[str, Any]) -> tuple[Structure, tuple[Click, ...]]:
    """The label of a `deepgrow` request and its clicks: foreground is the label, background is not.

    A background click says that a mass's voxel is kidney or nothing: nothing, unless the viewer names it.
    """
    name = request.get("label")
    if not isinstance(name, str) or not name.strip():
        raise InputError("no label is selected to which the clicks belong; select a segment, and click again")
    structure = structure_named(name)
    found = _clicks(request, FOREGROUND, structure) + _clicks(request, BACKGROUND, Structure.BACKGROUND)
    return structure, found


def scribbles_of(request: Mapping[str, Any], path: Path, grid: Grid) -> tuple[LabelMap, Scribbles]:
    """The segments in a scribble file and the strokes among them, with the structure that is to be drawn anew.

    Segments that are neither a structure nor a stroke are left out.
    """
    values, own = _read(path)
    refuse_other_grid(own, grid, path.name)
    chosen = request.get("selected_label_name")
    if not isinstance(chosen, str):
        raise InputError("no label is selected to which the scribbles belong; select one, and update again")
    labels = np.zeros(values.shape, np.uint8)
    strokes = {True: np.zeros(values.shape, bool), False: np.zeros(values.shape, bool)}
    for name, value in _named_values(request.get("label_info")):
        where = values == value
        if name in STROKES:
            strokes[STROKES[name]] |= where
        else:
            try:
                labels[where] = structure_named(name)
            except LabelError:
                continue
    box = box_of(request.get("roi"), grid)
    return LabelMap(labels, grid), Scribbles(structure_named(chosen), strokes[True], strokes[False], box)


def box_of(roi: object, grid: Grid) -> Box | None:
    """The box of a region of interest (i0, i1, j0, j1, k0, k1, in any order of ends); None where there is none."""
    if not roi:
        return None
    if not isinstance(roi, list) or len(roi) != 6 or not all(_is_number(v) for v in roi):
        raise InputError(f"the region of interest is {roi!r}; six voxel indices i0, i1, j0, j1, k0, k1 are needed")
    pairs = [sorted((round(roi[n]), round(roi[n + 1]))) for n in (0, 2, 4)]
    low = [min(max(a, 0), n - 1) for (a, _), n in zip(pairs, grid.shape, strict=True)]
    high = [min(max(b, 0), n - 1) + 1 for (_, b), n in zip(pairs, grid.shape, strict=True)]
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _clicks(request: Mapping[str, Any], key: str, structure: Structure) -> tuple[Click, ...]:
    points = request.get(key) or []
    if not isinstance(points, list):
        raise InputError(f"the clicks for {key!r} are no list; send voxel indices as [[i, j, k], ...]")
    found = []
    for point in points:
        if not isinstance(point, list) or len(point) != 3 or not all(_is_number(v) for v in point):
            raise InputError(f"{point!r} is no voxel; a click is [i, j, k]")
        i, j, k = (round(v) for v in point)
        found.append(Click(structure, (i, j, k)))
    return tuple(found)


def _named_values(info: object) -> list[tuple[str, int]]:
    if not isinstance(info, list):
        raise InputError("label_info does not say which segment is a scribble; send it as a list of {name, id}")
    try:
        return [(str(entry["name"]), int(entry.get("id", entry.get("idx")))) for entry in info]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError("label_info cannot be read; send it as a list of {name, id}") from error


def _read(path: Path) -> tuple[NDArray[Any], Grid]:
    if nifti.is_nifti(path):
        return nifti.read_array(path)
    if path.name.lower().endswith(nrrd_labels.SUFFIX):
        labels = nrrd_labels.read_labels(path)
        return labels.values, labels.grid
    raise InputError(f"{path.suffix or 'a file without an ending'} is no file of scribbles; send .nii.gz or .nrrd")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9

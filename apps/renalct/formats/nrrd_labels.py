"""NRRD files to label arrays, and label maps to NRRD, as annotation viewers exchange them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap

SUFFIX = ".nrrd"
_RAS_SIGNS = {
    "right-anterior-superior": (1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "left-anterior-superior": (-1, 1, 1),
}
_SHORT_SPACES = {"ras": "right-anterior-superior", "lps": "left-posterior-superior", "las": "left-anterior-superior"}


@dataclass(frozen=True, eq=False)
class NRRDLabels:
    """Label values as they stand in a file, their grid, and the names that a 3D Slicer segmentation gives them."""

    values: NDArray[Any] = field(repr=False)
    grid: Grid
    names: tuple[tuple[str, int], ...] = ()


def write_label_map(label_map: LabelMap, path: Path) -> None:
    """Write a label map as attached, uncompressed NRRD (uint8, first index fastest); the same map, the same bytes.

    OHIF reads the bytes after the header as they stand, without geometry and without decompression.
    """
    affine = label_map.grid.affine
    directions = " ".join(_vector(affine[:3, axis]) for axis in range(3))
    header = (
        "NRRD0004\n"
        "type: uint8\n"
        "dimension: 3\n"
        "space: right-anterior-superior\n"
        f"sizes: {' '.join(map(str, label_map.grid.shape))}\n"
        f"space directions: {directions}\n"
        "kinds: domain domain domain\n"
        "encoding: raw\n"
        f"space origin: {_vector(affine[:3, 3])}\n"
        "\n"
    )
    path.write_bytes(header.encode("ascii") + label_map.values.tobytes(order="F"))


def read_labels(path: Path) -> NRRDLabels:
    """The label values of a ``.nrrd`` or ``.seg.nrrd`` file on the file's own grid.

    Raises `InputError` for a file that cannot be read, `GeometryError` for one without a place in the patient, and
    `LabelError` for a segmentation whose segments overlap (it has several layers).
    """
    try:
        values, header = nrrd.read(str(path), index_order="F")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path.name}") from error
    except (nrrd.NRRDError, OSError, EOFError, ValueError, KeyError, StopIteration) as error:
        raise InputError(f"{path.name} cannot be read as NRRD: the file is damaged or of another kind") from error
    directions = np.asarray(header.get("space directions", np.zeros((0, 3))), dtype=np.float64)
    if values.ndim == 4 and values.shape[0] == 1:
        values, directions = values[0], directions[1:]
    if values.ndim == 4:
        raise LabelError(
            f"{path.name} holds {values.shape[0]} layers of segments that overlap; one voxel can have one label: "
            "remove the overlap, and save again"
        )
    return NRRDLabels(values, _grid(values, directions, header, path.name), _segment_names(header))


def _grid(values: NDArray[Any], directions: NDArray[np.float64], header: dict[str, Any], name: str) -> Grid:
    space = str(header.get("space", "")).lower()
    signs = _RAS_SIGNS.get(_SHORT_SPACES.get(space, space))
    origin = np.asarray(header.get("space origin", ()), dtype=np.float64)
    if values.ndim != 3 or signs is None or directions.shape != (3, 3) or origin.shape != (3,):
        raise GeometryError(
            f"{name} does not say where its voxels lie in the patient; save it again as a 3D volume in RAS or LPS"
        )
    affine = np.eye(4)
    affine[:3, :3] = directions.T * np.array(signs)[:, np.newaxis]
    affine[:3, 3] = origin * signs
    i, j, k = values.shape
    return Grid((i, j, k), affine)


def _segment_names(header: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    numbers = sorted(int(m.group(1)) for m in (re.fullmatch(r"Segment(\d+)_Name", key) for key in header) if m)
    return tuple((str(header[f"Segment{n}_Name"]), int(header.get(f"Segment{n}_LabelValue", n + 1))) for n in numbers)


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"

"""NRRD files to label arrays, and label maps to NRRD, as annotation viewers exchange them."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import nrrd
import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap

SUFFIX = ".nrrd"
_ENCODINGS = ("raw", "gzip", "gz")
_CHUNK = 1 << 20
_BYTES = {
    "char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "short int": 2, "int16": 2, "uint16": 2,
    "int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "longlong": 8, "ulonglong": 8, "long long": 8,
    "long long int": 8, "int64": 8, "uint64": 8, "double": 8,
}  # fmt: skip
"""Bytes of a voxel by the names of types in the NRRD format, without "signed", "unsigned" and "_t"."""
_DAMAGED = (nrrd.NRRDError, OSError, EOFError, ValueError, KeyError, StopIteration, TypeError, zlib.error)
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
    `LabelError` for a segmentation whose segments overlap (it has several layers; `read_layers` reads those).
    """
    layers = read_layers(path)
    if len(layers) > 1:
        raise LabelError(
            f"{path.name} holds {len(layers)} layers of segments that overlap; one voxel can have one label: "
            "remove the overlap, and save again"
        )
    return layers[0]


def read_grid(path: Path) -> Grid:
    """The grid of a file from its header, which is checked: nothing of the voxels is read. Raises as `read_layers`."""
    return _grid_of(_header(path), path.name)


def read_layers(path: Path) -> tuple[NRRDLabels, ...]:
    """The layers of a file on one grid, each with the names of its own segments; one layer where nothing overlaps.

    Refused are, beside what cannot be read, headers that name another file for the voxels, and that promise another
    number of voxels than the file holds (no more is unpacked than promised).
    """
    header = _header(path)
    grid = _grid_of(header, path.name)
    try:
        values, _ = nrrd.read(str(path), index_order="F")
    except _DAMAGED as error:
        raise _damaged(path) from error
    layers = values if values.ndim == 4 else values[np.newaxis]
    names = _segment_names(header)
    return tuple(
        NRRDLabels(layer, grid, tuple((name, value) for name, value, own in names if own == number))
        for number, layer in enumerate(layers)
    )


def _header(path: Path) -> dict[str, Any]:
    """The header of a file whose voxels are in the file itself, and as many as the header says."""
    try:
        with path.open("rb") as stream:
            header: dict[str, Any] = nrrd.read_header(stream)
            if "data file" in header or "datafile" in header:
                raise InputError(f"{path.name} keeps its voxels in another file; save it as one file")
            encoding = str(header["encoding"]).lower()
            promised = math.prod(int(n) for n in header["sizes"]) * _item_bytes(header)
            held = _held_bytes(stream, encoding, promised)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path.name}") from error
    except _DAMAGED as error:
        raise _damaged(path) from error
    if encoding not in _ENCODINGS:
        raise InputError(f"{path.name} is encoded as {encoding}; save it as gzip or raw")
    if held != promised:
        raise InputError(
            f"{path.name} is damaged: its header promises {promised} bytes of voxels, and it holds "
            f"{'more' if held > promised else held}"
        )
    return header


def _item_bytes(header: dict[str, Any]) -> int:
    """The bytes of a voxel by the type in a header."""
    return _BYTES[str(header["type"]).lower().removeprefix("unsigned ").removeprefix("signed ").removesuffix("_t")]


def _held_bytes(stream: BinaryIO, encoding: str, promised: int) -> int:
    """The bytes of voxels in the rest of a stream; counted no farther than one beyond what is promised."""
    if not encoding.startswith("gz"):
        return len(stream.read(promised + 1))
    unpacker, held = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    while held <= promised and not unpacker.eof:
        packed = unpacker.unconsumed_tail or stream.read(_CHUNK)
        if not packed:
            break
        held += len(unpacker.decompress(packed, _CHUNK * 8))
    return held


def _damaged(path: Path) -> InputError:
    return InputError(f"{path.name} cannot be read as NRRD: the file is damaged or of another kind")


def _grid_of(header: dict[str, Any], name: str) -> Grid:
    """The place of the last three axes; a first axis of four counts layers."""
    shape = tuple(int(n) for n in header["sizes"])[-3:]
    directions = np.asarray(header.get("space directions", np.zeros((0, 3))), dtype=np.float64)[-3:]
    space = str(header.get("space", "")).lower()
    signs = _RAS_SIGNS.get(_SHORT_SPACES.get(space, space))
    origin = np.asarray(header.get("space origin", ()), dtype=np.float64)
    placed = signs is not None and directions.shape == (3, 3) and origin.shape == (3,) and np.isfinite(directions).all()
    if len(header["sizes"]) not in (3, 4) or signs is None or not placed:
        raise GeometryError(
            f"{name} does not say where its voxels lie in the patient; save it again as a 3D volume in RAS or LPS"
        )
    affine = np.eye(4)
    affine[:3, :3] = directions.T * np.array(signs)[:, np.newaxis]
    affine[:3, 3] = origin * signs
    i, j, k = shape
    return Grid((i, j, k), affine)


def _segment_names(header: dict[str, Any]) -> tuple[tuple[str, int, int], ...]:
    """The name, value and layer of each segment."""
    numbers = sorted(int(m.group(1)) for m in (re.fullmatch(r"Segment(\d+)_Name", key) for key in header) if m)
    return tuple(
        (
            str(header[f"Segment{n}_Name"]),
            int(header.get(f"Segment{n}_LabelValue", n + 1)),
            int(header.get(f"Segment{n}_Layer", 0)),
        )
        for n in numbers
    )


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"

"""NIfTI files to volumes and label maps, and back."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from renalct.core.errors import ErrorCode, GeometryError, InputError, LabelError, NotCT
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.quiet import quietly

SUFFIXES = (".nii", ".nii.gz")
_AIR_HU = -1024
_PADDING_BELOW_HU = -1500
_ROUNDING = 1e-4
_NUMBERS = "biuf"  # kinds of numpy types
_GZIP_AT_MOST = 1032  # bytes that deflate can make of one
_DAMAGED = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, OverflowError, zlib.error)


def is_nifti(path: Path) -> bool:
    """Whether a file's name says that it is NIfTI."""
    return path.name.lower().endswith(SUFFIXES)


def read_volume(path: Path) -> CTVolume:
    """The CT volume of a NIfTI file, in HU, on the file's own voxel grid; padding becomes -1024 HU.

    Integral values become int16. Raises `NotCT` when the values cannot be HU (for example 0 to 255), `GeometryError`
    for a file that is not 3D or has no place in the patient, and `InputError` for one that cannot be read.
    """
    values, grid = _read(path)
    if not np.isfinite(values).all():
        raise InputError(
            f"{path.name} holds values that are not finite; export the CT again", code=ErrorCode.NOT_CT_NUMBERS
        )
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low >= 0 or high > 70000:
        raise NotCT(
            f"{path.name} holds values from {low:g} to {high:g}, which are not CT numbers (fat and air are negative); "
            "give the CT itself, not a label map or a rescaled picture",
            code=ErrorCode.NOT_CT_NUMBERS,
        )
    values[values < _PADDING_BELOW_HU] = _AIR_HU
    if high <= np.iinfo(np.int16).max and np.array_equal(values, np.rint(values)):
        return CTVolume(values.astype(np.int16), grid)
    return CTVolume(values, grid)


def read_label_map(path: Path) -> LabelMap:
    """The label map of a NIfTI file. Raises `LabelError` for values that are not those of `Structure`.

    Whole numbers may be off by the rounding of the file's own scale.
    """
    values, grid = _read(path, as_stored=True)
    last = max(Structure)
    whole = np.issubdtype(values.dtype, np.integer)
    if not whole or values.min(initial=0) < 0 or values.max(initial=0) > last:
        rounded = np.rint(values)
        allowed = np.isclose(values, rounded, rtol=0, atol=_ROUNDING) & (rounded >= 0) & (rounded <= last)
        if not allowed.all():
            wrong = values[~allowed].flat[0]
            raise LabelError(f"{path.name} holds the value {wrong:g}; label values are whole numbers from 0 to {last}")
        values = rounded
    return LabelMap(values.astype(np.uint8), grid)


def read_array(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """The values of a 3D NIfTI file as they stand, and their grid. Raises like `read_volume`, but for `NotCT`."""
    return _read(path)


def read_stored(path: Path) -> tuple[NDArray[Any], Grid]:
    """The values of a 3D NIfTI file in the type that they are stored in, and their grid. Raises like `read_array`."""
    return _read(path, as_stored=True)


def read_grid(path: Path) -> Grid:
    """The grid of a 3D NIfTI file, from its header alone. Raises like `read_array`."""
    return _grid(_opened(path), path)


def write_array(values: NDArray[np.float32], grid: Grid, path: Path) -> None:
    """Write values as NIfTI on their grid, as `read_array` reads them; the same values give the same bytes."""
    _write(np.ascontiguousarray(values.T).T, grid, path)


def write_label_map(label_map: LabelMap, path: Path) -> None:
    """Write a label map as compressed NIfTI on its own grid; the same map gives the same bytes."""
    _write(np.ascontiguousarray(label_map.values.T).T, label_map.grid, path)


def write_volume(volume: CTVolume, path: Path) -> None:
    """Write a CT volume as NIfTI in HU; the same volume gives the same bytes."""
    _write(np.asarray(volume.hu), volume.grid, path)


def _read(path: Path, *, as_stored: bool = False) -> tuple[NDArray[Any], Grid]:
    """The values as float32, or in the type that the file has, which is small for labels."""
    image = _opened(path)
    grid = _grid(image, path)
    _refuse_hollow(image, path)
    if image.get_data_dtype().kind not in _NUMBERS:
        raise InputError(f"{path.name} holds colors or complex numbers; plain numbers are needed: save it again")
    try:
        values = np.asarray(image.dataobj, dtype=None if as_stored else np.float32)
    except _DAMAGED as error:
        raise InputError(
            f"{path.name} cannot be read as NIfTI: the file is damaged or of another kind", code=ErrorCode.DAMAGED_FILE
        ) from error
    except MemoryError as error:
        size = " x ".join(map(str, grid.shape))
        raise InputError(
            f"{path.name} has {size} voxels by its header, more than fit into memory", code=ErrorCode.NO_MEMORY
        ) from error
    return values.reshape(grid.shape), grid


def _opened(path: Path) -> Any:
    try:
        with quietly():
            return nib.load(path)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path.name}", code=ErrorCode.NO_INPUT) from error
    except _DAMAGED as error:
        raise InputError(
            f"{path.name} cannot be read as NIfTI: the file is damaged or of another kind", code=ErrorCode.DAMAGED_FILE
        ) from error


def _refuse_hollow(image: Any, path: Path) -> None:
    """Raise `InputError` when the header promises more voxels than the file can hold, before memory is taken."""
    promised = int(np.prod([int(n) for n in image.shape], dtype=object)) * int(image.get_data_dtype().itemsize)
    if promised > _GZIP_AT_MOST * path.stat().st_size:
        raise InputError(
            f"{path.name} is damaged: its header promises {promised >> 20} MiB, which it cannot hold",
            code=ErrorCode.DAMAGED_FILE,
        )


def _grid(image: Any, path: Path) -> Grid:
    shape = tuple(int(n) for n in image.shape)
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != 3:
        raise GeometryError(f"{path.name} has {len(shape)} dimensions; one 3D volume is needed")
    if image.affine is None or not np.isfinite(image.affine).all():
        raise GeometryError(f"{path.name} has no valid affine: the position of its voxels in the patient is unknown")
    return Grid(shape, image.affine)


def _write(values: NDArray[Any], grid: Grid, path: Path) -> None:
    image: Any = nib.Nifti1Image(values, grid.affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    path.write_bytes(_compressed(image.to_bytes()) if path.name.endswith(".gz") else image.to_bytes())


def _compressed(data: bytes) -> bytes:
    """gzip without a time stamp or a file name, fast level: label maps shrink a hundredfold all the same."""
    return gzip.compress(data, compresslevel=3, mtime=0)

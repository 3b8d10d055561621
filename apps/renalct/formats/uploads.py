"""A file or folder that somebody sent as labels of an image: refused before it is read, or read by its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, SegmentationStorage

from renalct.core.errors import GeometryError, InputError
from renalct.core.grid import Grid
from renalct.formats import nifti, nrrd_labels
from renalct.formats.annotation import Annotation, Names, read_annotated
from renalct.formats.dicom.seg_reading import LABELMAP_STORAGE, read_segmentation
from renalct.formats.dicom.walk import list_files

_MIB = 1 << 20


@dataclass(frozen=True)
class UploadLimits:
    """The most bytes that labels of an image may have: so many for each of its voxels, and for headers; never more
    than `most_mib`. A label map of doubles, uncompressed, has 8 for each voxel."""

    bytes_per_voxel: float = 9.0
    header_mib: int = 16
    most_mib: int = 4096

    def most_bytes(self, grid: Grid) -> int:
        """The limit for an image."""
        i, j, k = grid.shape
        return min(self.most_mib * _MIB, int(i * j * k * self.bytes_per_voxel) + self.header_mib * _MIB)


USUAL_LIMITS = UploadLimits()


def read_upload(path: Path, names: Names, *, grid: Grid, limits: UploadLimits = USUAL_LIMITS) -> Annotation:
    """The labels in a NIfTI or NRRD file, a DICOM segmentation, or a folder that holds one DICOM segmentation.

    Size and header are checked before a voxel is read. Raises `InputError` for what is too large, damaged or of
    another kind, and as `read_annotated` and `read_segmentation`.
    """
    if path.is_dir():
        path = _only_segmentation(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"there is no file {path.name}; send the labels again") from error
    if size > limits.most_bytes(grid):
        raise InputError(
            f"{path.name} has {size // _MIB} MiB, more than labels of this image can have "
            f"({limits.most_bytes(grid) // _MIB} MiB); save it compressed"
        )
    if nifti.is_nifti(path) or path.name.lower().endswith(nrrd_labels.SUFFIX) or not _is_segmentation(path):
        return read_annotated(path, names, grid=grid)
    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise InputError(f"{path.name} is deflated as a whole; save it in another transfer syntax")
    _refuse_larger_frames(path, grid)
    try:
        return Annotation(read_segmentation(path, grid))
    except (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} is a damaged DICOM segmentation ({type(error).__name__}); export it again"
        ) from error


def _refuse_larger_frames(path: Path, grid: Grid) -> None:
    """Raise `GeometryError` for frames larger than the image, before one is unpacked."""
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    rows, columns = int(header.get("Rows", 0)), int(header.get("Columns", 0))
    if max(rows, columns) > max(grid.shape):
        raise GeometryError(
            f"{path.name} has frames of {rows} x {columns} pixels, larger than its image; send the labels of this image"
        )


def _only_segmentation(folder: Path) -> Path:
    found = [file.path for file in list_files(folder).files if _is_segmentation(file.path)]
    if len(found) != 1:
        raise InputError(f"the folder holds {len(found)} DICOM segmentations; send the one that is meant")
    return found[0]


def _is_segmentation(path: Path) -> bool:
    try:
        return read_file_meta_info(path).get("MediaStorageSOPClassUID") in (SegmentationStorage, LABELMAP_STORAGE)
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError):
        return False

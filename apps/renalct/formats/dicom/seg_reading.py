"""Segmentation objects read as label maps: structures by their codes, places by their geometry, never by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, SegmentationStorage

from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.labels import Structure, structure_named
from renalct.core.volume import LabelMap
from renalct.formats.dicom.codes import code_key, is_kidney, is_unspecific, structure_coded
from renalct.formats.segment_names import is_label

LABELMAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
_TO_RAS = np.array([-1.0, -1.0, 1.0])
_SAME_PLACE_VOXELS = 0.01
_ORDER = (Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA)
"""Where segments overlap the later structure stays: a mass lies on its kidney."""


def read_segmentation(path: Path, grid: Grid) -> LabelMap:
    """The structures of a DICOM segmentation (BINARY, FRACTIONAL above one half, or LABELMAP) on a grid.

    Segments are known by their property type; only where that says no more than "tissue" or "organ" does the segment
    label count. A segment that is named as background, a scribble or one of our overlays is no label. Frames are placed
    by their own position and orientation, which may be flipped or transposed against the grid, may leave slices out,
    and may cover part of it. Raises `LabelError` for a segment that is no renal structure, and `GeometryError` when a
    frame with voxels does not lie on the grid or the frames of reference differ.
    """
    segmentation = _read(path)
    structures = {int(item.SegmentNumber): _structure(item) for item in segmentation.SegmentSequence}
    frame_of_reference = str(segmentation.get("FrameOfReferenceUID", ""))
    if grid.frame_of_reference_uid and frame_of_reference != grid.frame_of_reference_uid:
        raise GeometryError(
            f"the segmentation {path.name} has the frame of reference {frame_of_reference or 'none'}, the image has "
            f"{grid.frame_of_reference_uid}; use the segmentation of this image"
        )
    values = np.zeros(grid.shape, dtype=np.uint8)
    frames = [_frame(segmentation, number) for number in range(int(segmentation.NumberOfFrames))]
    order = sorted(range(len(frames)), key=lambda n: _rank(structures.get(frames[n].segment_number)))
    for number in order:
        pixels = _pixels(segmentation, number)
        if pixels.any():
            target = _target(values, frames[number], grid, path.name)
            _paint(target, pixels, frames[number].segment_number, structures, path.name)
    return LabelMap(values, grid)


def referenced_series(path: Path) -> str:
    """The SeriesInstanceUID of the images that a DICOM segmentation was made on; "" where it names none.

    Raises `InputError` when the file is no DICOM segmentation.
    """
    series = _read(path, headers_alone=True).get("ReferencedSeriesSequence") or [Dataset()]
    return str(series[0].get("SeriesInstanceUID", ""))


def is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM segmentation; quick, and never an error."""
    try:
        return read_file_meta_info(path).get("MediaStorageSOPClassUID") in (SegmentationStorage, LABELMAP_STORAGE)
    except (InvalidDicomError, OSError, EOFError, ValueError, KeyError):
        return False


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where a frame lies (LPS, mm), and its segment number; 0 in a label map, where the pixels are the numbers."""

    position: NDArray[np.float64]
    row_step: NDArray[np.float64]
    column_step: NDArray[np.float64]
    rows: int
    columns: int
    segment_number: int


def _read(path: Path, *, headers_alone: bool = False) -> Dataset:
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=headers_alone)
    except (InvalidDicomError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as a DICOM file; a DICOM segmentation is needed") from error
    if dataset.get("SOPClassUID") not in (SegmentationStorage, LABELMAP_STORAGE):
        found = UID(str(dataset.get("SOPClassUID", ""))).name or "an unknown object"
        raise InputError(f"{path.name} is a {found}; a DICOM segmentation is needed")
    return dataset


def _structure(item: Dataset) -> Structure:
    coded = item.SegmentedPropertyTypeCodeSequence[0]
    regions = item.get("AnatomicRegionSequence", [])
    name = str(item.get("SegmentLabel", ""))
    if item.SegmentNumber == 0 or not is_label(name):
        return Structure.BACKGROUND
    structure = structure_coded(coded)
    if structure is None and is_unspecific(coded):
        structure = structure_named(name)
    if structure is None or (regions and not any(is_kidney(region) for region in regions)):
        value, scheme = code_key(regions[0] if structure is not None else coded)
        raise LabelError(
            f"segment {item.SegmentNumber} ({name!r}, code {value} of {scheme}) is no kidney, renal tumor or cyst; "
            "remove it from the segmentation, or give it the code of one"
        )
    return structure


def _rank(structure: Structure | None) -> int:
    return _ORDER.index(structure) if structure in _ORDER else -1


def _frame(segmentation: Dataset, number: int) -> _Frame:
    own = segmentation.PerFrameFunctionalGroupsSequence[number]
    shared = segmentation.SharedFunctionalGroupsSequence[0]

    def group(keyword: str) -> Dataset | None:
        items: list[Dataset] = [*own.get(keyword, ()), *shared.get(keyword, ())]
        return items[0] if items else None

    position, orientation = group("PlanePositionSequence"), group("PlaneOrientationSequence")
    measures, identification = group("PixelMeasuresSequence"), group("SegmentIdentificationSequence")
    if position is None or orientation is None or measures is None:
        raise GeometryError(f"frame {number + 1} of the segmentation has no position, orientation or pixel spacing")
    row, column = np.asarray(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    row_spacing, column_spacing = (float(v) for v in measures.PixelSpacing)
    return _Frame(
        np.asarray(position.ImagePositionPatient, dtype=np.float64),
        column * row_spacing,
        row * column_spacing,
        int(segmentation.Rows),
        int(segmentation.Columns),
        0 if identification is None else int(identification.ReferencedSegmentNumber),
    )


def _pixels(segmentation: Dataset, number: int) -> NDArray[np.generic]:
    pixels = pixel_array(segmentation, index=number)
    if segmentation.get("SegmentationType") == "FRACTIONAL":
        pixels = pixels > int(segmentation.MaximumFractionalValue) / 2
    return pixels


def _target(values: NDArray[np.uint8], frame: _Frame, grid: Grid, name: str) -> NDArray[np.uint8]:
    """The voxels of the grid that the frame's pixels are, as a writable view (row, column)."""
    to_index = np.linalg.inv(grid.affine[:3, :3]) * _TO_RAS
    steps = np.stack([to_index @ frame.row_step, to_index @ frame.column_step])
    start = grid.to_index(frame.position * _TO_RAS)
    whole_steps, whole_start = np.rint(steps).astype(int), np.rint(start).astype(int)
    extent = np.array([[frame.rows], [frame.columns]])
    drift = max(np.abs((steps - whole_steps) * extent).max(), np.abs(start - whole_start).max())
    stop = whole_start + ((extent - 1) * whole_steps).sum(axis=0)
    corners = np.stack([whole_start, stop])
    on_grid = (corners >= 0).all() and (corners < np.asarray(grid.shape)).all()
    if drift > _SAME_PLACE_VOXELS or np.abs(whole_steps).sum() != 2 or not on_grid:
        place = ", ".join(f"{v:.2f}" for v in frame.position)
        raise GeometryError(
            f"a frame of the segmentation {name} at ({place}) mm does not lie on the voxels of the image; "
            "use the segmentation of this image, or resample it"
        )
    row_axis, column_axis = (int(np.argmax(np.abs(step))) for step in whole_steps)
    if row_axis == column_axis:
        raise GeometryError(f"the rows and columns of the segmentation {name} run the same way")
    index: list[int | slice] = [int(v) for v in whole_start]
    for axis, step in zip((row_axis, column_axis), whole_steps, strict=True):
        end = int(stop[axis]) + int(step[axis])
        index[axis] = slice(int(whole_start[axis]), None if end < 0 else end, int(step[axis]))
    plane = values[tuple(index)]
    return plane if row_axis < column_axis else plane.T


def _paint(
    target: NDArray[np.uint8],
    pixels: NDArray[np.generic],
    segment_number: int,
    structures: dict[int, Structure],
    name: str,
) -> None:
    numbers = [segment_number] if segment_number else [int(n) for n in np.unique(pixels) if n]
    unknown = [n for n in numbers if n not in structures]
    if unknown:
        raise LabelError(f"the segmentation {name} has voxels of segment {unknown[0]}, which it does not describe")
    for number in numbers:
        target[pixels.astype(bool) if segment_number else pixels == number] = structures[number]

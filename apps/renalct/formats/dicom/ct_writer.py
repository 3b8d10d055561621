"""Writes a made CT volume as a DICOM series, with the variety of scanners: positions, encodings, character sets.

Every file says that it is made data (Manufacturer, ImageComments, PatientName). All UIDs are computed from
`SeriesSettings.study_key`, so that the same volume and settings give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from renalct.core.grid import Grid
from renalct.core.phase import Phase
from renalct.core.volume import CTVolume
from renalct.formats.dicom.uids import derived_uid

_MADE = "Synthetic data made by renalct. No patient."
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
_LPS = np.array((-1.0, -1.0, 1.0))
_OUTSIDE_HU = -1024

# The directions of rows and columns (LPS) in an image of a supine, prone or lateral patient, head or feet first.
_DIRECTIONS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "HFDR": ((0, 1, 0), (-1, 0, 0)),
    "HFDL": ((0, -1, 0), (1, 0, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "FFDR": ((0, -1, 0), (-1, 0, 0)),
    "FFDL": ((0, 1, 0), (1, 0, 0)),
}


class SliceOrder(Enum):
    """How instance numbers and file names run: along the slice normal, against it, or at random."""

    ASCENDING = "ascending"
    DESCENDING = "descending"
    SHUFFLED = "shuffled"


@dataclass(frozen=True)
class SeriesSettings:
    """How a series is written. `padding_value` (HU) fills the corners outside the circle of reconstruction.

    `study_key` makes the UIDs: series with the same key belong to one study.
    """

    study_key: str
    series_number: int = 2
    description: str = ""
    patient_position: str = "HFS"
    reversed_rows: bool = False
    slice_order: SliceOrder = SliceOrder.ASCENDING
    padding_value: int | None = None
    signed: bool = True
    transfer_syntax_uid: UID = ExplicitVRLittleEndian
    character_set: str = "ISO_IR 100"
    patient_name: str = "Synthetic^Phantom"
    patient_id: str = "SYNTHETIC"
    slice_thickness_mm: float | None = None

    def __post_init__(self) -> None:
        if self.patient_position not in _DIRECTIONS:
            raise ValueError(f"a patient position is one of {', '.join(_DIRECTIONS)}, not {self.patient_position!r}")
        if self.padding_value is not None and not self.signed and self.padding_value < self.intercept:
            raise ValueError("unsigned pixels with an intercept of -1024 cannot hold a lower padding value")

    @property
    def intercept(self) -> int:
        """RescaleIntercept: unsigned pixels are HU + 1024."""
        return 0 if self.signed else -1024

    @property
    def directions(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Directions (LPS) in which column and row index grow."""
        row, column = (np.array(direction) for direction in _DIRECTIONS[self.patient_position])
        return row, -column if self.reversed_rows else column


def write_ct_series(volume: CTVolume, folder: Path, *, settings: SeriesSettings) -> tuple[Path, ...]:
    """The files of a CT Image Storage series that shows the volume, one per slice, in order of instance number.

    Axes are turned to the directions that belong to the patient position; no voxel is resampled. The folder is made.
    """
    frames, grid = _turned(volume, settings)
    stored = _stored(frames, settings)
    folder.mkdir(parents=True, exist_ok=True)
    count = len(stored)
    order = {
        SliceOrder.ASCENDING: np.arange(count),
        SliceOrder.DESCENDING: np.arange(count)[::-1],
        SliceOrder.SHUFFLED: np.random.default_rng(count).permutation(count),
    }[settings.slice_order]
    paths = []
    for number, k in enumerate(order, start=1):
        image = _common(settings, volume, number)
        _add_plane(image, grid, int(k))
        image.SliceThickness = _decimal(settings.slice_thickness_mm or grid.spacing_mm[2])
        _add_pixels(image, stored[k], settings)
        path = folder / f"IM{number:04d}.dcm"
        image.save_as(path, enforce_file_format=True)
        paths.append(path)
    return tuple(paths)


def write_scout(volume: CTVolume, folder: Path, *, settings: SeriesSettings) -> Path:
    """The file of a LOCALIZER image: the volume seen from the front, summed along the rays."""
    grid = volume.grid.canonical()
    hu = _in_canonical_order(volume)
    view = np.clip(hu[::-1, :, ::-1], -1000, 1000).mean(axis=1, dtype=np.float32)  # (left, down)
    stored = _stored(view.T[None], replace(settings, padding_value=None))
    corner = grid.to_patient((grid.shape[0] - 1, (grid.shape[1] - 1) / 2, grid.shape[2] - 1))
    image = _common(settings, volume, 1)
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    image.SeriesDescription = settings.description or "Scout"
    image.RescaleType = "US"
    image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    image.ImagePositionPatient = [_decimal(v) for v in corner * _LPS]
    image.PixelSpacing = [_decimal(grid.spacing_mm[2]), _decimal(grid.spacing_mm[0])]
    image.SliceThickness = _decimal(grid.spacing_mm[1] * grid.shape[1])
    _add_pixels(image, stored[0], replace(settings, padding_value=None))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "IM0001.dcm"
    image.save_as(path, enforce_file_format=True)
    return path


def _in_canonical_order(volume: CTVolume) -> NDArray[np.generic]:
    axes = volume.grid.canonical_axes
    turned = volume.hu.transpose([axis for axis, _ in axes])
    return turned[tuple(slice(None, None, sign) for _, sign in axes)]


def _turned(volume: CTVolume, settings: SeriesSettings) -> tuple[NDArray[np.generic], Grid]:
    """The HU as (slice, row, column) along the slice normal, and the grid of (column, row, slice)."""
    row, column = settings.directions
    wanted = [direction * _LPS for direction in (row, column, np.cross(row, column))]  # RAS
    source = volume.grid.canonical()
    order = [int(np.argmax(np.abs(direction))) for direction in wanted]
    signs = [int(np.sign(direction[axis])) for direction, axis in zip(wanted, order, strict=True)]
    hu = _in_canonical_order(volume).transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    affine = np.eye(4)
    corner = np.zeros(3)
    for target, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, target] = sign * source.affine[:3, axis]
        corner[axis] = 0 if sign > 0 else source.shape[axis] - 1
    affine[:3, 3] = source.to_patient(corner)
    return hu.transpose(2, 1, 0), Grid(hu.shape, affine)  # type: ignore[arg-type]


def _stored(frames: NDArray[np.generic], settings: SeriesSettings) -> NDArray[np.generic]:
    """Stored pixel values, with padding outside the inscribed circle where asked."""
    dtype = np.int16 if settings.signed else np.uint16
    limits = np.iinfo(dtype)
    values = np.rint(frames).astype(np.int32) - settings.intercept
    if settings.padding_value is not None:
        rows, columns = frames.shape[1:]
        j = (np.arange(rows)[:, None] + 0.5) / rows - 0.5
        i = (np.arange(columns)[None, :] + 0.5) / columns - 0.5
        values[:, np.hypot(i, j) > 0.5] = settings.padding_value - settings.intercept
    return np.clip(values, limits.min, limits.max).astype(dtype)


def _common(settings: SeriesSettings, volume: CTVolume, number: int) -> Dataset:
    """The attributes that do not depend on the plane or the pixels."""
    series = f"series {settings.series_number}"
    image = Dataset()
    image.SpecificCharacterSet = settings.character_set.split("\\")
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = derived_uid("made CT", settings.study_key, series, f"image {number}")
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20240102"
    image.StudyTime = "080000"
    image.SeriesTime = image.AcquisitionTime = image.ContentTime = f"08{settings.series_number % 60:02d}00"
    image.AccessionNumber = ""
    image.Modality = "CT"
    image.Manufacturer = "renalct (synthetic data)"
    image.ManufacturerModelName = "Phantom"
    image.ReferringPhysicianName = ""
    image.StudyDescription = "Synthetic abdomen"
    image.SeriesDescription = settings.description
    image.PatientName = settings.patient_name
    image.PatientID = settings.patient_id
    image.PatientBirthDate = ""
    image.PatientSex = ""
    image.PatientPosition = settings.patient_position
    image.BodyPartExamined = "ABDOMEN"
    image.KVP = "120"
    image.ConvolutionKernel = "STANDARD"
    if volume.phase.phase not in (Phase.NON_CONTRAST, Phase.UNKNOWN):
        image.ContrastBolusAgent = "Synthetic contrast"
    image.StudyInstanceUID = derived_uid("made CT", settings.study_key, "study")
    image.SeriesInstanceUID = derived_uid("made CT", settings.study_key, series)
    image.FrameOfReferenceUID = volume.grid.frame_of_reference_uid or derived_uid(
        "made CT", settings.study_key, "frame of reference"
    )
    image.PositionReferenceIndicator = ""
    image.StudyID = "1"
    image.SeriesNumber = settings.series_number
    image.AcquisitionNumber = settings.series_number
    image.InstanceNumber = number
    image.ImageComments = _MADE
    image.RescaleIntercept = settings.intercept
    image.RescaleSlope = 1
    image.RescaleType = "HU"
    image.WindowCenter = 40
    image.WindowWidth = 400
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = settings.transfer_syntax_uid
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _add_plane(image: Dataset, grid: Grid, k: int) -> None:
    position = grid.to_patient((0, 0, k)) * _LPS
    unit = grid.affine[:3, :3] / grid.spacing_mm
    image.ImageOrientationPatient = [_decimal(v) for axis in (0, 1) for v in unit[:, axis] * _LPS]
    image.ImagePositionPatient = [_decimal(v) for v in position]
    image.PixelSpacing = [_decimal(grid.spacing_mm[1]), _decimal(grid.spacing_mm[0])]
    image.SliceLocation = _decimal(float(np.dot(position, unit[:, 2] * _LPS)))


def _add_pixels(image: Dataset, stored: NDArray[np.generic], settings: SeriesSettings) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = stored.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = int(settings.signed)
    if settings.padding_value is not None:
        image.PixelPaddingValue = settings.padding_value - settings.intercept
        image["PixelPaddingValue"].VR = "SS" if settings.signed else "US"
    syntax = settings.transfer_syntax_uid
    if syntax in _NATIVE:
        big = syntax == ExplicitVRBigEndian
        image.PixelData = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
        image["PixelData"].VR = "OW"
        return
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.compress(syntax, np.ascontiguousarray(stored), generate_instance_uid=False)


def _decimal(value: float) -> str:
    """A decimal string (DS, at most 16 characters) of a number, with 1e-6 mm kept."""
    text = f"{round(float(value), 6) + 0.0:.6f}".rstrip("0").rstrip(".")
    return text[:16]

"""Small made CT series as DICOM: every pixel's number says where it is, so that a wrong place shows.

`made_slices` gives data sets to change at will, `save` writes them, `hu_at` says what a pixel must read.
"""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from renalct.formats.dicom.headers import SeriesHeaders
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series

ROWS, COLUMNS, SLICES = 5, 7, 6
SPACING_MM = (0.9, 0.6)
"""PixelSpacing: between rows, between columns. Not square."""
STEP_MM = 2.5
ORIGIN_MM = (-120.5, -80.25, -310.0)
"""LPS, of the slice that lies lowest along the slice normal."""
SUPINE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

PATIENT_POSITIONS = {
    "HFS": SUPINE,
    "HFP": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "HFDR": (0.0, 1.0, 0.0, -1.0, 0.0, 0.0),
    "HFDL": (0.0, -1.0, 0.0, 1.0, 0.0, 0.0),
    "FFS": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "FFP": (1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "FFDR": (0.0, -1.0, 0.0, -1.0, 0.0, 0.0),
    "FFDL": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
}

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def hu_at(column, row, k):
    """The number of a made pixel: 100 for each slice, 10 for each row, 1 for each column, from -700 on."""
    return -700 + 100 * k + 10 * row + column


def slice_hu(k, rows=ROWS, columns=COLUMNS):
    row, column = np.mgrid[:rows, :columns]
    return hu_at(column, row, k)


def volume_hu(slices=SLICES):
    """What `load_series` must give: (columns, rows, slices)."""
    return np.stack([slice_hu(k).T for k in range(slices)], axis=-1)


def made_slices(
    slices=SLICES,
    *,
    orientation=SUPINE,
    origin=ORIGIN_MM,
    step=STEP_MM,
    spacing=SPACING_MM,
    series="1.2.3.4",
    study="1.2.3",
    values=slice_hu,
    **attributes,
):
    """Data sets of an axial series, in order of position along the slice normal; `attributes` go into each."""
    normal = np.cross(orientation[:3], orientation[3:])
    made = []
    for k in range(slices):
        dataset = Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = f"{series}.9.{k + 1}"
        dataset.StudyInstanceUID = study
        dataset.SeriesInstanceUID = series
        dataset.FrameOfReferenceUID = f"{study}.77"
        dataset.Modality = "CT"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientName = "Made^Data"
        dataset.PatientID = "MADE"
        dataset.InstanceNumber = k + 1
        dataset.SeriesNumber = 3
        dataset.SliceThickness = step
        dataset.ImageOrientationPatient = [float(v) for v in orientation]
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.asarray(origin) + k * step * normal]
        dataset.PixelSpacing = list(spacing)
        set_pixels(dataset, values(k))
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        made.append(dataset)
    return made


def set_pixels(dataset, hu, *, dtype=np.int16, slope=1, intercept=0, bits_stored=None):
    """Store Hounsfield units as `dtype` under a rescale; an intercept of None writes no rescale at all."""
    stored = np.round((np.asarray(hu) - (intercept or 0)) / slope).astype(dtype)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = bits_stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword in ("RescaleIntercept", "RescaleSlope"):
        if keyword in dataset:
            delattr(dataset, keyword)
    if intercept is not None:
        dataset.RescaleIntercept, dataset.RescaleSlope = intercept, slope


def save(datasets, folder: Path, syntax=ExplicitVRLittleEndian, prefix="IM"):
    """Write data sets as IM0001.dcm and so on; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets, start=1):
        save_one(dataset, folder / f"{prefix}{number:04d}.dcm", syntax)
    return folder


def save_one(dataset, path: Path, syntax=ExplicitVRLittleEndian):
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if syntax == ExplicitVRBigEndian and dataset.BitsAllocated == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def save_compressed(dataset, path: Path, syntax, frames):
    """Write a data set whose pixels are the given encoded frames."""
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return save_one(dataset, path, syntax)


def made_multiframe(frames, *, series="1.2.3.4", **attributes):
    """An enhanced CT image whose frames are the given data sets of single slices, in their order."""
    first = frames[0]
    image = Dataset()
    for keyword in (
        "StudyInstanceUID", "FrameOfReferenceUID", "Modality", "PatientName", "PatientID", "Rows", "Columns",
        "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    ):  # fmt: skip
        setattr(image, keyword, getattr(first, keyword))
    image.SOPClassUID = EnhancedCTImageStorage
    image.SOPInstanceUID = f"{series}.9.1"
    image.SeriesInstanceUID = series
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(first, "PixelSpacing", "SliceThickness")]
    shared.PlaneOrientationSequence = [_item(first, "ImageOrientationPatient")]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = [_frame_groups(frame) for frame in frames]
    image.PixelData = b"".join(frame.PixelData for frame in frames)
    image["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


def _frame_groups(frame):
    groups = Dataset()
    groups.PlanePositionSequence = [_item(frame, "ImagePositionPatient")]
    groups.PixelValueTransformationSequence = [_item(frame, "RescaleIntercept", "RescaleSlope")]
    groups.PixelValueTransformationSequence[0].RescaleType = "HU"
    content = _item(frame, "TemporalPositionIndex", "FrameAcquisitionDateTime")
    if "AcquisitionNumber" in frame:
        content.FrameAcquisitionNumber = frame.AcquisitionNumber
    groups.FrameContentSequence = [content]
    return groups


def _item(source, *keywords):
    item = Dataset()
    for keyword in keywords:
        if keyword in source:
            setattr(item, keyword, getattr(source, keyword))
    return item


def made_scout(series="1.2.3.5"):
    (scout,) = made_slices(1, series=series, orientation=(0, 1, 0, 0, 0, -1))
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return scout


def made_screenshot(series="1.2.3.6"):
    (picture,) = made_slices(1, series=series)
    picture.SOPClassUID = SecondaryCaptureImageStorage
    return picture


def only_series(path) -> SeriesHeaders:
    (series,) = scan_study(path).series
    return series


def load(path) -> LoadedSeries:
    return load_series(only_series(path))

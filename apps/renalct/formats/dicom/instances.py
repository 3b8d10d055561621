"""One DICOM file's header, read as CT slices, or the reason why it holds none."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from renalct.formats.dicom.bounded import read_dataset
from renalct.formats.dicom.headers import Acquisition, Rescale, SliceHeader, Vector
from renalct.formats.dicom.walk import FileReader, StudyFile, is_dicom

_MULTIFRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_FARTHEST_MM = 1e5
_MODALITIES = frozenset(
    {
        "AU", "CR", "DOC", "DX", "ECG", "IO", "IVOCT", "IVUS", "KO", "M3D", "MG", "MR", "NM", "OCT", "OP", "OPT", "OT",
        "PR", "PT", "PX", "REG", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "RWV", "SC", "SEG", "SM", "SR",
        "US", "XA", "XC",
    }
)  # fmt: skip
"""Defined terms that messages may repeat (PS3.3 C.7.3.1.1.1): what else stands there may be anything."""
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
_WANTED = [
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "InstanceNumber", "AcquisitionNumber", "AcquisitionDate",
    "AcquisitionTime", "AcquisitionDateTime", "TemporalPositionIdentifier", "TemporalPositionIndex",
    "ContrastBolusAgent", "ContrastBolusAgentPhase", "ConvolutionKernel", "SliceThickness", "KVP", "GantryDetectorTilt",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "SamplesPerPixel",
    "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "RescaleType", "LossyImageCompression",
    "NumberOfFrames", "ConcatenationUID", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


class NotASlice(Exception):
    """The file holds no CT slice; the message finishes the sentence "<file name> ..."."""


class LostSlice(NotASlice):
    """The file may be a CT slice, which cannot be read or placed."""


class Instance:
    """The slices of one file, with the identifiers that group them."""

    def __init__(self, header: Dataset, slices: tuple[SliceHeader, ...]) -> None:
        self.study_instance_uid = str(header.get("StudyInstanceUID", ""))
        self.series_instance_uid = str(header.get("SeriesInstanceUID", ""))
        self.sop_instance_uid = str(header.SOPInstanceUID)
        self.slices = slices


def read_instance(reader: FileReader, file: StudyFile) -> Instance:
    """The CT slices of a file, from its header only. Raises `NotASlice` for every file without any,
    `LostSlice` for one that may hold some."""
    try:
        with reader.open(file) as stream:
            if not is_dicom(stream):
                kind = LostSlice if (file.member or file.path.name).lower().endswith(".dcm") else NotASlice
                raise kind("is not a DICOM file")
            header = read_dataset(stream, stop_before_pixels=True, specific_tags=_WANTED)
        return _slices_of(header, file)
    except NotASlice:
        raise
    except OSError as error:
        raise LostSlice(f"cannot be read ({error.strerror or type(error).__name__})") from error
    except Exception as error:  # pydicom and zipfile raise many types on damaged data
        raise LostSlice(f"is damaged: its header cannot be read ({type(error).__name__})") from error


def read_header(reader: FileReader, file: StudyFile) -> Dataset:
    """The complete header of a file, or of a damaged one what matters here; without pixel data."""
    try:
        with reader.open(file) as stream:
            return read_dataset(stream, stop_before_pixels=True)
    except Exception:  # what nobody asks for is damaged; what is asked for was read before
        with reader.open(file) as stream:
            return read_dataset(stream, stop_before_pixels=True, specific_tags=_WANTED)


def _slices_of(header: Dataset, file: StudyFile) -> Instance:
    _refuse_other_objects(header)
    image_type = _words([header], "ImageType")
    if "LOCALIZER" in image_type:
        raise NotASlice("is a scout (localizer), not a slice")
    if int(header.get("SamplesPerPixel") or 1) != 1 or "RGB" in str(header.get("PhotometricInterpretation", "")):
        raise NotASlice("is a color picture, not CT numbers")
    missing = [keyword for keyword in _IDENTIFIERS[1:4] if keyword not in header]
    if missing:
        raise LostSlice(f"has no {' and no '.join(missing)}: its header is incomplete")
    for keyword in _IDENTIFIERS:
        if not isinstance(header.get(keyword, ""), str | None):
            raise LostSlice(f"has a damaged {keyword}: it is no UID")
    if "PerFrameFunctionalGroupsSequence" not in header:
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise LostSlice("has several frames but no per-frame positions")
        return Instance(header, (_slice([header], file, 0),))
    if "ConcatenationUID" in header:
        raise LostSlice("is one piece of a concatenated image, which is not supported; export it as one image")
    shared = _groups(header, "SharedFunctionalGroupsSequence")
    frames = header.PerFrameFunctionalGroupsSequence
    if len(frames) != int(header.get("NumberOfFrames") or 1):
        raise LostSlice(f"has {header.get('NumberOfFrames')} frames but describes {len(frames)}")
    return Instance(
        header,
        tuple(_slice([*_items(frame), *shared, header], file, n) for n, frame in enumerate(frames, start=1)),
    )


def _refuse_other_objects(header: Dataset) -> None:
    sop_class = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if sop_class is None:
        raise LostSlice("is damaged or incomplete: it does not say what it is (no SOPClassUID)")
    if sop_class == MediaStorageDirectoryStorage:
        raise NotASlice("is an index (DICOMDIR), not an image")
    if sop_class != CTImageStorage and sop_class not in _MULTIFRAME:
        uid = pydicom.uid.UID(sop_class)
        kind = uid.name if uid.name != uid else "unknown"
        raise NotASlice(f"is a {kind} object, not a CT image")
    modality = header.get("Modality") or "CT"
    if modality != "CT":
        raise NotASlice(f"has the modality {modality if modality in _MODALITIES else 'of something else'}, not CT")


def _slice(sources: list[Dataset], file: StudyFile, frame_number: int) -> SliceHeader:
    header = sources[-1]
    syntax = getattr(header.file_meta, "TransferSyntaxUID", "") if hasattr(header, "file_meta") else ""
    return SliceHeader(
        file=file,
        sop_instance_uid=str(header.SOPInstanceUID),
        frame_number=frame_number,
        instance_number=_integer(sources, "InstanceNumber"),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or ""),
        shape=(_count(header, "Rows"), _count(header, "Columns")),
        spacing_mm=_exactly(sources, "PixelSpacing", 2),  # type: ignore[arg-type]
        orientation=_exactly(sources, "ImageOrientationPatient", 6),
        position_mm=_position(sources),
        rescale=Rescale(
            _number(sources, "RescaleSlope"),
            _number(sources, "RescaleIntercept"),
            str(_first(sources, "RescaleType") or "").strip().upper(),
        ),
        acquisition=_acquisition(sources),
        photometric_interpretation=str(header.get("PhotometricInterpretation") or "MONOCHROME2"),
        transfer_syntax_uid=str(syntax),
        is_lossy=str(header.get("LossyImageCompression") or "").strip() == "01",
    )


def _acquisition(sources: list[Dataset]) -> Acquisition:
    number = _integer(sources, "FrameAcquisitionNumber")
    temporal = _integer(sources, "TemporalPositionIndex")
    kernel = _first(sources, "ConvolutionKernel")
    return Acquisition(
        number=number if number is not None else _integer(sources, "AcquisitionNumber"),
        temporal_position=temporal if temporal is not None else _integer(sources, "TemporalPositionIdentifier"),
        contrast_phase=str(_first(sources, "ContrastBolusAgentPhase") or ""),
        time_s=_time(sources),
        image_type=_words(sources, "FrameType") or _words(sources, "ImageType"),
        kernel="\\".join(kernel) if isinstance(kernel, pydicom.multival.MultiValue) else str(kernel or ""),
        thickness_mm=_optional(sources, "SliceThickness"),
        kilovolts=_optional(sources, "KVP"),
        tilt_degrees=_optional(sources, "GantryDetectorTilt") or 0.0,
    )


def _groups(header: Dataset, keyword: str) -> list[Dataset]:
    return [item for group in header.get(keyword) or [] for item in _items(group)]


def _items(group: Dataset) -> list[Dataset]:
    """The first item of every functional group (PS3.3 C.7.6.16)."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _first(sources: list[Dataset], keyword: str) -> Any:
    return next((value for source in sources if (value := source.get(keyword)) not in (None, "")), None)


def _numbers(sources: list[Dataset], keyword: str) -> tuple[float, ...]:
    value = _first(sources, keyword)
    if value is None:
        return ()
    values = tuple(float(v) for v in (value if isinstance(value, pydicom.multival.MultiValue) else [value]))
    if not all(map(math.isfinite, values)):
        raise LostSlice(f"has a damaged {keyword}: a value is not a finite number")
    return values


def _exactly(sources: list[Dataset], keyword: str, count: int) -> tuple[float, ...]:
    values = _numbers(sources, keyword)
    if len(values) != count:
        raise LostSlice(f"has no {keyword} with {count} numbers, so that its place in the patient is unknown")
    if max(map(abs, values)) > _FARTHEST_MM:
        raise LostSlice(f"has a damaged {keyword}: a value is far too large")
    return values


def _position(sources: list[Dataset]) -> Vector:
    x, y, z = _exactly(sources, "ImagePositionPatient", 3)
    return x, y, z


def _number(sources: list[Dataset], keyword: str) -> float | None:
    values = _numbers(sources, keyword)
    return values[0] if values else None


def _optional(sources: list[Dataset], keyword: str) -> float | None:
    """A number that may be absent, or damaged, without harm."""
    try:
        return _number(sources, keyword)
    except Exception:  # NotASlice, and what pydicom raises for text that is no number
        return None


def _integer(sources: list[Dataset], keyword: str) -> int | None:
    value = _optional(sources, keyword)
    return None if value is None else int(value)


def _count(header: Dataset, keyword: str) -> int:
    value = int(header.get(keyword) or 0)
    if value < 1:
        raise LostSlice(f"has no {keyword}: its header is incomplete")
    return value


def _words(sources: list[Dataset], keyword: str) -> tuple[str, ...]:
    value = _first(sources, keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    return tuple(str(v).strip().upper() for v in values)


def _time(sources: list[Dataset]) -> float | None:
    """Seconds of FrameAcquisitionDateTime, AcquisitionDateTime, or AcquisitionDate and -Time; None where unknown."""
    stamp = str(_first(sources, "FrameAcquisitionDateTime") or _first(sources, "AcquisitionDateTime") or "")
    day, clock = stamp[:8], stamp[8:]
    if not clock:
        day, clock = (str(_first(sources, keyword) or "") for keyword in ("AcquisitionDate", "AcquisitionTime"))
    seconds = clock_seconds(clock)
    if seconds is None:
        return None
    try:
        return seconds + 86400.0 * datetime.date(int(day[:4]), int(day[4:6]), int(day[6:8])).toordinal()
    except ValueError:
        return seconds


def clock_seconds(text: str) -> float | None:
    """Seconds since midnight of a DICOM time (``HHMMSS.FFFFFF``, later parts optional), None when it is not one."""
    digits = text.strip().replace(":", "").split("+")[0].split("-")[0]
    try:
        return int(digits[:2]) * 3600.0 + int(digits[2:4] or 0) * 60.0 + float(digits[4:] or 0)
    except ValueError:
        return None

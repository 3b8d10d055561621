"""A CT series loaded: geometry checked, pixels decoded in parallel, numbers in HU."""

from __future__ import annotations

import os
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.valuerep import STR_VR, VR

from renalct.core.errors import ErrorCode, InputError
from renalct.core.volume import HU, CTVolume
from renalct.formats.dicom.bounded import read_dataset
from renalct.formats.dicom.contrast import estimate_phase
from renalct.formats.dicom.geometry import stack_slices
from renalct.formats.dicom.headers import SeriesHeaders, SliceHeader
from renalct.formats.dicom.hounsfield import Padding, hu_dtype, refuse_implausible, refuse_mixed_rescale, write_hu
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.pixels import (
    PixelFormat,
    decode_frame,
    is_plain,
    native_frame,
    refuse_hollow,
    refuse_unreadable,
    skip_to_pixels,
    stored_values,
)
from renalct.formats.dicom.walk import FileReader
from renalct.formats.quiet import quietly

_MOST_THREADS = 8
_VALUE_REPRESENTATIONS = frozenset(str(vr) for vr in VR)
_PIXEL_KEYWORDS = ("PixelData", "DataSetTrailingPadding")


def load_series(series: SeriesHeaders) -> LoadedSeries:
    """The volume of a series in HU, with the headers of its slices in slice order.

    hu[i, j, k] is the pixel of row j and column i of slice k; slices are in order of position along their normal.
    Padding and everything darker is -1024 HU. int16 where every rescale is integral, else float32.

    Raises `GeometryError` when the slices do not form a regular grid, `InputError` when a slice cannot be read or
    does not hold lossless CT numbers; both name the slice.
    """
    stack = stack_slices(series)
    for header in stack.slices:
        refuse_unreadable(header)
    refuse_mixed_rescale(stack.slices)
    refuse_hollow(stack.slices)
    rows, columns = stack.slices[0].shape
    volume = np.empty((len(stack.slices), rows, columns), hu_dtype(stack.slices))
    with quietly(), FileReader() as reader:
        if series.is_multiframe:
            headers: tuple[Dataset, ...] = (_load_frames(reader, stack.slices, volume),)
        else:
            headers = _load_images(reader, stack.slices, volume)
    refuse_implausible(volume, stack.slices)
    return LoadedSeries(
        CTVolume(volume.transpose(2, 1, 0), stack.grid, estimate_phase(series), series.source),
        headers,
        tuple(s.frame_number for s in stack.slices) if series.is_multiframe else (),
    )


def _load_images(reader: FileReader, slices: tuple[SliceHeader, ...], volume: HU) -> tuple[Dataset, ...]:
    def load(k: int) -> Dataset:
        header = slices[k]
        dataset = _read(reader, header)
        stored = stored_values(dataset, header)
        write_hu(stored, header, Padding.of(dataset, PixelFormat.of(dataset, header)), volume[k])
        return _without_pixels(dataset)

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        return tuple(pool.map(load, range(len(slices))))


def _load_frames(reader: FileReader, slices: tuple[SliceHeader, ...], volume: HU) -> Dataset:
    if is_plain(slices[0]) and slices[0].transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        return _load_plain_frames(reader, slices, volume)
    dataset = _read(reader, slices[0])
    pixel_format = PixelFormat.of(dataset, slices[0])
    padding = Padding.of(dataset, pixel_format)
    data = memoryview(dataset.get("PixelData") or b"")

    def load(k: int) -> None:
        header = slices[k]
        start = (header.frame_number - 1) * pixel_format.frame_bytes
        if is_plain(header):
            stored = native_frame(data[start : start + pixel_format.frame_bytes], pixel_format, header)
        else:
            stored = pixel_format.clean(decode_frame(dataset, header, header.frame_number - 1))
        write_hu(stored, header, padding, volume[k])

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for _ in pool.map(load, range(len(slices))):
            pass
    data.release()
    return _without_pixels(dataset)


def _load_plain_frames(reader: FileReader, slices: tuple[SliceHeader, ...], volume: HU) -> Dataset:
    """Reads one frame after the other from the file, so that the pixels are never in memory twice."""
    try:
        with reader.open(slices[0].file) as stream:
            dataset = _readable(read_dataset(stream, stop_before_pixels=True))
            pixel_format = PixelFormat.of(dataset, slices[0])
            padding = Padding.of(dataset, pixel_format)
            start = skip_to_pixels(stream, slices[0])
            for k in sorted(range(len(slices)), key=lambda k: slices[k].frame_number):
                stream.seek(start + (slices[k].frame_number - 1) * pixel_format.frame_bytes)
                stored = native_frame(stream.read(pixel_format.frame_bytes), pixel_format, slices[k])
                write_hu(stored, slices[k], padding, volume[k])
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(slices[0], error) from error
    return dataset


def _read(reader: FileReader, header: SliceHeader) -> Dataset:
    try:
        with reader.read(header.file) as stream:
            return _readable(read_dataset(stream))
    except Exception as error:  # pydicom and zipfile raise many types on damaged data
        raise _unreadable(header, error) from error


def _readable(dataset: Dataset) -> Dataset:
    """The data set without elements of a value representation that there is not, or that no such attribute has.

    A damaged value is as good as none.
    """
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement) and element.VR is not None and not _fits(element.tag, element.VR):
            del dataset[tag]
    if "SOPClassUID" not in dataset:  # what is written refers to it
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    return dataset


def _fits(tag: BaseTag, vr: str) -> bool:
    """Whether an attribute can have a value representation: text is not binary, and a sequence neither."""
    if vr not in _VALUE_REPRESENTATIONS:
        return False
    if vr == "UN" or tag.is_private or not dictionary_has_tag(tag):
        return True
    return _kind(vr) == _kind(dictionary_VR(tag)[:2])


def _kind(vr: str) -> str:
    return "text" if vr in STR_VR else "sequence" if vr == VR.SQ else "binary"


def _unreadable(header: SliceHeader, error: Exception) -> InputError:
    return InputError(
        f"the slice at {header.where} cannot be read ({type(error).__name__}); copy or export the file again",
        code=ErrorCode.DAMAGED_FILE,
    )


def _without_pixels(dataset: Dataset) -> Dataset:
    for keyword in _PIXEL_KEYWORDS:
        if keyword in dataset:
            delattr(dataset, keyword)
    return dataset

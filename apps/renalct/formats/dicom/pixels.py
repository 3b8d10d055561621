"""Pixel values of CT slices as they are stored, from every transfer syntax without loss."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from renalct.core.errors import ErrorCode, InputError
from renalct.formats.dicom.codestreams import LossyFrame, decode_codestream
from renalct.formats.dicom.headers import SliceHeader

Stored = NDArray[np.integer[Any]]
"""Pixel values (row, column) as stored, an integer type."""

_STEEPEST = 1000.0
_TERMS = frozenset(
    {
        "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT",
        "YBR_RCT", "XYB", "OD", "HU_MOD", "MGML", "Z_EFF", "ED", "EDW", "PCT",
    }
)  # fmt: skip
_PIXEL_DATA_TAG = (0x7FE0, 0x0010)
_LOSSY = {
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless",
}
_PIXELS_PER_BYTE_AT_MOST = 4096
_PIXELS_PER_BYTE = dict.fromkeys(("", ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian), 1)
"""Pixels that a byte of a file can hold where nothing is compressed; else an image that is all one value sets it."""
_PLAIN_SYNTAXES = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", ExplicitVRBigEndian)


def refuse_unreadable(header: SliceHeader) -> None:
    """Raises `InputError` when a slice's header says that its pixels are not lossless CT numbers in HU."""
    if header.photometric_interpretation != "MONOCHROME2":
        raise InputError(
            f"the slice at {header.where} has the PhotometricInterpretation "
            f"{_term(header.photometric_interpretation)}, not MONOCHROME2; export the original CT images",
            code=ErrorCode.BAD_PIXEL_FORMAT,
        )
    if header.is_lossy or header.transfer_syntax_uid in _LOSSY:
        raise _lossy(header, _LOSSY.get(header.transfer_syntax_uid, "LossyImageCompression is 01"))
    if header.rescale.kind not in ("", "HU", "US", "UNSPECIFIED"):
        raise InputError(
            f"the slice at {header.where} holds {_term(header.rescale.kind)!r} values (RescaleType), not HU; "
            "choose a series of CT numbers",
            code=ErrorCode.NOT_CT_NUMBERS,
        )
    slope = 1.0 if header.rescale.slope is None else header.rescale.slope
    if not 0 < slope <= _STEEPEST:
        raise InputError(
            f"the slice at {header.where} has a RescaleSlope of {slope:g}, which cannot be right; export it again",
            code=ErrorCode.NOT_CT_NUMBERS,
        )


def _term(value: str) -> str:
    """A defined term of the standard, or that it is none: what else stands there may be anything."""
    return value if value in _TERMS else "unknown"


def _lossy(header: SliceHeader, how: str) -> InputError:
    return InputError(
        f"the slice at {header.where} was compressed with loss ({how}), so that its CT numbers are no longer those "
        "measured; export it without lossy compression",
        code=ErrorCode.LOSSY,
    )


def refuse_hollow(slices: Sequence[SliceHeader]) -> None:
    """Raises `InputError` when an image has more pixels by its header than its file can hold; takes no memory."""
    frames = Counter(header.file for header in slices)
    for header in slices:
        pixels = header.shape[0] * header.shape[1] * frames[header.file]
        size = header.file.size_bytes
        if size and pixels > size * _PIXELS_PER_BYTE.get(header.transfer_syntax_uid, _PIXELS_PER_BYTE_AT_MOST):
            rows, columns = header.shape
            raise InputError(
                f"the slice at {header.where} has {rows} x {columns} pixels by its header, more than its file of "
                f"{size / 1024:.1f} KiB can hold; copy or export the file again",
                code=ErrorCode.DAMAGED_PIXELS,
            )


@dataclass(frozen=True)
class PixelFormat:
    """How the values of an image are stored, from its full header."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool

    @classmethod
    def of(cls, dataset: Dataset, header: SliceHeader) -> PixelFormat:
        """The format that a header declares; raises `InputError` when it is not one that CT can have."""
        try:
            allocated = int(dataset.BitsAllocated)
            stored = int(dataset.get("BitsStored") or allocated)
            high = int(dataset.get("HighBit") if dataset.get("HighBit") is not None else stored - 1)
            signed = int(dataset.get("PixelRepresentation") or 0)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"the slice at {header.where} does not say how its pixels are stored; export it again",
                code=ErrorCode.BAD_PIXEL_FORMAT,
            ) from error
        if allocated not in (8, 16, 32) or not stored - 1 <= high < allocated or stored < 1 or signed not in (0, 1):
            raise InputError(
                f"the slice at {header.where} has BitsAllocated {allocated}, BitsStored {stored}, HighBit {high} and "
                f"PixelRepresentation {signed}, which do not fit together; export it again",
                code=ErrorCode.BAD_PIXEL_FORMAT,
            )
        return cls(*header.shape, allocated, stored, high, bool(signed))

    @property
    def dtype(self) -> np.dtype[np.integer[Any]]:
        """The little-endian integer type of the stored values."""
        return np.dtype(f"<{'i' if self.is_signed else 'u'}{self.bits_allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    def clean(self, values: Stored) -> Stored:
        """Values without what other bits than the stored ones hold (old overlays), sign restored."""
        typed = values.astype(self.dtype, copy=False)
        if self.bits_stored == self.bits_allocated:
            return typed
        left = self.bits_allocated - 1 - self.high_bit
        return cast(Stored, (typed << left) >> (self.bits_allocated - self.bits_stored))

    def interpret(self, value: int) -> int:
        """A value of a header attribute whose sign was lost or invented, as the stored type means it."""
        return int(
            np.array([value & ((1 << self.bits_allocated) - 1)], f"<u{self.bits_allocated // 8}").view(self.dtype)[0]
        )


def stored_values(dataset: Dataset, header: SliceHeader) -> Stored:
    """The stored values of a single-frame image that was read with its pixel data.

    Raises `InputError` when the pixel data are missing, truncated or cannot be decoded.
    """
    pixel_format = PixelFormat.of(dataset, header)
    data = dataset.get("PixelData")
    if not data:
        raise InputError(
            f"the slice at {header.where} has no pixel data; export it again", code=ErrorCode.DAMAGED_PIXELS
        )
    if is_plain(header):
        return native_frame(data, pixel_format, header)
    return pixel_format.clean(decode_frame(dataset, header, 0))


def is_plain(header: SliceHeader) -> bool:
    """Whether the pixels are stored uncompressed (a deflated data set is, once it was read)."""
    return header.transfer_syntax_uid in _PLAIN_SYNTAXES


def native_frame(data: bytes | memoryview, pixel_format: PixelFormat, header: SliceHeader) -> Stored:
    """The stored values of one uncompressed frame; raises `InputError` naming the slice when bytes are missing."""
    if len(data) < pixel_format.frame_bytes:
        raise InputError(
            f"the pixel data of the slice at {header.where} are truncated: {len(data)} of {pixel_format.frame_bytes} "
            "bytes; copy or export the file again",
            code=ErrorCode.DAMAGED_PIXELS,
        )
    big = header.transfer_syntax_uid == ExplicitVRBigEndian
    dtype = pixel_format.dtype.newbyteorder(">") if big else pixel_format.dtype
    values = np.frombuffer(data, dtype, pixel_format.rows * pixel_format.columns)
    return pixel_format.clean(values.reshape(pixel_format.rows, pixel_format.columns))


def skip_to_pixels(stream: BinaryIO, header: SliceHeader) -> int:
    """Where the values of uncompressed pixel data begin, in a stream that stands before that element.

    Raises `InputError` when something else comes next.
    """
    order = ">" if header.transfer_syntax_uid == ExplicitVRBigEndian else "<"
    element = stream.read(8)
    if len(element) < 8 or struct.unpack(f"{order}HH", element[:4]) != _PIXEL_DATA_TAG:
        raise InputError(
            f"the image at {header.where} has no pixel data; export it again", code=ErrorCode.DAMAGED_PIXELS
        )
    if element[4:6] in (b"OW", b"OB"):  # explicit VR: two unused bytes, then four of length
        stream.read(4)
    return stream.tell()


def decode_frame(dataset: Dataset, header: SliceHeader, index: int) -> Stored:
    """One compressed frame, decoded; raises `InputError` naming the slice when it is damaged or of unknown kind."""
    syntax = UID(header.transfer_syntax_uid)
    try:
        values = decode_codestream(dataset, index)
    except NotImplementedError as error:
        raise InputError(
            f"the slice at {header.where} is stored as {syntax.name}, which cannot be decoded; export it uncompressed",
            code=ErrorCode.UNDECODABLE,
        ) from error
    except LossyFrame as error:
        raise _lossy(header, "JPEG 2000, irreversible") from error
    except Exception as error:  # decoders raise many types on damaged data
        raise InputError(
            f"the pixel data of the slice at {header.where} ({syntax.name}) are damaged; copy or export the file again",
            code=ErrorCode.DAMAGED_PIXELS,
        ) from error
    if values.shape != header.shape:
        raise InputError(
            f"the pixel data of the slice at {header.where} hold an image of {values.shape}, but the header says "
            f"{header.shape} rows and columns; export the file again",
            code=ErrorCode.DAMAGED_PIXELS,
        )
    return values

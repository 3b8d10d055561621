"""Compressed frames: the size that a codestream declares, checked before a decoder sees it, and the decoders."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless
from rle.rle import decode_segment

_PLUGINS = ("pyjpegls", "pylibjpeg", "pydicom")
"""Decoders in order of preference. GDCM is not among them: on damaged frames it ends the whole process."""

_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xF7})
"""JPEG markers that are followed by the image size (start of frame; 0xF7 of JPEG-LS)."""
_MOST_TILES = 4096
_RLE_AT_MOST = 64
"""Bytes that a byte of RLE can stand for: two say that up to 128 are equal."""
_RLE_END = b"\x80\x80"
"""Two bytes that say nothing, without which the decoder of an empty segment panics."""
_J2K_START = b"\xff\x4f\xff\x51"
_J2K_CODING_STYLE = b"\xff\x52"


class LossyFrame(ValueError):
    """The codestream was compressed with loss."""


def decode_codestream(dataset: Dataset, index: int) -> NDArray[np.integer[Any]]:
    """The stored values (row, column) of one encapsulated frame, as the codec gives them, signs applied.

    Raises NotImplementedError for a transfer syntax without decoder, LossyFrame for the irreversible JPEG 2000
    transform, and ValueError or what the decoder raises for damaged frames. A frame whose codestream is of another size
    than the image is refused before it is decoded.
    """
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    decoder = get_decoder(syntax)
    plugins = [plugin for plugin in _PLUGINS if plugin in decoder.available_plugins]
    if not plugins:
        raise NotImplementedError(syntax.name)
    frame = get_frame(dataset.PixelData, index, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    if syntax == RLELossless:
        return decode_rle(frame, (dataset.Rows, dataset.Columns), dataset.BitsAllocated // 8)
    shape = codestream_shape(frame)
    if shape != (dataset.Rows, dataset.Columns):
        raise ValueError(f"the codestream holds {shape} rows and columns")
    if is_irreversible(frame):
        raise LossyFrame("JPEG 2000 with the irreversible transform")
    values, _ = decoder.as_array(dataset, index=index, raw=True, decoding_plugin=plugins[0])
    return np.asarray(values)


def decode_rle(frame: bytes, shape: tuple[int, int], value_bytes: int) -> NDArray[np.unsignedinteger[Any]]:
    """The values (row, column) of an RLE frame (PS3.5 Annex G): one segment for each byte of a value, highest first.

    Raises ValueError for a frame of another size, or one that is damaged. pylibjpeg's decoder of whole frames is not
    used: on some damaged ones it panics, which no `except Exception` stops, and prints a traceback.
    """
    count, *starts = struct.unpack("<16I", frame[:64].ljust(64, b"\0"))
    pixels = shape[0] * shape[1]
    if count != value_bytes or pixels > _RLE_AT_MOST * len(frame):
        raise ValueError(f"the frame has {count} segments in {len(frame)} bytes")
    ends = [*starts[1:count], len(frame)]
    values = np.zeros((pixels, value_bytes), np.uint8)
    for plane, (start, end) in enumerate(zip(starts[:count], ends, strict=True)):
        unpacked = decode_segment(frame[start:end] + _RLE_END)
        if len(unpacked) < pixels:
            raise ValueError(f"segment {plane + 1} holds {len(unpacked)} of {pixels} bytes")
        values[:, plane] = np.frombuffer(unpacked, np.uint8, pixels)
    return values.view(f">u{value_bytes}").astype(f"<u{value_bytes}").reshape(shape)


def codestream_shape(frame: bytes) -> tuple[int, int]:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 codestream declares; (0, 0) when it declares none.

    JPEG 2000: SIZ marker, ISO/IEC 15444-1 A.5.1, one component wanted. JPEG: start of frame, ISO/IEC 10918-1 B.2.2.
    """
    if frame[:4] == _J2K_START:
        if len(frame) < 42:
            return 0, 0
        right, bottom, left, top, tile_width, tile_height, tile_x, tile_y, components = struct.unpack(
            ">8IH", frame[8:42]
        )
        tiles = (right - tile_x) / max(1, tile_width) * (bottom - tile_y) / max(1, tile_height)
        sound = components == 1 and 0 <= tiles <= _MOST_TILES and frame[43:45] == b"\x01\x01"
        return (bottom - top, right - left) if sound else (0, 0)
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _FRAME_HEADERS:
            rows, columns = struct.unpack(">HH", frame[at + 5 : at + 9])
            return rows, columns
        at += 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return 0, 0


def is_irreversible(frame: bytes) -> bool:
    """Whether a JPEG 2000 codestream uses the irreversible 9-7 transform (coding style default, 15444-1 A.6.1)."""
    at = 2
    while frame[:4] == _J2K_START and at + 14 <= len(frame):
        if frame[at : at + 2] == _J2K_CODING_STYLE:
            return frame[at + 13] == 0
        at += 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return False

"""Stored pixel values turned into Hounsfield units: rescale, padding and plausibility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from renalct.core.errors import ErrorCode, InputError
from renalct.core.volume import HU
from renalct.formats.dicom.headers import Rescale, SliceHeader
from renalct.formats.dicom.pixels import PixelFormat, Stored

AIR_HU = -1024
"""What padding outside the field of view, and everything darker, becomes."""

_TISSUE_HU = (-950.0, 3000.0)
"""A declared padding value that means a number between these is believed only where it touches the image border."""
_LARGEST_INTERCEPT = 1e6
_LARGEST_HU = 32767
_AIR_IS_BELOW_HU = -500


def refuse_mixed_rescale(slices: Sequence[SliceHeader]) -> None:
    """Raises `InputError` when some slices have a RescaleIntercept and others have none."""
    without = [s for s in slices if s.rescale.intercept is None]
    if without and len(without) < len(slices):
        raise InputError(
            f"{len(without)} of {len(slices)} slices have no RescaleIntercept, first the one at {without[0].where}; "
            "export the series again",
            code=ErrorCode.MIXED_IMAGES,
        )


def hu_dtype(slices: Sequence[SliceHeader]) -> np.dtype[np.int16] | np.dtype[np.float32]:
    """int16 when every slice has an integral rescale, else float32."""
    whole = all(
        slope.is_integer() and intercept.is_integer() and abs(intercept) <= _LARGEST_INTERCEPT
        for slope, intercept in map(_factors, slices)
    )
    return np.dtype(np.int16) if whole else np.dtype(np.float32)


@dataclass(frozen=True)
class Padding:
    """The range of stored values that PixelPaddingValue and PixelPaddingRangeLimit declare to be no measurement."""

    lowest: int
    highest: int

    @classmethod
    def of(cls, dataset: Dataset, pixel_format: PixelFormat) -> Padding | None:
        """The padding that a full header declares, None when it declares none. The wrong sign is put right."""
        ends = []
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            value = dataset.get(keyword)
            if isinstance(value, bytes):
                value = int.from_bytes(value[:2], "little")
            if isinstance(value, int):
                ends.append(pixel_format.interpret(value))
        return cls(min(ends), max(ends)) if ends and dataset.get("PixelPaddingValue") is not None else None

    def where(self, stored: Stored, rescale: tuple[float, float]) -> NDArray[np.bool_]:
        """The pixels that are padding.

        Where the padding value could as well be tissue (0 with an intercept of 0), only areas that touch the border of
        the image are padding, so that no hole opens in the patient.
        """
        padded = stored == self.lowest if self.lowest == self.highest else self._between(stored)
        slope, intercept = rescale
        if self.highest * slope + intercept <= _TISSUE_HU[0] or self.lowest * slope + intercept >= _TISSUE_HU[1]:
            return padded
        areas, _ = ndimage.label(padded)
        border = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
        return np.isin(areas, border[border > 0])

    def _between(self, stored: Stored) -> NDArray[np.bool_]:
        wide = stored.astype(np.int64)
        return (wide >= self.lowest) & (wide <= self.highest)


def write_hu(stored: Stored, header: SliceHeader, padding: Padding | None, out: HU) -> None:
    """Write the Hounsfield units of a slice into `out` (row, column), int16 or float32; padding becomes `AIR_HU`.

    Raises `InputError` when a number is larger than any CT number: such a value is padding that was not declared.
    """
    slope, intercept = _factors(header)
    values: NDArray[Any]
    if out.dtype == np.int16:
        values = stored.astype(np.int32 if stored.dtype.itemsize < 4 else np.int64)
        values *= int(slope)
        values += int(intercept)
    else:
        values = stored.astype(np.float64) * slope + intercept
    if padding is not None:
        values[padding.where(stored, (slope, intercept))] = AIR_HU
    largest = values.max()
    if largest > _LARGEST_HU:
        raise InputError(
            f"the slice at {header.where} holds {largest:g} HU, more than any CT number; "
            "its padding or sign is not declared: export the series again",
            code=ErrorCode.NOT_CT_NUMBERS,
        )
    np.maximum(values, AIR_HU, out=out, casting="unsafe")


def refuse_implausible(volume: HU, slices: Sequence[SliceHeader]) -> None:
    """Raises `InputError` when no rescale was declared and the stored numbers cannot be HU (there is no air)."""
    if slices[0].rescale.intercept is None and volume.min() > _AIR_IS_BELOW_HU:
        raise InputError(
            f"the slice at {slices[0].where} has no RescaleIntercept, and its series holds numbers from "
            f"{volume.min():g} to {volume.max():g}, which are not HU (air is -1000); "
            "export the series with its rescale",
            code=ErrorCode.NOT_CT_NUMBERS,
        )


def _factors(source: SliceHeader) -> tuple[float, float]:
    rescale: Rescale = source.rescale
    return (1.0 if rescale.slope is None else rescale.slope, rescale.intercept or 0.0)

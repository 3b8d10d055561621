"""The checks that make slices a volume: their order, and a regular grid without gaps, repeats or tilt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import ErrorCode, GeometryError
from renalct.core.grid import Grid
from renalct.formats.dicom.headers import SeriesHeaders, SliceHeader, place
from renalct.formats.dicom.splitting import SAME_POSITION_MM

REGULAR_WITHIN_MM = 0.1
"""No slice lies farther than this from its place on the grid (positions are often written with one decimal)."""
LARGEST_SHEAR = 1e-3
"""In-plane shift per distance along the normal; rounded direction cosines give less, a tilted gantry much more."""
_SQUARE_WITHIN = 1e-3
_SAME_MM = 1e-4
_TILT_MATTERS_DEGREES = 0.5
_NAMED_AT_MOST = 3

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Slices in order of position along their normal, and the grid that they form (voxel k is slice k)."""

    slices: tuple[SliceHeader, ...]
    grid: Grid


def stack_slices(series: SeriesHeaders) -> SliceStack:
    """The slices of a series in order, on their grid: i along the row, j down the column, k along the normal.

    Raises `GeometryError`, naming slice and number, unless all slices have one size, spacing and orientation and
    follow each other at one distance, straight above each other. Positions are right to `REGULAR_WITHIN_MM`.
    """
    slices = series.slices
    _check_identity(series)
    _check_plane(series)
    normal = slices[0].normal
    ordered = tuple(sorted(slices, key=lambda s: (float(np.dot(s.position_mm, normal)), s.sop_instance_uid)))
    if len(ordered) == 1:
        raise GeometryError(
            f"{series.name} has a single slice, at {ordered[0].where}; a volume needs at least two: "
            "give the folder of the complete series",
            code=ErrorCode.SINGLE_SLICE,
        )
    positions = np.array([s.position_mm for s in ordered])
    _check_steps(series, ordered, positions @ normal)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    _check_shear(series, ordered, step)
    strays = np.linalg.norm(positions - (positions[0] + np.outer(np.arange(len(ordered)), step)), axis=1)
    worst = int(strays.argmax())
    if strays[worst] > REGULAR_WITHIN_MM:
        raise GeometryError(
            f"{series.name} is irregular: the slice at {ordered[worst].where} lies {strays[worst]:.2f} mm from where "
            f"even spacing of {np.linalg.norm(step):.4g} mm puts it; export a series with evenly spaced slices",
            code=ErrorCode.IRREGULAR_SLICES,
        )
    return SliceStack(ordered, _grid(series, ordered[0], step, len(ordered)))


def _grid(series: SeriesHeaders, first: SliceHeader, step: NDArray[np.float64], count: int) -> Grid:
    between_rows, between_columns = first.spacing_mm
    lps = np.eye(4)
    lps[:3, 0] = first.row_direction * between_columns
    lps[:3, 1] = first.column_direction * between_rows
    lps[:3, 2] = step
    lps[:3, 3] = first.position_mm
    rows, columns = first.shape
    return Grid((columns, rows, count), _LPS_TO_RAS @ lps, series.frame_of_reference_uid)


def _check_identity(series: SeriesHeaders) -> None:
    seen: dict[tuple[str, int], SliceHeader] = {}
    for header in series.slices:
        other = seen.setdefault((header.sop_instance_uid, header.frame_number), header)
        if other is not header:
            raise GeometryError(
                f"{series.name} has two different images with one SOPInstanceUID: {other.where} and {header.where}; "
                "export the series again",
                code=ErrorCode.DUPLICATE_SLICES,
            )


def _check_plane(series: SeriesHeaders) -> None:
    first = series.slices[0]
    if min(first.spacing_mm) <= 0:
        raise GeometryError(
            f"{series.name} has a PixelSpacing of {first.spacing_mm} mm at {first.where}", code=ErrorCode.BAD_POSITION
        )
    row, column = np.asarray(first.orientation[:3]), np.asarray(first.orientation[3:])
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(first.row_direction @ first.column_direction) > _SQUARE_WITHIN:
        raise GeometryError(
            f"{series.name} has an ImageOrientationPatient of {first.orientation} at {first.where}, which is not two "
            "unit vectors at right angles",
            code=ErrorCode.BAD_POSITION,
        )
    _check_same(series, "rows x columns", [s.shape for s in series.slices])
    _check_same(series, "PixelSpacing (mm)", [s.spacing_mm for s in series.slices])


def _check_same(series: SeriesHeaders, what: str, values: list[tuple[float, float]]) -> None:
    usual, _ = min(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    odd = [(s, v) for s, v in zip(series.slices, values, strict=True) if max(np.abs(np.subtract(v, usual))) > _SAME_MM]
    if odd:
        first, found = min(odd, key=lambda pair: (pair[0].position_mm[2], pair[0].sop_instance_uid))
        raise GeometryError(
            f"{series.name} mixes images: {len(odd)} of {len(values)} slices differ in {what}, first at {first.where} "
            f"with {found[0]:.6g} x {found[1]:.6g} instead of {usual[0]:.6g} x {usual[1]:.6g}; "
            "export one reconstruction",
            code=ErrorCode.MIXED_IMAGES,
        )


def _check_steps(series: SeriesHeaders, ordered: tuple[SliceHeader, ...], along: NDArray[np.float64]) -> None:
    steps = np.diff(along)
    repeated = np.flatnonzero(steps <= SAME_POSITION_MM)
    if repeated.size:
        n = int(repeated[0])
        raise GeometryError(
            f"{series.name} has {repeated.size} duplicate slice{'s' if repeated.size > 1 else ''}: "
            f"{ordered[n].where} and {ordered[n + 1].where} are different images at the same position; "
            "export each acquisition as its own series",
            code=ErrorCode.DUPLICATE_SLICES,
        )
    usual = float(np.median(steps))
    missing: list[float] = []
    for n in np.flatnonzero(steps > 1.5 * usual):
        count = round(steps[n] / usual)
        if abs(steps[n] - count * usual) > REGULAR_WITHIN_MM * count:
            continue  # not a whole number of slices: irregular, which is told below
        missing += [along[n] + usual * m for m in range(1, count)]
    if missing:
        _refuse_gaps(series, ordered, along, missing)
    off = np.abs(steps - usual)
    worst = int(off.argmax())
    if off[worst] > 2 * REGULAR_WITHIN_MM:
        raise GeometryError(
            f"{series.name} is irregular: {steps[worst]:.4g} mm between {ordered[worst].where} and the next slice, "
            f"usually {usual:.4g} mm; export a series with evenly spaced slices",
            code=ErrorCode.IRREGULAR_SLICES,
        )


def _refuse_gaps(
    series: SeriesHeaders, ordered: tuple[SliceHeader, ...], along: NDArray[np.float64], missing: list[float]
) -> None:
    normal = ordered[0].normal
    origin = np.asarray(ordered[0].position_mm)
    named = [place(origin + normal * (level - along[0]), normal) for level in missing[:_NAMED_AT_MOST]]
    more = f" and {len(missing) - len(named)} more" if len(missing) > len(named) else ""
    raise GeometryError(
        f"{series.name} has gaps: {len(missing)} of {len(ordered) + len(missing)} slice positions "
        f"{'is' if len(missing) == 1 else 'are'} missing, at {', '.join(named)}{more}; export the complete series",
        code=ErrorCode.MISSING_SLICES,
    )


def _check_shear(series: SeriesHeaders, ordered: tuple[SliceHeader, ...], step: NDArray[np.float64]) -> None:
    first = ordered[0]
    along = float(step @ first.normal)
    sideways = float(np.linalg.norm(step - along * first.normal))
    if sideways > LARGEST_SHEAR * along:
        raise GeometryError(
            f"{series.name} was scanned with a tilted gantry: each slice is shifted by {sideways:.3g} mm against the "
            f"one before ({np.degrees(np.arctan2(sideways, along)):.1f} degrees), from {first.where} on; "
            "export a reconstruction without tilt",
            code=ErrorCode.TILTED_GANTRY,
        )
    tilted = next((s for s in ordered if abs(s.acquisition.tilt_degrees) > _TILT_MATTERS_DEGREES), None)
    upright = np.abs(first.normal).max() > np.cos(np.radians(_TILT_MATTERS_DEGREES))
    if tilted and upright and "ORIGINAL" in tilted.acquisition.image_type:
        raise GeometryError(
            f"{series.name} contradicts itself: GantryDetectorTilt is {tilted.acquisition.tilt_degrees:g} degrees at "
            f"{tilted.where}, but the positions are those of an upright gantry; export a reconstruction without tilt",
            code=ErrorCode.TILTED_GANTRY,
        )

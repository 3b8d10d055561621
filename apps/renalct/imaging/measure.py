"""Measurements of kidneys and masses: volume, position, CT numbers, fat, enhancement and side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.findings import Classification, HUStatistics, Kidney, Mass, Point
from renalct.core.grid import Box, Grid
from renalct.core.labels import Side
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.calipers import axial_calipers, equivalent_sphere_diameter_mm, max_3d_diameter_mm
from renalct.imaging.components import Organ
from renalct.imaging.resample import resample

FAT_BELOW_HU = -10.0
"""Macroscopic fat: lower than -10 HU (Jinzaki et al., Radiol Clin North Am 2014, on angiomyolipoma)."""
ENHANCING_ABOVE_HU = 20.0
"""A gain of more than 20 HU between phases is enhancement (Silverman et al., Bosniak classification 2019)."""
_OFF_MIDLINE_MM = 15.0
_APART_MM = 60.0
_BODY_ABOVE_HU = -300


def hu_statistics(hu: NDArray[Any], mask: Mask) -> HUStatistics:
    """Statistics of the CT numbers of a whole volume under a mask that is not empty."""
    values = hu[mask.box.slices][mask.voxels].astype(np.float64)
    return HUStatistics(float(values.mean()), float(values.std()), float(values.min()), float(values.max()))


def centroid_mm(mask: Mask, grid: Grid) -> Point:
    """The mean position of the mask's voxel centres, in patient mm (RAS+)."""
    index = [
        float(
            np.average(
                np.arange(n), weights=mask.voxels.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.int64)
            )
        )
        for axis, n in enumerate(mask.box.shape)
    ]
    x, y, z = grid.to_patient(np.asarray(index) + mask.box.start)
    return float(x), float(y), float(z)


def fat_fraction(hu: NDArray[Any], mask: Mask) -> float:
    """The share of a mask's voxels under `FAT_BELOW_HU`."""
    return float(np.mean(hu[mask.box.slices][mask.voxels] < FAT_BELOW_HU))


def enhancing_fraction(enhanced: CTVolume, baseline: CTVolume, mask: Mask) -> float | None:
    """The share of a mask's voxels that gain more than `ENHANCING_ABOVE_HU` from `baseline` to `enhanced`.

    The mask is on the grid of `enhanced`; the difference is smoothed by a Gaussian of one voxel against noise. None
    when part of the mask lies outside the baseline's field. Raises `GeometryError` when the two are not registered
    (another frame of reference).
    """
    box = mask.box.grown(2, within=enhanced.grid.shape)
    grid = enhanced.grid.cropped(box)
    before = resample(baseline.hu, baseline.grid, grid, outside=np.nan)
    inside = mask.box.inside(box)
    if np.isnan(before[inside.slices][mask.voxels]).any():
        return None
    gain = enhanced.hu[box.slices].astype(np.float32) - np.nan_to_num(before)
    smooth = ndimage.gaussian_filter(gain, 1.0)
    return float(np.mean(smooth[inside.slices][mask.voxels] > ENHANCING_ABOVE_HU))


def body_midline_mm(volume: CTVolume, box: Box) -> float | None:
    """The patient x (RAS+) halfway between the flanks on the axial slices of `box`; None when the field cuts them."""
    grid = volume.grid
    lateral, axial = grid.canonical_axes[0][0], grid.axial_axis
    between = 3 - lateral - axial
    middles = []
    for index in np.unique(np.linspace(box.start[axial], box.stop[axial] - 1, 9).astype(int)):
        plane = np.take(volume.hu, int(index), axis=axial)
        rows = np.moveaxis(plane, 0, 1) if lateral > between else plane
        filled = np.flatnonzero((rows > _BODY_ABOVE_HU).mean(axis=1) > 0.15)
        if filled.size and filled[0] > 0 and filled[-1] < grid.shape[lateral] - 1:
            middles.append((filled[0] + filled[-1]) / 2)
    if not middles:
        return None
    point = np.zeros(3)
    point[lateral] = float(np.median(middles))
    return float(grid.to_patient(point)[0])


def sides(centroids: Sequence[Point], midline_mm: float | None) -> tuple[Side, ...]:
    """The side of each kidney from patient coordinates.

    By its distance from the midline where that is known and the kidney is at least 15 mm off it; of two kidneys that
    are at least 60 mm apart, by their order; otherwise `UNDETERMINED`.
    """
    found = tuple(
        Side.UNDETERMINED if midline_mm is None else _side_of(point[0] - midline_mm, _OFF_MIDLINE_MM)
        for point in centroids
    )
    if Side.UNDETERMINED in found and len(centroids) == 2:
        apart = centroids[0][0] - centroids[1][0]
        if abs(apart) >= _APART_MM:
            return _side_of(apart, _APART_MM), _side_of(-apart, _APART_MM)
    return found


def _side_of(offset_mm: float, margin_mm: float) -> Side:
    if abs(offset_mm) < margin_mm:
        return Side.UNDETERMINED
    return Side.RIGHT if offset_mm > 0 else Side.LEFT


def measure_kidney(volume: CTVolume, organ: Organ, side: Side) -> Kidney:
    """The measurements of one kidney; a kidney that is all mass is measured on its masses."""
    mask = organ.parenchyma
    voxels = mask.count + sum(mass.count for mass in organ.masses)
    shown = mask if mask.count else organ.masses[0]
    return Kidney(
        side=side,
        mask=mask,
        volume_ml=mask.count * volume.grid.voxel_ml,
        volume_with_masses_ml=voxels * volume.grid.voxel_ml,
        centroid_mm=centroid_mm(shown, volume.grid),
        hu=hu_statistics(volume.hu, shown),
    )


def find_baseline(volume: CTVolume, others: Sequence[CTVolume], kidneys: Sequence[Mask]) -> CTVolume | None:
    """The registered phase from before contrast: that in which the kidneys are least dense, or None.

    The kidneys themselves must gain more than `ENHANCING_ABOVE_HU` from it to `volume`; phases in another frame of
    reference are left out.
    """
    best: tuple[float, CTVolume] | None = None
    for other in others:
        if other.grid.frame_of_reference_uid != volume.grid.frame_of_reference_uid:
            continue
        gains = [_mean_gain(volume, other, mask) for mask in kidneys if mask.count]
        gain = float(np.mean(gains)) if gains else float("nan")
        if gain > ENHANCING_ABOVE_HU and (best is None or gain > best[0]):
            best = gain, other
    return None if best is None else best[1]


def _mean_gain(enhanced: CTVolume, baseline: CTVolume, mask: Mask) -> float:
    """The mean gain under a mask in HU; not a number where the baseline does not cover it."""
    before = resample(baseline.hu, baseline.grid, enhanced.grid.cropped(mask.box), outside=np.nan)
    return float(np.mean(enhanced.hu[mask.box.slices][mask.voxels] - before[mask.voxels]))


def measure_mass(
    volume: CTVolume,
    mask: Mask,
    *,
    number: int,
    side: Side,
    classification: Classification,
    baseline: CTVolume | None = None,
) -> Mass:
    """The measurements of one mass; `baseline` is a registered phase before contrast, if there is one."""
    volume_ml = mask.count * volume.grid.voxel_ml
    longest, short = axial_calipers(mask, volume.grid)
    return Mass(
        number=number,
        side=side,
        mask=mask,
        centroid_mm=centroid_mm(mask, volume.grid),
        volume_ml=volume_ml,
        average_diameter_mm=equivalent_sphere_diameter_mm(volume_ml),
        longest_axial=longest,
        short_axis=short,
        max_3d_diameter_mm=max_3d_diameter_mm(mask, volume.grid),
        hu=hu_statistics(volume.hu, mask),
        fat_fraction=fat_fraction(volume.hu, mask),
        enhancing_fraction=None if baseline is None else enhancing_fraction(volume, baseline, mask),
        classification=classification,
    )

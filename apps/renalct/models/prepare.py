"""Preprocessing, written once: from CT numbers on the reference grid to what a stage's network sees.

Training, validation and inference all call `field_grid` and `prepare`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.grid import Box, Grid
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.calipers import equivalent_sphere_diameter_mm
from renalct.imaging.resample import Interpolation, mirrored, resample
from renalct.models.recipe import Field, Geometry, Intensity, Masking, Normalization, Resize, Stage

Input = NDArray[np.float32]
"""(channels, x, y, z), axes to the patient's right, front and head."""

_AIR_HU = -1024


@dataclass(frozen=True)
class Scale:
    """Clip to `low_hu` .. `high_hu`, then (value - center) / width."""

    low_hu: float
    high_hu: float
    center_hu: float
    width_hu: float

    @property
    def fill(self) -> float:
        """The network's value for what lies outside the images or is hidden."""
        return (self.low_hu - self.center_hu) / self.width_hu

    def apply(self, hu: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values that a network sees."""
        clipped = np.clip(hu, np.float32(self.low_hu), np.float32(self.high_hu))
        return (clipped - np.float32(self.center_hu)) / np.float32(self.width_hu)


def measure_scale(volume: CTVolume, intensity: Intensity) -> Scale:
    """The scale that an intensity rule gives on a volume; percentiles and z-scores leave out what is not scanned."""
    low, high = intensity.low_hu, intensity.high_hu
    of_volume = intensity.normalization is Normalization.Z_SCORE_OF_VOLUME
    values = volume.hu[volume.hu > _AIR_HU] if intensity.percentiles or of_volume else np.zeros(0, np.float32)
    if intensity.percentiles is not None:
        low, high = np.percentile(values, intensity.percentiles) if values.size else (0.0, 1.0)
        high = max(float(high), float(low) + 1.0)
    assert low is not None and high is not None
    if of_volume:
        clipped = np.clip(values, low, high).astype(np.float64) if values.size else np.zeros(1)
        return Scale(float(low), float(high), float(clipped.mean()), max(float(clipped.std()), 1.0))
    if intensity.normalization is Normalization.Z_SCORE_OF_TRAINING_SET:
        return Scale(float(low), float(high), intensity.mean_hu, intensity.sd_hu)
    return Scale(float(low), float(high), (low + high) / 2, (high - low) / 2)


def grown_mm(box: Box, grid: Grid, margin_mm: float) -> Box:
    """The box with at least `margin_mm` on every side, kept inside the grid."""
    return box.grown(np.ceil(margin_mm / np.asarray(grid.spacing_mm)).astype(int), grid.shape)


def field_grid(grid: Grid, box: Box, stage: Stage) -> Grid:
    """The grid of a stage's network for the object in `box` of the reference grid, the stage's margin added.

    A patch of the recipe is filled with real surroundings where the field is smaller than it.
    """
    field = grid.cropped(grown_mm(box, grid, stage.margin_mm)).canonical()
    geometry = stage.geometry
    if geometry.shape is not None:
        return _fixed_shape(field, geometry)
    if geometry.spacing_mm is not None:
        extent_mm = np.asarray(field.shape) * np.asarray(field.spacing_mm)
        least = geometry.patch if geometry.patch and stage.field is not Field.WHOLE_VOLUME else (1, 1, 1)
        spacing = np.asarray(geometry.spacing_mm)
        n = np.maximum(least, np.round(extent_mm / spacing)).astype(int)
        center = (np.asarray(field.shape) - 1) / 2  # also a single thin slice has its voxel in the middle
        if geometry.whole_slices:
            step, first, n[2] = _slice_steps(field, geometry.spacing_mm[2])
            spacing[2], center[2] = step * field.spacing_mm[2], first + step * (n[2] - 1) / 2
        return window_grid(field, center, (int(n[0]), int(n[1]), int(n[2])), spacing)
    return field


def _slice_steps(field: Grid, spacing_mm: float) -> tuple[int, int, int]:
    """Every how many slices of the field, from which on, and how many slices that are."""
    step = max(1, round(spacing_mm / field.spacing_mm[2]))
    count = -(-field.shape[2] // step)
    return step, (field.shape[2] - 1 - step * (count - 1)) // 2, count


def _fixed_shape(field: Grid, geometry: Geometry) -> Grid:
    assert geometry.shape is not None
    if geometry.resize is Resize.STRETCH and geometry.spacing_mm is None:
        return field.with_shape(geometry.shape)
    shape = np.asarray(geometry.shape)
    extent_mm = np.asarray(field.shape) * np.asarray(field.spacing_mm)
    if geometry.spacing_mm is None:
        spacing = np.full(3, (extent_mm / shape).max())
    else:
        wanted = np.asarray(geometry.spacing_mm)
        spacing = wanted * max(1.0, float((extent_mm / (shape * wanted)).max()))
    return window_grid(field, (np.asarray(field.shape) - 1) / 2, geometry.shape, spacing)


def window_grid(
    grid: Grid, center: NDArray[np.float64], shape: tuple[int, int, int], spacing_mm: NDArray[np.float64]
) -> Grid:
    """A grid of `shape` and `spacing_mm` along the axes of `grid`, centred at its (fractional) index `center`."""
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3] / np.asarray(grid.spacing_mm) * spacing_mm
    affine[:3, 3] = grid.to_patient(center) - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine, grid.frame_of_reference_uid)


def prepare(
    volume: CTVolume, target: Grid, stage: Stage, *, mask: Mask | None = None, scale: Scale | None = None
) -> Input:
    """What the stage's network sees on `target` (a `field_grid` or a part of one).

    `mask`, on the volume's grid, is what the stage's masking needs: the kidneys or one mass. Hidden and unscanned
    voxels have the lower end of the window. A mask hides after the window and before resampling (Zhao 2023).
    """
    scale = scale or measure_scale(volume, stage.intensity)
    order = Interpolation.CUBIC if stage.geometry.cubic else Interpolation.LINEAR
    hidden = mask is not None and stage.masking in (Masking.MASS, Masking.KIDNEY)
    if mask is not None and hidden:
        shown = grown_mask(mask, volume.grid, stage.context_mm)
        hu = np.clip(volume.hu[shown.box.slices].astype(np.float32), scale.low_hu, scale.high_hu)
        hu[~shown.voxels] = scale.low_hu
        hu = np.pad(hu, 1, constant_values=scale.low_hu)
        source = _padded(volume.grid.cropped(shown.box))
        resampled = resample(hu, source, target, order=order, outside=scale.low_hu)
    else:
        resampled = resample(volume.hu, volume.grid, target, order=order, outside=scale.low_hu)
    channels = [scale.apply(resampled)]
    if stage.masking is Masking.MASS_CHANNEL:
        assert mask is not None
        channels.append(mask_on(mask, volume.grid, target))
    if stage.size_mm is not None:
        assert mask is not None
        channels.append(np.full(target.shape, _size(mask, volume.grid, stage.size_mm), np.float32))
    return np.stack(channels)


def _size(mask: Mask, grid: Grid, size_mm: float) -> float:
    """The logarithm of how many times a mass has the diameter `size_mm`; that of one voxel for an empty mask."""
    diameter_mm = equivalent_sphere_diameter_mm(max(1, mask.count) * grid.voxel_ml)
    return math.log2(diameter_mm / size_mm)


def prepare_slab(
    volume: CTVolume, grid: Grid, slab: Box, stage: Stage, *, mask: Mask | None = None, scale: Scale | None = None
) -> Input:
    """What a slice-wise stage sees for the slices `slab` of `grid`: those, and the stage's neighbors on both sides.

    Beyond the first and last slice of the grid stands their mirror image (the slice itself where there is one only).
    """
    count = stage.geometry.neighbors
    low, high = slab.start[2] - count, slab.stop[2] + count
    inside = Box((*slab.start[:2], max(0, low)), (*slab.stop[:2], min(grid.shape[2], high)))
    array = prepare(volume, grid.cropped(inside), stage, mask=mask, scale=scale)
    index = mirrored(np.arange(low, high), grid.shape[2]) - inside.start[2]
    return array[..., np.clip(index, 0, inside.shape[2] - 1)]


def mask_on(mask: Mask, grid: Grid, target: Grid) -> NDArray[np.float32]:
    """The share (0 to 1) of each target voxel that a mask on `grid` covers."""
    voxels = np.pad(mask.voxels, 1).astype(np.float32)
    covered: NDArray[np.float32] = resample(voxels, _padded(grid.cropped(mask.box)), target)
    return covered


def _padded(grid: Grid) -> Grid:
    """The grid with one voxel more on every side."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_patient((-1, -1, -1))
    return Grid(tuple(n + 2 for n in grid.shape), affine, grid.frame_of_reference_uid)  # type: ignore[arg-type]


def grown_mask(mask: Mask, grid: Grid, context_mm: float) -> Mask:
    """The mask grown by everything within `context_mm`."""
    if context_mm == 0:
        return mask
    box = grown_mm(mask.box, grid, context_mm)
    inner = np.zeros(box.shape, dtype=bool)
    inner[mask.box.inside(box).slices] = mask.voxels
    return Mask(box, ndimage.distance_transform_edt(~inner, grid.spacing_mm) <= context_mm)

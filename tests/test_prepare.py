"""Preprocessing: grids of fields, windows, and masks."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import RecipeError
from renalct.core.grid import Box, Grid
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.resample import mirrored
from renalct.models.prepare import field_grid, grown_mm, mask_on, measure_scale, prepare, prepare_slab
from renalct.models.recipe import Geometry, Intensity, Masking, Normalization, Resize
from renalct.models.recipes import recipe_named
from shapes import grid_of, mask_of

SEGMENT = recipe_named("starter").segment
WINDOW = Intensity(low_hu=-100.0, high_hu=300.0)


def volume_of(hu, spacing=(1.0, 1.0, 1.0)) -> CTVolume:
    return CTVolume(np.asarray(hu, np.int16), grid_of(np.shape(hu), spacing))


def stage(**geometry):
    return replace(SEGMENT, geometry=Geometry(**geometry), margin_mm=0.0, intensity=WINDOW)


def middle_mm(grid) -> np.ndarray:
    return grid.to_patient((np.asarray(grid.shape) - 1) / 2)


def test_a_margin_in_mm_is_at_least_that_wide_and_stops_at_the_edge():
    box = Box((10, 10, 0), (20, 20, 2))
    assert grown_mm(box, grid_of((25, 40, 5), (2.0, 1.0, 3.0)), 5.0) == Box((7, 5, 0), (23, 25, 4))


@pytest.mark.parametrize("shape", [(40, 30, 10), (1, 30, 1)])
def test_a_spacing_covers_the_field_about_its_middle(shape):
    grid = grid_of(shape, (1.0, 1.0, 2.5))
    target = field_grid(grid, Box.whole(shape), stage(spacing_mm=(2.0, 3.0, 5.0)))
    assert target.spacing_mm == (2.0, 3.0, 5.0)
    assert np.allclose(middle_mm(target), middle_mm(grid))
    extent = np.asarray(target.shape) * target.spacing_mm
    assert np.all(np.abs(extent - np.asarray(shape) * grid.spacing_mm) <= np.asarray(target.spacing_mm))


@pytest.mark.parametrize(
    ("thick_mm", "slices", "spacing_mm", "first", "count"),
    [
        (5.0, 7, 5.0, 0, 7),  # thicker than asked for: every slice
        (1.0, 10, 3.0, 0, 4),  # 0, 3, 6, 9
        (1.0, 9, 3.0, 1, 3),  # 1, 4, 7
        (2.5, 1, 2.5, 0, 1),
    ],
)
def test_whole_slices_are_the_volume_s_own(thick_mm, slices, spacing_mm, first, count):
    volume = volume_of(np.broadcast_to(10 * np.arange(slices), (8, 8, slices)), (1.0, 1.0, thick_mm))
    whole = stage(spacing_mm=(2.0, 2.0, 3.0), slice_wise=True, whole_slices=True)
    target = field_grid(volume.grid, Box.whole((8, 8, slices)), whole)
    assert target.spacing_mm == (2.0, 2.0, spacing_mm) and target.shape == (4, 4, count)
    step = round(spacing_mm / thick_mm)
    seen = volume.grid.to_index(target.to_patient([(0, 0, n) for n in range(count)]))[:, 2]
    assert np.allclose(seen, first + step * np.arange(count))
    if step == 1:
        assert np.allclose(prepare(volume, target, whole)[0, 1, 1] * 200 + 100, 10 * np.arange(slices), atol=1e-3)


def test_whole_slices_need_a_spacing():
    with pytest.raises(RecipeError, match="whole_slices"):
        Geometry(whole_slices=True)


def test_a_single_thin_slice_keeps_its_values():
    volume = volume_of(np.full((8, 8, 1), 100), (1.0, 1.0, 0.5))
    target = field_grid(volume.grid, Box.whole((8, 8, 1)), stage(spacing_mm=(2.0, 2.0, 3.0)))
    assert np.allclose(prepare(volume, target, stage(spacing_mm=(2.0, 2.0, 3.0))), 0.0)  # 100 HU is the middle


def test_stretching_fits_each_axis_and_padding_keeps_the_aspect():
    grid = grid_of((40, 20, 10))
    stretched = field_grid(grid, Box.whole(grid.shape), stage(shape=(20, 20, 20), resize=Resize.STRETCH))
    padded = field_grid(grid, Box.whole(grid.shape), stage(shape=(20, 20, 20)))
    assert stretched.spacing_mm == (2.0, 1.0, 0.5)
    assert padded.spacing_mm == (2.0, 2.0, 2.0) and np.allclose(middle_mm(padded), middle_mm(grid))


def test_a_window_of_fixed_size_grows_only_for_a_larger_field():
    grid = grid_of((100, 100, 100))
    fixed = stage(spacing_mm=(1.5, 1.5, 1.5), shape=(20, 20, 20))
    assert field_grid(grid, Box((0, 0, 0), (10, 10, 10)), fixed).spacing_mm == (1.5, 1.5, 1.5)
    assert field_grid(grid, Box((0, 0, 0), (60, 10, 10)), fixed).spacing_mm == (3.0, 3.0, 3.0)


def test_any_orientation_is_seen_right_front_head():
    hu = np.arange(4 * 3 * 2).reshape(4, 3, 2)
    upright = volume_of(hu)
    affine = np.diag([-1.0, -1.0, -1.0, 1.0])
    affine[:3, 3] = (3, 2, 1)
    turned = np.ascontiguousarray(hu[::-1, ::-1, ::-1]).astype(np.int16)
    flipped = CTVolume(turned, Grid((4, 3, 2), affine))
    native = stage()
    seen = [prepare(v, field_grid(v.grid, Box.whole((4, 3, 2)), native), native) for v in (upright, flipped)]
    assert np.array_equal(seen[0], seen[1])


def test_the_window_becomes_minus_one_to_one():
    volume = volume_of(np.asarray([-500, -100, 100, 300, 900]).reshape(5, 1, 1))
    found = prepare(volume, volume.grid, stage())
    assert found.ravel().tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]


def test_z_score_of_a_volume_leaves_out_what_was_not_scanned():
    hu = np.full((10, 10, 10), -1024)
    hu[:5] = np.arange(500).reshape(5, 10, 10)
    rule = Intensity(percentiles=(0.0, 100.0), normalization=Normalization.Z_SCORE_OF_VOLUME)
    scale = measure_scale(volume_of(hu), rule)
    assert (scale.low_hu, scale.high_hu, scale.center_hu) == (0.0, 499.0, 249.5)
    assert scale.width_hu == pytest.approx(np.sqrt((500**2 - 1) / 12))  # of the numbers 0 to 499


def test_z_score_of_the_training_set_uses_the_recipe_s_numbers():
    rule = Intensity(0.0, 200.0, normalization=Normalization.Z_SCORE_OF_TRAINING_SET, mean_hu=50.0, sd_hu=25.0)
    assert measure_scale(volume_of(np.zeros((1, 1, 1))), rule).apply(np.float32([300.0]))[0] == (200 - 50) / 25


def test_a_volume_of_air_has_a_scale():
    scale = measure_scale(volume_of(np.full((2, 2, 2), -1024)), recipe_named("zang2021").segment.intensity)
    assert np.isfinite(scale.apply(np.zeros(1, np.float32))).all()


def test_what_lies_outside_the_volume_is_the_lower_end_of_the_window():
    volume = volume_of(np.full((4, 4, 4), 300))
    wide = stage(shape=(8, 8, 8), spacing_mm=(1.0, 1.0, 1.0))
    found = prepare(volume, field_grid(volume.grid, Box.whole((4, 4, 4)), wide), wide)[0]
    assert found[2:6, 2:6, 2:6].min() == 1.0 and found.sum() == 64 - (512 - 64)


def test_masking_hides_all_but_the_mass_and_its_context():
    inside = np.zeros((9, 9, 9), bool)
    inside[4, 4, 4] = True
    volume = volume_of(np.full((9, 9, 9), 300))
    hiding = replace(stage(), masking=Masking.MASS)
    seen = prepare(volume, volume.grid, hiding, mask=mask_of(inside))[0]
    assert np.array_equal(seen == 1.0, inside)
    near = prepare(volume, volume.grid, replace(hiding, context_mm=1.0), mask=mask_of(inside))[0]
    assert (near == 1.0).sum() == 7  # the voxel and its six neighbours at 1 mm


def test_a_mask_as_a_channel_leaves_the_image_whole():
    inside = np.zeros((5, 5, 5), bool)
    inside[2:4, 2, 2] = True
    volume = volume_of(np.full((5, 5, 5), 300))
    found = prepare(volume, volume.grid, replace(stage(), masking=Masking.MASS_CHANNEL), mask=mask_of(inside))
    assert found.shape == (2, 5, 5, 5) and found[0].min() == 1.0
    assert np.array_equal(found[1] == 1.0, inside)


def test_the_share_of_a_coarser_voxel_that_a_mask_covers():
    grid = grid_of((4, 4, 4))
    mask = Mask(Box((0, 0, 0), (4, 4, 2)), np.ones((4, 4, 2), bool))
    covered = mask_on(mask, grid, grid.with_spacing(2.0))
    assert covered.shape == (2, 2, 2)
    assert covered[..., 0].min() > covered[..., 1].max()


def test_a_field_smaller_than_the_patch_is_filled_with_its_surroundings():
    volume = volume_of(np.full((40, 40, 8), 300))
    patched = stage(spacing_mm=(1.0, 1.0, 1.0), patch=(20, 20, 1), slice_wise=True)
    target = field_grid(volume.grid, Box((15, 15, 2), (25, 25, 6)), patched)
    assert target.shape == (20, 20, 4) and prepare(volume, target, patched).min() == 1.0


@pytest.mark.parametrize(
    ("index", "count", "folded"), [((-2, -1, 0, 1, 2, 3, 4), 3, (2, 1, 0, 1, 2, 1, 0)), ((-1, 0, 1), 1, (0, 0, 0))]
)
def test_beyond_the_ends_stands_the_mirror_image(index, count, folded):
    assert tuple(mirrored(np.asarray(index), count)) == folded


@pytest.mark.parametrize(("start", "stop", "seen"), [(0, 2, [1, 0, 1, 2]), (2, 3, [1, 2, 3]), (3, 4, [2, 3, 2])])
def test_a_slab_comes_with_its_neighbors(start, stop, seen):
    volume = volume_of(np.arange(4).reshape(1, 1, 4) * 100)
    native = stage(slice_wise=True, neighbors=1)
    found = prepare_slab(volume, volume.grid, Box((0, 0, start), (1, 1, stop)), native)
    assert np.allclose(100 + 200 * found.ravel(), np.asarray(seen) * 100)


@pytest.mark.parametrize(("cubic", "hu"), [(True, 100.0), (False, 50.0)])
def test_a_spline_keeps_the_values_that_it_passes_through_and_linear_averages_over_a_coarser_voxel(cubic, hu):
    # one slice of nine has 100 HU, the others 0; of a grid of every second slice the middle one lies on it
    values = np.zeros((4, 4, 9))
    values[..., 4] = 100
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = grid_of((4, 4, 9), (1.0, 1.0, 1.0)).to_patient((0, 0, 0))
    seen = prepare(volume_of(values), Grid((4, 4, 5), affine), stage(spacing_mm=(1.0, 1.0, 2.0), cubic=cubic))
    np.testing.assert_allclose(seen[0, ..., 2] * 200 + 100, hu, atol=1e-3)  # the window is -100 to 300 HU

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.errors import GeometryError
from renalct.core.grid import Box, Grid
from renalct.imaging.resample import Interpolation, resample
from scipy import ndimage


def ramp(grid: Grid) -> np.ndarray:
    """A linear function of patient position: linear interpolation must reproduce it wherever it is inside."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    return (grid.to_patient(index) @ np.array([1.0, -2.0, 3.0]) + 5.0).astype(np.float32)


def oriented(shape, spacing, signs, order, origin=(7.0, -11.0, 13.0)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel, world in enumerate(order):
        affine[world, voxel] = signs[voxel] * spacing[voxel]
    affine[:3, 3] = origin
    return Grid(shape, affine)


def test_a_linear_function_of_position_is_reproduced_on_a_finer_grid():
    grid = oriented((9, 8, 7), (2.0, 1.0, 3.0), (1, -1, 1), (0, 1, 2))
    fine = grid.with_spacing(0.5)
    inner = tuple(slice(8, n - 8) for n in fine.shape)
    np.testing.assert_allclose(resample(ramp(grid), grid, fine)[inner], ramp(fine)[inner], atol=1e-3)


def test_averaging_keeps_the_mean_of_a_constant():
    grid = oriented((20, 20, 20), (1.0, 1.0, 1.0), (1, 1, 1), (0, 1, 2))
    np.testing.assert_allclose(
        resample(np.full(grid.shape, 42, np.int16), grid, grid.with_spacing(3.0)), 42.0, rtol=1e-6
    )


def test_voxels_outside_the_field_get_the_outside_value():
    grid = Grid((4, 4, 4), np.eye(4))
    shifted = Grid((4, 4, 4), np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    moved = resample(np.ones(grid.shape, np.float32), grid, shifted, outside=-1024.0)
    assert moved[:2].min() == 1.0 and moved[2:].max() == -1024.0


def test_a_target_wholly_outside_is_all_outside_value():
    far = np.eye(4)
    far[0, 3] = 100
    assert (
        resample(np.ones((3, 3, 3), np.float32), Grid((3, 3, 3), np.eye(4)), Grid((3, 3, 3), far), outside=9) == 9
    ).all()


def test_rotated_grids_and_other_frames_of_reference_are_refused():
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    with pytest.raises(GeometryError, match="not parallel"):
        resample(np.zeros((3, 3, 3), np.float32), Grid((3, 3, 3), np.eye(4)), Grid((3, 3, 3), turned))
    with pytest.raises(GeometryError, match=r"1\.2\.3"):
        resample(np.zeros((3, 3, 3)), Grid((3, 3, 3), np.eye(4), "1.2.3"), Grid((3, 3, 3), np.eye(4)))


def test_channels_are_resampled_one_by_one():
    grid = Grid((5, 6, 7), np.diag([1.0, 2.0, 3.0, 1.0]))
    two = np.stack([ramp(grid), -ramp(grid)])
    target = grid.with_spacing(1.5)
    np.testing.assert_array_equal(resample(two, grid, target)[1], resample(-ramp(grid), grid, target))


axes = st.permutations([0, 1, 2])
signs = st.tuples(*[st.sampled_from([-1, 1])] * 3)
spacings = st.tuples(*[st.floats(0.4, 5.0)] * 3)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


@settings(deadline=None, max_examples=60)
@given(shapes, spacings, signs, axes)
def test_to_the_canonical_grid_and_back_is_the_identity(shape, spacing, sign, order):
    grid = oriented(shape, spacing, sign, order)
    labels = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    there = resample(labels, grid, grid.canonical(), order=Interpolation.NEAREST)
    np.testing.assert_array_equal(resample(there, grid.canonical(), grid, order=Interpolation.NEAREST), labels)
    values = ramp(grid)
    back = resample(resample(values, grid, grid.canonical()), grid.canonical(), grid)
    np.testing.assert_allclose(back, values, rtol=1e-5, atol=1e-3)


@settings(deadline=None, max_examples=40)
@given(shapes, spacings, signs, axes)
def test_patient_positions_of_the_canonical_grid_agree_with_the_source(shape, spacing, sign, order):
    grid = oriented(shape, spacing, sign, order)
    canonical = grid.canonical()
    np.testing.assert_allclose(resample(ramp(grid), grid, canonical), ramp(canonical), rtol=1e-5, atol=1e-3)
    assert [canonical.canonical_axes[w] for w in range(3)] == [(0, 1), (1, 1), (2, 1)]


def test_a_cut_box_gives_the_same_values_as_the_whole():
    grid = Grid((12, 12, 12), np.eye(4))
    values = np.random.default_rng(1).normal(size=grid.shape).astype(np.float32)
    box = Box((3, 2, 4), (9, 10, 11))
    np.testing.assert_allclose(resample(values, grid, grid.cropped(box)), values[box.slices], atol=1e-6)


def grids_along(count, spacing_mm, first_mm):
    """A grid of 9 x `count` x 1 voxels of 1 mm, and one that looks at its middle axis at another spacing."""
    affine = np.diag([1.0, spacing_mm, 1.0, 1.0])
    affine[1, 3] = first_mm
    wanted = int((count - 1 - first_mm) // spacing_mm) + 1
    return Grid((9, count, 1), np.eye(4)), Grid((9, wanted, 1), affine)


@pytest.mark.parametrize(
    ("count", "spacing_mm", "first_mm"),
    [(60, 0.7, 0.0), (60, 1.99, 0.3), (7, 0.31, 0.2), (2, 0.4, 0.1), (60, 0.9, 25.2)],
)
def test_cubic_interpolation_is_the_spline_of_scipy(count, spacing_mm, first_mm):
    values = np.random.default_rng(count).normal(0, 100, (9, count, 1))
    source, target = grids_along(count, spacing_mm, first_mm)
    ours = resample(values, source, target, order=Interpolation.CUBIC)
    at = first_mm + spacing_mm * np.arange(target.shape[1])
    theirs = np.stack([ndimage.map_coordinates(row[:, 0], [at], order=3, mode="mirror") for row in values])
    np.testing.assert_allclose(ours[..., 0], theirs, atol=1e-3)  # of 100 HU: the reach of 12 voxels, and float32


def test_cubic_interpolation_passes_through_the_values_and_keeps_a_constant_one():
    values = np.random.default_rng(1).normal(0, 100, (5, 6, 7)).astype(np.float32)
    grid = Grid((5, 6, 7), np.eye(4))
    np.testing.assert_allclose(resample(values, grid, grid, order=Interpolation.CUBIC), values, atol=1e-3)
    one = Grid((1, 6, 7), np.eye(4))  # an axis of one voxel
    finer = one.with_spacing(0.5)
    found = resample(np.full((1, 6, 7), 40.0), one, finer, order=Interpolation.CUBIC)
    np.testing.assert_allclose(found, 40.0, atol=1e-4)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.grid import Grid
from renalct.imaging.calipers import axial_calipers, equivalent_sphere_diameter_mm, max_3d_diameter_mm
from shapes import ellipsoid, grid_of, mask_of


def test_one_voxel_is_as_long_as_its_spacing():
    grid = grid_of((3, 3, 3), (0.8, 0.5, 5.0))
    voxels = np.zeros(grid.shape, bool)
    voxels[1, 1, 1] = True
    longest, short = axial_calipers(mask_of(voxels), grid)
    assert longest.length_mm == pytest.approx(0.8) and short.length_mm == pytest.approx(0.5)
    assert longest.start[2] == longest.stop[2] == 1
    assert max_3d_diameter_mm(mask_of(voxels), grid) == pytest.approx(5.0)


def test_a_row_of_voxels_is_as_long_as_all_of_them():
    grid = grid_of((12, 3, 1), (0.7, 0.7, 3.0))
    voxels = np.zeros(grid.shape, bool)
    voxels[1:11, 1, 0] = True
    longest, short = axial_calipers(mask_of(voxels), grid)
    assert longest.length_mm == pytest.approx(7.0) and short.length_mm == pytest.approx(0.7)
    assert sorted((longest.start[0], longest.stop[0])) == pytest.approx([0.5, 10.5])


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.floats(4.0, 15.0)] * 3), st.tuples(st.floats(0.6, 1.2), st.floats(0.6, 1.2), st.floats(0.6, 3.0)))
def test_an_ellipsoid_has_its_own_diameters_to_within_a_voxel(radii, spacing):
    grid = grid_of([int(34 / s) for s in spacing], spacing, origin=(-17, -17, -17))
    mask = mask_of(ellipsoid(grid, (0, 0, 0), radii))
    longest, short = axial_calipers(mask, grid)
    in_plane = 1.5 * max(spacing[:2])
    assert longest.length_mm == pytest.approx(2 * max(radii[:2]), abs=in_plane)
    assert short.length_mm == pytest.approx(2 * min(radii[:2]), abs=in_plane)
    assert max_3d_diameter_mm(mask, grid) == pytest.approx(2 * max(radii), abs=1.5 * max(spacing))


def test_the_ends_of_the_caliper_are_its_length_apart_in_the_patient_on_an_oblique_grid():
    turn = np.radians(20)
    affine = np.array(
        [
            [0.7 * np.cos(turn), -np.sin(turn), 0, 4],
            [0.7 * np.sin(turn), np.cos(turn), 0, 9],
            [0, 0, -2.5, 3],
            [0, 0, 0, 1],
        ]
    )
    grid = Grid((30, 30, 9), affine)
    voxels = np.zeros(grid.shape, bool)
    voxels[5:25, 12:18, 3:6] = True
    longest, short = axial_calipers(mask_of(voxels), grid)
    for caliper in (longest, short):
        start, stop = grid.to_patient([caliper.start, caliper.stop])
        assert np.linalg.norm(stop - start) == pytest.approx(caliper.length_mm)


def test_the_axial_axis_is_that_of_the_patient_not_of_the_array():
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 4.0, 1.0, 1.0, 1.0
    grid = Grid((5, 20, 20), affine)
    voxels = np.zeros(grid.shape, bool)
    voxels[:, 10, 10] = True
    voxels[2, 10, 5:15] = True
    longest, _ = axial_calipers(mask_of(voxels), grid)
    assert longest.length_mm == pytest.approx(10.0) and longest.start[0] == 2


def test_a_sphere_of_ten_millimetres_has_0_524_ml():
    assert equivalent_sphere_diameter_mm(0.5236) == pytest.approx(10.0, abs=1e-3)

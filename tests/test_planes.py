"""Planes are shown as radiologists look at them, from every order and direction of the voxel axes."""

from itertools import permutations, product

import numpy as np
import pytest
from made_report import dicom_like_grid
from renalct.core.grid import Box, Grid
from renalct.core.volume import Mask
from renalct.pictures.planes import Plane, Rectangle, View, direction_letters, square_pixels

ORIENTATIONS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def oriented_grid(order, signs, shape_ras=(6, 7, 8), spacing_ras=(1.0, 2.0, 3.0)) -> Grid:
    """A grid whose voxel axis n runs along the patient axis order[n] (0 R, 1 A, 2 S) in direction signs[n]."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for voxel, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, voxel] = sign * spacing_ras[world]
        affine[world, 3] = 0 if sign > 0 else (shape_ras[world] - 1) * spacing_ras[world]
    return Grid(tuple(shape_ras[world] for world in order), affine)


def marked(grid: Grid, point_mm) -> tuple[np.ndarray, tuple[int, int, int]]:
    array = np.zeros(grid.shape, dtype=np.int16)
    index = tuple(int(v) for v in np.rint(grid.to_index(point_mm)))
    array[index] = 1
    return array, index


# A mark in the corner right (x = 5 mm), anterior (y = 12 mm), head (z = 21 mm) of a patient of 6 x 7 x 8 voxels.
@pytest.mark.parametrize(
    ("view", "row", "column", "shape"),
    [(View.AXIAL, 0, 0, (7, 6)), (View.CORONAL, 0, 0, (8, 6)), (View.SAGITTAL, 0, 0, (8, 7))],
)
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_right_anterior_and_head_lie_on_the_left_and_at_the_top(view, row, column, shape, order, signs):
    grid = oriented_grid(order, signs)
    array, index = marked(grid, (5.0, 12.0, 21.0))
    first = Plane(grid, view, 0)
    plane = Plane(grid, view, index[first.normal])
    cut = plane.cut(array)
    assert cut.pixels.shape == plane.shape == shape
    assert np.argwhere(cut.pixels).tolist() == [[row, column]]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_point_lands_on_its_pixel(order, signs):
    grid = oriented_grid(order, signs)
    array, index = marked(grid, (2.0, 4.0, 18.0))
    for view in View:
        plane = Plane(grid, view, index[Plane(grid, view, 0).normal])
        ((row, column),) = np.argwhere(plane.cut(array).pixels)
        height, width = plane.pixel_mm
        np.testing.assert_allclose(plane.to_picture(index), [(column + 0.5) * width, (row + 0.5) * height])


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_box_is_cut_at_its_place_in_the_whole_plane(order, signs):
    grid = oriented_grid(order, signs)
    whole = np.zeros(grid.shape, dtype=bool)
    box = Box((1, 2, 1), (3, 4, 5))
    whole[box.slices] = True
    mask = Mask(box, whole[box.slices])
    for view in View:
        plane = Plane(grid, view, 2)
        cut = plane.cut(mask.voxels, mask.box)
        pasted = np.zeros(plane.shape, dtype=bool)
        if cut is not None:
            rows, columns = cut.pixels.shape
            pasted[cut.top : cut.top + rows, cut.left : cut.left + columns] = cut.pixels
        np.testing.assert_array_equal(pasted, plane.cut(whole).pixels)


@pytest.mark.parametrize(
    ("view", "letters"),
    [(View.AXIAL, ("R", "L", "A", "P")), (View.CORONAL, ("R", "L", "H", "F")), (View.SAGITTAL, ("A", "P", "H", "F"))],
)
def test_the_letters_name_left_right_top_and_bottom(view, letters):
    assert Plane(dicom_like_grid(), view, 0).letters == letters


def test_a_plane_that_leans_over_15_degrees_has_two_letters():
    lean = np.array([np.cos(np.radians(20)), np.sin(np.radians(20)), 0.0])
    assert direction_letters(lean) == "RA"
    assert direction_letters(-lean) == "LP"
    straight = np.array([np.cos(np.radians(10)), np.sin(np.radians(10)), 0.0])
    assert direction_letters(straight) == "R"


def test_a_slice_outside_of_the_box_gives_nothing():
    grid = dicom_like_grid()
    assert Plane(grid, View.AXIAL, 9).cut(np.ones((2, 2, 2), dtype=bool), Box((0, 0, 10), (2, 2, 12))) is None
    assert Plane(grid, View.AXIAL, 0).cut(np.ones((0, 0, 0), dtype=bool), Box((0, 0, 0), (0, 0, 0))) is None


def test_a_slice_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="slice 30 of 30"):
        Plane(dicom_like_grid(), View.AXIAL, 30)


def test_the_shadow_joins_all_slices():
    grid = oriented_grid((0, 1, 2), (1, 1, 1))
    voxels = np.zeros(grid.shape, dtype=bool)
    voxels[5, 6, 0] = voxels[0, 6, 7] = True  # both anterior; one right, one left
    shadow = Plane(grid, View.AXIAL, 3).shadow(Mask(Box.whole(grid.shape), voxels))
    assert np.argwhere(shadow.pixels).tolist() == [[0, 0], [0, 5]]


def test_a_slab_is_the_mean_of_the_slices_within_its_thickness():
    grid = Grid((2, 2, 9), np.eye(4))
    array = np.broadcast_to(np.arange(9, dtype=np.int16) ** 2, (2, 2, 9))
    # 3 mm around slice 4 are the slices 3, 4 and 5: (9 + 16 + 25) / 3.
    np.testing.assert_allclose(Plane(grid, View.AXIAL, 4).slab(array, 3.0), 50 / 3, rtol=1e-6)
    # At the edge only what exists: slices 0 and 1.
    np.testing.assert_allclose(Plane(grid, View.AXIAL, 0).slab(array, 3.0), 0.5)


def test_a_slab_of_thick_slices_is_the_slice_itself():
    grid = Grid((2, 2, 9), np.diag([1, 1, 5.0, 1]))
    array = np.broadcast_to(np.arange(9, dtype=np.int16), (2, 2, 9))
    np.testing.assert_array_equal(Plane(grid, View.AXIAL, 4).slab(array, 3.0), 4)


def test_the_rectangle_around_a_box_covers_whole_voxels():
    # i runs to the left with 2 mm: columns 3 to 5 cover 6 to 12 mm; k runs up with 3 mm and is the last of 30 slices.
    grid = dicom_like_grid()
    assert Plane(grid, View.CORONAL, 0).around(Box((3, 0, 29), (6, 1, 30))) == Rectangle(6.0, 0.0, 6.0, 3.0)


@pytest.mark.parametrize("pixel_mm", [(3.0, 0.75), (0.7, 0.7), (1.0, 5.0), (0.2, 0.2)])
def test_square_pixels_keep_the_physical_aspect(pixel_mm):
    square = square_pixels(np.zeros((40, 60), dtype=np.int16), pixel_mm, 0.5)
    assert square.shape == (round(40 * pixel_mm[0] / 0.5), round(60 * pixel_mm[1] / 0.5))


def test_square_pixels_keep_a_step_in_its_place():
    step = np.zeros((4, 10), dtype=np.float32)
    step[:, 5:] = 100
    square = square_pixels(step, (3.0, 1.0), 0.5)
    assert square.shape == (24, 20)
    assert (square[:, :9] < 50).all()
    assert (square[:, 11:] > 50).all()


def test_one_pixel_gives_one_pixel_at_least():
    assert square_pixels(np.ones((1, 1)), (0.1, 0.1), 5.0).tolist() == [[1.0]]

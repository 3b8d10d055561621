import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from renalct.core.errors import GeometryError
from renalct.core.grid import Box, Grid

SHEARED = np.array([[1, 0, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def test_spacing_and_voxel_volume_come_from_the_affine():
    grid = Grid((4, 4, 4), np.array([[0, 0.5, 0, 0], [-0.8, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]]))
    assert grid.spacing_mm == pytest.approx((0.8, 0.5, 5.0))
    assert grid.voxel_ml == pytest.approx(0.002)
    assert grid.canonical_axes == ((1, 1), (0, -1), (2, 1)) and grid.axial_axis == 2


def test_patient_positions_are_affine_times_index():
    grid = Grid((4, 4, 4), np.array([[-2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(grid.to_patient([1, 2, 3]), [8, 26, 42])
    np.testing.assert_allclose(grid.to_index([8, 26, 42]), [1, 2, 3])


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (SHEARED, "tilted gantry"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "zero length"),
        (np.full((4, 4), np.nan), "finite"),
        (np.eye(3), "4 x 4"),
    ],
)
def test_an_affine_that_is_no_grid_is_refused(affine, words):
    with pytest.raises(GeometryError, match=words):
        Grid((2, 2, 2), affine)


def test_grids_differ_by_shape_place_and_frame_of_reference():
    grid = Grid((5, 5, 5), np.eye(4), "1.2")
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[0, 3] = 5e-4, 5e-3
    assert grid.same_as(Grid((5, 5, 5), near, "1.2"))
    assert not grid.same_as(Grid((5, 5, 5), far, "1.2"))
    assert not grid.same_as(Grid((5, 5, 5), np.eye(4), "1.3"))
    assert not grid.same_as(Grid((5, 5, 6), np.eye(4), "1.2"))
    assert not grid.same_as(Grid((5, 5, 5), np.diag([1.001, 1, 1, 1]), "1.2"))


def test_the_affine_cannot_be_changed_after_the_fact():
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 3] = 99
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1


@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.floats(0.3, 6.0)] * 3))
def test_a_stretched_grid_covers_exactly_the_same_field(shape, spacing):
    grid = Grid(shape, np.diag([*spacing, 1.0]))
    other = grid.with_shape((7, 11, 13))
    for corner, edge in ((-0.5, [-0.5] * 3), (None, [6.5, 10.5, 12.5])):
        faces = [corner] * 3 if corner else np.asarray(shape) - 0.5
        np.testing.assert_allclose(grid.to_patient(faces), other.to_patient(edge), atol=1e-6)


@given(st.tuples(*[st.integers(1, 40)] * 3), st.floats(0.5, 8.0))
def test_a_new_spacing_keeps_the_first_corner_and_the_field_to_half_a_voxel(shape, step):
    grid = Grid(shape, np.diag([1.0, 2.0, 3.0, 1.0]))
    other = grid.with_spacing(step)
    np.testing.assert_allclose(grid.to_patient([-0.5] * 3), other.to_patient([-0.5] * 3), atol=1e-6)
    field = np.asarray(other.shape) * step - np.asarray(shape) * [1, 2, 3]
    assert (np.abs(field) <= np.maximum(step / 2, step - np.asarray(shape) * [1, 2, 3]) + 1e-6).all()


def test_a_box_around_nothing_has_no_voxels():
    assert Box.around(np.zeros((3, 4, 5), bool)).shape == (0, 0, 0)


def test_a_box_is_the_smallest_around_a_mask_and_grows_inside_the_volume():
    mask = np.zeros((9, 9, 9), bool)
    mask[2:5, 3, 8] = True
    box = Box.around(mask)
    assert (box.start, box.stop) == ((2, 3, 8), (5, 4, 9))
    assert box.grown((3, 1, 2), within=mask.shape) == Box((0, 2, 6), (8, 5, 9))
    assert mask[box.slices].all()


def test_boxes_move_between_arrays_and_back():
    outer, inner = Box((2, 3, 4), (9, 9, 9)), Box((4, 5, 6), (6, 7, 8))
    assert inner.inside(outer).shifted(outer.start) == inner
    assert outer.union(Box((0, 5, 5), (3, 12, 6))) == Box((0, 3, 4), (9, 12, 9))


def test_a_box_that_runs_backwards_is_refused():
    with pytest.raises(ValueError, match="from start to stop"):
        Box((2, 0, 0), (1, 1, 1))

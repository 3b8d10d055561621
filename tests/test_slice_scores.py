"""Dice slice by slice, by hand: empty slices, one voxel, and axes in any order."""

import numpy as np
import pytest
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap
from renalct.metrics.slice_scores import slice_scores
from shapes import grid_of


def maps(prediction, reference, grid=None):
    arrays = [np.asarray(each, np.uint8) for each in (prediction, reference)]
    grid = grid or grid_of(arrays[0].shape, (1.0, 2.0, 5.0))
    return [LabelMap(array, grid) for array in arrays]


def test_every_slice_is_scored_on_its_own():
    prediction, reference = np.zeros((4, 1, 4), np.uint8), np.zeros((4, 1, 4), np.uint8)
    reference[:2, 0, 1], prediction[1:3, 0, 1] = 1, 1  # one voxel of two shared: 2 * 1 / 4
    reference[:, 0, 2], prediction[:, 0, 2] = 1, 1
    reference[0, 0, 2] = 2  # a tumor that is called kidney
    prediction[3, 0, 3] = 2  # a tumor where nothing is
    found = slice_scores(*maps(prediction, reference))
    assert [s.kidney for s in found] == [1.0, 0.5, 1.0, 0.0]
    assert [s.tumor for s in found] == [1.0, 1.0, 0.0, 0.0]
    assert [s.has_kidney for s in found] == [False, True, True, False]
    assert [s.has_tumor for s in found] == [False, False, True, False]


def test_two_empty_maps_agree_on_every_slice():
    empty = np.zeros((2, 2, 3), np.uint8)
    assert [(s.kidney, s.tumor, s.has_kidney) for s in slice_scores(*maps(empty, empty))] == [(1.0, 1.0, False)] * 3


def test_one_voxel_in_one_slice():
    one = np.ones((1, 1, 1), np.uint8)
    (score,) = slice_scores(*maps(one, one))
    assert score.kidney == 1.0 and score.has_kidney and not score.has_tumor


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_run_along_the_head_foot_axis_whatever_its_place_in_memory(axis):
    values = np.zeros((3, 4, 5), np.uint8)
    values[1, 1, 2] = 1
    moved = np.moveaxis(values, 2, axis)
    affine = np.eye(4)
    columns = [column for column in range(3) if column != axis]
    affine[:3, :3] = 0
    affine[2, axis], affine[0, columns[0]], affine[1, columns[1]] = 4.0, 1.0, 2.0
    grid = Grid(moved.shape, affine)
    found = slice_scores(LabelMap(moved.copy(), grid), LabelMap(moved.copy(), grid))
    assert [s.has_kidney for s in found] == [False, False, True, False, False]

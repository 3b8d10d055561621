import math

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.learning.acquisition.uncertainty import (
    MOST_LIFT,
    PATCH_MM,
    best_patches,
    class_entropy,
    disagreement,
    entropy,
    mutual_information,
    region_value,
    small_mass_weights,
)
from shapes import ellipsoid, grid_of


def voxels(*rows):
    """Probabilities (classes, voxels), one row per voxel."""
    return np.asarray(rows, np.float32).T


def test_entropy_runs_from_0_for_a_sure_answer_to_1_for_none():
    found = entropy(voxels([1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]))
    assert found.tolist() == pytest.approx([0.0, 1.0, 0.5])  # log 2 / log 4


def test_mutual_information_tells_answers_that_differ_from_answers_that_are_all_unsure():
    half = voxels([0.5, 0.5], [0.5, 0.5])
    expected = np.asarray([0.0, math.log(2)], np.float32)  # two sure answers that differ; two that are both unsure
    assert mutual_information(half, expected).tolist() == pytest.approx([1.0, 0.0])


def test_disagreement_is_the_share_of_pairs_that_differ():
    votes = np.asarray([[1, 1, 1], [1, 1, 2], [1, 2, 3], [1, 2, 0]], np.uint8)
    # of 6 pairs: none differ; 4 of two against two; all
    assert disagreement(votes).tolist() == pytest.approx([0.0, 4 / 6, 1.0])


def test_one_answer_cannot_disagree():
    with pytest.raises(InputError, match="cannot disagree"):
        disagreement(np.ones((1, 2, 2, 2), np.uint8))


def test_class_entropy_is_that_of_the_voxel_times_the_share_of_the_class():
    found = class_entropy(voxels([0.5, 0.5, 0, 0], [0, 0, 1, 0]))
    assert found.T.tolist() == [pytest.approx([0.25, 0.25, 0, 0]), pytest.approx([0, 0, 0, 0])]


def test_a_small_mass_weighs_30_mm_by_its_diameter_and_one_of_30_mm_or_more_weighs_1():
    grid = grid_of((80, 50, 50), (1.0, 1.0, 1.0))
    small, large = ellipsoid(grid, (14, 25, 25), (7.5,) * 3), ellipsoid(grid, (55, 25, 25), (16.0,) * 3)
    decided = np.where(small | large, np.uint8(Structure.TUMOR), np.uint8(Structure.KIDNEY))
    weights = small_mass_weights(decided, grid)
    assert weights[small] == pytest.approx(2.0, rel=0.02)  # 30 / 15; the sphere of voxels is 1 % off
    assert weights[14, 25, 25 + 10] > 1.9 and weights[14, 25, 25 + 13] == 1.0  # its rim of 4 mm, and beyond
    assert weights[large].max() == 1.0


def test_the_lift_of_a_tiny_mass_is_limited_and_a_speck_is_no_mass():
    grid = grid_of((20, 20, 20), (1.0, 1.0, 1.0))
    decided = np.zeros(grid.shape, np.uint8)
    decided[4:8, 4:8, 4:8] = Structure.CYST  # 64 mm3, a sphere of 5 mm
    assert small_mass_weights(decided, grid).max() == MOST_LIFT
    decided[4:8, 4:8, 4:8] = 0
    decided[5:8, 5:8, 5:8] = Structure.CYST  # 27 mm3
    assert small_mass_weights(decided, grid).max() == 1.0


def test_the_best_patch_holds_the_most_and_its_value_is_its_mean():
    grid = grid_of((40, 40, 20), (2.0, 2.0, 4.0))
    side = [round(PATCH_MM / mm) for mm in grid.spacing_mm]
    assert side == [12, 12, 6]
    values = np.zeros(grid.shape, np.float32)
    values[20:32, 10:22, 6:12] = 0.5
    first, *rest = best_patches(values, grid)
    assert (first.box.start, first.box.stop) == ((20, 10, 6), (32, 22, 12))
    assert first.value == pytest.approx(0.5)
    assert rest == []  # nothing is left beside it
    assert region_value((first,)) == pytest.approx(0.5 / 3)


def test_a_hot_spot_in_the_corner_is_found_and_patches_do_not_overlap():
    grid = grid_of((40, 40, 20), (2.0, 2.0, 4.0))
    values = np.zeros(grid.shape, np.float32)
    values[0:2, 0:2, 0:2] = 1.0
    values[38:40, 38:40, 18:20] = 0.5
    first, second = best_patches(values, grid)
    assert first.value == pytest.approx(8 / (12 * 12 * 6)) and second.value == pytest.approx(4 / (12 * 12 * 6))
    assert all(s == 0 for s in first.box.start) and second.box.stop == (40, 40, 20)
    assert not first.box.overlaps(second.box)


def test_equal_values_give_the_first_patch_and_an_empty_map_one_of_0():
    grid = grid_of((30, 30, 10), (2.0, 2.0, 4.0))
    assert best_patches(np.ones(grid.shape, np.float32), grid)[0].box.start == (0, 0, 0)
    (only,) = best_patches(np.zeros(grid.shape, np.float32), grid)
    assert only.value == 0.0


def test_a_region_thinner_than_a_patch_and_a_single_voxel_have_a_patch_as_large_as_they_are():
    thin = grid_of((30, 30, 2), (2.0, 2.0, 4.0))
    values = np.zeros(thin.shape, np.float32)
    values[:12, :12] = 1.0
    (patch,) = best_patches(values, thin)
    assert patch.box.shape == (12, 12, 2) and patch.value == pytest.approx(1.0)
    (one,) = best_patches(np.ones((1, 1, 1), np.float32), grid_of((1, 1, 1)))
    assert one.box.shape == (1, 1, 1) and one.value == 1.0


def test_a_small_mass_moves_the_patches_of_a_region_and_hardly_its_mean():
    """The reason for patches: 2 cm of unsure mass in an unremarkable kidney region of 10 cm."""
    grid = grid_of((50, 50, 50), (2.0, 2.0, 2.0))
    values = np.full(grid.shape, 0.02, np.float32)
    unsure = values.copy()
    unsure[ellipsoid(grid, (40, 40, 40), (10.0,) * 3)] = 0.8
    assert unsure.mean() / values.mean() < 1.2
    assert best_patches(unsure, grid)[0].value > 8 * best_patches(values, grid)[0].value

"""Two label maps laid on each other: their box, their regions, and Dice."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from label_pairs import label_map, made_pairs
from monai.metrics import compute_dice, compute_iou
from renalct.core.errors import GeometryError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from renalct.metrics.overlap import MaskPair, box_of, cut, dice, iou, lay_on_each_other

UNIT = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("both", "reference", "prediction", "expected"),
    [(0, 0, 0, 1.0), (0, 5, 0, 0.0), (0, 0, 5, 0.0), (4, 4, 4, 1.0), (1, 2, 2, 0.5), (3, 4, 5, 6 / 9)],
)
def test_dice(both, reference, prediction, expected):
    assert dice(both, reference, prediction) == pytest.approx(expected)


def test_the_dice_printed_in_the_2d_paper_is_rejected():
    # 2 |P and R| / |P or R| is twice the IoU: for a perfect prediction it is 2, and for a half overlap it is no Dice.
    def printed(both, reference, prediction):
        return 2 * both / (reference + prediction - both)

    assert printed(10, 10, 10) == 2.0
    assert dice(10, 10, 10) == 1.0
    assert printed(5, 10, 10) == pytest.approx(2 / 3)
    assert dice(5, 10, 10) == 0.5
    assert printed(5, 10, 10) == 2 * iou(5, 10, 10)


def test_200_disturbed_pairs_have_the_dice_and_iou_of_monai():
    for reference, prediction, spacing in made_pairs(200, seed=7):
        pair = MaskPair(reference, prediction, spacing)
        tensors = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
        assert pair.dice == pytest.approx(float(compute_dice(*tensors)), abs=1e-6)
        assert iou(pair.both, *pair.counts) == pytest.approx(float(compute_iou(*tensors)), abs=1e-6)
        assert cut(pair).dice == pair.dice


def test_the_box_of_masks_is_the_smallest():
    random = np.random.default_rng(0)
    for _ in range(50):
        mask = random.random(tuple(random.integers(1, 9, 3))) < 0.03
        assert box_of(mask) == Box.around(mask)
    assert box_of(np.zeros((0, 4, 4), bool)).shape == (0, 0, 0)


def test_regions_are_those_of_kits_with_angiomyolipoma_as_tumor():
    values = np.array([[[0, 1, 2, 3, 4]]])
    pair = lay_on_each_other(label_map(values), label_map(values), case="a")
    assert {region: pair.region(region).counts[0] for region in Region} == {
        Region.KIDNEY_AND_MASS: 4,
        Region.MASS: 3,
        Region.TUMOR: 2,
    }


def test_both_are_cut_to_the_box_that_holds_all_labels():
    reference, prediction = np.zeros((9, 9, 9), np.uint8), np.zeros((9, 9, 9), np.uint8)
    reference[2, 3, 4], prediction[5, 3, 1] = 1, 1
    pair = lay_on_each_other(label_map(prediction), label_map(reference), case="a")
    assert pair.box == Box((2, 3, 1), (6, 4, 5))
    assert pair.reference.shape == (4, 1, 4)
    assert pair.region(Region.MASS).counts == (0, 0)


def test_two_empty_label_maps_make_no_pair():
    assert lay_on_each_other(label_map(np.zeros((3, 3, 3))), label_map(np.zeros((3, 3, 3))), case="a") is None


@pytest.mark.parametrize("empty", ["reference", "prediction"])
def test_one_empty_label_map_leaves_the_box_of_the_other(empty):
    filled = np.zeros((4, 5, 6))
    filled[1, 2, 3] = 1
    maps = {"reference": label_map(filled), "prediction": label_map(filled)} | {empty: label_map(np.zeros((4, 5, 6)))}
    assert lay_on_each_other(maps["prediction"], maps["reference"], case="a").box == Box((1, 2, 3), (2, 3, 4))


def test_axes_run_as_in_memory_and_the_spacing_goes_with_them():
    values = np.zeros((4, 5, 6), np.uint8)
    values[1:3, 2, 3:6] = 2
    fortran = np.asfortranarray(values)
    first = lay_on_each_other(label_map(values, (1, 2, 3)), label_map(values, (1, 2, 3)), case="a")
    other = LabelMap(fortran, label_map(values, (1, 2, 3)).grid)
    second = lay_on_each_other(other, other, case="a")
    assert (first.axes, first.spacing_mm) == ((0, 1, 2), (1.0, 2.0, 3.0))
    assert (second.axes, second.spacing_mm) == ((2, 1, 0), (3.0, 2.0, 1.0))
    assert second.box == first.box
    assert second.reference.flags.c_contiguous
    assert np.array_equal(second.reference.T, first.reference)


def moved(grid, by):
    affine = grid.affine.copy()
    affine[:3, 3] += by
    return Grid(grid.shape, affine, grid.frame_of_reference_uid)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: Grid((5, 4, 4), g.affine), r"\(5, 4, 4\).*\(4, 4, 4\).*resample"),
        (lambda g: moved(g, (0.5, 0, 0)), "0.5 mm apart"),
        (lambda g: Grid(g.shape, g.affine @ np.diag([2.0, 1, 1, 1])), "mm apart"),
        (lambda g: Grid(g.shape, np.diag([-1.0, 1, 1, 1])), "mm apart"),
    ],
)
def test_a_prediction_on_another_grid_is_refused_with_the_case(change, words):
    reference = label_map(np.ones((4, 4, 4)))
    grid = change(reference.grid)
    with pytest.raises(GeometryError, match=f"case_00007: .*{words}"):
        lay_on_each_other(LabelMap(np.ones(grid.shape, np.uint8), grid), reference, case="case_00007")


def test_frames_of_reference_must_agree_where_both_are_known():
    reference = label_map(np.ones((2, 2, 2)))
    known = [LabelMap(reference.values, replace(reference.grid, frame_of_reference_uid=uid)) for uid in ("1.2", "1.3")]
    assert lay_on_each_other(known[0], reference, case="a") is not None
    with pytest.raises(GeometryError, match="two frames"):
        lay_on_each_other(*known, case="a")


def test_a_rounding_of_the_affine_is_the_same_place():
    reference = label_map(np.ones((4, 4, 4)))
    shifted = LabelMap(reference.values, moved(reference.grid, (1e-5, 0, 0)))
    assert lay_on_each_other(shifted, reference, case="a") is not None


def test_a_part_is_cut_to_its_own_box_and_knows_where_it_lies():
    mask = np.zeros((10, 3, 3), bool)
    mask[[1, 8]] = True
    pair = MaskPair(mask, mask, UNIT, (100, 0, 0))
    part = pair.within((np.arange(10) > 5).reshape(10, 1, 1))
    assert part.counts == (9, 9)
    assert part.box == Box((108, 0, 0), (109, 3, 3))
    nothing = pair.within(np.zeros((1, 1, 1), bool))
    assert (nothing.counts, nothing.dice) == ((0, 0), 1.0)

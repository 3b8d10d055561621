"""Surface Dice and distances: by hand, and like surface-distance, MONAI and scipy on hundreds of disturbed masks."""

import math

import numpy as np
import pytest
import torch
from label_pairs import PeerSurfaces, made_pairs
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from renalct.metrics import surface_scores
from renalct.metrics.surface_scores import compare_masks, compare_surfaces, join_apart, nearest_mm
from renalct.metrics.surfels import surface_of
from scipy import ndimage
from scipy.spatial import distance

UNIT = (1.0, 1.0, 1.0)


def one_voxel(shape, place):
    mask = np.zeros(shape, bool)
    mask[place] = True
    return mask


def test_300_disturbed_pairs_score_like_the_surface_distance_package():
    for reference, prediction, spacing in made_pairs(300, seed=1):
        ours, theirs = compare_masks(reference, prediction, spacing), PeerSurfaces(reference, prediction, spacing)
        for tolerance in (0.0, 1.0, 1.0330772532390826, 3.0):
            assert ours.surface_dice(tolerance) == pytest.approx(theirs.dice(tolerance), abs=1e-12)
        assert ours.hausdorff_mm() == pytest.approx(theirs.hausdorff(100), abs=1e-12)
        assert ours.hausdorff_percentile_mm(95) == pytest.approx(theirs.hausdorff(95), abs=1e-12)
        assert ours.average_mm() == pytest.approx(theirs.average(), abs=1e-12)
        assert (ours.reference.area_mm2, ours.prediction.area_mm2) == pytest.approx(theirs.areas(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_60_disturbed_pairs_score_like_monai():
    # MONAI's surface Dice on subvoxels has the same surfels. Its Hausdorff distance is between voxels at the edge: each
    # lies half a voxel's diagonal from a surfel and the other way round, so the two differ by up to a whole diagonal.
    for reference, prediction, spacing in made_pairs(60, seed=2):
        pair = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
        ours = compare_masks(reference, prediction, spacing)
        theirs = compute_surface_dice(*pair, [1.2], include_background=True, spacing=spacing, use_subvoxels=True)
        assert ours.surface_dice(1.2) == pytest.approx(float(theirs), abs=1e-5)
        theirs = compute_hausdorff_distance(*pair, include_background=True, spacing=spacing)
        assert abs(ours.hausdorff_mm() - float(theirs)) <= math.hypot(*spacing) + 1e-4


def test_60_disturbed_pairs_lie_as_far_apart_as_a_distance_transform_says():
    for reference, prediction, spacing in made_pairs(60, seed=3):
        a, b = surface_of(reference, spacing), surface_of(prediction, spacing)
        free = np.ones(tuple(n + 1 for n in reference.shape), bool)
        free[tuple(b.cells.T)] = False
        expected = ndimage.distance_transform_edt(free, sampling=spacing)[tuple(a.cells.T)]
        assert nearest_mm(a, b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("largest_table", [0, 2**27])
def test_the_table_and_the_tree_find_the_same_distances(monkeypatch, largest_table):
    monkeypatch.setattr(surface_scores, "_LARGEST_TABLE", largest_table)
    for reference, prediction, spacing in made_pairs(30, seed=4):
        a, b = surface_of(reference, spacing), surface_of(prediction, spacing)
        expected = distance.cdist(a.cells * np.array(spacing), b.cells * np.array(spacing)).min(axis=1)
        assert nearest_mm(a, b) == pytest.approx(expected, abs=1e-9)


SHAPE = (6, 7, 8)
EMPTY, FULL = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
VOXEL, FAR = one_voxel(SHAPE, (1, 1, 1)), one_voxel(SHAPE, (4, 1, 1))
AT_CORNER, NEXT_TO_IT = one_voxel(SHAPE, (0, 0, 0)), one_voxel(SHAPE, (0, 0, 1))
THICK = (1.0, 1.0, 5.0)
# Surface Dice at 1 mm, Hausdorff, and average distance. A voxel moved by n voxels moves each surfel by n; its surfels
# nearest to the other voxel are n - 1 from it, the far ones n. Two neighbors share half of their surfels.
EDGE_CASES = {
    "both empty": (EMPTY, EMPTY, UNIT, 1.0, math.nan, math.nan),
    "no prediction": (VOXEL, EMPTY, UNIT, 0.0, math.nan, math.nan),
    "no reference": (EMPTY, VOXEL, UNIT, 0.0, math.nan, math.nan),
    "one voxel, the same": (VOXEL, VOXEL, UNIT, 1.0, 0.0, 0.0),
    "one voxel, three apart": (VOXEL, FAR, UNIT, 0.0, 3.0, 2.5),
    "one voxel, three apart, of 0.25 mm": (VOXEL, FAR, (0.25, 1.0, 1.0), 1.0, 0.75, 0.625),
    "everything, the same": (FULL, FULL, UNIT, 1.0, 0.0, 0.0),
    "touching the border, the same": (AT_CORNER, AT_CORNER, UNIT, 1.0, 0.0, 0.0),
    "touching the border, neighbors": (AT_CORNER, NEXT_TO_IT, UNIT, 1.0, 1.0, 0.5),
    "touching the border, neighbors of 5 mm": (AT_CORNER, NEXT_TO_IT, THICK, 0.5, 5.0, 2.5),
}


@pytest.mark.parametrize("name", EDGE_CASES)
def test_edge_case(name):
    reference, prediction, spacing, dice, hausdorff, average = EDGE_CASES[name]
    found = compare_masks(reference, prediction, spacing)
    assert found.surface_dice(1.0) == pytest.approx(dice, abs=1e-12)
    assert found.hausdorff_mm() == pytest.approx(hausdorff, nan_ok=True)
    assert found.average_mm() == pytest.approx(average, nan_ok=True)
    assert math.isnan(found.hausdorff_percentile_mm(95)) == math.isnan(hausdorff)


@pytest.mark.parametrize("name", [name for name, case in EDGE_CASES.items() if not math.isnan(case[4])])
def test_edge_case_of_the_surface_distance_package(name):
    reference, prediction, spacing, dice, hausdorff, average = EDGE_CASES[name]
    found = PeerSurfaces(reference, prediction, spacing)
    assert (found.dice(1.0), found.hausdorff(100), found.average()) == pytest.approx((dice, hausdorff, average))


def test_two_parallel_plates_are_as_far_apart_as_they_were_moved():
    plate = np.zeros((20, 30, 30), bool)
    plate[4] = True
    found = compare_masks(plate, np.roll(plate, 7, 0), (0.5, 2.0, 2.0))
    # Both sides of a plate: one moves from 6 and one from 7 voxels of 0.5 mm.
    assert found.hausdorff_mm() == pytest.approx(3.5)
    assert found.average_mm() == pytest.approx(3.25, abs=1e-9)
    assert found.surface_dice(3.0) == pytest.approx(0.5, abs=1e-9)
    assert found.surface_dice(3.5) == 1.0


def test_a_percentile_weighs_surfels_by_their_area():
    plate = np.zeros((40, 24, 24), bool)
    plate[10] = True
    spoiled = plate.copy()
    spoiled[30, 0, 0] = True  # one voxel of some 3 mm2 beside a plate of more than 1000 mm2, 20 mm off
    found = compare_masks(plate, spoiled, UNIT)
    assert found.hausdorff_percentile_mm(95) == 0
    assert found.hausdorff_percentile_mm(100) == found.hausdorff_mm() == pytest.approx(20)


def test_reference_and_prediction_may_be_swapped():
    for reference, prediction, spacing in made_pairs(12, seed=5):
        one, other = (compare_masks(*pair, spacing) for pair in ((reference, prediction), (prediction, reference)))
        assert one.surface_dice(1.0) == pytest.approx(other.surface_dice(1.0), abs=1e-12)
        assert (one.hausdorff_mm(), one.average_mm()) == pytest.approx((other.hausdorff_mm(), other.average_mm()))


def test_two_parts_joined_are_as_far_apart_as_the_whole():
    # Halves of random masks with an empty plane between them; often the nearest surface lies in the other half.
    for number, (reference, prediction, spacing) in enumerate(made_pairs(90, seed=6)):
        middle = reference.shape[0] // 2
        reference[middle] = prediction[middle] = False
        if number % 3 == 0:
            prediction[:middle] = False
        whole = compare_masks(reference, prediction, spacing)
        parts = [
            compare_masks(reference[part], prediction[part], spacing, start=(part.start, 0, 0))
            for part in (slice(0, middle), slice(middle + 1, len(reference)))
        ]
        joined = join_apart(*parts)
        assert joined.surface_dice(1.0) == pytest.approx(whole.surface_dice(1.0), abs=1e-12)
        for measure in ("hausdorff_mm", "average_mm"):
            assert getattr(joined, measure)() == pytest.approx(getattr(whole, measure)(), abs=1e-12, nan_ok=True)


def test_surfaces_of_two_cuts_lie_where_their_starts_say():
    voxel = np.ones((1, 1, 1), bool)
    a, b = (surface_of(voxel, UNIT, start=start) for start in ((0, 0, 0), (0, 500, 0)))
    assert compare_surfaces(a, b).hausdorff_mm() == pytest.approx(500)

"""All scores of one case: by geometry, in every order of memory, and like the peers on disturbed label maps."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from label_pairs import PeerSurfaces, label_map
from renalct.core.errors import GeometryError
from renalct.core.grid import Grid
from renalct.core.labels import Region, Side, Structure
from renalct.core.volume import LabelMap
from renalct.metrics.case import evaluate_case
from renalct.metrics.detection import count_by_touch
from renalct.metrics.domain_scores import with_confidences
from renalct.metrics.scores import DetectionCounts, DiameterKind, ScoreSettings
from scipy import ndimage
from shapes import ellipsoid, grid_of

SPACING = (4.0, 3.0, 5.0)
SETTINGS = ScoreSettings()


def scored(prediction, reference, settings=SETTINGS):
    return evaluate_case(prediction, reference, case="case_00001", patient="p1", settings=settings)


def patient(spacing=SPACING, shape=(66, 40, 30)):
    """Two kidneys, a tumor of 12 mm radius on the right one, cysts of 8 and 7 mm; x runs to the right."""
    grid = grid_of(shape, spacing)
    values = np.zeros(shape, np.uint8)
    values[ellipsoid(grid, (190, 60, 70), (25, 25, 50))] = 1
    values[ellipsoid(grid, (70, 60, 70), (25, 25, 50))] = 1
    values[ellipsoid(grid, (190, 40, 90), (12, 12, 12))] = 2
    values[ellipsoid(grid, (200, 70, 40), (8, 8, 8))] = 3
    values[ellipsoid(grid, (60, 70, 40), (7, 7, 7))] = 3
    return LabelMap(values, grid)


def disturbed(reference, seed):
    """The label map moved here and there, with lost and invented masses, as a network would."""
    random = np.random.default_rng(seed)
    shape = reference.values.shape
    fields = [ndimage.gaussian_filter(random.normal(size=shape), 3) * 30 for _ in range(3)]  # about one voxel
    index = [np.clip(np.rint(np.indices(shape)[n] + fields[n]), 0, shape[n] - 1).astype(int) for n in range(3)]
    values = reference.values[tuple(index)].copy()
    if seed % 3 == 0:
        values[values == 3] = 1
    if seed % 4 == 1:
        values[tuple(slice(int(a), int(a) + 3) for a in random.integers(0, 20, 3))] = 2
    if seed % 5 == 2:
        values[: shape[0] // 2] = 0
    if seed % 7 == 3:
        values[20:50, 18:22, 13:16] = 1  # a bridge between the kidneys
    return LabelMap(values, reference.grid)


def test_a_perfect_prediction():
    scores = scored(patient(), patient())
    assert [(r.dice, r.surface_dice, r.hausdorff_mm, r.hausdorff95_mm, r.assd_mm) for r in scores.regions] == [
        (1.0, 1.0, 0.0, 0.0, 0.0)
    ] * 3
    assert [side.side for side in scores.sides] == [Side.RIGHT, Side.LEFT]
    assert [(d.side, d.structure, d.matched, d.best_iou, d.dice) for d in scores.references] == [
        (Side.RIGHT, Structure.TUMOR, (1,), 1.0, 1.0),
        (Side.RIGHT, Structure.CYST, (2,), 1.0, 1.0),
        (Side.LEFT, Structure.CYST, (3,), 1.0, 1.0),
    ]
    assert scores.false_positives == ()


def test_volumes_and_diameters_are_those_of_the_shapes():
    grid = grid_of((60, 60, 60), (1.0, 1.0, 1.0))
    values = np.where(ellipsoid(grid, (30, 30, 30), (20, 20, 20)), 2, 0)
    score = scored(label_map(values), label_map(values))
    volume_ml = 4 / 3 * math.pi * 20**3 / 1000  # 33.5 ml; a ball of voxels of 1/40 of its size is right to 1 %
    assert score.region(Region.TUMOR).reference_ml == pytest.approx(volume_ml, rel=0.01)
    assert score.references[0].volume_ml == pytest.approx(volume_ml, rel=0.01)
    assert score.references[0].diameter_mm == pytest.approx(40, rel=0.01)


BLOCK = np.zeros((30, 30, 30), np.uint8)
BLOCK[10:20, 12:18, 14:18] = 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # 10 x 6 x 4 voxels of 1 x 2 x 3 mm: 10 x 12 x 12 mm, 1.44 ml
        (DiameterKind.EQUIVALENT_SPHERE, (6 * 1440 / math.pi) ** (1 / 3)),
        (DiameterKind.BOX_MEAN, (10 + 12 + 12) / 3),
        # On a slice of 10 x 12 mm between face centers: the long axis runs from face to face, the other across it.
        (DiameterKind.AXIAL_MEAN, None),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_average_diameter_is_taken_as_asked(kind, expected, order):
    maps = LabelMap(np.asarray(BLOCK, order=order), grid_of(BLOCK.shape, (1.0, 2.0, 3.0)))
    diameter = scored(maps, maps, ScoreSettings(diameter_kind=kind)).references[0].diameter_mm
    if expected is None:
        assert 10 < diameter < math.hypot(10, 12)
    else:
        assert diameter == pytest.approx(expected)


def test_two_empty_label_maps_agree_and_have_no_distances():
    empty = label_map(np.zeros((4, 5, 6)))
    scores = scored(empty, empty)
    assert [(r.dice, r.surface_dice) for r in scores.regions] == [(1.0, 1.0)] * 3
    assert all(math.isnan(v) for r in scores.regions for v in (r.hausdorff_mm, r.hausdorff95_mm, r.assd_mm))
    assert (scores.sides, scores.references, scores.predictions) == ((), (), ())


@pytest.mark.parametrize("missing", ["reference", "prediction"])
def test_one_empty_label_map_scores_nothing(missing):
    maps = {"reference": patient(), "prediction": patient()}
    empty = LabelMap(np.zeros_like(maps["reference"].values), maps["reference"].grid)
    maps[missing] = empty
    scores = scored(maps["prediction"], maps["reference"])
    assert [(r.dice, r.surface_dice) for r in scores.regions] == [(0.0, 0.0)] * 3
    assert all(math.isnan(r.hausdorff_mm) and math.isnan(r.assd_mm) for r in scores.regions)
    assert [(s.side, s.kidney.dice, s.mass.dice) for s in scores.sides] == [(Side.RIGHT, 0, 0), (Side.LEFT, 0, 0)]
    expected = (0, 3, 0) if missing == "reference" else (0, 0, 3)
    assert count_by_touch([scores]) == DetectionCounts(*expected)
    assert all((d.dice, d.surface_dice) == (0, 0) and math.isnan(d.hausdorff_mm) for d in scores.references)


def test_one_voxel():
    values = np.zeros((5, 5, 5))
    values[0, 2, 4] = 2  # at the border of the image
    moved = np.roll(values, 1, 0)
    scores = scored(label_map(moved, (2.0, 1.0, 1.0)), label_map(values, (2.0, 1.0, 1.0)))
    tumor = scores.region(Region.TUMOR)
    assert (tumor.dice, tumor.hausdorff_mm, tumor.reference_ml) == (0.0, 2.0, 0.002)
    assert (len(scores.references), len(scores.false_positives)) == (1, 1)
    assert [side.side for side in scores.sides] == [Side.UNDETERMINED]


def test_a_side_without_mass_in_both_agrees_and_one_without_kidney_is_left_out():
    reference = patient()
    values = reference.values.copy()
    values[:33] = 0  # the left kidney is gone
    alone = LabelMap(values, reference.grid)
    assert [side.side for side in scored(alone, alone).sides] == [Side.RIGHT]
    values = reference.values.copy()
    values[:33][values[:33] == 3] = 1
    healthy = LabelMap(values, reference.grid)
    left = scored(healthy, healthy).sides[1]
    assert (left.mass.dice, left.mass.reference_ml) == (1.0, 0.0)
    assert math.isnan(left.mass.hausdorff_mm)


def test_a_kidney_that_was_missed_is_an_error_of_its_own_side():
    reference = patient()
    values = reference.values.copy()
    values[:33] = 0
    scores = scored(LabelMap(values, reference.grid), reference)
    assert [(s.side, s.kidney.dice) for s in scores.sides] == [(Side.RIGHT, 1.0), (Side.LEFT, 0.0)]
    assert scores.region(Region.KIDNEY_AND_MASS).hausdorff_mm > 60  # the lost kidney is some 70 mm off the other


def peer_score(prediction, reference, spacing, tolerance):
    """Dice, surface Dice, Hausdorff, its 95th percentile and the average distance of two masks that are not empty."""
    peer = PeerSurfaces(reference, prediction, spacing)
    dice = 2 * (reference & prediction).sum() / (reference.sum() + prediction.sum())
    return dice, peer.dice(tolerance), peer.hausdorff(100), peer.hausdorff(95), peer.average()


def values_of(score):
    return score.dice, score.surface_dice, score.hausdorff_mm, score.hausdorff95_mm, score.assd_mm


def test_regions_sides_and_masses_of_40_disturbed_cases_score_like_the_peers():
    reference = patient()
    compared = 0
    for seed in range(40):
        prediction = disturbed(reference, seed)
        scores = scored(prediction, reference)
        for region, score in zip(Region, scores.regions, strict=True):
            pair = prediction.region(region), reference.region(region)
            if not all(mask.any() for mask in pair):
                continue
            expected = peer_score(*pair, SPACING, SETTINGS.tolerance_mm(region))
            assert values_of(score) == pytest.approx(expected, abs=1e-9)
            compared += 1
        middle = np.arange(66).reshape(66, 1, 1) > 32
        for side in scores.sides:
            half = middle if side.side is Side.RIGHT else ~middle
            pair = [m.region(Region.KIDNEY_AND_MASS) & half for m in (prediction, reference)]
            if all(mask.any() for mask in pair):
                expected = peer_score(*pair, SPACING, SETTINGS.kidney_and_mass_tolerance_mm)
                assert values_of(side.kidney) == pytest.approx(expected, abs=1e-9)
                compared += 1
        labels = [ndimage.label(m.region(Region.MASS), np.ones((3, 3, 3)))[0] for m in (prediction, reference)]
        for domain in scores.references:
            if domain.matched:
                own = next(
                    labels[1] == n
                    for n in range(1, labels[1].max() + 1)
                    if (labels[1] == n).sum() == round(domain.volume_ml * 1000 / math.prod(SPACING))
                    and np.intersect1d(labels[0][labels[1] == n], range(1, labels[0].max() + 1)).size
                    and (np.argwhere(labels[1] == n)[:, 0].mean() > 32) == (domain.side is Side.RIGHT)
                )
                met = np.isin(labels[0], np.setdiff1d(labels[0][own], [0]))
                expected = peer_score(met, own, SPACING, SETTINGS.mass_tolerance_mm)[:4]
                found = (domain.dice, domain.surface_dice, domain.hausdorff_mm, domain.hausdorff95_mm)
                assert found == pytest.approx(expected, abs=1e-9)
                compared += 1
    assert compared > 200


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_scores_do_not_depend_on_the_order_of_axes_or_memory(seed):
    reference = patient()
    prediction = disturbed(reference, seed)
    expected = scored(prediction, reference)
    fortran = [LabelMap(np.asfortranarray(m.values), m.grid) for m in (prediction, reference)]
    assert_same(scored(*fortran), expected)
    assert_same(scored(fortran[0], reference), expected)
    turned = []
    for each in (prediction, reference):
        affine = each.grid.affine[:, [2, 0, 1, 3]]
        values = np.ascontiguousarray(each.values.transpose(2, 0, 1))
        turned.append(LabelMap(values, Grid(values.shape, affine)))
    assert_same(scored(*turned), expected)


def masses_of(scores):
    numbers = (round(v, 9) for d in scores.references for v in (d.volume_ml, d.best_iou, d.dice, d.surface_dice))
    return sorted(numbers), sorted(d.side.value for d in scores.references), len(scores.false_positives)


def assert_same(scores, expected):
    for ours, theirs in zip(scores.regions, expected.regions, strict=True):
        assert values_of(ours) == pytest.approx(values_of(theirs), abs=1e-9)
    for ours, theirs in zip(scores.sides, expected.sides, strict=True):
        assert ours.side is theirs.side
        assert values_of(ours.kidney) == pytest.approx(values_of(theirs.kidney), abs=1e-9, nan_ok=True)
        assert values_of(ours.mass) == pytest.approx(values_of(theirs.mass), abs=1e-9, nan_ok=True)
    assert masses_of(scores) == masses_of(expected)


def test_small_domains_are_ignored_on_both_sides_and_said_to_be():
    values = np.zeros((40, 12, 12))
    values[2:8, 2:8, 2:8] = 2
    values[20, 2, 2] = 2  # annotation debris of one voxel
    reference = label_map(values)
    prediction = values.copy()
    prediction[20, 2:4, 2:4] = 2  # four voxels on it
    prediction[30, 2, 2] = 2  # one voxel of noise
    settings = ScoreSettings(min_reference_diameter_mm=3.0, min_prediction_diameter_mm=1.5)  # 14.1 and 1.8 voxels
    scores = scored(label_map(prediction), reference, settings)
    assert (len(scores.references), scores.ignored_references, scores.ignored_predictions) == (1, 1, 1)
    assert [(d.matched, d.on_ignored, d.touches) for d in scores.predictions] == [((1,), False, True), ((), True, True)]
    assert scores.false_positives == ()
    plain = scored(label_map(prediction), reference)
    assert count_by_touch([plain]) == DetectionCounts(2, 1, 0)


def test_masses_get_no_distances_when_not_asked():
    scores = scored(patient(), patient(), ScoreSettings(domain_surfaces=False))
    assert all(math.isnan(d.surface_dice) and math.isnan(d.hausdorff_mm) and d.dice == 1 for d in scores.references)


def test_a_tumor_that_touches_a_cyst_is_one_domain_with_it():
    values = np.zeros((12, 6, 6))
    values[2:6, 1:5, 1:5], values[6:8, 1:5, 1:5] = 3, 2
    scores = scored(label_map(values), label_map(values))
    assert [d.structure for d in scores.references] == [Structure.CYST]


def test_another_grid_is_refused():
    reference = patient()
    with pytest.raises(GeometryError, match="case_00001"):
        scored(patient(spacing=(4.0, 3.0, 4.0)), reference)


def test_confidences_are_the_highest_probability_in_each_predicted_domain():
    reference = patient()
    probabilities = np.zeros(reference.values.shape, np.float32)
    for number, structure in ((0.9, 2), (0.4, 3)):
        probabilities[reference.values == structure] = number
    probabilities[:33] /= 2
    scores = scored(reference, reference)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = with_confidences(scores, reference, reference, probabilities=probabilities, settings=SETTINGS)
    assert [domain.confidence for domain in found.predictions] == pytest.approx([0.9, 0.4, 0.2])
    assert replace(found, predictions=scores.predictions) == scores
    with pytest.raises(GeometryError, match="probabilities of shape"):
        with_confidences(scores, reference, reference, probabilities=probabilities[1:], settings=SETTINGS)

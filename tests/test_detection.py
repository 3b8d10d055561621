"""Counts of found, missed and false masses, and the free-response curve."""

import math

import pytest
from renalct.core.labels import Side, Structure
from renalct.metrics.detection import count_by_iou, count_by_touch, froc
from renalct.metrics.scores import CaseScores, DetectionCounts, DomainScore, PredictedDomain


def reference(number, *matched, iou=0.0, side=Side.LEFT):
    return DomainScore(number, side, Structure.TUMOR, 1.0, 12.4, matched, iou, iou, 2 * iou / (1 + iou))


def predicted(number, *matched, iou=0.0, side=Side.LEFT, confidence=math.nan, on_ignored=False):
    return PredictedDomain(number, side, Structure.TUMOR, 1.0, 12.4, matched, iou, on_ignored, confidence)


def case(references=(), predictions=(), name="a"):
    return CaseScores(name, name, (), (), tuple(references), tuple(predictions))


# A row of the rule of Zhao et al. 2023: references, predictions, TP, FP, FN; and by IoU of one half.
RULES = {
    "nothing at all": ([], [], (0, 0, 0), (0, 0, 0)),
    "found": ([reference(1, 1, iou=0.8)], [predicted(1, 1, iou=0.8)], (1, 0, 0), (1, 0, 0)),
    "touched": ([reference(1, 1, iou=0.1)], [predicted(1, 1, iou=0.1)], (1, 0, 0), (0, 1, 1)),
    "missed": ([reference(1)], [], (0, 0, 1), (0, 0, 1)),
    "false": ([], [predicted(1)], (0, 1, 0), (0, 1, 0)),
    "missed, and false elsewhere": ([reference(1)], [predicted(1)], (0, 1, 1), (0, 1, 1)),
    "two predictions on one mass": (
        [reference(1, 1, 2, iou=0.6)], [predicted(1, 1, iou=0.6), predicted(2, 1)], (1, 0, 0), (1, 1, 0),
    ),
    "one prediction on two masses": (
        [reference(1, 1, iou=0.6), reference(2, 1)], [predicted(1, 1, 2, iou=0.6)], (2, 0, 0), (1, 0, 1),
    ),
    "on mass too small to count": ([], [predicted(1, on_ignored=True)], (0, 0, 0), (0, 0, 0)),
    "on mass that counts and mass that does not": (
        [reference(1, 1, iou=0.3)], [predicted(1, 1, iou=0.3, on_ignored=True)], (1, 0, 0), (0, 1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rule(name):
    references, predictions, touch, iou = RULES[name]
    cases = [case(references, predictions)]
    assert count_by_touch(cases) == DetectionCounts(*touch)
    assert count_by_iou(cases, threshold=0.5) == DetectionCounts(*iou)


def test_cases_add_up_and_sides_are_counted_apart():
    cases = [
        case([reference(1, 1, iou=1.0), reference(2, side=Side.RIGHT)], [predicted(1, 1, iou=1.0)]),
        case([], [predicted(1, side=Side.RIGHT)], "b"),
    ]
    assert count_by_touch(cases) == DetectionCounts(1, 1, 1)
    assert count_by_touch(cases, side=Side.LEFT) == DetectionCounts(1, 0, 0)
    assert count_by_touch(cases, side=Side.RIGHT) == DetectionCounts(0, 1, 1)
    assert count_by_iou(cases, threshold=0.5, side=Side.RIGHT) == DetectionCounts(0, 1, 1)
    assert count_by_touch([]) == DetectionCounts()


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1, math.nan])
def test_a_threshold_that_means_nothing_is_refused(threshold):
    with pytest.raises(ValueError, match="over 0 and up to 1"):
        count_by_iou([], threshold=threshold)


def test_froc_by_hand():
    # Two cases, three masses. Falling confidence: 0.9 finds mass 1 of a; 0.8 is false in b; 0.6 finds mass 1 of b;
    # 0.6 is false in a; mass 2 of a is never found.
    cases = [
        case(
            [reference(1, 1), reference(2)],
            [predicted(1, 1, confidence=0.9), predicted(2, confidence=0.6)],
        ),
        case([reference(1, 2)], [predicted(1, confidence=0.8), predicted(2, 1, confidence=0.6)], "b"),
    ]
    curve = froc(cases)
    assert curve.confidences == (0.9, 0.8, 0.6)
    assert curve.false_positives_per_case == (0.0, 0.5, 1.0)
    assert curve.sensitivities == pytest.approx((1 / 3, 1 / 3, 2 / 3))
    # At 1/8, 1/4 and 1/2 false positives per case one of three is found, at 1, 2, 4 and 8 two.
    assert curve.score == pytest.approx((3 * 1 / 3 + 4 * 2 / 3) / 7)
    assert (curve.cases, curve.references, curve.unscored) == (2, 3, 0)


def test_froc_takes_the_highest_confidence_of_several_predictions_on_one_mass():
    cases = [case([reference(1, 1, 2)], [predicted(1, 1, confidence=0.2), predicted(2, 1, confidence=0.7)])]
    assert froc(cases).sensitivities == (1.0, 1.0)


def test_froc_counts_predictions_without_confidence():
    curve = froc([case([reference(1, 1)], [predicted(1, 1), predicted(2)])])
    assert (curve.confidences, curve.unscored, curve.score) == ((), 2, 0.0)


@pytest.mark.parametrize("cases", [[], [case()], [case([], [predicted(1, confidence=0.5)])]])
def test_froc_without_a_mass_to_find_is_undefined(cases):
    curve = froc(cases)
    assert math.isnan(curve.score)
    assert all(math.isnan(value) for value in curve.sensitivities)

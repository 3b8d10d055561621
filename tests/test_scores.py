"""The values of an evaluation: what they refuse, and what follows from counts."""

import math

import pytest
from renalct.core.labels import MassClass, Region
from renalct.metrics.scores import CaseScores, Decision, DetectionCounts, RegionScore, ScoreSettings


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [
        ((3, 1, 2), 3 / 4, 3 / 5, 6 / 9),
        ((0, 0, 0), math.nan, math.nan, math.nan),
        ((0, 2, 0), 0.0, math.nan, 0.0),
        ((0, 0, 2), math.nan, 0.0, 0.0),
        ((0, 1, 1), 0.0, 0.0, 0.0),
        ((4, 0, 0), 1.0, 1.0, 1.0),
    ],
)
def test_rates_of_detection_are_undefined_only_without_a_denominator(counts, precision, recall, f1):
    found = DetectionCounts(*counts)
    assert (found.precision, found.recall, found.f1) == pytest.approx((precision, recall, f1), nan_ok=True)


def test_counts_add_up_and_are_not_negative():
    assert DetectionCounts(1, 2, 3) + DetectionCounts(10, 20, 30) == DetectionCounts(11, 22, 33)
    with pytest.raises(ValueError, match="0 or more"):
        DetectionCounts(1, -1, 0)


def test_the_tolerances_are_those_of_kits():
    settings = ScoreSettings()
    assert [settings.tolerance_mm(region) for region in Region] == [
        1.0330772532390826,
        1.1328796488598762,
        1.1498198361434828,
    ]


@pytest.mark.parametrize("change", [{"mass_tolerance_mm": -1.0}, {"min_reference_diameter_mm": math.nan}])
def test_settings_that_are_no_lengths_are_refused(change):
    with pytest.raises(ValueError, match="lengths in mm"):
        ScoreSettings(**change)


def test_a_region_is_found_by_its_name_or_missed_by_name():
    score = RegionScore(Region.MASS, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    scores = CaseScores("case_00003", "p", (score,), (), (), ())
    assert scores.region(Region.MASS) is score
    with pytest.raises(KeyError, match="case_00003 has no score of tumor"):
        scores.region(Region.TUMOR)


def test_a_decision_is_right_only_with_the_class_of_the_reference():
    probabilities = (0.2, 0.3, 0.5)
    assert Decision(MassClass.SOLID, MassClass.SOLID, probabilities, 12.0, "p").correct
    assert not Decision(MassClass.SOLID, MassClass.UNKNOWN, probabilities, 12.0, "p").correct


@pytest.mark.parametrize(
    ("reference", "probabilities", "words"),
    [
        (MassClass.UNKNOWN, None, "is known"),
        (MassClass.AML, (0.5, 0.5), "3 probabilities"),
        (MassClass.AML, (0.5, 0.6, -0.1), "from 0 to 1"),
        (MassClass.AML, (0.5, 0.4, 0.2), "sum to 1"),
        (MassClass.AML, (math.nan, 0.4, 0.2), "from 0 to 1"),
    ],
)
def test_a_decision_that_cannot_be_scored_is_refused(reference, probabilities, words):
    with pytest.raises(ValueError, match=words):
        Decision(reference, MassClass.AML, probabilities, 5.0, "p")

"""Confusion, accuracy and rates by class, by hand and like scikit-learn."""

import math

import numpy as np
import pytest
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.metrics.classification import (
    ANSWERS,
    ConfusionMatrix,
    accuracy,
    confusion_matrix,
    strata_by_diameter,
    with_threshold,
)
from renalct.metrics.scores import Decision
from sklearn import metrics as sklearn_metrics

AML, CYSTIC, SOLID = KNOWN_CLASSES
UNKNOWN = MassClass.UNKNOWN


def decision(reference=AML, predicted=AML, diameter_mm=10.0, probabilities=None):
    return Decision(reference, predicted, probabilities, diameter_mm, "p")


def random_decisions(seed, n):
    random = np.random.default_rng(seed)
    return [
        decision(KNOWN_CLASSES[random.integers(3)], ANSWERS[random.integers(4)], float(random.uniform(2, 90)))
        for _ in range(n)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_confusion_and_rates_are_those_of_scikit_learn(seed):
    decisions = random_decisions(seed, 1 + 4 * seed)
    truth, answers = [d.reference.value for d in decisions], [d.predicted.value for d in decisions]
    names = [c.value for c in ANSWERS]
    matrix = confusion_matrix(decisions)
    expected = sklearn_metrics.confusion_matrix(truth, answers, labels=names)
    assert np.array_equal(np.array(matrix.counts), expected[:3])
    assert matrix.accuracy == accuracy(decisions) == pytest.approx(sklearn_metrics.accuracy_score(truth, answers))
    rates = sklearn_metrics.precision_recall_fscore_support(truth, answers, labels=names[:3], zero_division=np.nan)
    for n, mass_class in enumerate(KNOWN_CLASSES):
        ours = matrix.rates(mass_class)
        theirs = [column[n] for column in rates[:3]]
        assert [ours.precision, ours.recall, ours.f1] == pytest.approx(theirs, nan_ok=True)
        assert ours.n == rates[3][n]


def test_no_decisions_no_accuracy():
    matrix = confusion_matrix([])
    assert matrix.total == 0
    assert math.isnan(matrix.accuracy) and math.isnan(matrix.coverage) and math.isnan(accuracy([]))


def test_unknown_is_an_error_and_lowers_the_coverage():
    matrix = confusion_matrix([decision(), decision(), decision(predicted=UNKNOWN), decision(SOLID, CYSTIC)])
    assert (matrix.accuracy, matrix.coverage) == (0.5, 0.75)
    assert matrix.rates(AML).recall == pytest.approx(2 / 3)
    assert matrix.rates(AML).precision == 1.0


def test_a_class_that_was_named_but_does_not_occur_has_an_f1_of_0():
    rates = confusion_matrix([decision(CYSTIC, AML)]).rates(AML)
    assert (rates.precision, rates.f1) == (0.0, 0.0)
    assert math.isnan(rates.recall)


@pytest.mark.parametrize("counts", [((1, 2, 3),) * 3, ((1, 2, 3, 4),) * 4, ((1, 2, 3, -4),) * 3])
def test_what_is_no_confusion_matrix_is_refused(counts):
    with pytest.raises(ValueError):
        ConfusionMatrix(counts)


def test_a_mass_on_a_border_belongs_to_the_larger_ones():
    sizes = [0.5, 4.99, 5.0, 9.9, 10.0, 69.9, 70.0, 200.0, math.nan]
    strata = strata_by_diameter([decision(diameter_mm=size) for size in sizes])
    assert [stratum.title for stratum in strata] == [
        "< 5 mm", "5 to 10 mm", "10 to 20 mm", "20 to 40 mm", "40 to 70 mm", "≥ 70 mm",
    ]  # fmt: skip
    assert [len(stratum.decisions) for stratum in strata] == [2, 2, 1, 0, 1, 2]
    assert [stratum.title for stratum in strata_by_diameter([], ())] == ["all"]


@pytest.mark.parametrize("borders", [(0.0,), (5.0, 5.0), (10.0, 5.0), (-1.0,), (math.inf,)])
def test_borders_that_do_not_rise_are_refused(borders):
    with pytest.raises(ValueError, match="rise"):
        strata_by_diameter([], borders)


def test_decisions_under_a_threshold_become_unknown():
    sure, unsure = decision(probabilities=(0.8, 0.1, 0.1)), decision(probabilities=(0.4, 0.3, 0.3))
    without = decision()
    found = with_threshold([sure, unsure, without], 0.5)
    assert [d.predicted for d in found] == [AML, UNKNOWN, AML]
    assert found[1].probabilities == unsure.probabilities

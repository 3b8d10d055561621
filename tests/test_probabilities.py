"""ROC and calibration, by hand and like scikit-learn."""

import math

import numpy as np
import pytest
from renalct.core.labels import KNOWN_CLASSES
from renalct.metrics.probabilities import calibration, one_vs_rest, roc_curve
from renalct.metrics.scores import Decision
from sklearn import metrics as sklearn_metrics

AML, CYSTIC, SOLID = KNOWN_CLASSES


def decision(reference, probabilities):
    predicted = KNOWN_CLASSES[int(np.argmax(probabilities))] if probabilities else AML
    return Decision(reference, predicted, probabilities, 10.0, "p")


def random_decisions(seed, n):
    random = np.random.default_rng(seed)
    table = random.dirichlet((1, 1, 1), n).round(1 + seed % 3)  # rounded: ties
    table[:, 2] = 1 - table[:, 0] - table[:, 1]
    table = table.clip(0, 1)
    return [decision(KNOWN_CLASSES[random.integers(3)], tuple(map(float, row))) for row in table]


@pytest.mark.parametrize("seed", range(40))
def test_roc_and_area_are_those_of_scikit_learn(seed):
    decisions = random_decisions(seed, 20 + 5 * seed)
    for n, mass_class in enumerate(KNOWN_CLASSES):
        truth = [d.reference is mass_class for d in decisions]
        scores = [d.probabilities[n] for d in decisions]
        ours = one_vs_rest(decisions, mass_class)
        assert ours.auc == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores), abs=1e-12)
        false, true, thresholds = sklearn_metrics.roc_curve(truth, scores, drop_intermediate=False)
        assert ours.false_positive_rates == pytest.approx(false.tolist())
        assert ours.true_positive_rates == pytest.approx(true.tolist())
        assert ours.thresholds[1:] == pytest.approx(thresholds[1:].tolist())
        area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
        assert ours.auc == pytest.approx(area(ours.true_positive_rates, ours.false_positive_rates))


@pytest.mark.parametrize(
    ("truth", "scores", "auc"),
    [
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], 1.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([1, 0], [0.5, 0.5], 0.5),
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], 0.75),  # 3 of 4 pairs in order
        ([1, 1], [0.9, 0.1], math.nan),
        ([], [], math.nan),
    ],
)
def test_area_by_hand(truth, scores, auc):
    found = roc_curve(truth, scores)
    assert found.auc == pytest.approx(auc, nan_ok=True)
    assert bool(found.thresholds) == (not math.isnan(auc))


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="every item"):
        roc_curve([1, 0], [0.5, math.nan])


def test_decisions_without_probabilities_are_left_out_of_the_roc():
    found = one_vs_rest([decision(AML, None), decision(AML, (1.0, 0.0, 0.0)), decision(SOLID, (0.0, 0.0, 1.0))], AML)
    assert (found.positives, found.negatives, found.auc) == (1, 1, 1.0)


def test_calibration_by_hand():
    decisions = [
        decision(AML, (0.9, 0.1, 0.0)),
        decision(SOLID, (0.9, 0.1, 0.0)),
        decision(CYSTIC, (0.2, 0.6, 0.2)),
        decision(CYSTIC, None),
    ]
    found = calibration(decisions, bins=5)
    assert [part.n for part in found.bins] == [0, 0, 1, 0, 2]  # 0.6 closes the third fifth
    assert (found.bins[4].mean_probability, found.bins[4].accuracy) == (pytest.approx(0.9), 0.5)
    assert math.isnan(found.bins[0].accuracy)
    assert found.expected_error == pytest.approx((2 * 0.4 + 1 * 0.4) / 3)
    # (0.1, 0.1, 0), (0.9, 0.1, -1), (0.2, -0.4, 0.2) squared and summed
    assert found.brier == pytest.approx((0.02 + 1.82 + 0.24) / 3)
    assert (found.n, found.without) == (3, 1)


@pytest.mark.parametrize("seed", range(10))
def test_brier_is_that_of_scikit_learn(seed):
    decisions = random_decisions(seed, 60)
    truth = [KNOWN_CLASSES.index(d.reference) for d in decisions]
    table = np.array([d.probabilities for d in decisions])
    expected = sklearn_metrics.brier_score_loss(truth, table / table.sum(1, keepdims=True), labels=[0, 1, 2])
    assert calibration(decisions).brier == pytest.approx(expected, abs=1e-9)


def test_calibration_of_nothing_is_undefined():
    for decisions in ([], [decision(AML, None)]):
        found = calibration(decisions)
        assert math.isnan(found.expected_error) and math.isnan(found.brier)
        assert (len(found.bins), found.n, found.without) == (10, 0, len(decisions))


def test_certainty_lies_in_the_last_bin():
    assert calibration([decision(AML, (1.0, 0.0, 0.0))]).bins[9].n == 1

"""Our rules give the numbers that the papers print from the counts that they print; the one that does not is named."""

import itertools
import math

import numpy as np
import pytest
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.metrics import papers
from renalct.metrics.classification import ConfusionMatrix, confusion_matrix, strata_by_diameter
from renalct.metrics.scores import Decision, DetectionCounts
from renalct.metrics.significance import correlation
from scipy import stats

AML, CYSTIC, SOLID = KNOWN_CLASSES

SMALL = ConfusionMatrix(((2, 5, 0, 0), (1, 35, 0, 0), (0, 0, 0, 0)))
LARGE = ConfusionMatrix(((16, 1, 0, 0), (0, 74, 2, 1), (0, 7, 36, 0)))


def percent(share):
    return round(100 * share, 2)


# Zhao et al. 2023, Table 2: connected domains of the test set and the external set


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [
        ((82, 39, 15), 67.77, 84.54, 0.75),
        ((63, 41, 20), 60.58, 75.90, 0.67),
        ((177, 53, 67), 76.96, 72.54, 0.75),  # the paper prints an F1 of 0.76 here: see the next test
        ((123, 47, 60), 72.35, 67.21, 0.70),
    ],
    ids=["test left", "test right", "external left", "external right"],
)
def test_table_2_follows_from_its_counts(counts, precision, recall, f1):
    found = DetectionCounts(*counts)
    assert (percent(found.precision), percent(found.recall), round(found.f1, 2)) == (precision, recall, f1)


def test_one_f1_of_table_2_does_not_follow_from_its_counts():
    found = DetectionCounts(177, 53, 67)
    assert found.f1 == pytest.approx(2 * 177 / (2 * 177 + 53 + 67)) == pytest.approx(0.7468, abs=5e-5)
    printed = 0.76
    assert round(found.f1, 2) == 0.75 != printed
    # Nor does it from the rounded precision and recall.
    assert round(2 * 76.96 * 72.54 / (76.96 + 72.54) / 100, 2) == 0.75


def test_the_lesions_of_table_2_are_those_of_the_text():
    test = DetectionCounts(82, 39, 15) + DetectionCounts(63, 41, 20)
    external = DetectionCounts(177, 53, 67) + DetectionCounts(123, 47, 60)
    assert test.true_positives + test.false_negatives == 180
    assert (external.true_positives, external.false_negatives) == (300, 127)


# Zhao et al. 2023, Tables 3 and 4: classes inside the readers' masks of the test set


def test_table_3_gives_the_three_accuracies():
    assert percent(SMALL.accuracy) == 86.05
    assert percent(LARGE.accuracy) == 91.97
    assert percent((SMALL + LARGE).accuracy) == 90.56
    assert (SMALL.total, LARGE.total, (SMALL + LARGE).total) == (43, 137, 180)


def test_the_unknown_mass_of_table_3_counts_as_an_error():
    assert (LARGE.correct, LARGE.total) == (126, 137)
    assert percent(126 / 136) != 91.97  # left out, the accuracy would be another
    assert LARGE.coverage == pytest.approx(136 / 137)


@pytest.mark.parametrize(
    ("matrix", "mass_class", "precision", "recall", "f1"),
    [  # the fractions of Table 3's columns and rows
        (SMALL, AML, 2 / 3, 2 / 7, 0.40),
        (SMALL, CYSTIC, 35 / 40, 35 / 36, 0.92),
        (LARGE, AML, 16 / 16, 16 / 17, 0.97),
        (LARGE, CYSTIC, 74 / 82, 74 / 77, 0.93),
        (LARGE, SOLID, 36 / 38, 36 / 43, 0.89),
    ],
)
def test_rows_of_table_4_follow_from_table_3(matrix, mass_class, precision, recall, f1):
    rates = matrix.rates(mass_class)
    assert (rates.precision, rates.recall, round(rates.f1, 2)) == (pytest.approx(precision), pytest.approx(recall), f1)


def test_a_class_that_does_not_occur_has_no_rates():
    rates = SMALL.rates(SOLID)
    assert all(math.isnan(value) for value in (rates.precision, rates.recall, rates.f1))


def test_decisions_give_table_3_back_with_its_strata():
    decisions = [
        Decision(row, column, None, diameter, "p")
        for matrix, diameter in ((SMALL, 4.9), (LARGE, 5.0))
        for row, counts in zip(KNOWN_CLASSES, matrix.counts, strict=True)
        for column, count in zip((*KNOWN_CLASSES, MassClass.UNKNOWN), counts, strict=True)
        for _ in range(count)
    ]
    small, large = strata_by_diameter(decisions, (5.0,))
    assert (confusion_matrix(small.decisions), confusion_matrix(large.decisions)) == (SMALL, LARGE)


# Zhao et al. 2023, Table 5: the external set from its printed rates alone

TABLE_5 = {AML: (78.26, 56.25, 0.65), CYSTIC: (95.21, 88.54, 0.92), SOLID: (54.17, 92.86, 0.68)}
MASSES, ACCURACY = 217, 84.33


def ratios(printed, most):
    """All part / whole with whole up to `most` that are printed as that percentage, by part."""
    found = {}
    for whole in range(1, most + 1):
        for part in range(whole + 1):
            if percent(part / whole) == printed:
                found.setdefault(part, []).append(whole)
    return found


def solutions():
    """Every way to spread 217 masses over the classes that gives the printed rates: (n, right, named) by class."""
    options = {}
    for mass_class, (precision, recall, f1) in TABLE_5.items():
        named_of, n_of = ratios(precision, MASSES), ratios(recall, MASSES)
        options[mass_class] = [
            (n, right, named)
            for right in named_of.keys() & n_of.keys()
            for named, n in itertools.product(named_of[right], n_of[right])
            if round(2 * right / (named + n), 2) == f1
        ]
    for chosen in itertools.product(*options.values()):
        ns, rights, _ = zip(*chosen, strict=True)
        if sum(ns) == MASSES and percent(sum(rights) / MASSES) == ACCURACY:
            yield dict(zip(options, chosen, strict=True))


def test_table_5_has_one_solution_in_whole_numbers():
    found = list(solutions())
    assert found == [{AML: (32, 18, 23), CYSTIC: (157, 139, 146), SOLID: (28, 26, 48)}]
    assert sum(named for *_, named in found[0].values()) == MASSES  # nothing was unknown


def test_table_5_follows_from_its_reconstruction():
    # The errors can be spread in several ways; any matrix with these margins gives the printed rates.
    matrix = ConfusionMatrix(((18, 6, 8, 0), (4, 139, 14, 0), (1, 1, 26, 0)))
    assert percent(matrix.accuracy) == ACCURACY
    for mass_class, (precision, recall, f1) in TABLE_5.items():
        rates = matrix.rates(mass_class)
        assert (percent(rates.precision), percent(rates.recall), round(rates.f1, 2)) == (precision, recall, f1)


def test_the_correlation_of_dice_and_correctness_is_significant_and_small():
    # r = 0.209 of 217 masses: t = r sqrt((n - 2) / (1 - r2)) = 3.13, P < 0.05, and 4 % of the variance.
    r, n = papers.ZHAO_CORRECTNESS_R, papers.ZHAO_CORRECTNESS_N
    t = r * math.sqrt((n - 2) / (1 - r**2))
    assert t == pytest.approx(3.13, abs=0.01)
    assert 2 * stats.t.sf(t, n - 2) < 0.05
    # Our test, on made values with exactly that r.
    correct = np.zeros(n)
    correct[:183] = 1
    noise = np.random.default_rng(0).normal(size=n)
    axis = (correct - correct.mean()) / correct.std()
    noise -= noise.mean() + axis * (noise @ axis) / n
    made = r * axis + math.sqrt(1 - r**2) * noise / noise.std()
    found = correlation(made, correct)
    assert (found.statistic, found.p) == (pytest.approx(r), pytest.approx(2 * stats.t.sf(t, n - 2)))


# Zang et al. 2021: small against large tumors


@pytest.mark.parametrize(("u", "p"), [(28, 1.6e-9), (216, 0.0024)])
def test_the_p_values_of_zang_follow_from_u(u, p):
    # Normal approximation with 28 and 29 tumors, two-sided. The paper prints P < 1e-9 for U = 28, which is one-sided.
    mean, sd = 28 * 29 / 2, math.sqrt(28 * 29 * 58 / 12)
    assert 2 * stats.norm.cdf((u - mean) / sd) == pytest.approx(p, rel=0.1)


# What the tables are printed from is what is checked here


def test_the_printed_numbers_of_the_tables_are_these():
    assert [tuple(row) for confusion in papers.ZHAO_CONFUSION[:2] for _, row in confusion.rows] == [
        *SMALL.counts,
        *LARGE.counts,
    ]
    assert [(d.true_positives, d.false_positives, d.false_negatives) for d in papers.ZHAO_DETECTION] == [
        (82, 39, 15),
        (63, 41, 20),
        (177, 53, 67),
        (123, 47, 60),
    ]
    assert {c.mass_class: (c.n, c.right, c.predicted) for c in papers.ZHAO_EXTERNAL_CLASSES} == next(solutions())

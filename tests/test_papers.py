"""What the papers print agrees with its own counts, but for the one number that is known not to."""

import pytest
from renalct.core.labels import KNOWN_CLASSES, Region, Side
from renalct.metrics import papers


@pytest.mark.parametrize("printed", papers.ZHAO_DETECTION, ids=lambda p: f"{p.data.name} {p.side.value}")
def test_rates_of_table_2_follow_from_its_counts(printed):
    tp, fp, fn = printed.true_positives, printed.false_positives, printed.false_negatives
    assert round(100 * tp / (tp + fp), 2) == printed.precision_percent
    assert round(100 * tp / (tp + fn), 2) == printed.recall_percent
    if printed.data is papers.ZHAO_EXTERNAL and printed.side is Side.LEFT:
        assert (round(2 * tp / (2 * tp + fp + fn), 2), printed.f1) == (0.75, 0.76)  # the paper's own slip
    else:
        assert round(2 * tp / (2 * tp + fp + fn), 2) == printed.f1


def test_the_confusion_matrices_give_the_accuracies_of_the_abstract():
    right, masses = [], []
    for matrix in papers.ZHAO_CONFUSION:
        rows = [counts for _, counts in matrix.rows]
        assert [mass_class for mass_class, _ in matrix.rows] == list(KNOWN_CLASSES)
        right.append(sum(counts[n] for n, counts in enumerate(rows)))
        masses.append(sum(map(sum, rows)))
    assert [round(100 * a / b, 2) for a, b in zip(right, masses, strict=True)] == [86.05, 91.97]
    assert round(100 * sum(right) / sum(masses), 2) == 90.56 and sum(masses) == 180


def test_table_5_follows_from_its_whole_numbers():
    rows = papers.ZHAO_EXTERNAL_CLASSES
    for row in rows:
        assert round(100 * row.right / row.predicted, 2) == row.precision_percent
        assert round(100 * row.right / row.n, 2) == row.recall_percent
        assert round(2 * row.right / (row.n + row.predicted), 2) == row.f1
    assert sum(row.n for row in rows) == sum(row.predicted for row in rows) == papers.ZHAO_CORRECTNESS_N
    assert round(100 * sum(row.right for row in rows) / 217, 2) == papers.ZHAO_EXTERNAL_ACCURACY_PERCENT


def test_all_masses_of_the_test_set_were_classified_not_only_those_found():
    found = [p for p in papers.ZHAO_DETECTION if p.data is papers.ZHAO_TEST]
    assert sum(p.true_positives + p.false_negatives for p in found) == 180


def test_every_region_stands_in_both_columns_of_the_second_paper():
    for data in (papers.ZANG_MAJORITY, papers.ZANG_INDIVIDUAL):
        assert [p.region for p in papers.ZANG_REGIONS if p.data is data] == list(Region)

"""The tests between classes, correctness and systems stand in their tables with their groups."""

import math
from dataclasses import replace

import pytest
from made_evaluation import decision, three_patients
from renalct.core.labels import MassClass
from renalct.metrics.evaluated import Evaluated, ReaderScores
from renalct.metrics.significance_tables import (
    common_cases,
    comparison_table,
    dice_by_class,
    individual_means,
    question_table,
)
from renalct.metrics.tables import Number

CYSTIC, SOLID = MassClass.CYSTIC, MassClass.SOLID


def with_dice(cystic, solid) -> Evaluated:
    first = three_patients().records[0]
    found = [decision(CYSTIC, CYSTIC, dice=d) for d in cystic] + [decision(SOLID, CYSTIC, dice=d) for d in solid]
    return Evaluated("made data", "s", (replace(first, found=tuple(found)),))


def test_two_classes_apart_give_the_statistic_of_their_ranks():
    # ranks 1, 2, 3 against 4, 5, 6: H = 12 / (6 * 7) * (6^2 / 3 + 15^2 / 3) - 3 * 7 = 27 / 7
    table = question_table(with_dice([0.1, 0.2, 0.3], [0.7, 0.8, 0.9]))
    overall = table.rows[0]
    assert overall.cells[2] == "AML 0, cystic 3, solid 3"
    assert overall.cells[3].value == pytest.approx(27 / 7)
    rows = {row.cells[0]: row for row in table.rows}
    assert math.isnan(rows["AML against cystic"].cells[3].value)
    assert rows["cystic against solid"].cells[3].value == pytest.approx(-math.sqrt(27 / 7))
    # every cystic mass is right and every solid one wrong, with the lower Dice right: r is below 0
    assert rows["Dice and a right class"].ours is False  # the paper's row comes last
    ours = next(row for row in table.rows if row.cells[1] == "point-biserial r")
    assert ours.cells[3].value < -0.9


def test_masses_without_a_dice_are_in_no_group():
    assert dice_by_class(with_dice([0.5, float("nan")], []))[CYSTIC] == [0.5]


def test_two_systems_are_compared_on_the_cases_that_both_have():
    first = three_patients()
    second = Evaluated("made data", "other system", first.records[:2])
    assert [a.case for a, _ in common_cases(first, second)] == ["a", "b"]
    table = comparison_table(first, second)
    assert all(
        (row.n == "2 patients" and row.cells[3].value in (0.0,)) or math.isnan(row.cells[3].value) for row in table.rows
    )
    assert "1 cases that only one of the two has" in " ".join(table.notes)


def test_the_difference_is_the_first_minus_the_second():
    first, worse = three_patients().records[:2]
    better = replace(first, scores=replace(first.scores, case="b", patient="b"))
    table = comparison_table(Evaluated("d", "better", (better,)), Evaluated("d", "worse", (worse,)))
    mass = next(row for row in table.rows if row.cells[0] == "Dice, mass")
    assert [cell.value for cell in mass.cells[1:4]] == [1.0, pytest.approx(2 / 3), pytest.approx(1 / 3)]


def test_systems_without_a_common_case_give_an_undefined_table():
    table = comparison_table(three_patients(), Evaluated("d", "other", ()))
    assert all(math.isnan(cell.value) for row in table.rows for cell in row.cells if isinstance(cell, Number))


def test_the_mean_over_readers_stands_beside_the_reference():
    first, second, _ = three_patients().records
    readers = (ReaderScores(0, 1, first.scores), ReaderScores(0, 2, second.scores), ReaderScores(1, 2, second.scores))
    evaluated = Evaluated("d", "s", (replace(first, readers=readers), second))
    assert individual_means(evaluated) == [(1.0, 1.0)]
    assert any(row.cells[1] == "Spearman r" for row in question_table(evaluated).rows)

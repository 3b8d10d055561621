"""The tables of Zhao 2023 from cases that can be counted by hand, beside the paper's own rows."""

import math
from dataclasses import replace

import pytest
from made_evaluation import decision, three_patients
from renalct.core.labels import MassClass, Side
from renalct.metrics import papers
from renalct.metrics.evaluated import Evaluated
from renalct.metrics.paper_tables import (
    agreement_table,
    class_table,
    confusion_table,
    detection_table,
    external_table,
    side_scores,
)
from renalct.metrics.tables import DASH, Number, cell_text

AML, CYSTIC, SOLID, UNKNOWN = MassClass.AML, MassClass.CYSTIC, MassClass.SOLID, MassClass.UNKNOWN
EMPTY = Evaluated("no data", "a system", ())


def ours(table):
    return [row for row in table.rows if row.ours]


def printed(table):
    return [row for row in table.rows if not row.ours]


def value(cell):
    return cell.value if isinstance(cell, Number) else cell


def test_table_2_counts_found_false_and_missed_masses_per_side():
    left, right, both = (row.cells[:4] for row in ours(detection_table(three_patients())))
    assert left == ("left", 1, 1, 1)
    assert right == ("right", 2, 0, 0)
    assert both == ("all", 3, 1, 1)


def test_table_2_has_the_rates_of_its_counts():
    _, _, both = ours(detection_table(three_patients()))
    precision, recall, f1 = (value(cell) for cell in both.cells[4:])
    assert (precision, recall) == (75.0, 75.0) and f1 == pytest.approx(6 / 8)


def test_table_2_shows_the_papers_rows_as_printed():
    rows = [tuple(map(cell_text, row.cells)) for row in printed(detection_table(three_patients()))]
    assert rows[0] == ("left", "82", "39", "15", "67.77", "84.54", "0.75")
    assert rows[2][-1] == "0.76" and "0.75" in " ".join(detection_table(three_patients()).notes)


def test_a_side_without_a_mass_anywhere_is_not_counted_for_masses():
    evaluated = three_patients()
    assert [patient for patient, _ in side_scores(evaluated, papers.MASS, Side.RIGHT)] == ["a", "b"]
    assert [score.dice for _, score in side_scores(evaluated, papers.MASS, Side.LEFT)] == [1.0, 0.0, 0.0]
    assert len(side_scores(evaluated, papers.KIDNEY, Side.LEFT)) == 3


def test_agreement_is_a_mean_over_sides_that_counts_undefined_distances():
    table = agreement_table(three_patients())
    cells = [value(cell) for cell in ours(table)[0].cells]
    assert cells[3] == 1.0 and cells[2] == pytest.approx(1 / 3) and cells[4] == 0.0
    assert "2 of 3 on the left, 0 of 2 on the right" in " ".join(table.notes)
    assert [row.data for row in printed(table)][2:4] == ["Zhao 2023, test set", "Zhao 2023, KiTS21"]


def test_table_3_keeps_readers_masks_and_found_masks_apart():
    rows = ours(confusion_table(three_patients()))
    assert [(row.data, *row.cells) for row in rows] == [
        ("made data, readers' masks", "≥ 5 mm", "AML", 0, 0, 0, 0),
        ("made data, readers' masks", "≥ 5 mm", "cystic", 0, 1, 0, 0),
        ("made data, readers' masks", "≥ 5 mm", "solid", 0, 1, 0, 0),
        ("made data, found masks", "≥ 5 mm", "AML", 0, 0, 0, 0),
        ("made data, found masks", "≥ 5 mm", "cystic", 0, 1, 0, 0),
        ("made data, found masks", "≥ 5 mm", "solid", 0, 0, 2, 0),
    ]
    assert rows[0].n == "2 masses, 1 patient" and rows[3].n == "3 masses, 2 patients"


def with_decisions(*decisions):
    first = three_patients().records[0]
    return Evaluated("made data", "s", (replace(first, found=decisions, given=()),))


def test_a_mass_of_exactly_5_mm_is_in_the_upper_stratum_and_not_in_table_5():
    evaluated = with_decisions(decision(AML, AML, diameter_mm=5.0), decision(AML, CYSTIC, diameter_mm=4.99))
    rows = [row.cells for row in ours(confusion_table(evaluated)) if sum(row.cells[2:])]
    assert rows == [("< 5 mm", "AML", 0, 1, 0, 0), ("≥ 5 mm", "AML", 1, 0, 0, 0)]
    assert [row.cells[1] for row in ours(external_table(evaluated)) if row.cells[0] == "AML"] == [0]


def test_an_answer_of_unknown_is_an_error_that_stays_in_the_denominator():
    evaluated = with_decisions(decision(SOLID, SOLID), decision(SOLID, UNKNOWN))
    of_all = {row.cells[1]: row.cells for row in ours(class_table(evaluated)) if row.cells[0] == "all"}
    assert value(of_all["AML"][6]) == 50.0  # accuracy
    assert value(of_all["solid"][3]) == 100.0 and value(of_all["solid"][4]) == 50.0
    assert value(of_all["solid"][5]) == pytest.approx(2 / 3)
    assert math.isnan(value(of_all["cystic"][3]))


def test_table_4_gives_the_papers_accuracies_and_class_rates():
    rows = {(row.cells[0], row.cells[1]): row.cells[2:] for row in printed(class_table(three_patients()))}
    accuracies = [cell_text(rows[(stratum, "AML")][-1]) for stratum in ("< 5 mm", "≥ 5 mm", "all")]
    assert accuracies == ["86.05", "91.97", "90.56"]
    # 16 of 17 AMLs of 5 mm and more are right, and nothing else is called AML: 100 %, 94.12 %, 32 / 33
    assert tuple(map(cell_text, rows[("≥ 5 mm", "AML")][:4])) == ("17", "100.00", "94.12", "0.97")


def test_table_5_shows_found_masses_and_the_papers_rows():
    table = external_table(three_patients())
    assert [row.cells[:2] for row in ours(table)] == [("AML", 0), ("cystic", 1), ("solid", 2)]
    assert tuple(map(cell_text, printed(table)[2].cells)) == ("solid", "28", "54.17", "92.86", "0.68", DASH)


@pytest.mark.parametrize("build", [agreement_table, detection_table, confusion_table, class_table, external_table])
def test_every_table_can_be_made_of_no_case(build):
    table = build(EMPTY)
    assert printed(table)
    for row in ours(table):
        assert all(math.isnan(cell.value) for cell in row.cells if isinstance(cell, Number))


@pytest.mark.parametrize("build", [agreement_table, detection_table, confusion_table, class_table, external_table])
def test_every_row_says_its_data_set_and_n(build):
    for row in build(three_patients()).rows:
        assert row.data and row.n

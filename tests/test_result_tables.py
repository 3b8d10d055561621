"""Tables that no paper prints: distances, sizes, matching by IoU, probabilities, readers; by hand."""

import math
from dataclasses import replace

import pytest
from made_evaluation import RIGHT_MASS, decision, label_map, record, three_patients
from renalct.core.grid import Box
from renalct.core.labels import MassClass
from renalct.metrics.evaluated import Evaluated, ReaderScores
from renalct.metrics.result_tables import (
    distance_table,
    false_positive_table,
    iou_table,
    probability_table,
    reader_table,
    strata_table,
)
from renalct.metrics.tables import Number

AML, CYSTIC, SOLID = MassClass.AML, MassClass.CYSTIC, MassClass.SOLID
EMPTY = Evaluated("no data", "s", ())


def values(row):
    return [cell.value if isinstance(cell, Number) else cell for cell in row.cells]


def test_distances_are_means_over_cases_that_have_one():
    rows = {row.cells[0]: values(row) for row in distance_table(three_patients()).rows}
    assert rows["mass"][5] == 1 and rows["tumor"][5] == 1  # case c has no mass in the reference
    assert rows["tumor"][1:4] == [0.0, 0.0, 0.0]
    # the left mass of b, 64 voxels of 16 mm3, is missed and the 8 voxels of c are too many: -1.024 and +0.128 ml
    assert rows["mass"][4] == pytest.approx((0 - 1.024 + 0.128) / 3)


def test_masses_fall_into_strata_by_diameter():
    # 64 voxels of 16 mm3 are 1.024 ml: a sphere of 12.5 mm
    rows = {row.cells[0]: values(row) for row in strata_table(three_patients()).rows}
    assert rows["10 to 20 mm"][1:4] == [4, 75.0, 1.0] and rows["all"][1] == 4
    assert rows["< 5 mm"][1] == 0 and math.isnan(rows["< 5 mm"][2])


def test_a_stricter_rule_needs_overlap():
    # the prediction shares half of the slices: IoU 32 / 64
    reference, half = label_map((RIGHT_MASS, 2)), label_map((Box((46, 6, 4), (50, 10, 6)), 2))
    rows = {row.cells[0]: values(row) for row in iou_table(Evaluated("d", "s", (record("x", half, reference),))).rows}
    assert rows["IoU ≥ 0.5"][1:4] == [1, 0, 0]
    touching = label_map((Box((46, 6, 4), (50, 10, 5)), 2))
    rows = {
        row.cells[0]: values(row) for row in iou_table(Evaluated("d", "s", (record("x", touching, reference),))).rows
    }
    assert rows["IoU ≥ 0.25"][1:4] == [1, 0, 0] and rows["IoU ≥ 0.5"][1:4] == [0, 1, 1]


def test_false_masses_are_counted_by_what_they_are_called():
    (row,) = false_positive_table(three_patients()).rows
    assert row.cells[:4] == (0, 1, 0, 0) and row.cells[4].text == "0.33"


def test_areas_under_the_curve_stand_beside_the_papers():
    sure, unsure = (0.1, 0.1, 0.8), (0.1, 0.6, 0.3)
    found = (
        decision(SOLID, SOLID, probabilities=sure),
        decision(CYSTIC, CYSTIC, probabilities=unsure),
        decision(AML, SOLID, probabilities=(0.1, 0.2, 0.7)),
        decision(SOLID, MassClass.UNKNOWN, diameter_mm=3.0),
    )
    first = replace(three_patients().records[0], found=found, given=())
    rows = probability_table(Evaluated("d", "s", (first,))).rows
    cells = values(rows[0])
    assert rows[0].data == "d, found masks" and cells[0] == "all"
    assert cells[2:4] == [1.0, 1.0] and cells[1] == 0.5  # cystic and solid are ranked first, AML ties with the rest
    assert cells[6] == 75.0 and cells[7] == 1  # one of four is unknown, one has no probabilities
    assert values(rows[-1])[1:4] == [1.0, 0.98, 0.99] and not rows[-1].ours


def test_readers_among_themselves_and_the_prediction_have_a_row_each():
    first, second, _ = three_patients().records
    assert reader_table(three_patients()) is None
    readers = (ReaderScores(0, 1, second.scores), ReaderScores(0, 2, second.scores), ReaderScores(1, 2, first.scores))
    table = reader_table(Evaluated("d", "s", (replace(first, readers=readers),)))
    among, against = table.rows
    assert among.n == "1 patient, 1 pairs" and values(among)[2] == 1.0
    assert against.n == "1 patient, 2 pairs" and values(against)[2] == pytest.approx(2 / 3)


@pytest.mark.parametrize("build", [distance_table, strata_table, iou_table, probability_table, false_positive_table])
def test_every_table_can_be_made_of_no_case(build):
    assert build(EMPTY).columns

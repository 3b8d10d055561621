"""The tables of Zang 2021 and Beheshtifard 2023 from cases that can be counted by hand."""

import math
from dataclasses import replace

import pytest
from made_evaluation import LEFT_MASS, RIGHT_MASS, label_map, record, three_patients
from renalct.core.grid import Box
from renalct.metrics.case import evaluate_case
from renalct.metrics.evaluated import Evaluated, ReaderScores
from renalct.metrics.paper_tables_kits import halves, region_table, size_table, slice_table, solitary_tumors
from renalct.metrics.scores import ScoreSettings
from renalct.metrics.tables import Number, cell_text

EMPTY = Evaluated("no data", "a system", ())


def values(row):
    return [cell.value if isinstance(cell, Number) else cell for cell in row.cells]


def test_regions_are_means_over_cases():
    # Dice of masses: a 1, b (64 voxels of 128 found) 2 * 64 / 192, c 0 (a false mass); tumors: 1, 1, 1 (none anywhere)
    row = values(region_table(three_patients()).rows[0])
    assert row[1] == pytest.approx((1 + 2 / 3 + 0) / 3) and row[2] == 1.0
    assert region_table(three_patients()).rows[0].n == "3 patients"


def test_single_readers_have_a_row_of_their_own():
    first, second, _ = three_patients().records
    against = second.scores
    kept = replace(first, readers=(ReaderScores(0, 1, against), ReaderScores(1, 2, first.scores)))
    table = region_table(Evaluated("made data", "s", (kept,)))
    assert table.rows[1].data == "made data, individual annotations"
    assert values(table.rows[1])[1] == pytest.approx(2 / 3)


def test_a_solitary_tumor_is_one_tumor_whatever_the_cysts():
    found = solitary_tumors(three_patients())
    assert [tumor.patient for tumor in found] == ["a", "b"]
    assert found[0].volume_ml == pytest.approx(4 * 4 * 4 * 16 / 1000) and found[0].dice == 1.0
    two = label_map((RIGHT_MASS, 2), (LEFT_MASS, 2))
    assert solitary_tumors(Evaluated("d", "s", (record("x", two, two),))) == ()


def test_a_cyst_that_touches_a_tumor_is_neither_counted_nor_measured_with_it():
    # 4 x 4 x 4 voxels of tumor beside 8 x 4 x 4 of cyst: one domain of mass that is mostly cyst, and one tumor
    beside = Box((50, 6, 4), (58, 10, 8))
    both = label_map((RIGHT_MASS, 2), (beside, 3))
    assert RIGHT_MASS.stop[0] == beside.start[0]
    (found,) = solitary_tumors(Evaluated("d", "s", (record("x", both, both),)))
    assert found.volume_ml == pytest.approx(4 * 4 * 4 * 16 / 1000)


def test_two_tumors_that_a_cyst_joins_are_two():
    joined = label_map((RIGHT_MASS, 2), (Box((50, 6, 4), (54, 10, 8)), 3), (Box((54, 6, 4), (58, 10, 8)), 2))
    each = record("x", joined, joined)
    assert len(each.scores.references) == 1 and solitary_tumors(Evaluated("d", "s", (each,))) == ()


def test_a_crumb_under_the_smallest_diameter_is_no_second_tumor():
    crumb = Box((30, 6, 4), (31, 7, 5))  # a voxel of 16 mm3: 3.1 mm
    values = label_map((RIGHT_MASS, 2), (crumb, 2))
    for least_mm, tumors in ((3.0, 2), (4.0, 1)):
        settings = ScoreSettings(min_reference_diameter_mm=least_mm)
        scores = evaluate_case(values, values, case="x", patient="x", settings=settings)
        assert len(scores.tumors_ml) == tumors


def of_sizes(*widths):
    records = []
    for n, width in enumerate(widths):
        reference = label_map((Box((46, 6, 4), (46 + width, 10, 8)), 2))
        prediction = label_map((Box((46, 6, 4), (46 + width, 10, 8 if n % 2 else 6)), 2))
        records.append(record(f"case {n}", prediction, reference))
    return Evaluated("made data", "s", tuple(records))


def test_tumors_are_parted_at_the_median_volume():
    median, small, large = halves(solitary_tumors(of_sizes(1, 2, 3, 4)))
    assert median == pytest.approx(2.5 * 16 * 16 / 1000)
    assert [t.patient for t in small] == ["case 0", "case 1"] and [t.patient for t in large] == ["case 2", "case 3"]


def test_small_and_large_are_tested_against_each_other():
    row = size_table(of_sizes(1, 2, 3, 4)).rows[0]
    # half of the slices are missed in cases 0 and 2: Dice 2/3 and 1 in each half; U = 2 of 4: no difference
    assert row.n == "2 small, 2 large"
    assert values(row)[2:4] == [pytest.approx(5 / 6), pytest.approx(5 / 6)] and values(row)[4] == 2.0
    assert values(row)[5] == pytest.approx(1.0)


def test_the_papers_rows_show_its_statistics():
    texts = [tuple(map(cell_text, row.cells)) for row in size_table(EMPTY).rows if not row.ours]
    assert texts[0] == ("Dice", "24.75", "0.832", "0.942", "28", "< 1e-9")


def test_slice_modes_differ_in_what_they_count():
    # 12 slices, kidneys on 2 to 9; the reference's tumor on 4 to 7, of which 4 and 5 are found
    reference = label_map((RIGHT_MASS, 2))
    prediction = label_map((Box((46, 6, 4), (50, 10, 6)), 2))
    rows = slice_table(Evaluated("made data", "net", (record("a", prediction, reference),))).rows
    of_slices, of_kidney, of_case = (values(row) for row in rows[:3])
    assert of_slices[2] == pytest.approx(10 / 12) and of_kidney[2] == pytest.approx(6 / 8)
    assert of_case[2] == pytest.approx(2 / 3)
    assert [row.n for row in rows[:3]] == ["1 patient, 12 slices", "1 patient, 8 slices", "1 patient"]
    assert [row.cells[0] for row in rows[:3]] == ["net: slice", "net: kidney_slice", "net: case"]


def test_no_dice_can_exceed_1():
    for row in slice_table(three_patients()).rows:
        assert all(0 <= v <= 1 for v in values(row)[1:] if v is not None)


@pytest.mark.parametrize("build", [region_table, size_table, slice_table])
def test_every_table_can_be_made_of_no_case(build):
    ours = [values(row) for row in build(EMPTY).rows if row.ours]
    assert ours and all(math.isnan(v) for row in ours for v in row if isinstance(v, float))

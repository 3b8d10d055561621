"""Tables say their data set and n in every format, keep what is undefined apart from what is missing, and escape."""

import csv
import io
import json

import pytest
from renalct.metrics.tables import Number, Row, Table, cell_text, to_csv, to_json, to_latex, to_markdown, write_table

NAN = float("nan")
TABLE = Table(
    "dice_50%",
    "Dice | by side",
    "Layout of a paper, Table 1",
    ("side", "Dice", "cases"),
    (
        Row("ours & theirs", "3 patients", ("left", Number(0.8, 2, 0.7, 0.9), 3)),
        Row("ours & theirs", "3 patients", ("right", Number(NAN), 0)),
        Row("Zhao 2023, test set", "65 series", ("left", Number(0.75), None), ours=False),
    ),
    ("A note with 100 %.",),
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "\N{EN DASH}"),
        (12, "12"),
        ("left", "left"),
        (Number(0.8449), "0.84"),
        (Number(5.1, 1, 4.0, 6.25), "5.1 [4.0, 6.2]"),
        (Number(NAN, 2, 0.1, 0.2), "undefined"),
        (Number(0.5, 2, NAN, NAN), "0.50"),
        (Number(-0.5, 1), "\N{MINUS SIGN}0.5"),
        (Number(0.0), "0.00"),
        (Number(0.00012, 2), "1.2e\N{MINUS SIGN}04"),
        (Number(float("inf")), "∞"),
    ],
)
def test_cells_read_as_a_person_would_write_them(cell, text):
    assert cell_text(cell) == text


def test_markdown_has_data_set_n_and_notes_in_a_valid_table():
    lines = to_markdown(TABLE).splitlines()
    grid = [line for line in lines if line.startswith("|")]
    assert len(grid) == 2 + 3 and {line.replace("\\|", "").count("|") for line in grid} == {6}
    assert grid[0] == "| Data set | n | side | Dice | cases |"
    assert grid[1] == "| --- | --- | --- | ---: | ---: |"
    assert grid[2] == "| **ours & theirs** | 3 patients | left | 0.80 [0.70, 0.90] | 3 |"
    assert lines[-1] == "- A note with 100 %."


def test_csv_has_bare_numbers_and_the_ends_of_intervals():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == {
        "data_set": "ours & theirs", "n": "3 patients", "origin": "measured", "side": "left",
        "Dice": "0.8", "Dice, low": "0.7", "Dice, high": "0.9", "cases": "3",
    }  # fmt: skip
    assert rows[1]["Dice"] == "" and rows[1]["cases"] == "0"
    assert rows[2]["origin"] == "printed" and rows[2]["Dice, low"] == ""


def test_latex_escapes_what_latex_reads():
    text = to_latex(TABLE)
    assert r"ours \& theirs & 3 patients & left & 0.80 [0.70, 0.90] & 3 \\" in text
    assert r"A note with 100 \%." in text and text.count(r"\\") == 4
    assert text.count("{") == text.count("}")


def test_json_tells_undefined_from_not_measured():
    cells = [row["cells"] for row in to_json(TABLE)["rows"]]
    assert cells[0][1] == {"value": 0.8, "low": 0.7, "high": 0.9}
    assert cells[1][1] == {"value": None, "undefined": True}
    assert cells[2][2] is None
    json.dumps(to_json(TABLE), allow_nan=False)
    assert next(iter(to_json(TABLE))) == "schema_version"


def test_a_table_is_written_in_four_formats(tmp_path):
    table = Table("t", "T", "S", ("a",), ())
    assert [path.name for path in write_table(table, tmp_path)] == ["t.md", "t.csv", "t.tex", "t.json"]
    assert all(path.stat().st_size for path in tmp_path.iterdir())


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="has 1 cells, not 2"):
        Table("t", "T", "S", ("a", "b"), (Row("d", "1", ("x",)),))

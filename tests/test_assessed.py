"""Readers who did not look for everything: what they did look for is scored, the rest is undefined and counted."""

import json
import math
from dataclasses import replace

import pytest
from made_evaluation import FAR_MASS, LEFT_MASS, RIGHT_MASS, label_map, record
from renalct.core.labels import Region, Structure
from renalct.learning.evaluation_output import Told, write_evaluation
from renalct.metrics.assessed import assessed_slices, only_assessed, unassessed_regions
from renalct.metrics.detection import froc
from renalct.metrics.evaluated import CaseRecord, Evaluated
from renalct.metrics.evaluation_figures import froc_figures
from renalct.metrics.evaluation_sections import headlines, notices
from renalct.metrics.result_tables import case_table, false_positive_table
from renalct.metrics.score_files import cases_csv
from renalct.metrics.scores import ScoreSettings
from renalct.metrics.significance_tables import comparison_table

KIDNEY, TUMOR, CYST = Structure.KIDNEY, Structure.TUMOR, Structure.CYST
BACKGROUND = Structure.BACKGROUND


@pytest.mark.parametrize(
    ("assessed", "missing"),
    [
        ({KIDNEY, TUMOR, CYST}, ()),
        ({KIDNEY, TUMOR}, (Region.KIDNEY_AND_MASS, Region.MASS)),
        ({TUMOR, CYST}, (Region.KIDNEY_AND_MASS,)),
        ({KIDNEY, CYST}, (Region.KIDNEY_AND_MASS, Region.MASS, Region.TUMOR)),
        ({KIDNEY}, tuple(Region)),
    ],
)
def test_a_region_needs_all_its_structures_and_who_looks_for_tumors_finds_angiomyolipomas(assessed, missing):
    assert unassessed_regions(assessed | {BACKGROUND}) == missing


def partial(name="a") -> CaseRecord:
    """A tumor found, and a cyst predicted that nobody looked for: kidney and tumor were assessed."""
    found = record(name, label_map((RIGHT_MASS, 2), (LEFT_MASS, 3)), label_map((RIGHT_MASS, 2)))
    scores = only_assessed(found.scores, {BACKGROUND, KIDNEY, TUMOR})
    return replace(found, scores=scores, slices=assessed_slices(found.slices, scores))


def test_what_was_looked_for_is_scored_and_the_rest_is_undefined():
    scores = partial().scores
    dice = [scores.region(region).dice for region in Region]
    assert math.isnan(dice[0]) and math.isnan(dice[1]) and dice[2] == 1.0
    assert scores.references == () and scores.false_positives == () and not scores.masses_known
    assert all(math.isnan(side.mass.dice) for side in scores.sides)
    assert all(math.isnan(each.kidney) and each.tumor == 1.0 for each in partial().slices)


def test_full_labels_stay_as_they_are():
    scores = record("a", label_map(), label_map()).scores
    assert only_assessed(scores, set(Structure)) is scores


def evaluated() -> Evaluated:
    """One case with full labels (one mass found, one false), and one without cysts."""
    full = record("b", label_map((RIGHT_MASS, 2), (FAR_MASS, 3)), label_map((RIGHT_MASS, 2)))
    return Evaluated("made data", "made system", (partial(), full))


def test_means_are_over_those_who_looked_and_say_how_many_they_are():
    found = {headline.title: headline for headline in headlines(evaluated())}
    tumor, mass = found["Dice, tumor"], found["Dice, mass"]
    assert tumor.number.value == 1.0 and tumor.of == "2 patients"
    assert mass.of == "1 patient" and mass.number.value == pytest.approx(2 * 64 / (64 + 64 + 8))
    assert found["False masses per case"].number.value == 1.0 and found["False masses per case"].of == "1 patient"
    said = [sentence for sentence in notices(evaluated()) if "did not look for" in sentence]
    assert len(said) == 2 and all(sentence.startswith("In 1 of 2 cases") for sentence in said)


def test_masses_that_cannot_be_counted_are_empty_in_tables_and_files():
    first, second = case_table(evaluated()).rows
    assert first.cells[-3:] == (None, None, None) and second.cells[-3:] == (1, 0, 1)
    line = cases_csv(evaluated()).splitlines()[1].split(",")
    assert line[-5:-2] == ["", "", ""]
    (row,) = false_positive_table(evaluated()).rows
    assert row.n == "1 patient" and row.cells[-1].value == 0.0  # no class was given here
    assert froc([partial().scores, evaluated().records[1].scores]).cases == 1


def test_comparisons_leave_out_what_is_undefined():
    rows = comparison_table(evaluated(), evaluated()).rows
    dropped = {row.cells[0]: row.cells[-1] for row in rows}
    assert dropped["Dice, mass"] == 1 and dropped["Dice, tumor"] == 0


@pytest.mark.parametrize("other", [None, "itself"])
def test_the_whole_evaluation_is_written(tmp_path, other):
    told = Told(ScoreSettings(), "made", (), ())
    write_evaluation(evaluated(), tmp_path, told=told, other=evaluated() if other else None, pictures=())
    data = json.loads((tmp_path / "scores.json").read_text())
    assert data["cases"][0]["regions"]["mass"]["dice"] is None
    assert data["cases"][0]["unassessed"] == ["kidney_and_mass", "mass"]
    assert "did not look for" in (tmp_path / "evaluation.html").read_text()


def with_confidence(*values: float) -> Evaluated:
    """Case b with these confidences of its two predicted masses (the true one is larger)."""
    (_, full) = evaluated().records
    domains = tuple(replace(d, confidence=c) for d, c in zip(full.scores.predictions, values, strict=True))
    return Evaluated("d", "s", (replace(full, scores=replace(full.scores, predictions=domains)),))


@pytest.mark.parametrize(
    ("evaluated_", "words"),
    [
        (with_confidence(0.9, 0.8), "surest of"),
        (with_confidence(0.9, math.nan), "the largest come first"),
        (evaluated(), "the largest come first"),
    ],
)
def test_froc_goes_by_confidence_where_every_mass_has_one_and_else_by_size(evaluated_, words):
    (figure,) = froc_figures(evaluated_)
    assert words in figure.words.caption

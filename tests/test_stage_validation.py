"""Scores during training: means by hand, and what a case does not assess is not scored on it."""

import math

import numpy as np
import pytest
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.learning.stage_validation import _Scored, class_dice, stage_validator, summary
from renalct.metrics.case import evaluate_case
from renalct.metrics.scores import ScoreSettings
from renalct.models.lineage import RunSettings
from renalct.models.networks import build_network, state_of
from renalct.models.recipes import recipe_named
from renalct.models.run_folder import RunRecord, write_run
from renalct.models.splits import Split
from shapes import grid_of
from test_samples import file_of, made_case
from tiny_recipes import tiny

EVERY = frozenset(Structure)


def label_map(*values) -> LabelMap:
    return LabelMap(np.asarray(values, np.uint8).reshape(-1, 1, 1), grid_of((len(values), 1, 1), (1.0, 2.0, 3.0)))


def scored(predicted: LabelMap, reference: LabelMap, assessed=EVERY) -> _Scored:
    scores = evaluate_case(predicted, reference, case="a", patient="a", settings=ScoreSettings(domain_surfaces=False))
    structures = ({Structure.KIDNEY}, {Structure.TUMOR, Structure.ANGIOMYOLIPOMA}, {Structure.CYST})
    return _Scored(scores, tuple(class_dice(predicted, reference, s) for s in structures), frozenset(assessed))


def test_sensitivity_false_positives_and_dice_are_as_counted_by_hand():
    """Of two masses one is touched; one predicted domain is false; tumor voxels: 1 shared of 1 and 2."""
    reference, predicted = label_map(1, 2, 1, 1, 3, 1, 1), label_map(1, 2, 1, 1, 1, 1, 2)
    score = summary([scored(predicted, reference)])
    numbers = dict(score.numbers)
    assert numbers["lesion sensitivity"] == 0.5 and numbers["false positives per case"] == 1.0
    assert numbers["tumor Dice"] == pytest.approx(2 / 3) and numbers["cyst Dice"] == 0.0
    assert numbers["kidney and mass Dice"] == 1.0 and numbers["mass Dice"] == pytest.approx(2 * 1 / 4)
    assert score.value == pytest.approx((1.0 + 0.5) / 2)


def test_a_case_is_not_scored_on_what_it_does_not_assess():
    reference, predicted = label_map(1, 2, 1), label_map(1, 3, 1)
    kidney_alone = {Structure.BACKGROUND, Structure.KIDNEY}
    numbers = dict(summary([scored(predicted, reference), scored(predicted, reference, kidney_alone)]).numbers)
    alone = dict(summary([scored(predicted, reference, kidney_alone)]).numbers)
    assert numbers["mass Dice"] == 1.0 and math.isnan(alone["mass Dice"]) and alone["kidney Dice"] == 1.0
    assert math.isnan(alone["lesion sensitivity"])


def test_nothing_to_score_is_undefined():
    assert math.isnan(summary([]).value)
    assert class_dice(label_map(0), label_map(0), {Structure.CYST}) == 1.0


def test_the_segment_stage_waits_for_the_localize_stage(tmp_path):
    recipe = tiny(recipe_named("starter"), patch=16)
    write_run(tmp_path, RunRecord(recipe, RunSettings(), 0, 0, ""), Split((), ()))
    files = [file_of(made_case())]
    assert stage_validator()(tmp_path, "segment", 0, files) is None
    validate = stage_validator()(tmp_path, "localize", 0, files)
    score = validate(state_of(build_network(recipe.localize)))
    assert 0 <= score.value <= 1 and score.numbers[0][0] == "kidneys Dice"
    validate = stage_validator()(tmp_path, "classify", 0, files)
    assert validate(state_of(build_network(recipe.classify))).value in (0.0, 1.0)  # there is one mass

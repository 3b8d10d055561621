"""Measuring a release: overlap by hand, pooling per patient, and intervals."""

import numpy as np
import pytest
from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from renalct.learning.validation import Overlap, measure_release, overlap
from renalct.models.cases import phantom_files
from renalct.models.recipes import recipe_named
from renalct.models.release import random_release
from shapes import grid_of
from tiny_recipes import tiny


def label_map(*values) -> LabelMap:
    return LabelMap(np.asarray(values, np.uint8).reshape(-1, 1, 1), grid_of((len(values), 1, 1), (10.0, 10.0, 10.0)))


@pytest.mark.parametrize(
    ("region", "reference_ml", "predicted_ml", "both_ml"),
    [(Region.KIDNEY_AND_MASS, 4, 4, 3), (Region.MASS, 3, 2, 2), (Region.TUMOR, 2, 2, 1)],
)
def test_overlap_counts_an_angiomyolipoma_as_a_tumor(region, reference_ml, predicted_ml, both_ml):
    predicted, reference = label_map(1, 2, 4, 0, 1), label_map(1, 3, 2, 4, 0)
    assert overlap(predicted, reference, region) == Overlap(reference_ml, predicted_ml, both_ml)


def test_dice_of_pooled_parts_is_not_the_mean_of_their_dice():
    pooled = Overlap(10.0, 10.0, 10.0).plus(Overlap(1.0, 1.0, 0.0))
    assert pooled.dice == pytest.approx(2 * 10 / 22)
    assert Overlap().dice == 1.0 and Overlap(1.0, 0.0, 0.0).dice == 0.0


def test_untrained_networks_score_low_on_phantoms_with_an_interval():
    release = random_release(tiny(recipe_named("starter")))
    told = []
    found = measure_release(
        release,
        phantom_files(range(2), spacing_mm=(8.0, 8.0, 10.0)),
        data="phantoms",
        tell=lambda *done: told.append(done),
    )
    assert told == [(1, 2), (2, 2)] and [m.name for m in found[:2]] == ["kidney and mass Dice", "mass Dice"]
    for metric in found:
        assert 0.0 <= metric.low <= metric.value <= metric.high and metric.n in (1, 2)
        assert metric.high <= 1.0 or metric.name == "false positives per case"
    names = {metric.name for metric in found}
    assert {"mass surface Dice", "mass sensitivity", "false positives per case", "class accuracy"} <= names
    assert found[0].value < 0.5

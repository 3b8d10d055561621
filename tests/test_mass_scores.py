"""How sure the networks are of a mass: probabilities by hand, and the mean over its voxels."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap, Mask
from renalct.imaging.components import SeparationSettings, separate
from renalct.models.mass_scores import Segmentation, confidence, mass_score, trusted
from renalct.models.recipe import Activation, Target
from renalct.models.recipes import recipe_named
from renalct.models.segmenting import Segmenter, segment
from shapes import grid_of
from test_inference import BrightIs, segmenting, sphere

SOFTMAX = recipe_named("starter").segment  # background, kidney, tumor, cyst
GRID = grid_of((6, 5, 4))


def test_any_mass_is_the_sum_of_a_softmax_and_the_largest_of_sigmoids():
    scores = np.asarray([0.1, 0.1, 0.5, 0.3], np.float32).reshape(4, 1, 1, 1)
    assert mass_score(scores, SOFTMAX).item() == 204  # 255 (0.5 + 0.3)
    sigmoid = replace(SOFTMAX, activation=Activation.SIGMOID)
    assert mass_score(scores[1:], sigmoid).item() == 128  # 255 x 0.5, rounded to even
    kidneys = replace(SOFTMAX, targets=(Target.KIDNEY_AND_MASS,))
    assert mass_score(scores[:2], kidneys).item() == 0


def segmented(*parts: tuple[Box, int]) -> Segmentation:
    scores = tuple((box, np.full(box.shape, value, np.uint8)) for box, value in parts)
    return Segmentation(np.zeros(GRID.shape, np.uint8), GRID, scores)


def test_the_confidence_is_the_mean_over_the_mask_and_the_higher_where_boxes_overlap():
    mask = Mask(Box((1, 1, 1), (3, 2, 2)), np.ones((2, 1, 1), bool))
    left, both = Box((0, 0, 0), (2, 5, 4)), Box((1, 0, 0), (6, 5, 4))
    assert confidence(segmented((left, 255), (both, 51)), mask) == pytest.approx((1.0 + 0.2) / 2, abs=1e-4)
    assert confidence(segmented((left, 255)), mask) == pytest.approx(0.5)  # half of it was not looked at
    assert confidence(segmented((Box((4, 0, 0), (6, 5, 4)), 255)), mask) == 0.0


def test_a_label_map_that_no_network_made_has_no_confidence():
    mask = Mask(Box((1, 1, 1), (2, 2, 2)), np.ones((1, 1, 1), bool))
    assert confidence(LabelMap(np.zeros(GRID.shape, np.uint8), GRID), mask) is None
    assert confidence(segmented(), mask) is None


def test_segmenting_tells_the_probability_of_mass_on_each_box_with_its_margin():
    volume, inside = sphere()
    told = []
    unsure = BrightIs(4, 2, strength=0.5)
    segment(
        volume, [Box.around(inside)], [Segmenter(segmenting(), [unsure])], tell_mass=lambda *each: told.append(each)
    )
    ((box, scores),) = told
    assert box.shape == scores.shape and scores.dtype == np.uint8
    # logits 0.5 for tumor, -0.5 for background, kidney and cyst: (e^0.5 + e^-0.5) / (e^0.5 + 3 e^-0.5)
    expected = (np.exp(0.5) + np.exp(-0.5)) / (np.exp(0.5) + 3 * np.exp(-0.5))
    middle = np.asarray(box.shape) // 2
    assert scores[tuple(middle)] == pytest.approx(255 * expected, abs=1)


def test_masses_of_which_the_networks_are_unsure_are_left_out():
    grid = grid_of((9, 9, 9))
    values = np.full(grid.shape, Structure.KIDNEY, np.uint8)
    values[2, 2, 2] = values[6, 6, 6] = Structure.TUMOR
    scores = np.zeros(grid.shape, np.uint8)
    scores[2, 2, 2], scores[6, 6, 6] = 204, 102  # 0.8 and 0.4
    label_map = Segmentation(values, grid, ((Box.whole(grid.shape), scores),))
    (organ,) = separate(label_map, settings=SeparationSettings(min_kidney_ml=0.0, min_mass_diameter_mm=0.0))
    assert [mass.box.start for mass in trusted(organ, label_map, least=0.5).masses] == [(2, 2, 2)]
    assert len(trusted(organ, label_map, least=0.4).masses) == 2
    assert trusted(organ, LabelMap(values, grid), least=0.9).masses == organ.masses, "no network looked at it"

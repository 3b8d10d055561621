"""How far readers agree with each other."""

import math

import numpy as np
import pytest
from label_pairs import label_map
from renalct.core.labels import Region
from renalct.metrics.agreement import agreement_on, reader_pairs, tolerance_mm


def reading(stop):
    values = np.zeros((12, 6, 6))
    values[2:stop, 1:5, 1:5] = 2
    return label_map(values)


def test_three_readers_make_three_pairs():
    pairs = reader_pairs([reading(8), reading(8), reading(5)], case="a", patient="p")
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    # 6 slabs against 6 slabs, and twice 6 against 3: 2 * 3 / 9
    found = agreement_on(Region.TUMOR, pairs)
    assert (found.dice, found.pairs) == (pytest.approx((1 + 2 / 3 + 2 / 3) / 3), 3)
    assert 0 < found.surface_dice < 1


def test_agreement_is_the_same_in_either_order():
    forth = agreement_on(Region.MASS, reader_pairs([reading(8), reading(5)], case="a", patient="p"))
    back = agreement_on(Region.MASS, reader_pairs([reading(5), reading(8)], case="a", patient="p"))
    assert (forth.dice, forth.surface_dice) == pytest.approx((back.dice, back.surface_dice))


def test_a_single_reader_agrees_with_nobody():
    assert reader_pairs([reading(8)], case="a", patient="p") == ()
    found = agreement_on(Region.MASS, ())
    assert math.isnan(found.dice) and found.pairs == 0


def test_readers_who_both_found_nothing_agree():
    empty = label_map(np.zeros((4, 4, 4)))
    assert agreement_on(Region.TUMOR, reader_pairs([empty, empty], case="a", patient="p")).dice == 1.0


def test_the_tolerance_is_the_mean_of_both_unweighted_percentiles():
    # A plate and the same plate 2 voxels on: each has two faces of 25 x 25 surfels, one 1 voxel and one 2 voxels from
    # the other plate. 95 % of either lies within 2 voxels of 1.5 mm.
    plates = []
    for place in (2, 4):
        values = np.zeros((8, 24, 24))
        values[place] = 2
        plates.append(label_map(values, (1.5, 1.0, 1.0)))
    assert tolerance_mm(plates, Region.TUMOR, case="a") == pytest.approx(3.0)
    assert tolerance_mm([plates[0]] * 3, Region.TUMOR, case="a") == 0.0


def test_the_tolerance_of_a_region_that_nobody_drew_is_undefined():
    empty = label_map(np.zeros((4, 4, 4)))
    assert math.isnan(tolerance_mm([empty, empty], Region.MASS, case="a"))
    assert math.isnan(tolerance_mm([reading(5)], Region.MASS, case="a"))

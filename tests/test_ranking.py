"""The order of systems by the rules of KiTS23."""

import pytest
from renalct.core.labels import Region
from renalct.metrics.ranking import rank_systems
from renalct.metrics.scores import CaseScores, RegionScore


def case(name, dice, surface, tumor=None):
    """A case with the same Dice and surface Dice in all regions, but for the Dice of tumors; the mean stays."""
    values = {region: dice for region in Region}
    if tumor is not None:
        values[Region.TUMOR] = tumor
        values[Region.MASS] = 2 * dice - tumor
    regions = tuple(RegionScore(region, values[region], surface, 0.0, 0.0, 0.0, 1.0, 1.0) for region in Region)
    return CaseScores(name, name, regions, (), (), ())


def test_the_mean_of_both_ranks_decides():
    ranked = rank_systems(
        {
            "second": [case("a", 0.8, 0.7), case("b", 0.6, 0.5)],
            "first": [case("b", 0.7, 0.9), case("a", 0.9, 0.9)],
            "third": [case("a", 0.5, 0.5), case("b", 0.5, 0.3)],
        }
    )
    assert [(s.name, s.place, s.rank, s.cases) for s in ranked] == [
        ("first", 1, 1.0, 2),
        ("second", 2, 2.0, 2),
        ("third", 3, 3.0, 2),
    ]
    assert (ranked[1].dice, ranked[1].surface_dice) == (pytest.approx(0.7), pytest.approx(0.6))


def test_the_dice_of_tumors_breaks_a_tie():
    ranked = rank_systems({"a": [case("1", 0.9, 0.5, tumor=0.85)], "b": [case("1", 0.8, 0.6, tumor=0.88)]})
    assert [(s.name, s.place, s.rank) for s in ranked] == [("b", 1, 1.5), ("a", 2, 1.5)]


def test_equal_systems_share_a_place():
    ranked = rank_systems({"a": [case("1", 0.9, 0.5)], "b": [case("1", 0.9, 0.5)], "c": [case("1", 0.1, 0.1)]})
    assert [(s.place, s.dice_rank) for s in ranked] == [(1, 1), (1, 1), (3, 3)]


def test_systems_on_different_cases_are_not_ranked():
    assert rank_systems({}) == ()
    for other in ([case("2", 0.9, 0.5)], []):
        with pytest.raises(ValueError, match="the same cases"):
            rank_systems({"a": [case("1", 0.9, 0.5)], "b": other})
    with pytest.raises(ValueError, match="at least one"):
        rank_systems({"a": []})

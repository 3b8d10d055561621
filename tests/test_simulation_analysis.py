import math

import numpy as np
import pytest
from renalct.learning.simulation.analysis import (
    against,
    area_under,
    areas_over_contour,
    dice_of,
    foreground_efficiency,
    gathered,
    paired_t,
    penalty_matrix,
    winner,
)
from renalct.learning.simulation.records import PatientCounts, RoundRecord
from renalct.learning.simulation.results import verdict_of
from scipy import stats


def counts(dice, reference=1000, patient="p"):
    """A patient whose classes all have a Dice, to a thousandth: prediction and reference are equally large."""
    both = round(dice * reference)
    return PatientCounts(patient, (both,) * 3, (reference,) * 3, (reference,) * 3)


def rounds(strategy, seed, dice, *, step=8, contour=None, foreground=None):
    """The rounds of a run that reaches these Dice, with `step` cases more in each."""
    contour = contour or [1000.0 * (n + 1) for n in range(len(dice))]
    foreground = foreground or [0.1 * (n + 1) for n in range(len(dice))]
    return [
        RoundRecord(
            strategy, seed, n, tuple(map(str, range(step * (n + 1)))), (), contour[n], foreground[n],
            (step, step // 2, 1), step, (counts(value),), 1.0,
        )
        for n, value in enumerate(dice)
    ]  # fmt: skip


def simulated(table, *, full=(), length=3):
    """Runs by strategy: a list of curves, one per seed."""
    records = [
        r for name, curves in table.items() for seed, dice in enumerate(curves) for r in rounds(name, seed, dice)
    ]
    records += [r for seed, dice in enumerate(full) for r in rounds("full", seed, [dice])]
    return gathered(records, list(table), length - 1)


def test_dice_pools_the_voxels_of_a_patient_and_leaves_out_who_has_none_of_a_class():
    one = PatientCounts("a", (80, 10, 0), (100, 20, 50), (100, 20, 0))
    other = PatientCounts("b", (60, 0, 0), (100, 0, 0), (100, 30, 0))
    mean, by_class, pooled = dice_of([one, other])
    assert by_class[:2] == pytest.approx((0.7, 0.25)) and math.isnan(by_class[2])
    assert mean == pytest.approx((0.7 + 0.25) / 2)
    assert pooled == pytest.approx((280 / 400, 20 / 70, 0.0))  # what is found in nobody's cysts counts here


def test_the_area_is_that_of_the_trapezoids_over_the_scaled_budget():
    assert area_under([8, 16, 32], [0.0, 0.5, 0.5]) == pytest.approx((8 * 0.25 + 16 * 0.5) / 24)
    assert area_under([5, 10], [0.7, 0.7]) == pytest.approx(0.7)
    assert math.isnan(area_under([5], [0.7]))


def test_the_area_over_contour_ends_where_the_cheapest_of_the_seed_ends():
    cheap = rounds("cheap", 0, [0.0, 0.4, 0.8], contour=[100.0, 200.0, 300.0])
    dear = rounds("dear", 0, [0.0, 0.4, 0.8], contour=[100.0, 300.0, 500.0])
    found = areas_over_contour(gathered([*cheap, *dear], ["cheap", "dear"], 2))
    assert found["cheap"] == pytest.approx([0.4]) and found["dear"] == pytest.approx([0.2])  # 0 to 0.4 over 200 mm


def test_paired_t_is_that_of_scipy_and_undefined_where_nothing_differs():
    one, other = [0.5, 0.6, 0.72, 0.4], [0.4, 0.58, 0.6, 0.41]
    found, expected = paired_t(one, other), stats.ttest_rel(one, other)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert math.isnan(paired_t(one, one).p) and math.isnan(paired_t([1.0], [0.0]).p)
    assert paired_t([1.0, 2.0], [0.5, 1.5]).p == 0.0  # always the same difference


def test_the_penalty_matrix_counts_budgets_after_the_start_that_are_won():
    better = [[0.3, 0.5, 0.7], [0.3, 0.52, 0.71], [0.3, 0.51, 0.69]]
    worse = [[0.3, 0.4, 0.7], [0.3, 0.43, 0.7], [0.3, 0.4, 0.7]]
    matrix = penalty_matrix(simulated({"better": better, "worse": worse}), adjusted=False)
    # differences at 16 cases 0.10, 0.09, 0.11: P = 0.003; at 24 cases 0, 0.01, -0.01: none
    assert matrix.tolist() == [[0.0, 0.5], [0.0, 0.0]]


def test_holm_takes_back_what_many_comparisons_made_of_chance():
    table = {
        "a": [[0.3, 0.50], [0.3, 0.52], [0.3, 0.51]],
        "b": [[0.3, 0.45], [0.3, 0.44], [0.3, 0.47]],
        "c": [[0.3, 0.48], [0.3, 0.48], [0.3, 0.48]],
    }
    found = simulated(table, length=2)
    plain, adjusted = (penalty_matrix(found, adjusted=rule) for rule in (False, True))
    p = [paired_t([r[1] for r in table[x]], [r[1] for r in table[y]]).p for x, y in ("ab", "ac", "bc")]
    assert [plain[0, 1], plain[0, 2], plain[2, 1]] == [float(value < 0.05) for value in p]
    assert min(p) * 3 > 0.05 or adjusted.sum() >= 1
    assert adjusted.sum() <= plain.sum() and plain.sum() >= 1


def test_the_efficiency_is_the_rate_of_the_curve_that_nears_the_whole_pool():
    rate, c, a = 6.0, 0.8, 0.5
    share = [0.05, 0.15, 0.3, 0.5]
    dice = [c - a * math.exp(-rate * (x - share[0])) for x in share]
    records = [r for seed in (0, 1) for r in rounds("x", seed, dice, foreground=share)]
    records += [r for seed in (0, 1) for r in rounds("full", seed, [c])]
    assert foreground_efficiency(gathered(records, ["x"], 3), "x") == pytest.approx(
        rate, rel=0.02
    )  # Dice in thousandths


def test_there_is_no_efficiency_without_the_whole_pool_or_where_it_is_not_better():
    curves = {"x": [[0.3, 0.5, 0.6]]}
    assert math.isnan(foreground_efficiency(simulated(curves), "x"))
    assert math.isnan(foreground_efficiency(simulated(curves, full=[0.2]), "x"))


def test_only_seeds_that_every_strategy_has_finished_are_compared():
    records = [
        *rounds("a", 0, [0.3, 0.4]),
        *rounds("b", 0, [0.3, 0.5]),
        *rounds("a", 1, [0.3, 0.4]),
        *rounds("b", 1, [0.3]),
    ]
    found = gathered(records, ["a", "b"], 1)
    assert found.seeds == (0,) and found.unfinished == 1 and len(found.runs) == 2


def test_the_shares_of_classes_are_of_what_was_chosen_after_the_start():
    (run,) = gathered(rounds("a", 0, [0.3, 0.4, 0.5]), ["a"], 2).runs
    assert run.shows == (1.0, 0.5, 1 / 8) and run.cases == (8, 16, 24)


def noisy(mean, seed):
    """Curves of five seeds that end near a value."""
    rng = np.random.default_rng(seed)
    return [[0.3, mean + float(rng.normal(0, 0.01)), mean + float(rng.normal(0, 0.01))] for _ in range(5)]


def test_a_strategy_becomes_the_default_only_by_a_gain_that_is_more_than_chance():
    clear = simulated({"fg_random": noisy(0.5, 1), "entropy": noisy(0.6, 2), "true_random": noisy(0.45, 3)})
    verdict = verdict_of(clear)
    assert verdict.strategy == "entropy" and verdict.supported and "P 0.0" in verdict.sentence
    chance = simulated({"fg_random": noisy(0.5, 1), "entropy": noisy(0.502, 2)})
    verdict = verdict_of(chance)
    assert verdict.strategy == "fg_random" and verdict.supported and "No strategy gains" in verdict.sentence


def test_a_worse_strategy_never_becomes_the_default_however_sure():
    verdict = verdict_of(simulated({"fg_random": noisy(0.6, 1), "entropy": noisy(0.4, 2)}))
    assert verdict.strategy == "fg_random" and "every other strategy has a smaller area" in verdict.sentence


def test_one_seed_and_a_missing_baseline_support_no_claim():
    for table in ({"fg_random": [[0.3, 0.5, 0.6]], "entropy": [[0.3, 0.7, 0.8]]}, {"entropy": noisy(0.9, 1)}):
        verdict = verdict_of(simulated(table))
        assert verdict.strategy == "fg_random" and not verdict.supported and "No claim" in verdict.sentence


def test_the_best_of_several_winners_is_taken():
    found = simulated({"fg_random": noisy(0.5, 1), "entropy": noisy(0.6, 2), "claspe": noisy(0.7, 3)})
    compared = against(found, "fg_random")
    assert [each.strategy for each in compared] == ["entropy", "claspe"]
    assert compared[1].difference == pytest.approx(0.15, abs=0.02)  # 0.2 at two budgets of three: 0.75 of the area
    assert winner(compared, "fg_random") == "claspe"

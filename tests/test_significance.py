"""Intervals and tests: by hand, like scipy, and with the coverage that an interval promises."""

import math

import numpy as np
import pytest
from renalct.metrics.significance import (
    bootstrap_interval,
    compare_paired,
    correlation,
    dunn,
    holm,
    kruskal_wallis,
    mann_whitney,
    rank_correlation,
    small_and_large,
)
from scipy import stats


def mean(values):
    return float(np.mean(values))


def test_the_interval_of_one_cluster_per_value_is_that_of_scipy():
    values = np.random.default_rng(0).normal(10, 2, 60)
    ours = bootstrap_interval(values, range(60), mean, seed=1, resamples=4000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    # Two runs of 4000 resamples: an end moves by some 0.02 (standard error of a 2.5 % quantile, sd of the mean 0.26).
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.06), pytest.approx(theirs.high, abs=0.06))
    assert ours.undefined == 0


def test_whole_patients_are_drawn():
    # Two patients with values of their own: a resample is all of one, all of the other, or both.
    values, patients = [0.0] * 5 + [1.0] * 5, ["a"] * 5 + ["b"] * 5
    seen = set()

    def note(rows):
        seen.add(float(rows.mean()))
        return float(rows.mean())

    found = bootstrap_interval(values, patients, note, seed=0, resamples=200)
    assert seen == {0.0, 0.5, 1.0}
    assert (found.low, found.high) == (0.0, 1.0)


def test_many_values_of_few_patients_make_no_narrow_interval():
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(10), 20)
    values = np.repeat(random.normal(size=10), 20) + random.normal(scale=0.01, size=200)
    clustered = bootstrap_interval(values, patients.tolist(), mean, seed=0)
    naive = bootstrap_interval(values, range(200), mean, seed=0)
    # 200 copies of 10 values look like 20 times as many: the naive interval is sqrt(20) = 4.5 times too narrow.
    assert (clustered.high - clustered.low) / (naive.high - naive.low) == pytest.approx(math.sqrt(20), rel=0.25)


def test_the_interval_holds_the_truth_nearly_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        values = np.repeat(random.normal(size=30), 3) + random.normal(size=90)
        found = bootstrap_interval(values, np.repeat(np.arange(30), 3).tolist(), mean, seed=seed, resamples=400)
        hits += found.low <= 0 <= found.high
    # The percentile interval of 30 patients is short by sqrt(29 / 30) and by the t distribution: 93.6 %, less what 400
    # resamples cost. Of 300 that is some 280 with a standard deviation of 4.4. By values alone it would be 83 %.
    assert 265 <= hits <= 293


def test_a_seed_gives_the_same_interval_and_rows_may_have_columns():
    table = np.random.default_rng(0).random((20, 2))
    ratio = lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum())  # noqa: E731
    first, again, other = (bootstrap_interval(table, range(20), ratio, seed=s, resamples=100) for s in (3, 3, 4))
    assert first == again != other
    assert first.low < first.value < first.high


def test_undefined_resamples_are_counted_not_hidden():
    def only_ones(rows):
        return float(rows.mean()) if (rows == 1).any() else math.nan

    found = bootstrap_interval([1.0, 0.0], ["a", "b"], only_ones, seed=0, resamples=400)
    assert 60 < found.undefined < 140  # a quarter draws "b" twice
    assert (found.low, found.high) == (0.5, 1.0)


@pytest.mark.parametrize(("values", "patients"), [([], []), ([1.0], ["a"]), ([1.0, 2.0], ["a", "a"])])
def test_no_interval_from_fewer_than_two_patients(values, patients):
    found = bootstrap_interval(values, patients, mean, seed=0, resamples=10)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(found.value) == (not values)


def test_values_without_their_patients_are_refused():
    with pytest.raises(ValueError, match="as many clusters"):
        bootstrap_interval([1.0, 2.0], ["a"], mean, seed=0)


GROUPS = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0])


def test_kruskal_and_wallis_by_hand():
    # Rank sums 6, 15, 24 of 9 values: H = 12 / 90 * (36 + 225 + 576) / 3 - 30 = 7.2; chi-squared with 2 df: exp(-3.6).
    found = kruskal_wallis(GROUPS)
    assert (found.statistic, found.p, found.n) == (pytest.approx(7.2), pytest.approx(math.exp(-3.6)), (3, 3, 3))


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0]], [[1.0], []], [[1.0, 1.0], [1.0]], [[math.nan], [1.0]]])
def test_kruskal_and_wallis_need_two_groups_that_differ(groups):
    assert math.isnan(kruskal_wallis(groups).p)


def test_undefined_values_are_left_out_and_not_counted():
    spoiled = [[*group, math.nan] for group in GROUPS]
    assert kruskal_wallis(spoiled) == kruskal_wallis(GROUPS)
    assert dunn(spoiled) == dunn(GROUPS)
    assert mann_whitney(spoiled[0], spoiled[1]) == mann_whitney(GROUPS[0], GROUPS[1])


def test_dunn_by_hand():
    # Mean ranks 2, 5, 8; error sqrt(9 * 10 / 12 * (1/3 + 1/3)) = sqrt(5); z = -3 / sqrt(5) and -6 / sqrt(5).
    found = dunn(GROUPS)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 2), (1, 2)]
    assert [pair.z for pair in found] == pytest.approx([-3 / math.sqrt(5), -6 / math.sqrt(5), -3 / math.sqrt(5)])
    single, double = (2 * stats.norm.sf(z / math.sqrt(5)) for z in (3, 6))
    assert [pair.p for pair in found] == pytest.approx([single, double, single])
    assert [pair.p_holm for pair in found] == pytest.approx([2 * single, 3 * double, 2 * single])


def test_dunn_corrects_for_ties():
    # 1 1 | 2 2: ranks 1.5 and 3.5; two ties of two take 12 / (12 * 3) from 4 * 5 / 12.
    (pair,) = dunn([[1.0, 1.0], [2.0, 2.0]])
    assert pair.z == pytest.approx(-2 / math.sqrt((20 / 12 - 12 / 36) * (1 / 2 + 1 / 2)))


def test_two_groups_of_dunn_are_kruskal_and_wallis():
    random = np.random.default_rng(0)
    for _ in range(20):
        groups = [random.integers(0, 9, random.integers(2, 30)).astype(float) for _ in range(2)]
        (pair,) = dunn(groups)
        assert pair.z**2 == pytest.approx(kruskal_wallis(groups).statistic)
        assert pair.p == pytest.approx(kruskal_wallis(groups).p)


def test_an_empty_group_of_dunn_is_undefined_and_not_counted():
    found = dunn([GROUPS[0], [], GROUPS[2]])
    assert [math.isnan(pair.p) for pair in found] == [True, False, True]
    assert found[1].p_holm == found[1].p
    assert dunn([]) == ()
    assert all(math.isnan(pair.p) for pair in dunn([[1.0, 1.0], [1.0]]))


@pytest.mark.parametrize(
    ("values", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
        ([math.nan, 0.02, 0.5], [math.nan, 0.04, 0.5]),
    ],
)
def test_holm(values, adjusted):
    assert list(holm(values)) == pytest.approx(adjusted, nan_ok=True)


def test_mann_and_whitney_by_hand():
    # All of 3 below all of 3: U = 0, and 2 of the 20 ways to choose are as extreme.
    found = mann_whitney(GROUPS[0], GROUPS[1])
    assert (found.statistic, found.p, found.n) == (0.0, pytest.approx(2 / 20), (3, 3))
    assert mann_whitney(GROUPS[1], GROUPS[0]).statistic == 9.0


def test_mann_and_whitney_without_values_or_difference():
    assert math.isnan(mann_whitney([], [1.0]).p)
    assert mann_whitney([1.0] * 20, [1.0] * 20).p == 1.0


def test_small_and_large_tumors_are_parted_at_the_median_volume():
    found = small_and_large([0.5, 0.6, 0.7, 0.9, 0.95], [1.0, 2.0, 24.0, 100.0, 200.0])
    assert found.border_ml == 24.0
    assert (found.small_median, found.large_median) == (0.6, pytest.approx(0.925))
    assert (found.test.statistic, found.test.n) == (0.0, (3, 2))
    assert small_and_large([0.5, 0.9], [1.0, 30.0], border_ml=24.75).test.n == (1, 1)


def test_tumors_without_score_or_volume_are_left_out():
    found = small_and_large([0.5, math.nan, 0.9, 0.8], [1.0, 2.0, 3.0, math.nan])
    assert (found.border_ml, found.test.n) == (2.0, (1, 1))
    nothing = small_and_large([], [])
    assert math.isnan(nothing.border_ml) and math.isnan(nothing.test.p)
    with pytest.raises(ValueError, match="volume of its tumor"):
        small_and_large([1.0], [1.0, 2.0])


def test_correlation_with_right_or_wrong_is_point_biserial():
    random = np.random.default_rng(0)
    correct = random.random(80) < 0.8
    scores = random.random(80) + 0.2 * correct
    ours, theirs = correlation(scores, correct), stats.pointbiserialr(correct, scores)
    assert (ours.statistic, ours.p, ours.n) == (
        pytest.approx(theirs.statistic),
        pytest.approx(theirs.pvalue),
        (80,),
    )


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ((0.1, 0.5, 0.9), (0.2, 0.6, 0.7), 2 / 6),  # of six orders two are as far from chance: equal, and reversed
        ((0.1, 0.5, 0.7, 0.9), (0.8, 0.6, 0.4, 0.2), 2 / 24),
        ((0.1, 0.5, 0.9), (0.4, 0.4, 0.6), 4 / 6),  # the lone value is last or first in four of six orders
        ((1.0, 2.0, 3.0, 4.0), (1.0, 3.0, 2.0, 4.0), 8 / 24),  # r 0.8: itself, three others like it or nearer, mirrored
    ],
)
def test_the_rank_correlation_of_a_few_pairs_is_as_certain_as_the_number_of_orders_allows(first, second, p):
    assert rank_correlation(first, second).p == pytest.approx(p)


def test_the_rank_correlation_of_more_pairs_is_that_of_scipy():
    x, y = np.random.default_rng(4).normal(size=(2, 9))
    assert rank_correlation(x, y).p == stats.spearmanr(x, y).pvalue


def test_rank_correlation_sees_any_rising_relation():
    x = np.arange(1.0, 11.0)
    assert rank_correlation(x, np.exp(x)).statistic == pytest.approx(1.0)
    assert correlation(x, np.exp(x)).statistic < 0.9


@pytest.mark.parametrize(
    ("first", "second"),
    [([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, math.nan, 2.0], [1.0, 2.0, 3.0])],
)
def test_correlation_needs_three_pairs_that_vary(first, second):
    assert math.isnan(correlation(first, second).statistic)


def test_two_systems_are_compared_patient_by_patient():
    # Two cases of patient a (means: 0.2 better), one of b (0.1 better), one of c (no score of one system).
    found = compare_paired([0.9, 0.8, 0.7, math.nan], [0.6, 0.7, 0.6, 0.5], ["a", "a", "b", "c"], seed=0)
    assert found.difference.value == pytest.approx((0.2 + 0.1) / 2)
    assert (found.n, found.dropped, found.test.n) == (2, 1, (2,))
    assert (found.difference.low, found.difference.high) == (pytest.approx(0.1), pytest.approx(0.2))


def test_the_paired_test_is_wilcoxons():
    random = np.random.default_rng(0)
    one, other = random.random(25) + 0.1, random.random(25)
    found = compare_paired(one, other, range(25), seed=0, resamples=50)
    expected = stats.wilcoxon(one - other)
    assert (found.test.statistic, found.test.p) == (expected.statistic, expected.pvalue)


def test_systems_that_never_differ_have_no_test():
    found = compare_paired([0.5, 0.6], [0.5, 0.6], ["a", "b"], seed=0, resamples=20)
    assert (found.difference.low, found.difference.high) == (0.0, 0.0)
    assert math.isnan(found.test.p)
    with pytest.raises(ValueError, match="same cases"):
        compare_paired([0.5], [0.5, 0.6], ["a", "b"], seed=0)

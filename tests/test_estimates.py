"""Means and rates with intervals: by hand, by whole patients, and as the slow way gives them."""

import math

import numpy as np
import pytest
from renalct.metrics.estimates import estimate, mean_of, ratio_of
from renalct.metrics.significance import bootstrap_interval

NAN = float("nan")


def test_a_mean_leaves_undefined_values_out():
    found = mean_of([1.0, NAN, 3.0], ["a", "b", "c"])
    assert found.value == 2.0 and found.low is None  # two patients are too few for an interval


def test_nothing_is_undefined():
    for found in (mean_of([], []), mean_of([NAN], ["a"]), ratio_of([], [], []), ratio_of([0], [0], ["a"])):
        assert math.isnan(found.value) and found.low is None


def test_a_rate_is_a_ratio_of_sums_not_a_mean_of_ratios():
    assert ratio_of([1, 8], [2, 8], ["a", "b"], factor=100).value == 90.0


def test_the_interval_covers_the_value_and_narrows_with_more_patients():
    values = np.random.default_rng(0).normal(0.8, 0.1, 400)
    few, many = (mean_of(values[:n], [f"p{k}" for k in range(n)]) for n in (10, 400))
    for found in (few, many):
        assert found.low < found.value < found.high
    assert many.high - many.low < 0.3 * (few.high - few.low)
    # the standard error of the mean of 400 values with sd 0.1 is 0.005, the interval 3.92 of those wide
    assert many.high - many.low == pytest.approx(3.92 * 0.005, rel=0.15)


def test_cases_of_one_patient_are_drawn_together():
    values, alone = [0.0] * 20 + [1.0] * 20 + [0.5] * 20, [f"p{n}" for n in range(60)]
    together = [name for name in "abc" for _ in range(20)]
    wide, narrow = mean_of(values, together), mean_of(values, alone)
    assert wide.value == narrow.value == 0.5
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)


@pytest.mark.parametrize("seed", range(3))
def test_the_fast_way_gives_the_interval_of_the_slow_one(seed):
    random = np.random.default_rng(seed)
    patients = [f"p{n}" for n in random.integers(0, 12, 50)]
    wholes = random.integers(0, 4, 50).astype(float)
    parts = np.minimum(wholes, random.integers(0, 4, 50))
    rows = np.stack([parts, wholes], axis=1)

    def ratio(table):
        return table[:, 0].sum() / table[:, 1].sum() if table[:, 1].sum() else NAN

    fast, slow = ratio_of(parts, wholes, patients), bootstrap_interval(rows, patients, ratio, seed=0)
    np.testing.assert_allclose((fast.value, fast.low, fast.high), (slow.value, slow.low, slow.high), rtol=1e-12)
    again = estimate(rows, patients, ratio)
    assert (again.value, again.low, again.high) == (slow.value, slow.low, slow.high)


def test_a_rate_without_any_failure_has_no_interval_rather_than_one_of_no_width():
    found = ratio_of([1] * 10, [1] * 10, [f"p{n}" for n in range(10)])
    assert found.value == 1.0 and found.low is None

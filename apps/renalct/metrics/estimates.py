"""Numbers with intervals for tables: means and rates over items, resampled by whole patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from renalct.metrics.significance import bootstrap_interval
from renalct.metrics.tables import Number

_FEWEST_PATIENTS = 3
_RESAMPLES, _SEED = 2000, 0

Statistic = Callable[[NDArray[np.float64]], float]
"""A number from rows of values, one row per item; nan where it is undefined."""


def estimate(
    rows: Sequence[Sequence[float]], patients: Sequence[str], statistic: Statistic, *, decimals: int = 2
) -> Number:
    """A statistic of rows of values with its 95 % interval from resampling patients with all of their rows.

    Undefined without items. No interval under three patients, where the statistic is undefined, and where all resamples
    agree (0 % of few masses): that tells nothing of the uncertainty.
    """
    if not patients:
        return Number(math.nan, decimals)
    table = np.asarray(rows, dtype=np.float64).reshape(len(patients), -1)
    value = statistic(table)
    if len(set(patients)) < _FEWEST_PATIENTS or math.isnan(value):
        return Number(value, decimals)
    found = bootstrap_interval(table, patients, statistic, seed=_SEED, resamples=_RESAMPLES)
    return _with_ends(value, found.low, found.high, decimals)


def mean_of(values: Sequence[float], patients: Sequence[str], *, decimals: int = 2) -> Number:
    """The mean of the defined values with its interval; undefined when there is none."""
    kept = [(value, patient) for value, patient in zip(values, patients, strict=True) if math.isfinite(value)]
    return ratio_of(
        [value for value, _ in kept], [1.0] * len(kept), [patient for _, patient in kept], decimals=decimals
    )


def ratio_of(
    parts: Sequence[float], wholes: Sequence[float], patients: Sequence[str], *, decimals: int = 2, factor: float = 1.0
) -> Number:
    """`factor` times the sum of the parts over the sum of the wholes, with its interval as in `estimate`.

    A resample needs the sums of each patient alone, so that all of them are drawn at once: a hundred times faster than
    `estimate` on the same rows, with the same result.
    """
    numbers = {name: n for n, name in enumerate(dict.fromkeys(patients))}
    owner = np.array([numbers[patient] for patient in patients], dtype=np.int64)
    sums = np.zeros((2, len(numbers)))
    for row, values in zip(sums, (parts, wholes), strict=True):
        np.add.at(row, owner, np.asarray(values, dtype=np.float64))
    part, whole = sums.sum(axis=1)
    value = factor * float(part) / float(whole) if whole else math.nan
    if len(numbers) < _FEWEST_PATIENTS or math.isnan(value):
        return Number(value, decimals)
    drawn = np.random.default_rng(_SEED).integers(0, len(numbers), (_RESAMPLES, len(numbers)))
    above, below = sums[0][drawn].sum(axis=1), sums[1][drawn].sum(axis=1)
    ratios = factor * above[below != 0] / below[below != 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return _with_ends(value, float(low), float(high), decimals)


def _with_ends(value: float, low: float, high: float, decimals: int) -> Number:
    return Number(value, decimals) if math.isclose(low, high, abs_tol=1e-12) else Number(value, decimals, low, high)

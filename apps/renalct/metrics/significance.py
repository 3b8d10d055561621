"""Whether a difference is more than chance: resampling by patient, and the rank tests of the papers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

_EXACT_PAIRS = 8  # 40320 orders
_ROUNDING = 1e-9

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap percentile interval. `undefined` counts resamples in which the statistic was nan."""

    value: float
    low: float
    high: float
    undefined: int = 0


@dataclass(frozen=True)
class TestResult:
    """A statistic, its two-sided P value, and from how many values each; nan where the test cannot be made."""

    __test__ = False  # not a test of pytest

    statistic: float
    p: float
    n: tuple[int, ...]


@dataclass(frozen=True)
class PairwiseResult:
    """One pair of groups (by index) of Dunn's test: z, P, and P adjusted by Holm over all pairs."""

    first: int
    second: int
    z: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class SizeEffect:
    """A score of small and of large tumors: medians, and the Mann-Whitney test. Equal to the border is small."""

    border_ml: float
    small_median: float
    large_median: float
    test: TestResult


@dataclass(frozen=True)
class PairedResult:
    """First minus second over the same patients: mean with its interval, and Wilcoxon's signed-rank test.

    `n` patients had both values; `dropped` pairs of cases had a value that is undefined.
    """

    difference: Interval
    test: TestResult
    n: int
    dropped: int


def bootstrap_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    statistic: Callable[[Values], float],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The percentile interval of a statistic of rows of values, drawing whole clusters (patients) with replacement.

    `values` has one row per item (n, or n x columns); `statistic` takes rows and may give nan, which is counted and
    left out of the percentiles. Under two clusters, or with every resample undefined, the ends are nan.
    """
    rows = np.asarray(values, dtype=np.float64)
    if len(rows) != len(clusters):
        raise ValueError(f"{len(rows)} rows of values need as many clusters, not {len(clusters)}")
    if not len(rows):
        return Interval(math.nan, math.nan, math.nan, resamples)
    value = float(statistic(rows))
    members: dict[Hashable, list[int]] = {}
    for index, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(index)
    groups = [np.array(indices) for indices in members.values()]
    if len(groups) < 2:
        return Interval(value, math.nan, math.nan, resamples)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(groups), (resamples, len(groups)))
    single = len(groups) == len(rows)
    found = np.array(
        [statistic(rows[draw if single else np.concatenate([groups[g] for g in draw])]) for draw in drawn], float
    )
    defined = found[~np.isnan(found)]
    if not defined.size:
        return Interval(value, math.nan, math.nan, resamples)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), int(resamples - defined.size))


def kruskal_wallis(groups: Sequence[ArrayLike]) -> TestResult:
    """Kruskal and Wallis' H over groups of values, corrected for ties; nan when fewer than two groups have values or
    all values are equal. Undefined values (nan) are left out and not counted."""
    kept = [_defined(group) for group in groups]
    sizes = tuple(len(group) for group in kept)
    filled = [group for group in kept if len(group)]
    if len(filled) < 2 or np.ptp(np.concatenate(filled)) == 0:
        return TestResult(math.nan, math.nan, sizes)
    found = stats.kruskal(*filled)
    return TestResult(float(found.statistic), float(found.pvalue), sizes)


def dunn(groups: Sequence[ArrayLike]) -> tuple[PairwiseResult, ...]:
    """Dunn's test (1964) of every pair of groups by mean ranks, corrected for ties, with Holm's adjustment.

    Pairs of an empty group are nan and do not count for the adjustment. Undefined values are left out.
    """
    kept = [_defined(group) for group in groups]
    everything = np.concatenate(kept) if kept else np.zeros(0)
    n = everything.size
    ranks = stats.rankdata(everything)
    _, ties = np.unique(everything, return_counts=True)
    spread = n * (n + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (12 * (n - 1)) if n > 1 else 0.0
    parts = np.split(ranks, np.cumsum([len(group) for group in kept])[:-1]) if kept else []
    found = []
    for a, b in itertools.combinations(range(len(kept)), 2):
        if not len(kept[a]) or not len(kept[b]) or spread <= 0:
            found.append((a, b, math.nan, math.nan))
            continue
        error = math.sqrt(spread * (1 / len(kept[a]) + 1 / len(kept[b])))
        z = float(parts[a].mean() - parts[b].mean()) / error
        found.append((a, b, z, float(2 * stats.norm.sf(abs(z)))))
    adjusted = holm([p for *_, p in found])
    return tuple(PairwiseResult(a, b, z, p, q) for (a, b, z, p), q in zip(found, adjusted, strict=True))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P values adjusted by Holm's step-down rule (1979); nan stays nan and is not counted among the tests.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((n for n, p in enumerate(p_values) if not math.isnan(p)), key=lambda n: p_values[n])
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def mann_whitney(first: ArrayLike, second: ArrayLike) -> TestResult:
    """Mann and Whitney's U of the first group, two-sided: exact for small groups without ties, otherwise the normal
    approximation with continuity correction. nan when a group is empty. Undefined values are left out."""
    one, other = _defined(first), _defined(second)
    sizes = len(one), len(other)
    if not min(sizes):
        return TestResult(math.nan, math.nan, sizes)
    found = stats.mannwhitneyu(one, other, alternative="two-sided")
    p = float(found.pvalue)
    return TestResult(float(found.statistic), 1.0 if math.isnan(p) else p, sizes)


def small_and_large(scores: ArrayLike, volumes_ml: ArrayLike, *, border_ml: float | None = None) -> SizeEffect:
    """A score of tumors up to and over a volume, by default the median volume (Zang 2021, tumors that stand alone)."""
    values, volumes = np.asarray(scores, float), np.asarray(volumes_ml, float)
    if values.shape != volumes.shape:
        raise ValueError("every score needs the volume of its tumor")
    keep = ~np.isnan(values) & ~np.isnan(volumes)
    values, volumes = values[keep], volumes[keep]
    if border_ml is None:
        border_ml = float(np.median(volumes)) if volumes.size else math.nan
    small, large = values[volumes <= border_ml], values[volumes > border_ml]
    medians = [float(np.median(part)) if part.size else math.nan for part in (small, large)]
    return SizeEffect(border_ml, medians[0], medians[1], mann_whitney(small, large))


def correlation(first: ArrayLike, second: ArrayLike) -> TestResult:
    """Pearson's r; with a 0/1 variable (right or wrong) it is the point-biserial correlation.

    Pairs with an undefined value are left out; nan under three pairs or without variation.
    """
    return _correlation(first, second, stats.pearsonr)


def rank_correlation(first: ArrayLike, second: ArrayLike) -> TestResult:
    """Spearman's rank correlation (Zang 2021: majority against single readers), by the rules of `correlation`.

    Up to eight pairs P is exact, over all orders; the usual approximation calls three equal orders certain.
    """
    return _correlation(first, second, _spearman)


def compare_paired(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable], *, seed: int, resamples: int = 2000
) -> PairedResult:
    """Two systems on the same cases (one stage and two stages): their difference, with cases of a patient averaged.

    The interval resamples patients; Wilcoxon's test is over patients (nan when no patient differs).
    """
    one, other = np.asarray(first, float), np.asarray(second, float)
    if one.shape != other.shape or len(one) != len(clusters):
        raise ValueError("the same cases, with their patients, are needed from both systems")
    difference = one - other
    by_patient: dict[Hashable, list[float]] = {}
    for value, cluster in zip(difference.tolist(), clusters, strict=True):
        if not math.isnan(value):
            by_patient.setdefault(cluster, []).append(value)
    means = np.array([math.fsum(values) / len(values) for values in by_patient.values()])
    interval = bootstrap_interval(means, list(by_patient), _mean, seed=seed, resamples=resamples)
    test = TestResult(math.nan, math.nan, (len(means),))
    if means.any():
        found = stats.wilcoxon(means)
        test = TestResult(float(found.statistic), float(found.pvalue), (len(means),))
    return PairedResult(interval, test, len(means), int(np.isnan(difference).sum()))


def _correlation(first: ArrayLike, second: ArrayLike, test: Callable[[Values, Values], Sequence[float]]) -> TestResult:
    one, other = np.asarray(first, float), np.asarray(second, float)
    if one.shape != other.shape:
        raise ValueError("a correlation needs as many values of one as of the other")
    keep = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[keep], other[keep]
    if one.size < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return TestResult(math.nan, math.nan, (int(one.size),))
    found = test(one, other)
    return TestResult(float(found[0]), float(found[1]), (int(one.size),))


def _spearman(first: Values, second: Values) -> tuple[float, float]:
    """Spearman's r, with the share of all orders of the second that agree or disagree as much."""
    found = stats.spearmanr(first, second)
    if first.size > _EXACT_PAIRS:
        return float(found[0]), float(found[1])
    ranks = [stats.rankdata(values) - (len(values) + 1) / 2 for values in (first, second)]
    orders = np.array(list(itertools.permutations(ranks[1])))
    extreme = np.abs(orders @ ranks[0]) >= abs(float(ranks[0] @ ranks[1])) - _ROUNDING
    return float(found[0]), float(extreme.mean())


def _defined(values: ArrayLike) -> Values:
    array: Values = np.asarray(values, dtype=np.float64).ravel()
    kept: Values = array[~np.isnan(array)]
    return kept


def _mean(values: Values) -> float:
    return float(values.mean())

"""What a simulation shows: curves, areas under them, who beats whom, how much the foreground is worth, and the verdict.

A seed is one experiment: it sets who starts and every random choice after. Only seeds that every strategy has finished
are compared, pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import trapezoid
from scipy.optimize import OptimizeWarning, curve_fit

from renalct.learning.acquisition.why import FOREGROUND
from renalct.learning.simulation.records import PatientCounts, RoundRecord
from renalct.learning.simulation.settings import FULL, START
from renalct.metrics.significance import TestResult, holm

SIGNIFICANT = 0.05
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """The rounds of a strategy with a seed: what was labelled and what was reached, one value per round.

    `by_class` holds the rounds' Dice of each of `FOREGROUND` (nan where no test patient shows the class), `dice` their
    mean over the classes that are defined, `pooled` the Dice of each class over the voxels of all test patients.
    """

    strategy: str
    seed: int
    cases: tuple[int, ...]
    contour_mm: tuple[float, ...]
    foreground: tuple[float, ...]
    dice: tuple[float, ...]
    by_class: tuple[tuple[float, ...], ...]
    pooled: tuple[tuple[float, ...], ...]
    shows: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Simulated:
    """All comparable runs: strategies in the order given, seeds, and the Dice of training on the whole pool by seed."""

    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    full: tuple[float, ...]
    unfinished: int = 0

    def of(self, strategy: str) -> tuple[Run, ...]:
        """The runs of a strategy, by seed."""
        return tuple(run for run in self.runs if run.strategy == strategy)

    def areas(self, strategy: str) -> Values:
        """The area under the budget curve of each seed."""
        return np.array([area_under(run.cases, run.dice) for run in self.of(strategy)])


def gathered(records: Sequence[RoundRecord], strategies: Sequence[str], rounds: int) -> Simulated:
    """The runs that every strategy has finished, from the lines that were written."""
    runs: dict[tuple[str, int], list[RoundRecord]] = {}
    for record in sorted(records, key=lambda r: r.round):
        runs.setdefault((record.strategy, record.seed), []).append(record)
    known = sorted({seed for name, seed in runs if name in strategies})
    seeds = [s for s in known if all(len(runs.get((name, s), ())) == rounds + 1 for name in strategies)]
    full = [dice_of(runs[FULL, seed][0].test)[0] for seed in seeds if (FULL, seed) in runs]
    found = tuple(_run(runs[name, seed]) for name in strategies for seed in seeds)
    return Simulated(tuple(strategies), tuple(seeds), found, tuple(full), unfinished=len(known) - len(seeds))


def _run(records: Sequence[RoundRecord]) -> Run:
    measured = [dice_of(record.test) for record in records]
    chosen = [record for record in records if record.round]
    added = sum(record.added for record in chosen)
    return Run(
        records[0].strategy,
        records[0].seed,
        tuple(len(record.labelled) for record in records),
        tuple(record.contour_mm for record in records),
        tuple(record.foreground_share for record in records),
        tuple(mean for mean, _, _ in measured),
        tuple(zip(*(each for _, each, _ in measured), strict=True)),
        tuple(zip(*(each for _, _, each in measured), strict=True)),
        tuple(sum(r.shows[n] for r in chosen) / added if added else math.nan for n in range(len(FOREGROUND))),
    )


def dice_of(test: Sequence[PatientCounts]) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """The mean over the classes, the Dice of each class as the mean over the patients whose labels show it, and the
    Dice of each class over the voxels of all patients together, where what is found in patients without counts."""
    by_class, pooled = [], []
    for n in range(len(FOREGROUND)):
        each = [2 * p.both[n] / (p.predicted[n] + p.reference[n]) for p in test if p.reference[n]]
        by_class.append(sum(each) / len(each) if each else math.nan)
        total = sum(p.predicted[n] + p.reference[n] for p in test)
        pooled.append(2 * sum(p.both[n] for p in test) / total if total else math.nan)
    defined = [value for value in by_class if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan, tuple(by_class), tuple(pooled)


def area_under(budget: Sequence[float], dice: Sequence[float]) -> float:
    """The area under a curve by trapezoids, its budget scaled to 0..1: a mean Dice over all budgets; nan for one point.

    >>> area_under([8, 16, 32], [0.0, 0.5, 0.5])
    0.4166666666666667
    """
    x, y = np.asarray(budget, float), np.asarray(dice, float)
    if len(x) < 2 or x[-1] <= x[0]:
        return math.nan
    return float(trapezoid(y, x) / (x[-1] - x[0]))


def areas_over_contour(simulated: Simulated) -> dict[str, Values]:
    """The area under the curve over the length of contour drawn, by seed, from the start to where the cheapest
    strategy of that seed ends: what the same work of a reader gives."""
    found: dict[str, list[float]] = {name: [] for name in simulated.strategies}
    for seed in simulated.seeds:
        runs = [run for run in simulated.runs if run.seed == seed]
        end = min(run.contour_mm[-1] for run in runs)
        for run in runs:
            inside = [x for x in run.contour_mm if x < end]
            x = [*inside, end]
            found[run.strategy].append(area_under(x, np.interp(x, run.contour_mm, run.dice).tolist()))
    return {name: np.array(values) for name, values in found.items()}


def paired_t(first: Sequence[float] | Values, second: Sequence[float] | Values) -> TestResult:
    """Student's paired t of first minus second, two-sided; nan under two pairs or when all differences are 0.

    Where all differences are the same and not 0 the statistic is infinite and P is 0.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    n = len(difference)
    if n < 2 or not difference.any() or np.isnan(difference).any():
        return TestResult(math.nan, math.nan, (n,))
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    if spread <= 1e-12 * abs(mean):
        return TestResult(math.copysign(math.inf, mean), 0.0, (n,))
    t = mean / (spread / math.sqrt(n))
    return TestResult(t, float(2 * stats.t.sf(abs(t), n - 1)), (n,))


def penalty_matrix(simulated: Simulated, *, adjusted: bool) -> Values:
    """The pairwise penalty matrix: the share of the budgets after the start at which the row's strategy beats the
    column's (paired t over the seeds, P < 0.05; `adjusted` by Holm over all pairs of a budget). The diagonal is 0."""
    names = simulated.strategies
    wins = np.zeros((len(names), len(names)))
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    budgets = range(1, len(simulated.runs[0].dice)) if simulated.runs else range(0)
    for budget in budgets:
        dice = [np.array([run.dice[budget] for run in simulated.of(name)]) for name in names]
        tests = [paired_t(dice[a], dice[b]) for a, b in pairs]
        p_values = holm([test.p for test in tests]) if adjusted else tuple(test.p for test in tests)
        for (a, b), test, p in zip(pairs, tests, p_values, strict=True):
            if p < SIGNIFICANT:
                wins[(a, b) if test.statistic > 0 else (b, a)] += 1
    shares: Values = wins / max(1, len(budgets))
    return shares


def foreground_efficiency(simulated: Simulated, strategy: str) -> float:
    """The rate g at which a strategy nears what the whole pool gives, per share of the pool's foreground labelled:
    the least-squares fit of c - a exp(-g (x - x0)), c the mean Dice of the whole pool and x0 the mean start (nnActive).

    Higher is better; nan without a training on the whole pool, and where the curve is not below it.
    """
    runs = simulated.of(strategy)
    if not runs or not simulated.full:
        return math.nan
    c = float(np.mean(simulated.full))
    x = np.array([value for run in runs for value in run.foreground])
    y = np.array([value for run in runs for value in run.dice])
    x0 = float(np.mean([run.foreground[0] for run in runs]))
    below = c - float(np.mean([run.dice[0] for run in runs]))
    if below <= 0:
        return math.nan

    def curve(share: Values, a: float, g: float) -> Values:
        found: Values = c - a * np.exp(-g * (share - x0))
        return found

    try:
        (_, g), _ = curve_fit(curve, x, y, p0=(below, 1.0), bounds=((0.0, 0.0), (1.0, 100.0)))
    except (RuntimeError, ValueError, OptimizeWarning):
        return math.nan
    return float(g)


@dataclass(frozen=True)
class Against:
    """A strategy against foreground-aware random: the mean difference of their areas over the seeds, and P."""

    strategy: str
    difference: float
    test: TestResult
    p_holm: float


def against(simulated: Simulated, baseline: str) -> tuple[Against, ...]:
    """Every other strategy against the baseline, with Holm's adjustment over them; nothing without the baseline."""
    if baseline not in simulated.strategies:
        return ()
    own = simulated.areas(baseline)
    others = [name for name in simulated.strategies if name not in (baseline, START, FULL)]
    tests = [paired_t(simulated.areas(name), own) for name in others]
    adjusted = holm([test.p for test in tests])
    return tuple(
        Against(name, float(np.mean(simulated.areas(name) - own)) if len(own) else math.nan, test, p)
        for name, test, p in zip(others, tests, adjusted, strict=True)
    )


def winner(found: Sequence[Against], baseline: str) -> str:
    """The claim rule: the baseline, unless a strategy gains on it with P < 0.05 after Holm; of those the one that
    gains most."""
    better = [each for each in found if each.difference > 0 and each.p_holm < SIGNIFICANT]
    return max(better, key=lambda each: each.difference).strategy if better else baseline

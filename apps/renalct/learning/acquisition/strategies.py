"""Strategies: in which order cases are labelled. Pure functions of what is known of the cases, a round and a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.core.nearest import did_you_mean
from renalct.learning.acquisition.diversity import k_centers, k_means_order, typical_order
from renalct.learning.acquisition.why import FOREGROUND, PRESENT_ML

FOREGROUND_SHARE = 1 / 3
"""Of a foreground-aware random query: what is drawn among cases that show a class (nnActive's "33 % FG")."""
STRATIFIED_SHARE = 0.66
"""Of a ClaSP PE query: what the classes share equally (arXiv 2601.13677)."""
FIRST_BETA, LAST_BETA = 1.0, 100.0
"""Of ClaSP PE: noise is 1 / beta, which rises exponentially over the rounds (arXiv 2601.13677)."""
POWER_BETA = 1.0
"""Of the power strategies (Kirsch et al. 2023: stochastic batch acquisition)."""
GUARANTEED_SHARE = 0.25
"""Of every query by a score or by diversity: cases that show a tumor, and cases that show a cyst, as far as there are
any. A query of the least certain cases may otherwise hold none with a rare class."""
_GUARANTEED = (Structure.TUMOR, Structure.CYST)
_LEAST = 1e-12


class Strategy(Enum):
    """What the next case is chosen by. `random` is no name here: hosts mean the configured strategy by it."""

    RANDOM = "true_random"
    FG_RANDOM = "fg_random"
    ENTROPY = "entropy"
    BALD = "bald"
    POWER_ENTROPY = "power_entropy"
    POWER_BALD = "power_bald"
    CLASPE = "claspe"
    DISAGREEMENT = "disagreement"
    KMEANS = "kmeans"
    CORESET = "coreset"
    COLD_START = "cold_start"
    SUSPECTED_ERROR = "suspected_error"


DEFAULT = Strategy.FG_RANDOM
"""The strategy that is shipped: docs/active_learning.md says why."""


@dataclass(frozen=True)
class Candidate:
    """A case that may be chosen, and what is known of it; nan and () where nothing is.

    `by_class` are class-weighted entropies and `ml_by_class` what the release sees, of each of `FOREGROUND`;
    `agreement` is how little its label and the release agree.
    """

    name: str
    entropy: float = math.nan
    by_class: tuple[float, ...] = ()
    ml_by_class: tuple[float, ...] = ()
    disagreement: float = math.nan
    bald: float = math.nan
    features: tuple[float, ...] = ()
    descriptor: tuple[float, ...] = ()
    agreement: float = math.nan

    def shows(self, structure: Structure) -> bool:
        """Whether the release sees a class in it."""
        return bool(self.ml_by_class) and self.ml_by_class[FOREGROUND.index(structure)] >= PRESENT_ML


@dataclass(frozen=True)
class Query:
    """How many cases are wanted in this round, the number of the round (from 0) of how many, and the seed.

    `known` are the features (or descriptors) of cases that are labelled already.
    """

    count: int
    number: int = 0
    rounds: int = 5
    seed: int = 0
    known: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.count < 1 or self.number < 0 or self.rounds < 1:
            raise InputError(
                f"a query of {self.count} cases in round {self.number} of {self.rounds} cannot be; give counts above 0"
            )


Scores = NDArray[np.float64]
Ranking = Callable[[Sequence[Candidate], Query, np.random.Generator], Sequence[int]]


def ordered(strategy: Strategy, candidates: Sequence[Candidate], query: Query) -> tuple[str, ...]:
    """The names of all candidates, first those to label first; the first `query.count` are the round's query.

    The same candidates (in any order), query and seed give the same order; equal scores are ordered by the seed.
    Raises `InputError` when a candidate lacks what the strategy needs.
    """
    cases = sorted(candidates, key=lambda case: case.name)
    if len({case.name for case in cases}) < len(cases):
        raise InputError("two candidates have one name; name every case once")
    rng = np.random.default_rng((query.seed, query.number, list(Strategy).index(strategy)))
    order = [int(n) for n in RANKINGS[strategy](cases, query, rng)] if cases else []
    if strategy not in _WITHOUT_GUARANTEE:
        order = guaranteed(order, cases, query.count)
    return tuple(cases[n].name for n in order)


def guaranteed(order: Sequence[int], cases: Sequence[Candidate], count: int) -> list[int]:
    """The order, with as many cases among the first `count` that show a tumor, and a cyst, as are guaranteed.

    A case that is missing takes the place of the last that no class needs. Cases of which nothing is known count for
    no class, and change nothing.
    """
    first, rest = list(order[:count]), list(order[count:])
    wanted = math.ceil(GUARANTEED_SHARE * len(first))
    for structure in _GUARANTEED:
        for _ in range(wanted - sum(cases[n].shows(structure) for n in first)):
            new = next((n for n in rest if cases[n].shows(structure)), None)
            free = [n for n in first if not _needed(n, first, cases, wanted)]
            if new is None or not free:
                break
            first[first.index(free[-1])] = new
            rest[rest.index(new)] = free[-1]
    place = {n: k for k, n in enumerate(order)}
    return first + sorted(rest, key=lambda n: place[n])


def _needed(case: int, first: Sequence[int], cases: Sequence[Candidate], wanted: int) -> bool:
    """Whether a class would have too few cases without this one."""
    shown = [s for s in _GUARANTEED if cases[case].shows(s)]
    return any(sum(cases[n].shows(s) for n in first) <= wanted for s in shown)


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises `InputError` with the nearest name for any other."""
    for strategy in Strategy:
        if strategy.value == name:
            return strategy
    names = [strategy.value for strategy in Strategy]
    hint = did_you_mean(name, names, "did you mean {}? ")
    raise InputError(f"there is no strategy {name!r}; {hint}known: {', '.join(names)}")


def beta_of(query: Query) -> float:
    """The inverse of the noise of ClaSP PE in a round: from 1 in the first to 100 in the last."""
    through = min(1.0, query.number / max(1, query.rounds - 1))
    return float(FIRST_BETA * (LAST_BETA / FIRST_BETA) ** through)


def powered(scores: Scores, beta: float, rng: np.random.Generator) -> Scores:
    """log score plus Gumbel noise / beta: the largest k are k draws without replacement, score ** beta the weights."""
    noisy: Scores = np.log(np.maximum(scores, _LEAST)) + rng.gumbel(size=len(scores)) / beta
    return noisy


def _largest(scores: Scores, rng: np.random.Generator) -> list[int]:
    """Indices by falling score; equal ones in random order."""
    return [int(n) for n in np.lexsort((rng.random(len(scores)), -scores))]


def _random(cases: Sequence[Candidate], _: Query, rng: np.random.Generator) -> Sequence[int]:
    return [int(n) for n in rng.permutation(len(cases))]


def _fg_random(cases: Sequence[Candidate], query: Query, rng: np.random.Generator) -> Sequence[int]:
    """Random, but every third case of the query is drawn among those that show a class, the classes in turn from a
    random one. Cases of which nothing is known show none."""
    order: list[int] = []
    drawn = _random(cases, query, rng)
    turn = int(rng.integers(len(FOREGROUND)))
    foreground_cases = 0
    while len(order) < min(query.count, len(cases)):
        left = (n for n in drawn if n not in order)
        if foreground_cases < round((len(order) + 1) * FOREGROUND_SHARE):
            wanted = FOREGROUND[(turn + foreground_cases) % len(FOREGROUND)]
            foreground_cases += 1
            showing = next((n for n in drawn if n not in order and cases[n].shows(wanted)), None)
            order.append(next(left) if showing is None else showing)
        else:
            order.append(next(left))
    return _with_others(order, drawn)


def _with_others(order: Sequence[int], everything: Sequence[int]) -> list[int]:
    taken = set(order)
    return [*order, *(n for n in everything if n not in taken)]


def _by(name: str, beta: float | None = None) -> Ranking:
    """Cases by falling score of a field; with noise where `beta` is given."""

    def rank(cases: Sequence[Candidate], _: Query, rng: np.random.Generator) -> Sequence[int]:
        scores = _scores(cases, name)
        return _largest(scores if beta is None else powered(scores, beta, rng), rng)

    return rank


def _claspe(cases: Sequence[Candidate], query: Query, rng: np.random.Generator) -> Sequence[int]:
    """ClaSP PE: 66 % of the query by the class-weighted entropies, the classes in turn, the rest by entropy; all with
    power noise that fades over the rounds. What follows the query is ordered by entropy."""
    beta = beta_of(query)
    plain = _largest(powered(_scores(cases, "entropy"), beta, rng), rng)
    rows = np.array([case.by_class or _refuse(case, "class-weighted entropies") for case in cases])
    queues = [_largest(powered(rows[:, n], beta, rng), rng) for n in range(len(FOREGROUND))]
    order: list[int] = []
    stratified = 0
    while len(order) < min(query.count, len(cases)):
        by_class = stratified < round((len(order) + 1) * STRATIFIED_SHARE)
        queue = queues[(stratified + query.number) % len(queues)] if by_class else plain
        stratified += by_class
        order.append(next(n for n in queue if n not in order))
    return _with_others(order, plain)


def _by_features(name: str, rank: Callable[[Scores, Scores, int, np.random.Generator], Sequence[int]]) -> Ranking:
    def ranked(cases: Sequence[Candidate], query: Query, rng: np.random.Generator) -> Sequence[int]:
        rows = [getattr(case, name) for case in cases]
        without = [n for n, row in enumerate(rows) if not len(row)]
        if name == "descriptor" and without:
            _refuse(cases[without[0]], "descriptor")
        width = max((len(row) for row in rows), default=0)
        found = [n for n in range(len(cases)) if n not in set(without)]
        features = np.array([rows[n] for n in found], float).reshape(len(found), width)
        known = np.array([row for row in query.known if len(row) == width], float).reshape(-1, width)
        order = [found[n] for n in rank(features, known, query.count, rng)]
        return without + order  # an image in which the release finds no kidney is unlike all others

    return ranked


def _scores(cases: Sequence[Candidate], name: str) -> Scores:
    """The values of a field, none of them nan."""
    for case in cases:
        if math.isnan(getattr(case, name)):
            _refuse(case, name)
    return np.array([getattr(case, name) for case in cases], float)


def _refuse(case: Candidate, what: str) -> NoReturn:
    raise InputError(f"the case {case.name} has no {what}; score it first, or choose cold_start or true_random")


RANKINGS: dict[Strategy, Ranking] = {
    Strategy.RANDOM: _random,
    Strategy.FG_RANDOM: _fg_random,
    Strategy.ENTROPY: _by("entropy"),
    Strategy.BALD: _by("bald"),
    Strategy.POWER_ENTROPY: _by("entropy", POWER_BETA),
    Strategy.POWER_BALD: _by("bald", POWER_BETA),
    Strategy.CLASPE: _claspe,
    Strategy.DISAGREEMENT: _by("disagreement"),
    Strategy.KMEANS: _by_features("features", k_means_order),
    Strategy.CORESET: _by_features("features", k_centers),
    Strategy.COLD_START: _by_features("descriptor", typical_order),
    Strategy.SUSPECTED_ERROR: _by("agreement"),
}
_WITHOUT_GUARANTEE = (Strategy.RANDOM, Strategy.COLD_START, Strategy.SUSPECTED_ERROR)

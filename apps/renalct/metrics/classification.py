"""How well masses were classified: confusion with `unknown`, accuracy, rates by class, and strata of size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.metrics.scores import Decision

ANSWERS: tuple[MassClass, ...] = (*KNOWN_CLASSES, MassClass.UNKNOWN)
"""What a classifier may answer, in the order of the columns of a confusion matrix."""
DIAMETER_BORDERS_MM = (5.0, 10.0, 20.0, 40.0, 70.0)
"""Borders of the strata: 5 mm of Zhao et al. 2023; 40 and 70 mm part the T stages of renal tumors."""


@dataclass(frozen=True)
class ConfusionMatrix:
    """Masses by the class of the reference (rows, `KNOWN_CLASSES`) and by the answer (columns, `ANSWERS`)."""

    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(KNOWN_CLASSES) or any(len(row) != len(ANSWERS) for row in self.counts):
            raise ValueError(f"a confusion matrix has {len(KNOWN_CLASSES)} rows of {len(ANSWERS)} counts")
        if any(count < 0 for row in self.counts for count in row):
            raise ValueError("counts of masses are 0 or more")

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        rows = zip(self.counts, other.counts, strict=True)
        return ConfusionMatrix(tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in rows))

    @property
    def total(self) -> int:
        """All masses, the unknown ones included."""
        return sum(map(sum, self.counts))

    @property
    def correct(self) -> int:
        """The masses that were named as the reference names them."""
        return sum(self.counts[n][n] for n in range(len(KNOWN_CLASSES)))

    @property
    def accuracy(self) -> float:
        """The share of all masses that were named rightly; `unknown` is an error. nan without masses."""
        return self.correct / self.total if self.total else math.nan

    @property
    def coverage(self) -> float:
        """The share of all masses that got an answer other than `unknown`; nan without masses."""
        return 1 - sum(row[-1] for row in self.counts) / self.total if self.total else math.nan

    def rates(self, mass_class: MassClass) -> ClassRates:
        """The rates of one known class."""
        n = KNOWN_CLASSES.index(mass_class)
        return ClassRates(mass_class, self.counts[n][n], sum(row[n] for row in self.counts), sum(self.counts[n]))


@dataclass(frozen=True)
class ClassRates:
    """One class: how many were named rightly, how often it was named, and how many there are."""

    mass_class: MassClass
    right: int
    named: int
    n: int

    @property
    def precision(self) -> float:
        """The share of those named so that are so; nan when it was never named."""
        return self.right / self.named if self.named else math.nan

    @property
    def recall(self) -> float:
        """The share of those that are so that were named so; nan when there are none."""
        return self.right / self.n if self.n else math.nan

    @property
    def f1(self) -> float:
        """The harmonic mean of both; nan when the class neither occurs nor was named."""
        return 2 * self.right / (self.named + self.n) if self.named + self.n else math.nan


@dataclass(frozen=True)
class Stratum:
    """The masses from one average diameter up to another (exclusive; infinite above the last border)."""

    low_mm: float
    high_mm: float
    decisions: tuple[Decision, ...]

    @property
    def title(self) -> str:
        """For example ``5 to 10 mm``."""
        if math.isinf(self.high_mm):
            return f"\N{GREATER-THAN OR EQUAL TO} {self.low_mm:g} mm" if self.low_mm else "all"
        return f"{self.low_mm:g} to {self.high_mm:g} mm" if self.low_mm else f"< {self.high_mm:g} mm"


def confusion_matrix(decisions: Sequence[Decision]) -> ConfusionMatrix:
    """The decisions counted by class and answer."""
    return ConfusionMatrix(
        tuple(
            tuple(sum(d.reference is row and d.predicted is column for d in decisions) for column in ANSWERS)
            for row in KNOWN_CLASSES
        )
    )


def accuracy(decisions: Sequence[Decision]) -> float:
    """The share of right decisions; `unknown` is an error and stays in the denominator. nan without decisions."""
    return confusion_matrix(decisions).accuracy


def strata_by_diameter(
    decisions: Sequence[Decision], borders_mm: Sequence[float] = DIAMETER_BORDERS_MM
) -> tuple[Stratum, ...]:
    """The decisions in strata of size, empty ones included: a mass on a border belongs to the larger ones.

    Masses whose diameter is nan are in no stratum. Raises `ValueError` for borders that do not rise from above 0.
    """
    edges = (0.0, *borders_mm, math.inf)
    if any(a >= b for a, b in itertools.pairwise(edges)):
        raise ValueError(f"the borders of strata rise from above 0 mm, unlike {tuple(borders_mm)}")
    return tuple(
        Stratum(low, high, tuple(d for d in decisions if low <= d.diameter_mm < high))
        for low, high in itertools.pairwise(edges)
    )


def with_threshold(decisions: Sequence[Decision], least_probability: float) -> tuple[Decision, ...]:
    """The decisions with `unknown` for those whose highest probability is lower; those without any stay."""
    return tuple(
        decision
        if decision.probabilities is None or max(decision.probabilities) >= least_probability
        else replace(decision, predicted=MassClass.UNKNOWN)
        for decision in decisions
    )

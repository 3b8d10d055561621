"""What probabilities of classes are worth: one-vs-rest ROC with its area, and calibration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.metrics.scores import Decision

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RocCurve:
    """True over false positive rate as the threshold falls; `thresholds` starts at infinity (nothing is positive).

    `auc` is the area under it, nan (and the curve empty) when the class, or everything else, does not occur.
    """

    false_positive_rates: tuple[float, ...]
    true_positive_rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    auc: float
    positives: int
    negatives: int


@dataclass(frozen=True)
class CalibrationBin:
    """The masses whose highest probability lies in one of equal parts of 0 to 1; means are nan when there are none."""

    low: float
    high: float
    n: int
    mean_probability: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether probabilities come true.

    `expected_error` is the mean distance of probability and accuracy over the bins, weighted by their masses (ECE,
    Guo et al. 2017); `brier` the mean squared distance of all three probabilities from the truth, summed (0 to 2).
    Both are nan without probabilities; `without` decisions had none.
    """

    bins: tuple[CalibrationBin, ...]
    expected_error: float
    brier: float
    n: int
    without: int


def roc_curve(positive: ArrayLike, scores: ArrayLike) -> RocCurve:
    """The ROC of scores (higher: more likely positive) of items that are positive or not; equal ones fall together."""
    truth, values = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or np.isnan(values).any():
        raise ValueError("every item needs a truth and a score that is a number")
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return RocCurve((), (), (), math.nan, positives, negatives)
    order = np.argsort(-values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    found, false = np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]
    ranks = stats.rankdata(values)
    auc = (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return RocCurve(
        (0.0, *(false / negatives).tolist()),
        (0.0, *(found / positives).tolist()),
        (math.inf, *values[order][last].tolist()),
        float(auc),
        positives,
        negatives,
    )


def one_vs_rest(decisions: Sequence[Decision], mass_class: MassClass) -> RocCurve:
    """The ROC of the probability of one known class; decisions without probabilities are left out."""
    column = KNOWN_CLASSES.index(mass_class)
    kept = [decision for decision in decisions if decision.probabilities is not None]
    return roc_curve(
        np.array([d.reference is mass_class for d in kept], bool),
        np.array([d.probabilities[column] for d in kept if d.probabilities is not None], float),
    )


def calibration(decisions: Sequence[Decision], *, bins: int = 10) -> Calibration:
    """The calibration of the class of highest probability, in `bins` equal parts of 0 to 1 (the upper end counts)."""
    kept = [(decision, decision.probabilities) for decision in decisions if decision.probabilities is not None]
    edges = np.linspace(0, 1, bins + 1)
    if not kept:
        empty = tuple(_bin(low, high, np.zeros(0), np.zeros(0)) for low, high in itertools.pairwise(edges))
        return Calibration(empty, math.nan, math.nan, 0, len(decisions))
    table = np.array([probabilities for _, probabilities in kept])
    truth = np.array([KNOWN_CLASSES.index(decision.reference) for decision, _ in kept])
    highest, right = table.max(axis=1), (table.argmax(axis=1) == truth).astype(float)
    place = np.clip(np.searchsorted(edges, highest, side="left") - 1, 0, bins - 1)
    parts = tuple(
        _bin(low, high, highest[place == n], right[place == n])
        for n, (low, high) in enumerate(itertools.pairwise(edges))
    )
    error = math.fsum(part.n * abs(part.mean_probability - part.accuracy) for part in parts if part.n) / len(kept)
    brier = float(((table - np.eye(len(KNOWN_CLASSES))[truth]) ** 2).sum(axis=1).mean())
    return Calibration(parts, error, brier, len(kept), len(decisions) - len(kept))


def _bin(low: float, high: float, probabilities: Values, right: Values) -> CalibrationBin:
    n = int(probabilities.size)
    means = (float(probabilities.mean()), float(right.mean())) if n else (math.nan, math.nan)
    return CalibrationBin(float(low), float(high), n, *means)

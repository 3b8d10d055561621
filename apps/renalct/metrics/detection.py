"""Found, missed and false masses: counts of connected domains by two rules, and FROC."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from renalct.core.labels import Side
from renalct.metrics.scores import CaseScores, DetectionCounts


@dataclass(frozen=True)
class FrocCurve:
    """Sensitivity over false positives per case, one point per confidence from the highest down.

    `score` is the mean sensitivity at `FALSE_POSITIVE_RATES`, nan without a mass in the reference. `unscored` predicted
    domains had no confidence and are in no point.
    """

    confidences: tuple[float, ...]
    false_positives_per_case: tuple[float, ...]
    sensitivities: tuple[float, ...]
    score: float
    cases: int
    references: int
    unscored: int


FALSE_POSITIVE_RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Where the sensitivity is averaged (as in LUNA16, Setio et al. 2017)."""


def count_by_touch(cases: Iterable[CaseScores], *, side: Side | None = None) -> DetectionCounts:
    """The counts by the rule of Zhao et al. 2023, over all cases, on one side or on all.

    A reference domain that shares a voxel with the prediction is a true positive, any other a false negative; a
    predicted domain where the reference has no mass is a false positive. Several predictions on one mass are one true
    positive, one prediction on two masses is two.
    """
    total = DetectionCounts()
    for case in cases:
        references = [domain.touched for domain in case.references if side in (None, domain.side)]
        false = sum(side in (None, domain.side) for domain in case.false_positives)
        total += DetectionCounts(sum(references), false, len(references) - sum(references))
    return total


def count_by_iou(cases: Iterable[CaseScores], *, threshold: float, side: Side | None = None) -> DetectionCounts:
    """The counts by overlap: pairs of one reference and one predicted domain with at least that IoU are true positives.

    Every other reference domain is a false negative, and every other predicted domain a false positive, except one that
    lies on nothing but mass too small to count. Raises `ValueError` for a threshold that is not over 0 and up to 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold of an IoU is over 0 and up to 1, not {threshold}")
    total = DetectionCounts()
    for case in cases:
        found = [domain.paired_iou >= threshold for domain in case.references if side in (None, domain.side)]
        false = sum(
            domain.paired_iou < threshold
            for domain in case.predictions
            if side in (None, domain.side) and (domain.matched or not domain.on_ignored)
        )
        total += DetectionCounts(sum(found), false, len(found) - sum(found))
    return total


def froc(cases: Sequence[CaseScores]) -> FrocCurve:
    """The free-response curve over the `confidence` of predicted domains, by the rule of touch.

    At a confidence, a reference domain is found when a predicted domain with at least that confidence shares a voxel
    with it. Equal confidences make one point. Without cases, the curve is empty and its score nan.
    """
    cases = [case for case in cases if case.masses_known]
    references = sum(len(case.references) for case in cases)
    best = []
    for case in cases:
        confidence = {domain.number: domain.confidence for domain in case.predictions}
        for reference in case.references:
            known = [confidence[n] for n in reference.matched if not math.isnan(confidence[n])]
            best.append(max(known, default=-math.inf))
    false = [domain.confidence for case in cases for domain in case.false_positives]
    levels = sorted(
        {d.confidence for case in cases for d in case.predictions if not math.isnan(d.confidence)}, reverse=True
    )
    hits, misses = np.sort(np.array(best, float)), np.sort(np.array([c for c in false if not math.isnan(c)], float))
    rates = [float(misses.size - np.searchsorted(misses, level)) / len(cases) for level in levels]
    sensitivities = [
        float(hits.size - np.searchsorted(hits, level)) / references if references else math.nan for level in levels
    ]
    return FrocCurve(
        tuple(levels),
        tuple(rates),
        tuple(sensitivities),
        _mean_sensitivity(rates, sensitivities) if references else math.nan,
        len(cases),
        references,
        sum(math.isnan(domain.confidence) for case in cases for domain in case.predictions),
    )


def _mean_sensitivity(rates: list[float], sensitivities: list[float]) -> float:
    """The mean, over the rates, of the highest sensitivity that costs no more false positives."""
    allowed = [
        max((s for r, s in zip(rates, sensitivities, strict=True) if r <= most), default=0.0)
        for most in FALSE_POSITIVE_RATES
    ]
    return math.fsum(allowed) / len(allowed)

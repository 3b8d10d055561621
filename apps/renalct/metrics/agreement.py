"""How far readers of one case agree with each other: the ceiling for any system."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from renalct.metrics.case import evaluate_case
from renalct.metrics.overlap import lay_on_each_other
from renalct.metrics.scores import CaseScores, ScoreSettings


@dataclass(frozen=True)
class ReaderPair:
    """Two readers of one case, by index, and the score of the second against the first."""

    first: int
    second: int
    scores: CaseScores


@dataclass(frozen=True)
class Agreement:
    """The mean Dice and surface Dice of a region over all pairs of readers of a case; n pairs, all of them defined."""

    region: Region
    dice: float
    surface_dice: float
    pairs: int


def reader_pairs(
    readings: Sequence[LabelMap], *, case: str, patient: str, settings: ScoreSettings | None = None
) -> tuple[ReaderPair, ...]:
    """The scores of every pair of readings of one case; none under two readings.

    Dice, surface Dice and distances do not depend on which of the two is called the reference. Raises `GeometryError`
    when the grids differ.
    """
    return tuple(
        ReaderPair(
            a,
            b,
            evaluate_case(readings[b], readings[a], case=case, patient=patient, settings=settings or ScoreSettings()),
        )
        for a, b in itertools.combinations(range(len(readings)), 2)
    )


def agreement_on(region: Region, pairs: Sequence[ReaderPair]) -> Agreement:
    """The mean agreement of the pairs of one case on a region; nan without a pair. Two empty readings agree (1)."""
    scores = [pair.scores.region(region) for pair in pairs]
    if not scores:
        return Agreement(region, math.nan, math.nan, 0)
    return Agreement(
        region,
        math.fsum(score.dice for score in scores) / len(scores),
        math.fsum(score.surface_dice for score in scores) / len(scores),
        len(scores),
    )


def tolerance_mm(readings: Sequence[LabelMap], region: Region, *, case: str) -> float:
    """The tolerance of the surface Dice that the readings of one case suggest for a region, as KiTS21 derived its own.

    The mean, over the pairs of readings, of the two 95th percentiles of the distances between their surfaces, every
    surfel counting alike. Pairs in which a reading has nothing of the region are left out; nan without any other.
    Average it over cases. Raises `GeometryError` when the grids differ.
    """
    found = []
    for one, other in itertools.combinations(readings, 2):
        pair = lay_on_each_other(other, one, case=case)
        masks = None if pair is None else pair.region(region)
        if masks is not None and all(masks.counts):
            distances = masks.distances
            found += [
                float(np.percentile(each, 95)) for each in (distances.of_reference_mm, distances.of_prediction_mm)
            ]
    return math.fsum(found) / len(found) if found else math.nan

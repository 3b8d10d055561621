"""Scores of a case whose readers did not look for everything: what needs the rest is undefined, and counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from renalct.core.labels import Region, Structure
from renalct.metrics.evaluated import SliceScore
from renalct.metrics.scores import CaseScores, RegionScore, SideScore


def unassessed_regions(assessed: Iterable[Structure]) -> tuple[Region, ...]:
    """The regions of which a structure was not looked for; a tumor that was looked for may be an angiomyolipoma."""
    known = frozenset(assessed)
    if Structure.TUMOR in known:
        known |= {Structure.ANGIOMYOLIPOMA}
    return tuple(region for region in Region if not region.value <= known)


def only_assessed(scores: CaseScores, assessed: Iterable[Structure]) -> CaseScores:
    """The scores with nan for every region of which the readers left a structure out.

    Without all kinds of masses there are no domains either: a false mass may be one that nobody looked for. What is
    undefined stands in `unassessed`.
    """
    missing = unassessed_regions(assessed)
    if not missing:
        return scores
    masses = Region.MASS in missing
    return replace(
        scores,
        regions=tuple(_undefined(score) if score.region in missing else score for score in scores.regions),
        sides=tuple(_side(score, missing) for score in scores.sides),
        references=() if masses else scores.references,
        predictions=() if masses else scores.predictions,
        ignored_references=0 if masses else scores.ignored_references,
        ignored_predictions=0 if masses else scores.ignored_predictions,
        tumors_ml=() if Region.TUMOR in missing else scores.tumors_ml,
        unassessed=missing,
    )


def assessed_slices(slices: Sequence[SliceScore], scores: CaseScores) -> tuple[SliceScore, ...]:
    """The slices of a case with nan for what is undefined in its scores."""
    kidney, tumor = Region.KIDNEY_AND_MASS in scores.unassessed, Region.TUMOR in scores.unassessed
    return tuple(
        replace(each, kidney=math.nan if kidney else each.kidney, tumor=math.nan if tumor else each.tumor)
        for each in slices
    )


def _side(score: SideScore, missing: tuple[Region, ...]) -> SideScore:
    return SideScore(
        score.side,
        _undefined(score.kidney) if Region.KIDNEY_AND_MASS in missing else score.kidney,
        _undefined(score.mass) if Region.MASS in missing else score.mass,
    )


def _undefined(score: RegionScore) -> RegionScore:
    return RegionScore(score.region, *[math.nan] * 7)

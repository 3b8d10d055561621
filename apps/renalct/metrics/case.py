"""All scores of one case: regions, kidneys by side, and connected domains of mass."""

from __future__ import annotations

import math
from dataclasses import replace

from renalct.core.labels import Region, Side
from renalct.core.volume import LabelMap
from renalct.metrics.domain_scores import score_domains, volumes_ml
from renalct.metrics.halves import halves_of
from renalct.metrics.overlap import MaskPair, lay_on_each_other, same_or
from renalct.metrics.scores import CaseScores, RegionScore, ScoreSettings, SideScore

_KITS = ScoreSettings()


def evaluate_case(
    prediction: LabelMap, reference: LabelMap, *, case: str, patient: str, settings: ScoreSettings = _KITS
) -> CaseScores:
    """Every score of a prediction against a reference on the same grid.

    A `SideScore` is given for each side on which either label map has a voxel; none when both are empty. Raises
    `GeometryError` when the grids differ. The scores do not depend on the order of the axes in memory.
    """
    pair = lay_on_each_other(prediction, reference, case=case)
    if pair is None:
        regions = tuple(RegionScore(region, 1.0, 1.0, math.nan, math.nan, math.nan, 0.0, 0.0) for region in Region)
        return CaseScores(case, patient, regions, (), (), ())
    halves = halves_of(pair)
    whole, mass, tumor = (pair.region(region) for region in Region)
    sides = [side for side in halves.sides if side is not Side.UNDETERMINED]
    kidneys: dict[Side, MaskPair] = {side: same_or(whole.within(halves.cut(whole).of(side)), whole) for side in sides}
    masses: dict[Side, MaskPair] = {side: same_or(mass.within(halves.cut(mass).of(side)), mass) for side in sides}
    whole, mass = _in_parts(whole, kidneys), _in_parts(mass, masses)
    tumor = same_or(tumor, mass)
    if not sides:
        kidneys, masses = {Side.UNDETERMINED: whole}, {Side.UNDETERMINED: mass}
    voxel_ml = reference.grid.voxel_ml
    regions = tuple(
        _score(region, found, settings, voxel_ml) for region, found in zip(Region, (whole, mass, tumor), strict=True)
    )
    side_scores = tuple(
        SideScore(
            side,
            _score(Region.KIDNEY_AND_MASS, kidneys[side], settings, voxel_ml),
            _score(Region.MASS, masses[side], settings, voxel_ml),
        )
        for side in kidneys
        if any(kidneys[side].counts)
    )
    tumors_ml = volumes_ml(tumor.reference, pair, smallest_mm=settings.min_reference_diameter_mm)
    scores = CaseScores(case, patient, regions, side_scores, (), (), tumors_ml=tumors_ml)
    return score_domains(scores, pair, mass, halves=halves, settings=settings)


def _in_parts(whole: MaskPair, by_side: dict[Side, MaskPair]) -> MaskPair:
    """The whole with its two sides as parts, when at least one plane of voxels between them is empty."""
    parts = [part for part in by_side.values() if any(part.counts)]
    if len(parts) != 2:
        return whole
    one, other = (part.box for part in parts)
    apart = any(
        max(b0 - a1, a0 - b1) >= 1 for a0, a1, b0, b1 in zip(one.start, one.stop, other.start, other.stop, strict=True)
    )
    return replace(whole, parts=(parts[0], parts[1])) if apart else whole


def _score(region: Region, pair: MaskPair, settings: ScoreSettings, voxel_ml: float) -> RegionScore:
    reference, prediction = pair.counts
    volumes = prediction * voxel_ml, reference * voxel_ml
    if not reference or not prediction:
        value = 0.0 if reference or prediction else 1.0
        return RegionScore(region, value, value, math.nan, math.nan, math.nan, *volumes)
    found = pair.distances
    return RegionScore(
        region,
        pair.dice,
        found.surface_dice(settings.tolerance_mm(region)),
        found.hausdorff_mm(),
        found.hausdorff_percentile_mm(95),
        found.average_mm(),
        *volumes,
    )

"""The scores of connected domains: which masses of the reference were found, and what was found besides."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.errors import GeometryError
from renalct.core.grid import Box
from renalct.core.labels import Region, Side
from renalct.core.volume import LabelMap, Mask
from renalct.imaging.calipers import axial_calipers, equivalent_sphere_diameter_mm
from renalct.imaging.components import connected
from renalct.metrics.domains import Domains, Meeting, find_domains, meetings, pair_off
from renalct.metrics.halves import Halves
from renalct.metrics.overlap import LabelPair, MaskPair, dice, lay_on_each_other, same_or
from renalct.metrics.scores import CaseScores, DiameterKind, DomainScore, PredictedDomain, ScoreSettings
from renalct.metrics.surfels import Booleans


@dataclass(frozen=True, eq=False)
class _Found:
    """The domains of both label maps and how they meet."""

    references: Domains
    predictions: Domains
    met: tuple[Meeting, ...]
    pairs: tuple[Meeting, ...]


def score_domains(
    scores: CaseScores, pair: LabelPair, mass: MaskPair, *, halves: Halves, settings: ScoreSettings
) -> CaseScores:
    """The scores of a case with those of its connected domains; `mass` is the region of masses of `pair`.

    Domains are taken of all masses together, whatever their structure, as Zhao et al. 2023 do: a cyst that touches a
    tumor is one domain with it.
    """
    right = halves.cut(mass).of(Side.RIGHT)
    references, predictions = (
        find_domains(mask, values[mass.box.slices], right, min_voxels=_sphere_voxels(smallest_mm, pair))
        for mask, values, smallest_mm in (
            (mass.reference, pair.reference, settings.min_reference_diameter_mm),
            (mass.prediction, pair.prediction, settings.min_prediction_diameter_mm),
        )
    )
    met = meetings(references, predictions)
    found = _Found(references, predictions, met, pair_off(met))
    measured_references = [_measure(references, n, pair, halves, settings) for n in range(1, len(references) + 1)]
    measured_predictions = [_measure(predictions, n, pair, halves, settings) for n in range(1, len(predictions) + 1)]
    return replace(
        scores,
        references=tuple(_reference_scores(measured_references, found, mass, settings)),
        predictions=tuple(_prediction_scores(measured_predictions, found)),
        ignored_references=references.dropped,
        ignored_predictions=predictions.dropped,
    )


def volumes_ml(mask: Booleans, pair: LabelPair, *, smallest_mm: float) -> tuple[float, ...]:
    """The volumes of the connected domains of a mask, larger ones first, without those under that diameter."""
    labels, _ = connected(mask)
    voxels = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    kept = voxels[voxels >= _sphere_voxels(smallest_mm, pair)]
    return tuple((kept * pair.whole.voxel_ml).tolist())


@dataclass(frozen=True)
class _Measured:
    number: int
    side: Side
    volume_ml: float
    diameter_mm: float


def _measure(domains: Domains, number: int, pair: LabelPair, halves: Halves, settings: ScoreSettings) -> _Measured:
    volume_ml = int(domains.voxels[number - 1]) * pair.whole.voxel_ml
    side = Side.UNDETERMINED
    if halves.right is not None:
        side = Side.RIGHT if domains.right[number - 1] > 0.5 else Side.LEFT
    return _Measured(number, side, volume_ml, _diameter_mm(domains, number, pair, settings.diameter_kind))


def _diameter_mm(domains: Domains, number: int, pair: LabelPair, kind: DiameterKind) -> float:
    """The average diameter of a domain; the axes of its arrays run as in memory and are put back for the axial one."""
    box = domains.boxes[number - 1]
    if kind is DiameterKind.EQUIVALENT_SPHERE:
        return equivalent_sphere_diameter_mm(int(domains.voxels[number - 1]) * pair.whole.voxel_ml)
    if kind is DiameterKind.BOX_MEAN:
        return math.fsum(n * s for n, s in zip(box.shape, pair.spacing_mm, strict=True)) / 3
    voxels = (domains.labels[box.slices] == number).transpose([pair.axes.index(axis) for axis in range(3)])
    longest, short = axial_calipers(Mask(Box.whole(voxels.shape), voxels), pair.whole)
    return (longest.length_mm + short.length_mm) / 2


def _reference_scores(
    measured: list[_Measured], found: _Found, mass: MaskPair, settings: ScoreSettings
) -> Iterable[DomainScore]:
    own: dict[int, list[Meeting]] = {}
    for meeting in found.met:
        own.setdefault(meeting.reference, []).append(meeting)
    paired_iou = {meeting.reference: meeting.iou for meeting in found.pairs}
    for each in measured:
        mine = own.get(each.number, [])
        score = DomainScore(
            number=each.number,
            side=each.side,
            structure=found.references.structures[each.number - 1],
            volume_ml=each.volume_ml,
            diameter_mm=each.diameter_mm,
            matched=tuple(meeting.prediction for meeting in mine),
            best_iou=max((meeting.iou for meeting in mine), default=0.0),
            paired_iou=paired_iou.get(each.number, 0.0),
            dice=dice(
                sum(meeting.voxels for meeting in mine),
                int(found.references.voxels[each.number - 1]),
                sum(int(found.predictions.voxels[meeting.prediction - 1]) for meeting in mine),
            ),
            surface_dice=math.nan if mine or not settings.domain_surfaces else 0.0,
        )
        yield _with_surfaces(score, found, mass, settings) if mine and settings.domain_surfaces else score


def _with_surfaces(score: DomainScore, found: _Found, mass: MaskPair, settings: ScoreSettings) -> DomainScore:
    """The score with surface Dice and distances between a reference domain and all that it meets."""
    box = found.references.boxes[score.number - 1]
    for number in score.matched:
        box = box.union(found.predictions.boxes[number - 1])
    alone = MaskPair(
        found.references.labels[box.slices] == score.number,
        np.isin(found.predictions.labels[box.slices], score.matched),
        mass.spacing_mm,
        box.shifted(mass.start).start,
    )
    distances = same_or(alone, mass).distances
    return replace(
        score,
        surface_dice=distances.surface_dice(settings.mass_tolerance_mm),
        hausdorff_mm=distances.hausdorff_mm(),
        hausdorff95_mm=distances.hausdorff_percentile_mm(95),
    )


def _prediction_scores(measured: list[_Measured], found: _Found) -> Iterable[PredictedDomain]:
    own: dict[int, list[int]] = {}
    for meeting in found.met:
        own.setdefault(meeting.prediction, []).append(meeting.reference)
    paired_iou = {meeting.prediction: meeting.iou for meeting in found.pairs}
    on_ignored = _numbers_on(found.references.small, found.predictions)
    for each in measured:
        yield PredictedDomain(
            number=each.number,
            side=each.side,
            structure=found.predictions.structures[each.number - 1],
            volume_ml=each.volume_ml,
            diameter_mm=each.diameter_mm,
            matched=tuple(own.get(each.number, ())),
            paired_iou=paired_iou.get(each.number, 0.0),
            on_ignored=each.number in on_ignored,
        )


def _numbers_on(small: Booleans | None, predictions: Domains) -> set[int]:
    return set() if small is None else {int(n) for n in np.unique(predictions.labels[small])} - {0}


def _sphere_voxels(diameter_mm: float, pair: LabelPair) -> float:
    """The voxels of a sphere of that diameter."""
    return math.pi / 6 * diameter_mm**3 / 1000 / pair.whole.voxel_ml


def with_confidences(
    scores: CaseScores,
    prediction: LabelMap,
    reference: LabelMap,
    *,
    probabilities: NDArray[np.floating[Any]],
    settings: ScoreSettings,
) -> CaseScores:
    """The scores with the confidence of each predicted domain: the highest probability of mass inside it.

    The label maps and settings are those that the scores were made from; `probabilities` has the shape of both. Raises
    `GeometryError` when it has not.
    """
    if probabilities.shape != prediction.grid.shape:
        raise GeometryError(
            f"{scores.case}: probabilities of shape {probabilities.shape} do not fit a prediction of shape "
            f"{prediction.grid.shape}; give those that the prediction was made from"
        )
    pair = lay_on_each_other(prediction, reference, case=scores.case)
    if pair is None or not scores.predictions:
        return scores
    mass = pair.region(Region.MASS)
    boxed = probabilities[pair.box.slices].transpose(pair.axes)[mass.box.slices]
    values = pair.prediction[mass.box.slices]
    least = _sphere_voxels(settings.min_prediction_diameter_mm, pair)
    domains = find_domains(mass.prediction, values, np.ones((1, 1, 1), bool), min_voxels=least)
    highest = ndimage.maximum(boxed, domains.labels, index=np.arange(1, len(domains) + 1))
    return replace(
        scores,
        predictions=tuple(
            replace(domain, confidence=float(value)) for domain, value in zip(scores.predictions, highest, strict=True)
        ),
    )

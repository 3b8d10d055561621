"""Measuring a release on cases that it was not trained on: the whole cascade, pooled per patient."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from renalct.cascade import Cascade
from renalct.core.labels import KNOWN_CLASSES, MassClass, Region, Structure
from renalct.core.volume import LabelMap
from renalct.metrics.case import evaluate_case
from renalct.metrics.scores import CaseScores, ScoreSettings
from renalct.metrics.significance import bootstrap_interval
from renalct.models.cases import Case, CaseFile
from renalct.models.inference import classify_masses
from renalct.models.release import Metric, Release

_EVERY_CLASS = {Structure.KIDNEY, Structure.TUMOR, Structure.CYST}
_SETTINGS = ScoreSettings(domain_surfaces=False)
_REGIONS = (Region.KIDNEY_AND_MASS, Region.MASS, Region.TUMOR)


@dataclass(frozen=True)
class Overlap:
    """Voxels (in ml) of one region in one patient: in the reference, in the prediction, and in both."""

    reference_ml: float = 0.0
    predicted_ml: float = 0.0
    both_ml: float = 0.0

    def plus(self, other: Overlap) -> Overlap:
        """Both added, to pool the parts of one patient."""
        return Overlap(
            self.reference_ml + other.reference_ml,
            self.predicted_ml + other.predicted_ml,
            self.both_ml + other.both_ml,
        )

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|); 1 when both are empty."""
        total = self.reference_ml + self.predicted_ml
        return 2 * self.both_ml / total if total else 1.0


@dataclass(frozen=True)
class _Called:
    """The true class of a mass, and the class that the classifier found most probable."""

    truth: MassClass
    called: MassClass


def measure_release(
    release: Release, files: Sequence[CaseFile], *, data: str, tell: Callable[[int, int], None] | None = None
) -> tuple[Metric, ...]:
    """Mean Dice per patient of each region, end to end; its mean surface Dice; the share of masses found and the false
    ones per case; and the accuracy of the classifier on the reference's masses.

    Dice pools the parts of one patient; cases that do not assess every class are left out. `data` says what the cases
    are. Intervals are 95 % bootstrap intervals over patients.
    """
    cascade = Cascade(release, explained=False)
    overlaps: dict[str, list[Overlap]] = {}
    scored: dict[str, list[CaseScores]] = {}
    called: dict[str, list[_Called]] = {}
    for number, file in enumerate(files, start=1):
        for case in file.load():
            if not case.assessed >= _EVERY_CLASS:
                continue
            predicted = cascade.run(case.volume).label_map
            found = [overlap(predicted, case.label_map, region) for region in _REGIONS]
            scores = evaluate_case(predicted, case.label_map, case=case.name, patient=case.patient, settings=_SETTINGS)
            scored.setdefault(case.patient, []).append(scores)
            before = overlaps.get(case.patient, [Overlap()] * len(_REGIONS))
            overlaps[case.patient] = [a.plus(b) for a, b in zip(before, found, strict=True)]
            called.setdefault(case.patient, []).extend(_called(release, cascade, case))
        if tell:
            tell(number, len(files))
    if not overlaps:
        return ()
    metrics = []
    for n, region in enumerate(_REGIONS):
        values = np.asarray([each[n].dice for each in overlaps.values()])
        metrics.append(_metric(f"{region.words} Dice", data, values))
    for region in _REGIONS:
        surface = [np.asarray([s.region(region).surface_dice for s in each]) for each in scored.values()]
        metrics.append(_metric(f"{region.words} surface Dice", data, surface))
    touched = [np.asarray([d.touched for s in each for d in s.references], float) for each in scored.values()]
    if any(each.size for each in touched):
        metrics.append(_metric("mass sensitivity", data, [each for each in touched if each.size]))
    false = [np.asarray([len(s.false_positives) for s in each], float) for each in scored.values()]
    metrics.append(_metric("false positives per case", data, false))
    right = [np.asarray([c.truth is c.called for c in each], float) for each in called.values() if each]
    if right:
        metrics.append(_metric("class accuracy", data, right))
    return tuple(metrics)


def overlap(predicted: LabelMap, reference: LabelMap, region: Region) -> Overlap:
    """How much of a region two label maps on one grid share."""
    a, b, ml = predicted.region(region), reference.region(region), reference.grid.voxel_ml
    return Overlap(np.count_nonzero(b) * ml, np.count_nonzero(a) * ml, np.count_nonzero(a & b) * ml)


def _called(release: Release, cascade: Cascade, case: Case) -> Iterable[_Called]:
    stage = release.recipe.classify
    if stage is None or not case.masses:
        return
    networks = release.networks("classify", device=cascade.device)
    masks = [mass.mask for mass in case.masses]
    for mass, row in zip(case.masses, classify_masses(case.volume, masks, stage, networks), strict=True):
        yield _Called(mass.mass_class, KNOWN_CLASSES[int(row.argmax())])


def _metric(name: str, data: str, values: NDArray[np.float64] | Sequence[NDArray[np.float64]]) -> Metric:
    """The mean with its bootstrap interval; a value per patient, or an array of values per patient."""
    each = [np.atleast_1d(v) for v in values]
    patients = np.repeat(np.arange(len(each)), [len(v) for v in each])
    return patient_metric(name, data, np.concatenate(each), patients.tolist(), lambda rows: float(rows.mean()))


def patient_metric(
    name: str,
    data: str,
    values: ArrayLike,
    patients: Sequence[Hashable],
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    resamples: int = 2000,
) -> Metric:
    """A statistic of values with its 95 % bootstrap interval over patients; that of one patient is the value alone."""
    found = bootstrap_interval(values, patients, statistic, seed=0, resamples=resamples)
    low, high = (found.value if math.isnan(end) else end for end in (found.low, found.high))
    return Metric(name, data, len(set(patients)), round(found.value, 4), round(low, 4), round(high, 4))

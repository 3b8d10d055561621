"""The nouns of an evaluation: what was scored, and on what. nan means undefined, and is never dropped silently."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from renalct.core.labels import KNOWN_CLASSES, MassClass, Region, Side, Structure


class DiameterKind(Enum):
    """How the average diameter of a mass is taken; Zhao et al. 2023 leave it open, so a table names it."""

    EQUIVALENT_SPHERE = "diameter of the sphere of equal volume"
    BOX_MEAN = "mean of the three extents of the bounding box"
    AXIAL_MEAN = "mean of the longest axial diameter and the one across it"


@dataclass(frozen=True)
class ScoreSettings:
    """Tolerances of the surface Dice, and what counts as a connected domain.

    The tolerances are those of KiTS21 and KiTS23 (`kits21/evaluation`: spread between readers). Reference domains
    under `min_reference_diameter_mm` are neither found nor missed, and predictions on them are no false positives;
    predicted domains under `min_prediction_diameter_mm` are taken away before anything is counted. The paper has no
    such limits (0). Without `domain_surfaces`, masses get no surface Dice and no distances.
    """

    kidney_and_mass_tolerance_mm: float = 1.0330772532390826
    mass_tolerance_mm: float = 1.1328796488598762
    tumor_tolerance_mm: float = 1.1498198361434828
    min_reference_diameter_mm: float = 0.0
    min_prediction_diameter_mm: float = 0.0
    diameter_kind: DiameterKind = DiameterKind.EQUIVALENT_SPHERE
    domain_surfaces: bool = True

    def __post_init__(self) -> None:
        lengths = (self.kidney_and_mass_tolerance_mm, self.mass_tolerance_mm, self.tumor_tolerance_mm)
        limits = (self.min_reference_diameter_mm, self.min_prediction_diameter_mm)
        if not all(math.isfinite(value) and value >= 0 for value in lengths + limits):
            raise ValueError("tolerances and smallest diameters are lengths in mm, 0 or more")

    def tolerance_mm(self, region: Region) -> float:
        """The tolerance of the surface Dice of a region."""
        return {
            Region.KIDNEY_AND_MASS: self.kidney_and_mass_tolerance_mm,
            Region.MASS: self.mass_tolerance_mm,
            Region.TUMOR: self.tumor_tolerance_mm,
        }[region]


@dataclass(frozen=True)
class RegionScore:
    """Agreement on one region. Both empty: Dice and surface Dice 1, distances nan; one empty: 0 and nan."""

    region: Region
    dice: float
    surface_dice: float
    hausdorff_mm: float
    hausdorff95_mm: float
    assd_mm: float
    prediction_ml: float
    reference_ml: float


@dataclass(frozen=True)
class SideScore:
    """Agreement on one kidney with its masses, and on its masses alone.

    `UNDETERMINED` when the label maps do not tell left from right; the score is then of the whole patient.
    """

    side: Side
    kidney: RegionScore
    mass: RegionScore


@dataclass(frozen=True)
class DomainScore:
    """One connected domain (26 neighbors) of mass in the reference, and how it was found.

    `number` counts from 1 by decreasing volume; `structure` is that of most of its voxels. `matched` are the numbers
    of the predicted domains that share a voxel with it. `best_iou` is the highest with one of them; `paired_iou` that
    with its partner when each domain may have only one (0 without). `dice` and the distances are against all matched
    domains together: dice 0 and the rest 0 or nan without any.
    """

    number: int
    side: Side
    structure: Structure
    volume_ml: float
    diameter_mm: float
    matched: tuple[int, ...]
    best_iou: float
    paired_iou: float
    dice: float
    surface_dice: float = math.nan
    hausdorff_mm: float = math.nan
    hausdorff95_mm: float = math.nan

    @property
    def touched(self) -> bool:
        """Whether the prediction shares a voxel with it: a true positive by the rule of Zhao et al. 2023."""
        return bool(self.matched)


@dataclass(frozen=True)
class PredictedDomain:
    """One connected domain of mass in the prediction.

    `matched` are the numbers of the reference domains that it shares a voxel with. `on_ignored` says that it lies on
    mass of the reference that is too small to count. `confidence` is nan until somebody knows better.
    """

    number: int
    side: Side
    structure: Structure
    volume_ml: float
    diameter_mm: float
    matched: tuple[int, ...]
    paired_iou: float
    on_ignored: bool = False
    confidence: float = math.nan

    @property
    def touches(self) -> bool:
        """Whether it lies on any mass of the reference; if not, it is a false positive by the rule of the paper."""
        return bool(self.matched) or self.on_ignored


@dataclass(frozen=True)
class CaseScores:
    """Everything that is scored on one pair of label maps.

    `regions` are those of KiTS in the order of `Region`. `ignored_references` and `ignored_predictions` count the
    domains that were too small to count. `tumors_ml` are the volumes of the connected tumors of the reference, larger
    ones first; a cyst that touches one is no part of it, as it is of a domain. `unassessed` are the regions whose
    scores are nan because the readers did not look for a structure of theirs. A patient may have several cases
    (phases).
    """

    case: str
    patient: str
    regions: tuple[RegionScore, ...]
    sides: tuple[SideScore, ...]
    references: tuple[DomainScore, ...]
    predictions: tuple[PredictedDomain, ...]
    ignored_references: int = 0
    ignored_predictions: int = 0
    unassessed: tuple[Region, ...] = ()
    tumors_ml: tuple[float, ...] = ()

    @property
    def masses_known(self) -> bool:
        """Whether the readers looked for all masses, so that found, missed and false ones can be told."""
        return Region.MASS not in self.unassessed

    @property
    def false_positives(self) -> tuple[PredictedDomain, ...]:
        """The predicted domains where the reference has no mass at all (rule of Zhao et al. 2023)."""
        return tuple(domain for domain in self.predictions if not domain.touches)

    def region(self, region: Region) -> RegionScore:
        """The score of one region. Raises `KeyError` when it was not scored."""
        for score in self.regions:
            if score.region is region:
                return score
        raise KeyError(f"{self.case} has no score of {region.title}")


@dataclass(frozen=True)
class DetectionCounts:
    """Connected domains: reference domains found and missed, predicted domains that are false."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __post_init__(self) -> None:
        if min(self.true_positives, self.false_positives, self.false_negatives) < 0:
            raise ValueError("counts of domains are 0 or more")

    def __add__(self, other: DetectionCounts) -> DetectionCounts:
        return DetectionCounts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP); nan when nothing was predicted."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); nan when there was nothing to find."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the harmonic mean of both; nan when nothing was there and nothing predicted."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class Decision:
    """What a classifier said of one mass of the reference.

    `probabilities` are of `KNOWN_CLASSES`, or None where none were given. `dice` is that of the mask which it saw with
    the reference (1 for the reader's own mask), nan when not known.
    """

    reference: MassClass
    predicted: MassClass
    probabilities: tuple[float, float, float] | None
    diameter_mm: float
    patient: str
    dice: float = math.nan

    def __post_init__(self) -> None:
        if self.reference not in KNOWN_CLASSES:
            raise ValueError("the class of a reference is known; a mass of unknown class cannot be scored")
        if self.probabilities is not None:
            if len(self.probabilities) != len(KNOWN_CLASSES) or not all(0 <= p <= 1 for p in self.probabilities):
                raise ValueError(f"{len(KNOWN_CLASSES)} probabilities from 0 to 1 are needed")
            if abs(sum(self.probabilities) - 1) > 1e-3:
                raise ValueError(f"the probabilities of a mass sum to 1, not to {sum(self.probabilities):.4f}")

    @property
    def correct(self) -> bool:
        """Whether the class was named; `unknown` is an error."""
        return self.predicted is self.reference


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan

"""What was found: kidneys, masses, their measurements and classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, MassClass, Side, Structure
from renalct.core.volume import Mask

Point = tuple[float, float, float]


@dataclass(frozen=True)
class HUStatistics:
    """Mean, standard deviation (population), minimum and maximum of the CT numbers of an object, in HU."""

    mean: float
    sd: float
    min: float
    max: float


@dataclass(frozen=True)
class Caliper:
    """A straight line on one slice: its length, and its ends as fractional voxel indices (i, j, k)."""

    length_mm: float
    start: Point
    stop: Point


@dataclass(frozen=True)
class Classification:
    """The class of a mass, the probability of each of `KNOWN_CLASSES`, and why a class is unknown ("" if known).

    `probabilities` is empty when no classifier was asked.
    """

    mass_class: MassClass
    probabilities: tuple[float, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if self.probabilities and len(self.probabilities) != len(KNOWN_CLASSES):
            raise ValueError(f"one probability for each of {len(KNOWN_CLASSES)} classes is needed")
        if (self.mass_class is MassClass.UNKNOWN) != bool(self.reason):
            raise ValueError("an unknown class has a reason, and a known one has none")

    def probability(self, mass_class: MassClass) -> float | None:
        """The probability of a known class, or None when no classifier was asked."""
        return self.probabilities[KNOWN_CLASSES.index(mass_class)] if self.probabilities else None


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """Grad-CAM of the explained class, 0 to 1 (float32), on the voxels of a box of the reference grid."""

    mass_class: MassClass
    box: Box
    values: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Kidney:
    """One kidney without its masses: `volume_ml` and `hu` are of the parenchyma that `mask` covers.

    `volume_with_masses_ml` also counts the masses that belong to it.
    """

    side: Side
    mask: Mask = field(repr=False)
    volume_ml: float
    volume_with_masses_ml: float
    centroid_mm: Point
    hu: HUStatistics


@dataclass(frozen=True, eq=False)
class Mass:
    """One renal mass. Numbers run from 1 by decreasing volume over the whole patient.

    `average_diameter_mm` is the diameter of the sphere of equal volume; `fat_fraction` the share of voxels under
    -10 HU; `enhancing_fraction` the share that gains more than 20 HU between two registered phases, or None;
    `segmented_as` what most of its voxels were segmented as, tumor or cyst; `confidence` how sure the segmenting
    networks are that it is a mass (the mean of their probability, 0 to 1), None where nobody asked them.
    """

    number: int
    side: Side
    mask: Mask = field(repr=False)
    centroid_mm: Point
    volume_ml: float
    average_diameter_mm: float
    longest_axial: Caliper
    short_axis: Caliper
    max_3d_diameter_mm: float
    hu: HUStatistics
    fat_fraction: float
    enhancing_fraction: float | None
    classification: Classification
    activation: ActivationMap | None = None
    segmented_as: Structure = Structure.TUMOR
    confidence: float | None = None

    @property
    def structure(self) -> Structure:
        """The label value of the mass: that of its class, or while that is unknown what it was segmented as."""
        mass_class = self.classification.mass_class
        return self.segmented_as if mass_class is MassClass.UNKNOWN else mass_class.structure

    @property
    def name(self) -> str:
        """The tracking identifier, for example ``Mass R1`` for the first mass, on the right."""
        return f"Mass {self.side.value[0].upper()}{self.number}"


@dataclass(frozen=True, eq=False)
class Findings:
    """All kidneys and masses of a patient; empty tuples when there are none."""

    kidneys: tuple[Kidney, ...] = ()
    masses: tuple[Mass, ...] = ()

    def __post_init__(self) -> None:
        numbers = [mass.number for mass in self.masses]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"masses are numbered from 1 without gaps, not {numbers}")

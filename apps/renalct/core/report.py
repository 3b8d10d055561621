"""The report: findings, where they come from, and what a reader must know; and its JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from renalct.core.findings import Findings, Kidney, Mass
from renalct.core.labels import KNOWN_CLASSES
from renalct.core.phase import PhaseEstimate
from renalct.core.volume import Source

SCHEMA_VERSION = 1
NOT_FOR_CLINICAL_USE = "Not for clinical use. Research software; the result was not reviewed by a physician."


@dataclass(frozen=True)
class Provenance:
    """What made a report: software, release (name, version, sha256 of its weights), and what it was trained on."""

    software_version: str
    release_name: str
    release_version: str
    release_digest: str
    trained_on: str
    licence: str
    recipe_name: str
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Report:
    """Findings with their provenance and the notices that a reader must see. No findings is a valid report."""

    findings: Findings
    provenance: Provenance
    source: Source = Source()
    phase: PhaseEstimate = PhaseEstimate()
    notices: tuple[str, ...] = ()
    seconds_per_stage: tuple[tuple[str, float], ...] = field(default=(), compare=False)

    def summary(self) -> str:
        """One or two plain sentences that say what was found."""
        kidneys = len(self.findings.kidneys)
        masses = self.findings.masses
        if not kidneys and not masses:
            return "No kidney was found."
        found = (
            f"{kidneys} kidney{'s' if kidneys != 1 else ''} ({', '.join(k.side.value for k in self.findings.kidneys)})"
        )
        if not masses:
            return f"Found {found} and no renal mass."
        each = "; ".join(
            f"{mass.name}, {mass.classification.mass_class.title}, {mass.longest_axial.length_mm:.0f} mm"
            for mass in masses
        )
        return f"Found {found} and {len(masses)} renal mass{'es' if len(masses) != 1 else ''}: {each}."

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values: lengths in mm, volumes in ml, CT numbers in HU, points in mm (RAS+).

        Within a schema version keys are only added. Times are in `seconds_per_stage` alone.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "warning": NOT_FOR_CLINICAL_USE,
            "trained_on": self.provenance.trained_on,
            "summary": self.summary(),
            "kidneys": [_kidney(kidney) for kidney in self.findings.kidneys],
            "masses": [_mass(mass) for mass in self.findings.masses],
            "phase": {
                "name": self.phase.phase.value,
                "probability": round(self.phase.probability, 3),
                "evidence": self.phase.evidence,
            },
            "notices": list(self.notices),
            "source": asdict(self.source) | {"series_description": ""},  # typed by hand: it may name the patient
            "provenance": asdict(self.provenance),
            "seconds_per_stage": {name: round(seconds, 3) for name, seconds in self.seconds_per_stage},
        }


def _kidney(kidney: Kidney) -> dict[str, Any]:
    return {
        "side": kidney.side.value,
        "voxels": kidney.mask.count,
        "volume_ml": kidney.volume_ml,
        "volume_with_masses_ml": kidney.volume_with_masses_ml,
        "centroid_mm": list(kidney.centroid_mm),
        "hu": asdict(kidney.hu),
    }


def _mass(mass: Mass) -> dict[str, Any]:
    probabilities = mass.classification.probabilities
    return {
        "number": mass.number,
        "name": mass.name,
        "side": mass.side.value,
        "class": mass.classification.mass_class.value,
        "class_reason": mass.classification.reason,
        "label": int(mass.structure),
        "class_probabilities": {c.value: p for c, p in zip(KNOWN_CLASSES, probabilities, strict=True)}
        if probabilities
        else None,
        "voxels": mass.mask.count,
        "volume_ml": mass.volume_ml,
        "average_diameter_mm": mass.average_diameter_mm,
        "longest_axial_diameter_mm": mass.longest_axial.length_mm,
        "short_axis_diameter_mm": mass.short_axis.length_mm,
        "max_3d_diameter_mm": mass.max_3d_diameter_mm,
        "centroid_mm": list(mass.centroid_mm),
        "hu": asdict(mass.hu),
        "fat_fraction": mass.fat_fraction,
        "enhancing_fraction": mass.enhancing_fraction,
        "confidence": mass.confidence,
    }

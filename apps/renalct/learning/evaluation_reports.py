"""What is read beside a prediction's label map: the masses of its report, and answers inside the readers' masks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.core.labels import KNOWN_CLASSES, MassClass, Side
from renalct.formats.dicom.seg_reading import referenced_series
from renalct.learning.evaluation_files import LabelFile
from renalct.learning.evaluation_predict import REFERENCE_MASSES, GivenMass
from renalct.learning.evaluation_records import from_json
from renalct.metrics.scores import CaseScores, Decision, PredictedDomain

REPORT = "report.json"
_SAME_ML = 1e-6


@dataclass(frozen=True)
class FoundMass:
    """A mass as a report has it: its side, volume, class and probabilities (empty where no classifier was asked).

    `confidence` says how sure the system is that it is a mass; nan where the report does not say.
    """

    side: Side
    volume_ml: float
    mass_class: MassClass
    probabilities: tuple[float, ...]
    confidence: float = math.nan


def read_found(folder: Path) -> tuple[FoundMass, ...]:
    """The masses in the report of a prediction's folder, in order; none where there is no report."""
    data = _json(folder / REPORT)
    try:
        return tuple(_found(mass) for mass in (data["masses"] if data else ()))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{REPORT} lacks a value of a mass, or holds a wrong one ({error})") from error


def _found(mass: dict[str, Any]) -> FoundMass:
    shares, sure = mass["class_probabilities"], mass.get("confidence")
    return FoundMass(
        Side(mass["side"]),
        float(mass["volume_ml"]),
        MassClass(mass["class"]),
        tuple(float(shares[c.value]) for c in KNOWN_CLASSES) if shares else (),
        math.nan if sure is None else float(sure),
    )


def read_given(folder: Path, patient: str) -> tuple[Decision, ...]:
    """The decisions inside the readers' masks that were saved with a prediction; none where there are none."""
    data = _json(folder / REFERENCE_MASSES)
    try:
        given = from_json(tuple[GivenMass, ...], data["masses"]) if data else ()
        return tuple(
            Decision(each.reference, each.predicted, each.probabilities, each.diameter_mm, patient, 1.0)
            for each in given
            if each.reference in KNOWN_CLASSES
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{REFERENCE_MASSES} lacks a value of a mass, or holds a wrong one ({error})") from error


def series_of(file: LabelFile) -> str:
    """The SeriesInstanceUID of the images that a prediction was made on, as its report or the segmentation itself says.

    "" where neither does; whoever scores the case says what is wrong with it.
    """
    try:
        data = _json(file.folder / REPORT) if file.folder else None
        if data and data["source"]["series_instance_uid"]:
            return str(data["source"]["series_instance_uid"])
        return referenced_series(file.path) if file.path.suffix.lower() == ".dcm" else ""
    except (InputError, KeyError, TypeError):
        return ""


def mass_of(domain: PredictedDomain, masses: Sequence[FoundMass]) -> FoundMass | None:
    """The report's mass that a predicted domain is, or None.

    It is known by its volume; of several with the same volume by its side, then the first of them.
    """
    same = [mass for mass in masses if abs(mass.volume_ml - domain.volume_ml) <= max(_SAME_ML, 1e-4 * mass.volume_ml)]
    same = [mass for mass in same if mass.side is domain.side] or same
    return same[0] if same else None


def answer_of(
    domain: PredictedDomain, masses: Sequence[FoundMass]
) -> tuple[MassClass, tuple[float, float, float] | None]:
    """The class and probabilities of a predicted domain: from the report where it has that mass, else by its label."""
    mass = mass_of(domain, masses)
    if mass is None:
        return {known.structure: known for known in KNOWN_CLASSES}[domain.structure], None
    aml, cystic, solid = mass.probabilities or (0.0, 0.0, 0.0)
    return mass.mass_class, (aml, cystic, solid) if mass.probabilities else None


def with_reported_confidence(scores: CaseScores, masses: Sequence[FoundMass]) -> CaseScores:
    """The scores with the confidence that the report gives each predicted domain; nan where it gives none."""

    def sure(domain: PredictedDomain) -> PredictedDomain:
        mass = mass_of(domain, masses)
        return domain if mass is None else replace(domain, confidence=mass.confidence)

    return replace(scores, predictions=tuple(sure(domain) for domain in scores.predictions))


def _json(path: Path) -> Any:  # what it holds, or None; the caller checks it
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as JSON ({error}); predict the case again") from error

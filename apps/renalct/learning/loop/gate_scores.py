"""How good a release is on each frozen case: the whole cascade on whole volumes, never cropped by a label."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalct import __version__
from renalct.cascade import Cascade
from renalct.core.errors import OutputError, RecipeError
from renalct.core.labels import Region, Structure
from renalct.learning.loop.labelled_cases import LabelledCase
from renalct.learning.stage_validation import class_dice
from renalct.metrics.case import evaluate_case
from renalct.metrics.scores import ScoreSettings
from renalct.models.cases import Case, CaseFile
from renalct.models.release import Release
from renalct.models.values import from_json, to_json

CLASSES = (
    ("kidney", frozenset({Structure.KIDNEY})),
    ("tumor", frozenset({Structure.TUMOR, Structure.ANGIOMYOLIPOMA})),
    ("cyst", frozenset({Structure.CYST})),
    ("angiomyolipoma", frozenset({Structure.ANGIOMYOLIPOMA})),
)
"""What a version may not be worse in. An angiomyolipoma is a tumor, and is looked at on its own too."""
SENSITIVITY, FALSE_MASSES = "lesion sensitivity", "false positives per case"
WHOLE, MASS = f"{Region.KIDNEY_AND_MASS.words} Dice", f"{Region.MASS.words} Dice"

_SETTINGS = ScoreSettings(domain_surfaces=False)

Tell = Callable[[int, int], None]
"""Called with how many of how many cases are done."""


@dataclass(frozen=True)
class CaseScore:
    """One case: a Dice for each class that its reader assessed and labelled, and Dice and surface Dice of regions.

    `masses` are those of the reference, `found` those of them that the prediction touches, `false_masses` predicted
    ones that touch none; all 0, and not `counted`, where not every mass was assessed.
    """

    image_id: str
    patient: str
    classes: tuple[tuple[str, float], ...]
    regions: tuple[tuple[str, float], ...]
    masses: int = 0
    found: int = 0
    false_masses: int = 0
    counted: bool = True


def score_release(
    release: Release,
    cases: Sequence[tuple[LabelledCase, CaseFile]],
    *,
    kept: Path,
    device: str = "cpu",
    tell: Tell = lambda done, of: None,
) -> tuple[CaseScore, ...]:
    """The scores of a release on these cases, in their order.

    Each is written into the folder `kept` as soon as it is known, and what is there of the same release, label version
    and version of the package is taken from there. Raises `OutputError`.
    """
    cascade: Cascade | None = None
    scores = []
    for number, (case, file) in enumerate(cases, start=1):
        words = f"{release.digest} {case.image_id} {case.number} {case.sha256} {__version__} {device.split(':')[0]}"
        path = kept / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}.json"
        found = _kept(path)
        if found is None:
            cascade = cascade or Cascade(release, device=device, explained=False)
            (loaded,) = file.load()
            found = _score(cascade, loaded, case.image_id)
            _keep(path, found)
        scores.append(found)
        tell(number, len(cases))
    return tuple(scores)


def mean_numbers(scores: Sequence[CaseScore]) -> tuple[tuple[str, float], ...]:
    """The means over the cases by name, for people and for a server's statistics; what nobody knows is left out."""
    numbers: dict[str, list[float]] = {}
    for score in scores:
        for name, value in (*((f"{name} Dice", value) for name, value in score.classes), *score.regions):
            numbers.setdefault(name, []).append(value)
    means = [(name, math.fsum(values) / len(values)) for name, values in numbers.items()]
    counted = [score for score in scores if score.counted]
    masses = sum(score.masses for score in counted)
    if masses:
        means.append((SENSITIVITY, sum(score.found for score in counted) / masses))
    if counted:
        means.append((FALSE_MASSES, sum(score.false_masses for score in counted) / len(counted)))
    return tuple(means)


def _score(cascade: Cascade, case: Case, image_id: str) -> CaseScore:
    predicted = cascade.run(case.volume).label_map
    scores = evaluate_case(predicted, case.label_map, case=case.name, patient=case.patient, settings=_SETTINGS)
    assessed = case.assessed | ({Structure.ANGIOMYOLIPOMA} if Structure.TUMOR in case.assessed else frozenset())
    there = {Structure(int(value)) for value in np.unique(case.label_map.values)}
    classes = tuple(
        (name, class_dice(predicted, case.label_map, structures))
        for name, structures in CLASSES
        if structures <= assessed and structures & there
    )
    regions: list[tuple[str, float]] = []
    for region in Region:
        if region.value <= assessed and (region is not Region.TUMOR or region.value & there):
            score = scores.region(region)
            dice = () if region is Region.TUMOR else ((f"{region.words} Dice", score.dice),)  # that is a class's
            regions += [*dice, (f"{region.words} surface Dice", score.surface_dice)]
    if not Region.MASS.value <= assessed:
        return CaseScore(image_id, case.patient, classes, tuple(regions), counted=False)
    found = sum(domain.touched for domain in scores.references)
    counts = len(scores.references), found, len(scores.false_positives)
    return CaseScore(image_id, case.patient, classes, tuple(regions), *counts)


def _kept(path: Path) -> CaseScore | None:
    try:
        return from_json(CaseScore, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecipeError):  # none yet, or torn by a stop: it is computed again
        return None


def _keep(path: Path, score: CaseScore) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(to_json(score)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"the scores cannot be written to {path.parent} ({error.strerror})") from error

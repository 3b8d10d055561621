"""Scoring one stage's weights while they are trained: on whole volumes, never cropped by the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from renalct.cascade import Cascade
from renalct.core.errors import RecipeError
from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, Region, Structure
from renalct.core.volume import LabelMap
from renalct.metrics.case import evaluate_case
from renalct.metrics.scores import CaseScores, ScoreSettings
from renalct.models.cases import Case, CaseFile
from renalct.models.engine import Score, Validate
from renalct.models.inference import classify_masses, localize
from renalct.models.networks import build_network, load_state, placed
from renalct.models.recipe import Recipe, Stage
from renalct.models.release import Card, Release, Weights
from renalct.models.run_folder import read_run
from renalct.models.run_plan import Validator
from renalct.models.trained import kept_weights

_SETTINGS = ScoreSettings(domain_surfaces=False)
_CLASSES = (
    (frozenset({Structure.KIDNEY}), "kidney"),
    (frozenset({Structure.TUMOR, Structure.ANGIOMYOLIPOMA}), "tumor"),
    (frozenset({Structure.CYST}), "cyst"),
)


@dataclass(frozen=True)
class _Scored:
    """The scores of one case, the Dice of each class, and which structures its reader assessed."""

    scores: CaseScores
    class_dice: tuple[float, ...]
    assessed: frozenset[Structure]

    def knows(self, structures: Iterable[Structure]) -> bool:
        """Whether all these structures were assessed; who looks for tumors finds angiomyolipomas."""
        implied = {Structure.ANGIOMYOLIPOMA} if Structure.TUMOR in self.assessed else set()
        return frozenset(structures) <= self.assessed | implied


def stage_validator(device: str = "cpu") -> Validator:
    """What makes the scoring of each stage of a run.

    The localize stage is scored on the kidneys it finds; each segmenting stage alone, behind the run's own localize
    stage, which must have been trained before (else there is none), and before kidneys and masses are separated, which
    takes long while a network knows little; the classifier on the reference's masses.
    """

    def make(run: Path, name: str, member: int, files: Sequence[CaseFile]) -> Validate | None:
        recipe = read_run(run)[0].recipe
        stage = dict(recipe.stages)[name].seen_by(member)
        if stage.classes:
            return partial(_score_classifier, stage=stage, files=files, device=device)
        if name == "localize":
            return partial(_score_localizer, stage=stage, files=files, device=device)
        try:
            before = tuple(
                (other, tuple(kept_weights(run, other, s, n)[0] for n in range(s.members)))
                for other, s in recipe.stages
                if other == "localize"
            )
        except RecipeError:
            return None
        alone = replace(recipe, segment=replace(stage, members=1), segment_too=None, classify=None)
        return partial(_score_segmenter, recipe=alone, before=before, files=files, device=device)

    return make


def _score_localizer(weights: Weights, *, stage: Stage, files: Sequence[CaseFile], device: str) -> Score:
    network = build_network(stage)
    load_state(network, weights)
    network = placed(network, stage, device).eval()
    wanted = sorted({int(s) for target in stage.targets for s in target.structures})
    found = []
    for case in _cases(files):
        located = localize(case.volume, stage, [network], device=device)
        seen = located.mask_on(case.volume.grid, Box.whole(case.volume.grid.shape)).voxels
        reference = np.isin(case.label_map.values, wanted)
        pair = [LabelMap(mask.astype(np.uint8), case.volume.grid) for mask in (seen, reference)]
        scores = evaluate_case(*pair, case=case.name, patient=case.patient, settings=_SETTINGS)
        found.append(scores.region(Region.KIDNEY_AND_MASS))
    dice, surface = (_mean(getattr(score, name) for score in found) for name in ("dice", "surface_dice"))
    return Score(dice, (("kidneys Dice", dice), ("kidneys surface Dice", surface)))


def _score_segmenter(
    weights: Weights,
    *,
    recipe: Recipe,
    before: tuple[tuple[str, tuple[Weights, ...]], ...],
    files: Sequence[CaseFile],
    device: str,
) -> Score:
    card = Card(recipe.name, "validation", "in training", "")
    cascade = Cascade(Release(recipe, card, "", (*before, ("segment", (weights,)))), device=device)
    return summary([_scored(cascade, case) for case in _cases(files)])


def _scored(cascade: Cascade, case: Case) -> _Scored:
    predicted = cascade.segment(case.volume, cascade.localize(case.volume))
    scores = evaluate_case(predicted, case.label_map, case=case.name, patient=case.patient, settings=_SETTINGS)
    dice = tuple(class_dice(predicted, case.label_map, structures) for structures, _ in _CLASSES)
    return _Scored(scores, dice, case.assessed)


def class_dice(predicted: LabelMap, reference: LabelMap, structures: Iterable[Structure]) -> float:
    """The Dice of a set of structures; 1 when both label maps have none."""
    values = [int(s) for s in structures]
    a, b = np.isin(predicted.values, values), np.isin(reference.values, values)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


def summary(found: Sequence[_Scored]) -> Score:
    """Means over the cases that assess what is scored; the value is that of the Dice of kidneys and of masses.

    Lesion sensitivity is of all masses of all cases together; nan where there is nothing to score.
    """
    numbers: list[tuple[str, float]] = []
    for region in Region:
        known = [f.scores.region(region) for f in found if f.knows(region.value)]
        numbers.append((f"{region.words} Dice", _mean(score.dice for score in known)))
        numbers.append((f"{region.words} surface Dice", _mean(score.surface_dice for score in known)))
    for index, (structures, name) in enumerate(_CLASSES):
        numbers.append((f"{name} Dice", _mean(f.class_dice[index] for f in found if f.knows(structures))))
    with_masses = [f.scores for f in found if f.knows(Region.MASS.value)]
    touched = [domain.touched for scores in with_masses for domain in scores.references]
    numbers.append(("lesion sensitivity", _mean(map(float, touched))))
    numbers.append(("false positives per case", _mean(float(len(s.false_positives)) for s in with_masses)))
    named = dict(numbers)
    wanted = [named[f"{region.words} Dice"] for region in (Region.KIDNEY_AND_MASS, Region.MASS)]
    return Score(_mean(value for value in wanted if not math.isnan(value)), tuple(numbers))


def _score_classifier(weights: Weights, *, stage: Stage, files: Sequence[CaseFile], device: str) -> Score:
    """Accuracy and balanced accuracy (the mean recall of the classes that occur) on the reference's masses."""
    network = build_network(stage)
    load_state(network, weights)
    networks = [placed(network, stage, device).eval()]
    right: dict[int, list[float]] = {}
    for case in _cases(files):
        if not case.masses:
            continue
        rows = classify_masses(case.volume, [mass.mask for mass in case.masses], stage, networks, device=device)
        for mass, row in zip(case.masses, rows, strict=True):
            truth = KNOWN_CLASSES.index(mass.mass_class)
            right.setdefault(truth, []).append(float(int(row.argmax()) == truth))
    balanced = _mean(_mean(each) for each in right.values())
    accuracy = _mean(value for each in right.values() for value in each)
    return Score(balanced, (("accuracy", accuracy), ("balanced accuracy", balanced)))


def _cases(files: Sequence[CaseFile]) -> Iterable[Case]:
    """One case after the other: no more than one file's volumes are in memory."""
    for file in files:
        yield from file.load()


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan

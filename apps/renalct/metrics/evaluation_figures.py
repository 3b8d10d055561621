"""The charts of an evaluation from its scores: the papers' figure types, each with the number of values it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from renalct.core.labels import KNOWN_CLASSES, Region, Side
from renalct.metrics import papers
from renalct.metrics.classification import ANSWERS, confusion_matrix
from renalct.metrics.detection import froc
from renalct.metrics.evaluated import Evaluated, decisions_of
from renalct.metrics.figures import CLASS_COLORS, OURS, Figure, Words
from renalct.metrics.figures_charts import (
    Curve,
    Group,
    Matrix,
    box_figure,
    confusion_figure,
    histogram_figure,
    line_figure,
    scatter_figure,
    square_figure,
    volume_figure,
)
from renalct.metrics.paper_tables import CLASS_NAMES, FOUND, GIVEN, printed_matrix, side_scores, strata
from renalct.metrics.paper_tables_kits import REGION_NAMES, halves, solitary_tumors
from renalct.metrics.probabilities import calibration, one_vs_rest
from renalct.metrics.scores import CaseScores, Decision
from renalct.metrics.significance_tables import common_cases, dice_by_class, individual_means

REGION_COLORS = {Region.KIDNEY_AND_MASS: "#1d8a63", Region.MASS: "#6a51a3", Region.TUMOR: "#c8501e"}
_SIDE_COLORS = {Side.LEFT: "#1f6fb2", Side.RIGHT: "#c98a00"}
_DIAMOND = "A diamond is the paper's own number, of other patients."


def region_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """Boxes of Dice and of surface Dice by region, and Dice of the tumor over its volume."""
    majority = [p for p in papers.ZANG_REGIONS if p.data is papers.ZANG_MAJORITY]
    figures = []
    for name, title in (("dice", "Dice"), ("surface_dice", "Surface Dice")):
        groups = []
        for printed in majority:
            values = tuple(getattr(record.scores.region(printed.region), name) for record in evaluated.records)
            mark = getattr(printed, name)
            groups.append(Group(REGION_NAMES[printed.region], values, REGION_COLORS[printed.region], mark))
        words = Words(f"{name}_by_region", f"{title} by region", f"One point per case. {_DIAMOND} (Zang et al. 2021.)")
        figures.append(box_figure(words, groups, axis=title))
    pairs = []
    for region in (Region.MASS, Region.TUMOR):
        scores = [record.scores.region(region) for record in evaluated.records]
        scores = [score for score in scores if score.reference_ml > 0]
        volumes, dice = tuple(score.reference_ml for score in scores), tuple(score.dice for score in scores)
        pairs.append((Group(REGION_NAMES[region], volumes, REGION_COLORS[region]), Group("Dice", dice)))
    words = Words("dice_by_volume", "Dice over volume", "One point per case that has a mass in the reference.")
    figures.append(volume_figure(words, pairs, axes_labels=("volume in the reference, ml", "Dice")))
    return tuple(figures)


def side_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """Boxes of Dice of kidneys and masses per side, and of the Hausdorff distance of masses."""
    dice, distance = [], []
    for structure in (papers.KIDNEY, papers.MASS):
        for side in (Side.LEFT, Side.RIGHT):
            scores = [score for _, score in side_scores(evaluated, structure, side)]
            printed = next(
                p for p in papers.ZHAO_AGREEMENT if (p.data, p.structure, p.side) == (papers.ZHAO_TEST, structure, side)
            )
            label, color = f"{structure}, {side.value}", _SIDE_COLORS[side]
            dice.append(Group(label, tuple(score.dice for score in scores), color, printed.dice))
            if structure == papers.MASS:
                values = tuple(score.hausdorff_mm for score in scores)
                distance.append(Group(label, values, color, printed.hausdorff_mm))
    of_paper = f"{_DIAMOND} (Zhao et al. 2023, test set.)"
    first = Words("dice_by_side", "Dice per kidney", f"One point per kidney. {of_paper}")
    second = Words("hausdorff_by_side", "Hausdorff distance of masses per kidney", f"Where it is defined. {of_paper}")
    return box_figure(first, dice, axis="Dice"), box_figure(second, distance, axis="mm", unit_range=False)


def class_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """Boxes of Dice of found masses by class, and confusion matrices by size and kind of mask beside the paper's."""
    groups = [Group(CLASS_NAMES[c], tuple(v), CLASS_COLORS[c]) for c, v in dice_by_class(evaluated).items()]
    words = Words(
        "dice_by_class", "Dice of found masses by class", "One point per mass of the reference that is found."
    )
    boxes = box_figure(words, groups, axis="Dice")
    matrices = []
    given, found = (decisions_of(evaluated.records, given=given) for given in (True, False))
    for name, decisions in ((GIVEN, given), (FOUND, found)):
        for stratum, inside in strata(decisions):
            if inside:
                matrices.append(_matrix(f"ours, {name}, {stratum}", inside))
    for printed in papers.ZHAO_CONFUSION:
        rows = tuple(CLASS_NAMES[each] for each, _ in printed.rows)
        counts = printed_matrix(printed).counts
        matrices.append(Matrix(f"Zhao et al. 2023, {printed.stratum}", rows, _answers(), counts))
    caption = "The shade of a field is its share of the row. The paper's matrices are of other patients."
    return boxes, confusion_figure(Words("confusion", "Confusion matrices", caption), matrices)


def size_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """Histograms of Dice of small and of large solitary tumors."""
    median, small, large = halves(solitary_tumors(evaluated))
    border = "" if math.isnan(median) else f" {median:.1f} ml"
    figures = []
    for name, title in (("dice", "Dice"), ("surface_dice", "Surface Dice")):
        groups = [
            Group(f"up to{border}", tuple(getattr(t, name) for t in small), "#c98a00"),
            Group(f"over{border}", tuple(getattr(t, name) for t in large), "#6a51a3"),
        ]
        caption = "Cases with one connected tumor, parted at the median volume; the line is the median of the half."
        words = Words(f"{name}_small_large", f"{title} of small and large tumors", caption)
        figures.append(histogram_figure(words, groups, axis=title))
    return tuple(figures)


def comparison_figures(first: Evaluated, second: Evaluated) -> tuple[Figure, ...]:
    """The Dice of each case by one system over that by another."""
    pairs = common_cases(first, second)
    groups = []
    for region in Region:
        x = tuple(b.scores.region(region).dice for _, b in pairs)
        y = tuple(a.scores.region(region).dice for a, _ in pairs)
        groups.append((Group(REGION_NAMES[region], x, REGION_COLORS[region]), Group("", y)))
    caption = f"One point per case; above the line {first.system} is better."
    words = Words("comparison", f"{first.system} and {second.system}", caption)
    return (scatter_figure(words, groups, axes_labels=(f"Dice, {second.system}", f"Dice, {first.system}")),)


def reader_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """Tumor Dice against the reference over the mean against single readers; nothing without several readers."""
    both = individual_means(evaluated)
    if not both:
        return ()
    group = Group("tumor", tuple(b for _, b in both), OURS), Group("", tuple(a for a, _ in both))
    words = Words("readers", "Reference and single readers", "One point per case: the Dice of the tumor against each.")
    return (scatter_figure(words, [group], axes_labels=("mean Dice, single readers", "Dice, reference")),)


def probability_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """One-vs-rest ROC curves and calibration, inside the readers' masks and inside the system's own."""
    figures = []
    for name, given in ((GIVEN, True), (FOUND, False)):
        decisions = decisions_of(evaluated.records, given=given)
        if given and not decisions:
            continue
        curves = []
        for each in KNOWN_CLASSES:
            roc = one_vs_rest(decisions, each)
            if roc.false_positive_rates:
                label = f"{CLASS_NAMES[each]}: AUC {roc.auc:.2f} ({roc.positives} of {roc.positives + roc.negatives})"
                color = CLASS_COLORS[each]
                curves.append(Curve(label, roc.false_positive_rates, roc.true_positive_rates, color))
        stem = "given" if given else "found"
        words = Words(f"roc_{stem}", f"ROC, {name}", "One class against the other two, masses of every size.")
        empty = "no class probabilities, or masses of one class only"
        axes = ("false positive rate", "true positive rate")
        figures.append(square_figure(words, curves, axes_labels=axes, empty=empty))
        bins = [part for part in calibration(decisions).bins if part.n]
        x, y = tuple(part.mean_probability for part in bins), tuple(part.accuracy for part in bins)
        lines = [Curve(f"{sum(part.n for part in bins)} masses", x, y, OURS)] if bins else []
        words = Words(f"calibration_{stem}", f"Calibration, {name}", "On the dashed line, probabilities come true.")
        axes = ("probability of the most probable class", "share that is right")
        figures.append(square_figure(words, lines, axes_labels=axes, empty="no class probabilities"))
    return tuple(figures)


def froc_figures(evaluated: Evaluated) -> tuple[Figure, ...]:
    """Sensitivity over false masses per case, surest predicted masses first, or where some say nothing the largest."""
    scores = [record.scores for record in evaluated.records]
    domains = [domain for each in scores for domain in each.predictions]
    told = bool(domains) and not any(math.isnan(domain.confidence) for domain in domains)
    if not told:
        scores = [_by_size(each) for each in scores]
    curve = froc(scores)
    label = f"{curve.references} masses in {curve.cases} cases"
    lines = [Curve(label, curve.false_positives_per_case, curve.sensitivities)]
    caption = (
        "The predicted masses that the system is surest of (confidence in its reports) come first."
        if told
        else "Not every predicted mass has a confidence: the largest come first, the smallest last."
    )
    words = Words("froc", "Masses found over false masses (FROC)", caption)
    return (line_figure(words, lines, axes_labels=("false masses per case", "share of masses found")),)


def _by_size(scores: CaseScores) -> CaseScores:
    domains = tuple(replace(domain, confidence=domain.volume_ml) for domain in scores.predictions)
    return replace(scores, predictions=domains)


def _matrix(title: str, decisions: Sequence[Decision]) -> Matrix:
    rows = tuple(CLASS_NAMES[each] for each in KNOWN_CLASSES)
    return Matrix(title, rows, _answers(), confusion_matrix(decisions).counts)


def _answers() -> tuple[str, ...]:
    return tuple(CLASS_NAMES[each] for each in ANSWERS)

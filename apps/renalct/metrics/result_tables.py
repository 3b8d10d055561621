"""Tables that no paper prints and that a reader of one needs: distances, sizes, matching by IoU, readers, AUC."""

from __future__ import annotations

import math
from collections.abc import Sequence

from renalct.core.labels import KNOWN_CLASSES, MassClass, Region
from renalct.metrics import papers
from renalct.metrics.classification import Stratum, strata_by_diameter
from renalct.metrics.detection import count_by_iou, count_by_touch
from renalct.metrics.estimates import estimate, mean_of, ratio_of
from renalct.metrics.evaluated import Evaluated, counted, decisions_of, of_records
from renalct.metrics.paper_tables import CLASS_NAMES, FOUND, GIVEN, STRATUM_MM, counted_cells
from renalct.metrics.paper_tables_kits import REGION_NAMES
from renalct.metrics.probabilities import calibration, roc_curve
from renalct.metrics.scores import Decision
from renalct.metrics.tables import Cell, Number, Row, Table

IOU_THRESHOLDS = (0.1, 0.25, 0.5)
_OURS = "Not in the papers"


def distance_table(evaluated: Evaluated) -> Table:
    """Distances and volumes of each region, mean over the cases where they are defined."""
    patients = [record.patient for record in evaluated.records]
    rows = []
    for region in Region:
        scores = [record.scores.region(region) for record in evaluated.records]
        cells: list[Cell] = [REGION_NAMES[region]]
        for name in ("hausdorff_mm", "hausdorff95_mm", "assd_mm"):
            cells.append(mean_of([getattr(score, name) for score in scores], patients, decimals=1))
        off = [score.prediction_ml - score.reference_ml for score in scores]
        cells += [mean_of(off, patients, decimals=1), sum(math.isnan(score.hausdorff_mm) for score in scores)]
        rows.append(Row(evaluated.data, evaluated.n, tuple(cells)))
    return Table(
        "distances",
        "Distances between surfaces, and volumes",
        _OURS,
        ("region", "HD, mm", "HD95, mm", "ASSD, mm", "volume too large, ml",
         "cases without distance"),
        tuple(rows),
        ("A distance is undefined where prediction or reference is empty; those cases are counted, not averaged.",),
    )  # fmt: skip


def strata_table(evaluated: Evaluated) -> Table:
    """Sensitivity, Dice and accuracy of the class by size of the reference mass."""
    rows = []
    domains = [(record.patient, domain) for record in evaluated.records for domain in record.scores.references]
    for stratum in (*strata_by_diameter(()), Stratum(0.0, math.inf, ())):
        low, high = stratum.low_mm, stratum.high_mm
        inside = [(patient, domain) for patient, domain in domains if low <= domain.diameter_mm < high]
        patients = [patient for patient, _ in inside]
        found = [(patient, domain) for patient, domain in inside if domain.touched]
        cells: tuple[Cell, ...] = (
            stratum.title,
            len(inside),
            ratio_of([domain.touched for _, domain in inside], [1] * len(inside), patients, factor=100, decimals=1),
            mean_of([domain.dice for _, domain in found], [patient for patient, _ in found]),
            _accuracy(decisions_of(evaluated.records, given=True), low, high),
            _accuracy(decisions_of(evaluated.records, given=False), low, high),
        )
        rows.append(Row(evaluated.data, counted(len(set(patients)), len(set(patients))), cells))
    return Table(
        "strata",
        "Masses by size",
        _OURS,
        ("diameter", "masses", "found, %", "Dice of found", "class right, readers' masks, %",
         "class right, found masks, %"),
        tuple(rows),
        ("Diameter of the sphere of equal volume. In label maps drawn by hand, masses under 5 mm are often crumbs.",),
    )  # fmt: skip


def _accuracy(decisions: Sequence[Decision], low: float, high: float) -> Cell:
    inside = [d for d in decisions if low <= d.diameter_mm < high]
    if not inside:
        return None
    return ratio_of([d.correct for d in inside], [1] * len(inside), [d.patient for d in inside], factor=100, decimals=1)


def iou_table(evaluated: Evaluated) -> Table:
    """Masses found when a predicted mass must also overlap enough, each with one partner."""
    rows = []
    patients = [record.patient for record in evaluated.records]
    for threshold in IOU_THRESHOLDS:
        counts = [count_by_iou([record.scores], threshold=threshold) for record in evaluated.records]
        rows.append(Row(evaluated.data, evaluated.n, counted_cells(f"IoU ≥ {threshold:g}", counts, patients)))
    return Table(
        "detection_iou",
        "Masses found by a stricter rule",
        _OURS,
        ("rule", "TP", "FP", "FN", "precision, %", "recall, %", "F1"),
        tuple(rows),
        ("Every mass has one partner at most, the one with the highest intersection over union.",),
    )


def probability_table(evaluated: Evaluated) -> Table:
    """Areas under the one-vs-rest ROC curves, calibration, and the share of masses that got a class."""
    rows = []
    for name, given in ((GIVEN, True), (FOUND, False)):
        decisions = decisions_of(evaluated.records, given=given)
        large = [d for d in decisions if d.diameter_mm >= STRATUM_MM]
        for size, inside in (("all", decisions), (f"≥ {STRATUM_MM:g} mm", large)):
            if not inside:
                continue
            found = calibration(inside)
            answered = [d.predicted is not MassClass.UNKNOWN for d in inside]
            patients = [d.patient for d in inside]
            cells: tuple[Cell, ...] = (
                size,
                *(_area(inside, n) for n in range(len(KNOWN_CLASSES))),
                Number(found.expected_error), Number(found.brier),
                ratio_of(answered, [1] * len(inside), patients, factor=100, decimals=1), found.without,
            )  # fmt: skip
            n = f"{len(inside)} masses, {counted(len(set(patients)), len(set(patients)))}"
            rows.append(Row(f"{evaluated.data}, {name}", n, cells))
    printed = tuple(Number(auc) for _, auc in papers.ZHAO_AUC)
    paper: tuple[Cell, ...] = ("≥ 5 mm", *printed, None, None, None, None)
    rows.append(Row(f"{papers.ZHAO_TEST.title}, {GIVEN}", papers.ZHAO_TEST.n, paper, ours=False))
    return Table(
        "probabilities",
        "What the class probabilities are worth",
        "Areas under the curve as in Zhao et al. 2023; the rest is not in the papers",
        ("diameter", *(f"AUC {CLASS_NAMES[c]}" for c in KNOWN_CLASSES), "ECE", "Brier (0 to 2)", "answered, %",
         "without probabilities"),
        tuple(rows),
        ("One class against the other two. ECE: mean distance of probability and accuracy in ten bins.",),
    )  # fmt: skip


def _area(decisions: Sequence[Decision], column: int) -> Number:
    """The area under the ROC curve of one class with its interval."""
    kept = [d for d in decisions if d.probabilities is not None]
    rows = [(d.reference is KNOWN_CLASSES[column], d.probabilities[column]) for d in kept if d.probabilities]
    return estimate(rows, [d.patient for d in kept], lambda table: roc_curve(table[:, 0] > 0, table[:, 1]).auc)


def false_positive_table(evaluated: Evaluated) -> Table:
    """What false masses are called, which the first paper leaves out."""
    called = [answer for record in evaluated.records for answer in record.false_classes]
    cells = tuple(called.count(answer) for answer in (*KNOWN_CLASSES, MassClass.UNKNOWN))
    known = evaluated.scored_on(Region.MASS)
    per_case = len(called) / len(known) if known else math.nan
    return Table(
        "false_masses",
        "What false masses are called",
        _OURS,
        (*(CLASS_NAMES[answer] for answer in (*KNOWN_CLASSES, MassClass.UNKNOWN)), "false masses per case"),
        (Row(evaluated.data, of_records(known), (*cells, Number(per_case))),),
        labels=0,
    )


def case_table(evaluated: Evaluated) -> Table:
    """Every case with its Dice, and its masses found, missed and false."""
    rows = []
    for record in evaluated.records:
        scores = record.scores
        counts = count_by_touch([scores])
        cells: tuple[Cell, ...] = (
            scores.case,
            *(Number(scores.region(region).dice) for region in Region),
            *(Number(scores.region(region).surface_dice) for region in Region),
            Number(scores.region(Region.MASS).hausdorff_mm, 1),
            *((counts.true_positives, counts.false_negatives, counts.false_positives) if scores.masses_known
              else (None, None, None)),
        )  # fmt: skip
        rows.append(Row(evaluated.data, "1 case", cells))
    titles = [REGION_NAMES[region] for region in Region]
    return Table(
        "cases",
        "Every case",
        _OURS,
        ("case", *(f"Dice, {title}" for title in titles), *(f"surface Dice, {title}" for title in titles),
         "HD of masses, mm", "masses found", "missed", "false"),
        tuple(rows),
    )  # fmt: skip


def reader_table(evaluated: Evaluated) -> Table | None:
    """Agreement of the readers among themselves, and of the prediction with each; None without several readers."""
    pairs = [(record, each) for record in evaluated.records for each in record.readers]
    if not pairs:
        return None
    rows = []
    for name, of_prediction in (("reader with reader", False), ("prediction with reader", True)):
        chosen = [(record, each) for record, each in pairs if (each.first == 0) is of_prediction]
        patients = [record.patient for record, _ in chosen]
        cells: list[Cell] = [name]
        for metric in ("dice", "surface_dice"):
            for region in Region:
                cells.append(
                    mean_of([getattr(e.scores.region(region), metric) for _, e in chosen], patients, decimals=3)
                )
        n = f"{counted(len(set(patients)), len({record.case for record, _ in chosen}))}, {len(chosen)} pairs"
        rows.append(Row(evaluated.data, n, tuple(cells)))
    titles = [REGION_NAMES[region] for region in Region]
    return Table(
        "readers",
        "How far readers agree",
        "As KiTS21 measures it (groups of annotations that share none)",
        ("pair", *(f"Dice, {title}" for title in titles), *(f"surface Dice, {title}" for title in titles)),
        tuple(rows),
        (
            "The readers drew the same list of lesions, so none of them could miss one: their agreement is the upper "
            "end of what can be reached.",
        ),
    )

"""The tables of Zhao et al. 2023 in the paper's layout: our rows first, then the paper's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from renalct.core.labels import KNOWN_CLASSES, MassClass, Side
from renalct.metrics import papers
from renalct.metrics.classification import ANSWERS, ConfusionMatrix, confusion_matrix
from renalct.metrics.detection import count_by_touch
from renalct.metrics.estimates import mean_of, ratio_of
from renalct.metrics.evaluated import Evaluated, counted, decisions_of
from renalct.metrics.scores import Decision, DetectionCounts, RegionScore
from renalct.metrics.tables import Cell, Number, Row, Table

CLASS_NAMES = {MassClass.AML: "AML", MassClass.CYSTIC: "cystic", MassClass.SOLID: "solid", MassClass.UNKNOWN: "unknown"}
GIVEN, FOUND = "readers' masks", "found masks"
STRATUM_MM = 5.0
"""The size that parts the strata of the paper's Table 3."""
_ZHAO = "Zhao et al. 2023"
_OTHER_DATA = "The paper's rows are of the paper's own patients: they show the layout and the scale, not a comparison."
_SIDES = (Side.LEFT, Side.RIGHT)


def agreement_table(evaluated: Evaluated) -> Table:
    """Dice of kidneys and masses and the Hausdorff distance of masses, per side of the patient."""
    cells: list[Cell] = []
    undefined: list[str] = []
    for structure in (papers.KIDNEY, papers.MASS):
        cells += [_side_mean(evaluated, structure, side, "dice") for side in _SIDES]
    for side in _SIDES:
        cells.append(_side_mean(evaluated, papers.MASS, side, "hausdorff_mm"))
        scores = [score for _, score in side_scores(evaluated, papers.MASS, side)]
        missing = sum(math.isnan(score.hausdorff_mm) for score in scores)
        undefined.append(f"{missing} of {len(scores)} on the {side.value}")
    rows = [Row(evaluated.data, evaluated.n, tuple(cells))]
    for data in dict.fromkeys(printed.data for printed in papers.ZHAO_AGREEMENT):
        rows.append(Row(data.title, data.n, tuple(_printed_agreement(data)), ours=False))
    apart = sum(side.side is Side.UNDETERMINED for record in evaluated.records for side in record.scores.sides)
    return Table(
        "zhao_agreement",
        "Dice and Hausdorff distance per side",
        f"Layout of {_ZHAO}, results on segmentation",
        (
            "kidney Dice, left", "kidney Dice, right", "mass Dice, left", "mass Dice, right",
            "mass HD left, mm", "mass HD right, mm",
        ),
        tuple(rows),
        (
            "Kidneys count with their masses. A kidney without a mass in the reference and in the prediction is not "
            "counted for masses; one where only one of them has a mass counts with Dice 0.",
            f"The Hausdorff distance is undefined where one side is empty: {', '.join(undefined)}; "
            "those are left out of its mean, which flatters it.",
            *([f"Cases that do not tell left from right, and are in no column: {apart}."] if apart else []),
            _OTHER_DATA,
        ),
        labels=0,
    )  # fmt: skip


def side_scores(evaluated: Evaluated, structure: str, side: Side) -> list[tuple[str, RegionScore]]:
    """Patient and score of each kidney (or of its masses) on a side where reference or prediction has any."""
    found = []
    for record in evaluated.records:
        for each in record.scores.sides:
            score = each.kidney if structure == papers.KIDNEY else each.mass
            if each.side is side and (score.prediction_ml > 0 or score.reference_ml > 0):
                found.append((record.patient, score))
    return found


def _side_mean(evaluated: Evaluated, structure: str, side: Side, metric: str) -> Number:
    scores = side_scores(evaluated, structure, side)
    return mean_of([getattr(score, metric) for _, score in scores], [patient for patient, _ in scores])


def _printed_agreement(data: papers.PaperSet) -> list[Cell]:
    dice: list[Cell] = []
    distances: list[Cell] = []
    for structure in (papers.KIDNEY, papers.MASS):
        for side in _SIDES:
            printed = next(p for p in papers.ZHAO_AGREEMENT if (p.data, p.structure, p.side) == (data, structure, side))
            dice.append(Number(printed.dice))
            if structure == papers.MASS:
                distances.append(None if printed.hausdorff_mm is None else Number(printed.hausdorff_mm))
    return dice + distances


def detection_table(evaluated: Evaluated) -> Table:
    """Table 2: connected domains that are touched, missed and false, per side of the patient."""
    rows = []
    patients = [record.patient for record in evaluated.records]
    for name, side in ((Side.LEFT.value, Side.LEFT), (Side.RIGHT.value, Side.RIGHT), ("all", None)):
        counts = [count_by_touch([record.scores], side=side) for record in evaluated.records]
        rows.append(Row(evaluated.data, evaluated.n, counted_cells(name, counts, patients)))
    for printed in papers.ZHAO_DETECTION:
        domains = (printed.true_positives, printed.false_positives, printed.false_negatives)
        rates = (Number(printed.precision_percent), Number(printed.recall_percent), Number(printed.f1))
        rows.append(Row(printed.data.title, printed.data.n, (printed.side.value, *domains, *rates), ours=False))
    return Table(
        "zhao_table_2",
        "Connected domains found, false and missed",
        f"Layout of {_ZHAO}, Table 2",
        ("kidney", "TP", "FP", "FN", "precision, %", "recall, %", "F1"),
        tuple(rows),
        (
            "The paper's rule: a reference domain that the prediction touches is found, one that it does not touch is "
            "missed, and a predicted domain that touches no mass of the reference is false.",
            "A mass of a kidney whose side is not known is in the last row alone.",
            "The paper prints F1 0.76 for the left kidneys of its external set; its own counts give 0.75.",
            _OTHER_DATA,
        ),
    )


def counted_cells(name: str, counts: Sequence[DetectionCounts], patients: Sequence[str]) -> tuple[Cell, ...]:
    """A name, then found, false and missed domains over all cases, and their rates with intervals."""
    total = sum(counts, DetectionCounts())
    found = [each.true_positives for each in counts]
    predicted = [each.true_positives + each.false_positives for each in counts]
    there = [each.true_positives + each.false_negatives for each in counts]
    return (
        name,
        total.true_positives,
        total.false_positives,
        total.false_negatives,
        ratio_of(found, predicted, patients, factor=100),
        ratio_of(found, there, patients, factor=100),
        ratio_of([2 * n for n in found], [a + b for a, b in zip(predicted, there, strict=True)], patients),
    )


def confusion_table(evaluated: Evaluated) -> Table:
    """Table 3: confusion matrices by size stratum, inside the readers' masks and inside the system's own."""
    rows = []
    for name, decisions in _both(evaluated):
        for stratum, inside in strata(decisions):
            if not inside:
                continue
            for mass_class, counts in zip(KNOWN_CLASSES, confusion_matrix(inside).counts, strict=True):
                rows.append(Row(f"{evaluated.data}, {name}", _n(inside), (stratum, CLASS_NAMES[mass_class], *counts)))
    for printed in papers.ZHAO_CONFUSION:
        for mass_class, counts in printed.rows:
            cells = (printed.stratum, CLASS_NAMES[mass_class], *counts)
            rows.append(Row(f"{printed.data.title}, {GIVEN}", printed.data.n, cells, ours=False))
    return Table(
        "zhao_table_3",
        "Classes of masses by size",
        f"Layout of {_ZHAO}, Table 3",
        ("diameter", "reference", *(f"answer {CLASS_NAMES[answer]}" for answer in ANSWERS)),
        tuple(rows),
        (
            "Readers' masks and found masks are never mixed: the first ask the classifier alone, the second the whole "
            "cascade, and of the second a mass that was not found is not there. A size without masses has no rows.",
            _OTHER_DATA,
        ),
        labels=2,
    )


def class_table(evaluated: Evaluated) -> Table:
    """Table 4: precision, recall, F1 per class and accuracy, by size stratum."""
    rows = []
    for name, decisions in _both(evaluated):
        for stratum, inside in (*strata(decisions), ("all", decisions)):
            if not inside and stratum != "all":
                continue
            rows += _class_rows(f"{evaluated.data}, {name}", stratum, inside)
    for printed in (*papers.ZHAO_CONFUSION, _together()):
        decided = _expanded(printed)
        for row in _class_rows(f"{printed.data.title}, {GIVEN}", printed.stratum, decided):
            cells = tuple(Number(c.value, c.decimals) if isinstance(c, Number) else c for c in row.cells)
            rows.append(Row(row.data, printed.data.n, cells, ours=False))
    return Table(
        "zhao_table_4",
        "Precision, recall, F1 and accuracy by class and size",
        f"Layout of {_ZHAO}, Table 4",
        ("diameter", "class", "masses", "precision, %", "recall, %", "F1", "accuracy, %"),
        tuple(rows),
        (
            "An answer of unknown is an error and stays in the denominator, as in the paper.",
            "The paper's rows follow from the counts of its Table 3.",
        ),
        labels=2,
    )


def external_table(evaluated: Evaluated) -> Table:
    """Table 5: classes of found masses over 5 mm, inside the system's own masks."""
    inside = [d for d in decisions_of(evaluated.records, given=False) if d.diameter_mm > STRATUM_MM]
    rows = []
    for row in _class_rows(f"{evaluated.data}, {FOUND}", "", inside):
        rows.append(Row(row.data, row.n, row.cells[1:]))
    for printed in papers.ZHAO_EXTERNAL_CLASSES:
        cells: tuple[Cell, ...] = (
            CLASS_NAMES[printed.mass_class], printed.n, Number(printed.precision_percent),
            Number(printed.recall_percent), Number(printed.f1),
            Number(papers.ZHAO_EXTERNAL_ACCURACY_PERCENT) if printed.mass_class is MassClass.AML else None,
        )  # fmt: skip
        rows.append(Row(f"{printed.data.title}, {FOUND}", printed.data.n, cells, ours=False))
    return Table(
        "zhao_table_5",
        "Classes of found masses over 5 mm",
        f"Layout of {_ZHAO}, Table 5",
        ("class", "masses", "precision, %", "recall, %", "F1", "accuracy, %"),
        tuple(rows),
        ("Masses that were not found are in no row; the table of connected domains counts them.", _OTHER_DATA),
    )


def strata(decisions: Sequence[Decision]) -> tuple[tuple[str, list[Decision]], ...]:
    """The decisions on masses under 5 mm, and those on masses of 5 mm and more."""
    small = [d for d in decisions if d.diameter_mm < STRATUM_MM]
    return ("< 5 mm", small), ("≥ 5 mm", [d for d in decisions if d.diameter_mm >= STRATUM_MM])


def _class_rows(data: str, stratum: str, decisions: Sequence[Decision]) -> list[Row]:
    patients = [d.patient for d in decisions]
    accuracy = ratio_of([d.correct for d in decisions], [1] * len(decisions), patients, factor=100)
    rows = []
    for mass_class in KNOWN_CLASSES:
        right = [d.correct and d.reference is mass_class for d in decisions]
        answered = [d.predicted is mass_class for d in decisions]
        are = [d.reference is mass_class for d in decisions]
        cells: tuple[Cell, ...] = (
            stratum,
            CLASS_NAMES[mass_class],
            sum(are),
            ratio_of(right, answered, patients, factor=100),
            ratio_of(right, are, patients, factor=100),
            ratio_of([2 * r for r in right], [a + b for a, b in zip(answered, are, strict=True)], patients),
            accuracy if mass_class is KNOWN_CLASSES[0] else None,
        )
        rows.append(Row(data, _n(decisions), cells))
    return rows


def _both(evaluated: Evaluated) -> list[tuple[str, tuple[Decision, ...]]]:
    given, found = (decisions_of(evaluated.records, given=given) for given in (True, False))
    return [(GIVEN, given), (FOUND, found)] if given else [(FOUND, found)]


def _n(decisions: Sequence[Decision]) -> str:
    masses = f"{len(decisions)} mass{'' if len(decisions) == 1 else 'es'}"
    patients = len({d.patient for d in decisions})
    return f"{masses}, {counted(patients, patients)}"


def _expanded(printed: papers.PrintedConfusion) -> list[Decision]:
    """One decision for each mass that a printed matrix counts; all of one nameless patient, so without intervals."""
    return [
        Decision(reference, answer, None, math.nan, "")
        for reference, counts in printed.rows
        for answer, count in zip(ANSWERS, counts, strict=True)
        for _ in range(count)
    ]


def printed_matrix(printed: papers.PrintedConfusion) -> ConfusionMatrix:
    """The counts that a paper prints."""
    return ConfusionMatrix(tuple(counts for _, counts in printed.rows))


def _together() -> papers.PrintedConfusion:
    """Both strata of the paper added."""
    first, second = (printed_matrix(printed) for printed in papers.ZHAO_CONFUSION)
    rows = tuple(zip(KNOWN_CLASSES, (first + second).counts, strict=True))
    return papers.PrintedConfusion(papers.ZHAO_TEST, "all", rows)  # type: ignore[arg-type]

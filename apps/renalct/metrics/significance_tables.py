"""Tables of tests: Dice by class, Dice and correctness, small and large, and two systems on the same cases."""

from __future__ import annotations

import math

from renalct.core.labels import KNOWN_CLASSES, MassClass, Region
from renalct.metrics import papers
from renalct.metrics.estimates import mean_of
from renalct.metrics.evaluated import CaseRecord, Evaluated, counted, decisions_of
from renalct.metrics.paper_tables import CLASS_NAMES
from renalct.metrics.paper_tables_kits import REGION_NAMES
from renalct.metrics.significance import (
    PairedResult,
    TestResult,
    compare_paired,
    correlation,
    dunn,
    kruskal_wallis,
    rank_correlation,
)
from renalct.metrics.tables import Cell, Number, Row, Table

_SEED = 0
_METRICS = (("dice", "Dice"), ("surface_dice", "surface Dice"), ("hausdorff_mm", "HD, mm"), ("assd_mm", "ASSD, mm"))


def dice_by_class(evaluated: Evaluated) -> dict[MassClass, list[float]]:
    """The Dice of every found mass by the class of the reference."""
    found = decisions_of(evaluated.records, given=False)
    return {each: [d.dice for d in found if d.reference is each and math.isfinite(d.dice)] for each in KNOWN_CLASSES}


def question_table(evaluated: Evaluated) -> Table:
    """The tests of Zhao et al. 2023 on found masses, and of Zang et al. 2021 on references."""
    groups = dice_by_class(evaluated)
    sizes = ", ".join(f"{CLASS_NAMES[each]} {len(values)}" for each, values in groups.items())
    rows = [_row(evaluated, "Dice differs by class", "Kruskal-Wallis H", sizes, kruskal_wallis(list(groups.values())))]
    for pair in dunn(list(groups.values())):
        first, second = (KNOWN_CLASSES[n] for n in (pair.first, pair.second))
        named = f"{CLASS_NAMES[first]} against {CLASS_NAMES[second]}"
        n = f"{len(groups[first])}, {len(groups[second])}"
        cells: tuple[Cell, ...] = (named, "Dunn z, Holm", n, Number(pair.z), Number(pair.p_holm, 4))
        rows.append(Row(evaluated.data, evaluated.n, cells))
    found = [d for d in decisions_of(evaluated.records, given=False) if math.isfinite(d.dice)]
    right = correlation([d.dice for d in found], [float(d.correct) for d in found])
    rows.append(_row(evaluated, "Dice and a right class", "point-biserial r", f"{len(found)} masses", right))
    printed = (
        "Dice and a right class", "Pearson r", f"{papers.ZHAO_CORRECTNESS_N} masses",
        Number(papers.ZHAO_CORRECTNESS_R, 3), "< 0.05",
    )  # fmt: skip
    rows.append(Row(papers.ZHAO_EXTERNAL.title, papers.ZHAO_EXTERNAL.n, printed, ours=False))
    both = individual_means(evaluated)
    if both:
        spearman = rank_correlation([a for a, _ in both], [b for _, b in both])
        rows.append(_row(evaluated, "reference and single readers", "Spearman r", f"{len(both)} cases", spearman))
        of_paper = ("reference and single readers", "Spearman r", "60 cases", Number(papers.ZANG_SPEARMAN, 3), None)
        rows.append(Row(papers.ZANG_MAJORITY.title, papers.ZANG_MAJORITY.n, of_paper, ours=False))
    return Table(
        "tests",
        "Tests",
        "Tests of Zhao et al. 2023 and Zang et al. 2021",
        ("question", "test", "groups", "statistic", "P"),
        tuple(rows),
        (
            "Masses of one patient are not independent, and these tests take them as if they were, as the papers do: "
            "read the P values as too small. The intervals of the other tables resample patients.",
        ),
        labels=3,
    )


def individual_means(evaluated: Evaluated) -> list[tuple[float, float]]:
    """Tumor Dice of each case against its reference, and its mean against the single readers."""
    found = []
    for record in evaluated.records:
        against = [each.scores.region(Region.TUMOR).dice for each in record.readers if each.first == 0]
        if against and Region.TUMOR not in record.scores.unassessed:
            found.append((record.scores.region(Region.TUMOR).dice, math.fsum(against) / len(against)))
    return found


def comparison_table(first: Evaluated, second: Evaluated) -> Table:
    """Two systems on the cases that both have: means, the paired difference, and Wilcoxon's test over patients."""
    pairs = common_cases(first, second)
    patients = [a.patient for a, _ in pairs]
    n = counted(len(set(patients)), len(pairs))
    rows = []
    for region in Region:
        for name, title in _METRICS:
            values = [[getattr(each.scores.region(region), name) for each in side] for side in zip(*pairs, strict=True)]
            one, other = values if values else ([], [])
            result = compare_paired(one, other, patients, seed=_SEED)
            cells: tuple[Cell, ...] = (
                f"{title}, {REGION_NAMES[region]}", mean_of(one, patients, decimals=3),
                mean_of(other, patients, decimals=3), _difference(result), Number(result.test.p, 4), result.dropped,
            )  # fmt: skip
            rows.append(Row(first.data, n, cells))
    left = len(first.records) + len(second.records) - 2 * len(pairs)
    return Table(
        "comparison",
        f"{first.system} against {second.system}, paired",
        "One stage against two stages: Zhao et al. 2023, supplementary Table 3 (its numbers are not in the text)",
        ("metric", first.system, second.system, "difference", "Wilcoxon P", "cases without"),
        tuple(rows),
        (
            "The difference is the first minus the second, over patients; its interval resamples patients.",
            *([f"{left} cases that only one of the two has are left out."] if left else []),
        ),
    )


def common_cases(first: Evaluated, second: Evaluated) -> list[tuple[CaseRecord, CaseRecord]]:
    """The records of the cases that both have, side by side."""
    others = {record.case: record for record in second.records}
    return [(record, others[record.case]) for record in first.records if record.case in others]


def _difference(result: PairedResult) -> Number:
    found = result.difference
    return Number(found.value, 3, found.low, found.high)


def _row(evaluated: Evaluated, question: str, test: str, groups: str, result: TestResult) -> Row:
    cells = (question, test, groups, Number(result.statistic, 3), Number(result.p, 4))
    return Row(evaluated.data, evaluated.n, cells)

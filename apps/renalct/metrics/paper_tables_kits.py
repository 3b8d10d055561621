"""The tables of Zang et al. 2021 and Beheshtifard et al. 2023 in their layout: our rows first, then the papers' own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from renalct.core.labels import Region
from renalct.metrics import papers
from renalct.metrics.estimates import mean_of
from renalct.metrics.evaluated import CaseRecord, Evaluated, counted
from renalct.metrics.significance import mann_whitney
from renalct.metrics.tables import Cell, Number, Row, Table

REGION_NAMES = {Region.KIDNEY_AND_MASS: "kidney and mass", Region.MASS: "mass", Region.TUMOR: "tumor"}
_ZANG, _BEHESHTIFARD = "Zang et al. 2021", "Beheshtifard et al. 2023"
_OTHER_DATA = "The paper's rows are of other cases: they show the layout and the scale, not a comparison."


def region_table(evaluated: Evaluated) -> Table:
    """Volumetric and surface Dice of the KiTS regions, mean over cases; against single readers where there are any."""
    patients = [record.patient for record in evaluated.records]
    cells: list[Cell] = []
    for metric in ("dice", "surface_dice"):
        for region in Region:
            values = [getattr(record.scores.region(region), metric) for record in evaluated.records]
            cells.append(mean_of(values, patients, decimals=3))
    rows = [Row(evaluated.data, evaluated.n, tuple(cells))]
    individual = [(record, each) for record in evaluated.records for each in record.readers if each.first == 0]
    if individual:
        names = [record.patient for record, _ in individual]
        against = tuple(
            mean_of([getattr(each.scores.region(region), metric) for _, each in individual], names, decimals=3)
            for metric in ("dice", "surface_dice")
            for region in Region
        )
        n = counted(len(set(names)), len({record.case for record, _ in individual}))
        rows.append(Row(f"{evaluated.data}, individual annotations", n, against))
    for data in (papers.ZANG_MAJORITY, papers.ZANG_INDIVIDUAL):
        printed = [p for p in papers.ZANG_REGIONS if p.data is data]
        numbers = [*(Number(p.dice, 3) for p in printed), *(Number(p.surface_dice, 3) for p in printed)]
        rows.append(Row(data.title, data.n, tuple(numbers), ours=False))
    titles = [REGION_NAMES[region] for region in Region]
    return Table(
        "zang_regions",
        "Dice and surface Dice of the KiTS regions",
        f"Layout of {_ZANG}, results",
        (*(f"Dice, {title}" for title in titles), *(f"surface Dice, {title}" for title in titles)),
        tuple(rows),
        (
            "Both empty counts as 1, one of them empty as 0. The tolerances of the surface Dice are those of KiTS21 "
            "and KiTS23 (1.03, 1.13 and 1.15 mm); the paper does not say which it used.",
            *evaluated.partial,
            _OTHER_DATA,
        ),
        labels=0,
    )


@dataclass(frozen=True)
class Solitary:
    """A case with one tumor in the reference: its volume, and how well the tumor region agrees."""

    patient: str
    volume_ml: float
    dice: float
    surface_dice: float


def solitary_tumors(evaluated: Evaluated) -> tuple[Solitary, ...]:
    """The cases whose reference has exactly one connected tumor."""
    found = []
    for record in evaluated.records:
        if len(record.scores.tumors_ml) == 1:
            score = record.scores.region(Region.TUMOR)
            found.append(Solitary(record.patient, record.scores.tumors_ml[0], score.dice, score.surface_dice))
    return tuple(found)


def halves(tumors: tuple[Solitary, ...]) -> tuple[float, tuple[Solitary, ...], tuple[Solitary, ...]]:
    """The median volume, the tumors up to it, and those above; nan and nothing for none."""
    if not tumors:
        return math.nan, (), ()
    median = float(np.median([tumor.volume_ml for tumor in tumors]))
    small = tuple(tumor for tumor in tumors if tumor.volume_ml <= median)
    return median, small, tuple(tumor for tumor in tumors if tumor.volume_ml > median)


def size_table(evaluated: Evaluated) -> Table:
    """Small against large solitary tumors, parted at the median volume, with the Mann-Whitney test."""
    median, small, large = halves(solitary_tumors(evaluated))
    n = f"{len(small)} small, {len(large)} large"
    rows = []
    for metric, attribute in (("Dice", "dice"), ("surface Dice", "surface_dice")):
        groups = [[getattr(tumor, attribute) for tumor in half] for half in (small, large)]
        means = [
            mean_of(values, [tumor.patient for tumor in half], decimals=3)
            for values, half in zip(groups, (small, large), strict=True)
        ]
        test = mann_whitney(*groups) if all(groups) else None
        u, p = (Number(test.statistic, 0), Number(test.p, 4)) if test else (None, None)
        rows.append(Row(evaluated.data, n, (metric, Number(median), *means, u, p)))
    for printed in papers.ZANG_SIZE:
        cells: tuple[Cell, ...] = (
            printed.metric, Number(papers.ZANG_MEDIAN_ML), Number(printed.small, 3), Number(printed.large, 3),
            Number(printed.u, 0), printed.p,
        )  # fmt: skip
        rows.append(Row(printed.data.title, printed.data.n, cells, ours=False))
    return Table(
        "zang_size",
        "Small and large solitary tumors",
        f"Layout of {_ZANG}, effect of the tumor's size",
        ("metric", "median volume, ml", "small", "large", "Mann-Whitney U", "P"),
        tuple(rows),
        (
            "Cases whose reference has one connected tumor, parted at our own median volume; two-sided test, one value "
            "per case.",
            "The paper prints means or medians of its halves (it does not say which); ours are means.",
        ),
    )


def slice_table(evaluated: Evaluated) -> Table:
    """Table 1: Dice of kidney and tumor over slices, over slices with kidney, and over whole cases."""
    rows = []
    for mode, kidney, tumor in (
        ("slice", _slices(evaluated, "kidney", False), _slices(evaluated, "tumor", False)),
        ("kidney_slice", _slices(evaluated, "kidney", True), _slices(evaluated, "tumor", True)),
        ("case", _cases(evaluated, Region.KIDNEY_AND_MASS), _cases(evaluated, Region.TUMOR)),
    ):
        rows.append(Row(evaluated.data, _n_slices(evaluated, mode), (f"{evaluated.system}: {mode}", kidney, tumor)))
    for printed in papers.BEHESHTIFARD_TABLE:
        cells: tuple[Cell, ...] = (
            printed.network, Number(printed.kidney, 3), None if printed.tumor is None else Number(printed.tumor, 3),
        )  # fmt: skip
        rows.append(Row(printed.data.title, printed.data.n, cells, ours=False))
    return Table(
        "beheshtifard_table_1",
        "Dice of kidney and tumor by slice and by case",
        f"Layout of {_BEHESHTIFARD}, Table 1",
        ("network", "kidney", "tumor"),
        tuple(rows),
        (
            "slice: mean over all axial slices, empty ones that are found empty count 1; kidney_slice: over slices on "
            "which the reference has kidney (the paper's rule for tumors); case: one Dice per volume, the headline. "
            "Kidneys count with their masses.",
            "The formula that the paper prints for Dice gives twice the Jaccard index, up to 2; it is not used.",
            _OTHER_DATA,
        ),
    )


def _slices(evaluated: Evaluated, structure: str, kidney_only: bool) -> Number:
    values, patients = [], []
    for record in evaluated.records:
        for each in record.slices:
            if each.has_kidney or not kidney_only:
                values.append(getattr(each, structure))
                patients.append(record.patient)
    return mean_of(values, patients, decimals=3)


def _cases(evaluated: Evaluated, region: Region) -> Number:
    values = [record.scores.region(region).dice for record in evaluated.records]
    return mean_of(values, [record.patient for record in evaluated.records], decimals=3)


def _n_slices(evaluated: Evaluated, mode: str) -> str:
    if mode == "case":
        return evaluated.n
    slices = sum(_counting(record, mode) for record in evaluated.records)
    return f"{evaluated.n}, {slices} slices"


def _counting(record: CaseRecord, mode: str) -> int:
    return sum(each.has_kidney or mode == "slice" for each in record.slices)

"""The tables of a simulation; every row says how many seeds it is from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from renalct.learning.acquisition.why import FOREGROUND
from renalct.learning.simulation.analysis import (
    Simulated,
    Values,
    against,
    areas_over_contour,
    foreground_efficiency,
    penalty_matrix,
)
from renalct.metrics.tables import Cell, Number, Row, Table

_SOURCE = "Simulated annotation, mean over seeds (standard deviation over seeds beside it)"


def strategy_table(simulated: Simulated, data: str) -> Table:
    """Areas, what was reached at the end, what it cost, and which share of the chosen cases shows each class."""
    over_contour = areas_over_contour(simulated)
    rows = []
    for name in simulated.strategies:
        runs, areas = simulated.of(name), simulated.areas(name)
        last = [[run.by_class[n][-1] for run in runs] for n in range(len(FOREGROUND))]
        shares = [_mean([run.shows[n] for run in runs]) for n in range(len(FOREGROUND))]
        cells: tuple[Cell, ...] = (
            name,
            Number(_mean(areas), 4),
            Number(_deviation(areas), 4),
            Number(_mean(over_contour[name]), 4),
            Number(_mean([run.dice[-1] for run in runs]), 3),
            *(Number(_mean(values), 3) for values in last),
            Number(_mean([run.contour_mm[-1] / 1000 for run in runs]), 1),
            Number(foreground_efficiency(simulated, name), 2),
            *(Number(100 * share, 0) for share in shares[1:]),
        )
        rows.append(Row(data, _n(simulated), cells))
    columns = (
        "strategy", "AUBC", "sd", "AUBC over contour", "final Dice",
        *(f"{s.title} Dice" for s in FOREGROUND), "contour, m", "FG efficiency",
        *(f"chosen with {s.title}, %" for s in FOREGROUND[1:]),
    )  # fmt: skip
    notes = [
        "AUBC: area under the mean Dice of the classes over the number of labelled cases, as a mean Dice; over "
        "contour: over the length of contour drawn, up to where the cheapest strategy of a seed ends.",
        "Dice of a class: mean over the test patients whose labels show it, voxels pooled per patient.",
        "FG efficiency: rate at which the Dice nears that of the whole pool per share of foreground labelled; "
        "undefined where the whole pool is not better.",
    ]
    if simulated.full:
        notes.append(f"The whole pool, trained as long: mean Dice {_mean(simulated.full):.3f}.")
    return Table("strategies", "Strategies", _SOURCE, columns, tuple(rows), tuple(notes))


def against_table(simulated: Simulated, baseline: str, data: str) -> Table:
    """Every strategy's area against that of the baseline, seed by seed."""
    rows = [
        Row(
            data,
            _n(simulated),
            (
                each.strategy,
                Number(each.difference, 4),
                Number(each.test.statistic, 2),
                Number(each.test.p, 4),
                Number(each.p_holm, 4),
            ),
        )
        for each in against(simulated, baseline)
    ]
    return Table(
        "against",
        f"Against {baseline}",
        "Difference of the areas under the budget curve, paired by seed",
        ("strategy", "AUBC difference", "t", "P", "P, Holm"),
        tuple(rows),
        ("Positive: better than the baseline. A seed is one experiment: its start, and every random choice after.",),
    )


def penalty_table(simulated: Simulated, data: str, *, adjusted: bool) -> Table:
    """The pairwise penalty matrix, with the mean of each column: how often a strategy is beaten."""
    matrix = penalty_matrix(simulated, adjusted=adjusted)
    names = simulated.strategies
    rows = [Row(data, _n(simulated), (name, *(Number(float(v), 2) for v in matrix[n]))) for n, name in enumerate(names)]
    rows.append(Row(data, _n(simulated), ("is beaten, mean", *(Number(float(v), 2) for v in matrix.mean(axis=0)))))
    rule = ", adjusted by Holm" if adjusted else ""
    return Table(
        "penalty_holm" if adjusted else "penalty",
        f"Pairwise penalty matrix{rule}",
        f"Share of the budgets at which the row beats the column (paired t over seeds, P < 0.05{rule})",
        ("strategy", *names),
        tuple(rows),
    )


def round_table(simulated: Simulated, data: str) -> Table:
    """The curves: labelled cases, contour and Dice of each class in each round."""
    rows = []
    for name in simulated.strategies:
        runs = simulated.of(name)
        for n in range(len(runs[0].cases) if runs else 0):
            each: list[Cell] = [name, runs[0].cases[n], Number(_mean([run.contour_mm[n] / 1000 for run in runs]), 1)]
            dice = [run.dice[n] for run in runs]
            each += [Number(_mean(dice), 3), Number(_deviation(dice), 3)]
            for values in (
                *([run.by_class[k][n] for run in runs] for k in range(len(FOREGROUND))),
                *([run.pooled[k][n] for run in runs] for k in range(len(FOREGROUND))),
            ):
                each.append(Number(_mean(values), 3))
            rows.append(Row(data, _n(simulated), tuple(each)))
    columns = (
        "strategy", "cases", "contour, m", "mean Dice", "sd", *(f"{s.title} Dice" for s in FOREGROUND),
        *(f"{s.title} Dice, all voxels" for s in FOREGROUND),
    )  # fmt: skip
    return Table("rounds", "Round by round", _SOURCE, columns, tuple(rows))


def _n(simulated: Simulated) -> str:
    return f"{len(simulated.seeds)} {'seed' if len(simulated.seeds) == 1 else 'seeds'}"


def _mean(values: Sequence[float] | Values) -> float:
    defined = [float(v) for v in values if not math.isnan(v)]
    return sum(defined) / len(defined) if defined else math.nan


def _deviation(values: Sequence[float] | Values) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

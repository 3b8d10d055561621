"""The charts of a simulation: curves over cases and over contour, by class, areas by seed, and who beats whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from renalct.learning.acquisition.why import FOREGROUND
from renalct.learning.simulation.analysis import Run, Simulated, Values, penalty_matrix
from renalct.metrics.figures import INK, OTHER, Figure, Words, drawn, say_nothing_to_show
from renalct.metrics.figures_charts import Group, box_figure

_COLORS = (
    "#4a5866", "#1f6fb2", "#c8501e", "#2a8a57", "#8a4f7d", "#c98a00", "#5aa9d6", "#a03a3a", "#6b7f1f", "#3d3d9a",
    "#b05fa0", "#17212b",
)  # fmt: skip

_LINE: dict[str, Any] = {"linewidth": 1.8, "capsize": 2, "marker": "o", "markersize": 3}


def figures(simulated: Simulated) -> tuple[Figure, ...]:
    """All charts; the same input gives the same bytes."""
    seeds = f"Lines are means over {len(simulated.seeds)} seeds, bars one standard deviation of the seeds."
    over_cases = Words("curves", "Mean Dice of kidney, tumor and cyst over labelled cases", seeds)
    over_contour = Words("curves_contour", "Mean Dice over the contour that was drawn", seeds)
    by_class = Words("curves_class", "Dice of each class over labelled cases", seeds)
    areas = Words(
        "areas", "Area under the budget curve", "One point per seed: who starts, and every random choice after."
    )
    return (
        _curves(over_cases, simulated, [("mean", lambda run: run.dice)], lambda run: run.cases, "labelled cases"),
        _curves(
            by_class,
            simulated,
            [(s.title, _of_class(n)) for n, s in enumerate(FOREGROUND)],
            lambda run: run.cases,
            "labelled cases",
        ),
        _curves(
            over_contour,
            simulated,
            [("mean", lambda run: run.dice)],
            lambda run: [mm / 1000 for mm in run.contour_mm],
            "contour drawn, m",
        ),
        box_figure(
            areas,
            [
                Group(name, tuple(simulated.areas(name).tolist()), color)
                for name, color in zip(simulated.strategies, _COLORS, strict=False)
            ],
            axis="area under the budget curve (mean Dice)",
            unit_range=False,
        ),
        _penalties(simulated),
    )


def _of_class(n: int) -> Callable[[Run], Sequence[float]]:
    return lambda run: run.by_class[n]


def _curves(
    words: Words,
    simulated: Simulated,
    panels: Sequence[tuple[str, Callable[[Run], Sequence[float]]]],
    budget: Callable[[Run], Sequence[float]],
    axis: str,
) -> Figure:
    with drawn(words, width=max(7.2, 3.6 * len(panels)), height=4.4) as (sheet, made):
        row = sheet.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, values) in zip(row, panels, strict=True):
            if not simulated.runs:
                say_nothing_to_show(axes, "no seed is finished by every strategy")
                continue
            for name, color in zip(simulated.strategies, _COLORS, strict=False):
                runs = simulated.of(name)
                x = np.mean([budget(run) for run in runs], axis=0)
                y = np.array([values(run) for run in runs])
                spread = y.std(axis=0, ddof=1) if len(runs) > 1 else None
                axes.errorbar(x, y.mean(axis=0), spread, color=color, label=name, **_LINE)
            if simulated.full and title == "mean":
                axes.axhline(float(np.mean(simulated.full)), color=OTHER, linestyle=(0, (4, 3)), label="the whole pool")
            axes.set_title(title)
            axes.set_xlabel(axis)
            axes.grid(linewidth=0.6)
        row[0].set_ylabel("Dice")
        if simulated.runs:
            handles, labels = row[0].get_legend_handles_labels()
            sheet.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return made[0]


def _penalties(simulated: Simulated) -> Figure:
    words = Words(
        "penalties",
        "Pairwise penalty matrix",
        "Share of the budgets at which the row's strategy beats the column's, P < 0.05; right: adjusted by Holm.",
    )
    with drawn(words, width=10.5, height=4.8) as (sheet, made):
        for axes, adjusted in zip(sheet.subplots(1, 2), (False, True), strict=True):
            matrix = penalty_matrix(simulated, adjusted=adjusted)
            _matrix(axes, matrix, simulated.strategies, "adjusted by Holm" if adjusted else "as tested")
    return made[0]


def _matrix(axes: Axes, matrix: Values, names: Sequence[str], title: str) -> None:
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1.15)
    for row, column in np.ndindex(*matrix.shape):
        dark = matrix[row, column] > 0.6
        text = "" if row == column else f"{matrix[row, column]:.2f}"
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else INK, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10)

"""The charts that the papers show: boxes, histograms, confusion matrices, ROC and calibration, and loss curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from renalct.metrics.figures import (
    INK,
    LINE,
    OTHER,
    OURS,
    SOFT,
    Figure,
    Words,
    drawn,
    one_chart,
    say_nothing_to_show,
    with_n,
)

_FEWEST_FOR_A_BOX = 5
_MOST_POINTS = 400


@dataclass(frozen=True)
class Group:
    """Values under one label. `mark` is a number to compare with (a paper's), drawn as a diamond."""

    label: str
    values: tuple[float, ...]
    color: str = OURS
    mark: float | None = None

    @property
    def finite(self) -> tuple[float, ...]:
        """The values that are defined."""
        return tuple(value for value in self.values if math.isfinite(value))


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: counts by row (reference) and column (answer)."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Curve:
    """Points (x, y) of a line with its label in the legend."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    color: str = OURS


def box_figure(words: Words, groups: Sequence[Group], *, axis: str, unit_range: bool = True) -> Figure:
    """A box (quartiles, whiskers to 1.5 times their distance) per group, over every single value.

    Under five values there is no box, only the values and their median. Undefined values are left out; the number
    under each label is that of the values drawn. A diamond is the paper's number.
    """
    wide = max(5.0, 1.5 + 1.15 * len(groups))
    with one_chart(words, width=min(wide, 11.0)) as (axes, made):
        if not any(group.finite for group in groups):
            say_nothing_to_show(axes, "no value is defined")
        else:
            _boxes(axes, groups)
            axes.set_ylabel(axis)
            axes.grid(axis="y", linewidth=0.6)
            if unit_range:
                axes.set_ylim(-0.03, 1.03)
            else:
                axes.set_ylim(bottom=0)
    return made[0]


def _boxes(axes: Axes, groups: Sequence[Group]) -> None:
    places = np.arange(len(groups))
    for place, group in zip(places, groups, strict=True):
        values = np.asarray(group.finite)
        if values.size >= _FEWEST_FOR_A_BOX:
            axes.boxplot(
                values,
                positions=[place],
                widths=0.5,
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": group.color + "30", "edgecolor": group.color, "linewidth": 1.4},
                medianprops={"color": group.color, "linewidth": 2.4},
                whiskerprops={"color": group.color, "linewidth": 1.2},
                capprops={"color": group.color, "linewidth": 1.2},
            )
        elif values.size:
            axes.hlines(np.median(values), place - 0.25, place + 0.25, color=group.color, linewidth=2.4)
        shown = values[:: max(1, values.size // _MOST_POINTS)]
        spread = np.random.default_rng(0).uniform(-0.14, 0.14, shown.size)
        axes.scatter(place + spread, shown, s=13, color=group.color, alpha=0.6, linewidths=0, zorder=3)
        if group.mark is not None:
            axes.scatter([place + 0.36], [group.mark], marker="D", s=38, color="white", edgecolor=INK, zorder=4)
    labels = with_n([group.label for group in groups], [len(group.finite) for group in groups])
    axes.set_xticks(places, labels)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    if any(group.mark is not None for group in groups):
        axes.scatter([], [], marker="D", s=38, color="white", edgecolor=INK, label="the paper's number (other data)")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), fontsize=9)


def histogram_figure(words: Words, groups: Sequence[Group], *, axis: str, bins: int = 20) -> Figure:
    """Histograms from 0 to 1 of each group, one above the other on the same axis, with the medians as lines."""
    with drawn(words, height=1.2 + 1.7 * len(groups)) as (sheet, made):
        panels = sheet.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
        edges = np.linspace(0, 1, bins + 1)
        for axes, group in zip(panels, groups, strict=True):
            values = np.asarray(group.finite)
            axes.hist(values, bins=edges, color=group.color, alpha=0.75, edgecolor="white", linewidth=0.6)
            median = f", median {np.median(values):.2f}" if values.size else ""
            axes.set_title(f"{group.label}: n = {values.size}{median}", loc="left", fontsize=10)
            if values.size:
                axes.axvline(float(np.median(values)), color=INK, linewidth=1.4)
            axes.yaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y", linewidth=0.6)
            axes.set_ylabel("tumors")
        panels[-1].set_xlabel(axis)
        panels[-1].set_xlim(0, 1)
    return made[0]


def confusion_figure(words: Words, matrices: Sequence[Matrix]) -> Figure:
    """Confusion matrices side by side: the count in each field, shaded by its share of the row."""
    columns = 2 if len(matrices) == 4 else min(len(matrices), 3)
    rows = math.ceil(len(matrices) / columns)
    with drawn(words, width=3.9 * columns, height=3.35 * rows) as (sheet, made):
        panels = sheet.subplots(rows, columns, squeeze=False).ravel()
        for axes, matrix in zip(panels, matrices, strict=False):
            _matrix(axes, matrix)
        for axes in panels[len(matrices) :]:
            axes.set_axis_off()
    return made[0]


def _matrix(axes: Axes, matrix: Matrix) -> None:
    counts = np.asarray(matrix.counts, dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        dark = shares[row, column] > 0.6
        axes.text(column, row, f"{int(counts[row, column])}", ha="center", va="center", color="white" if dark else INK)
    axes.set_xticks(range(len(matrix.columns)), matrix.columns)
    axes.set_yticks(range(len(matrix.rows)), matrix.rows)
    axes.set_xticks(np.arange(len(matrix.columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(matrix.rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("reference")
    right = int(np.trace(counts[:, : counts.shape[0]]))
    total = int(counts.sum())
    rate = f"{right} of {total} right ({100 * right / total:.1f} %)" if total else "no mass"
    axes.set_title(f"{matrix.title}\n{rate}", fontsize=10)


def square_figure(words: Words, curves: Sequence[Curve], *, axes_labels: tuple[str, str], empty: str) -> Figure:
    """Curves in a unit square with its diagonal: ROC (false against true positive rate), or calibration."""
    with one_chart(words, width=5.6, height=5.2 if curves else 1.0) as (axes, made):
        if not curves:
            say_nothing_to_show(axes, empty)
        else:
            axes.plot([0, 1], [0, 1], color=OTHER, linewidth=1, linestyle=(0, (4, 3)))
            for curve in curves:
                marker = "o" if len(curve.x) < 15 else ""
                axes.plot(curve.x, curve.y, marker + "-", linewidth=2, color=curve.color, label=curve.label)
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set_aspect("equal")
            axes.grid(linewidth=0.6)
            axes.set_xlabel(axes_labels[0])
            axes.set_ylabel(axes_labels[1])
            axes.legend(loc="best", fontsize=9, frameon=True, edgecolor=LINE)
    return made[0]


def line_figure(words: Words, curves: Sequence[Curve], *, axes_labels: tuple[str, str], log: bool = False) -> Figure:
    """Curves over a common axis, for example a loss over steps or sensitivity over false positives (FROC)."""
    with one_chart(words) as (axes, made):
        drawable = [curve for curve in curves if curve.x]
        if not drawable:
            say_nothing_to_show(axes, "no value is defined")
        else:
            for curve in drawable:
                marker = "o" if len(curve.x) == 1 else ""
                axes.plot(curve.x, curve.y, marker + "-", linewidth=1.8, color=curve.color, label=curve.label)
            positive = all(value > 0 for curve in drawable for value in curve.y if math.isfinite(value))
            if log and positive:
                axes.set_yscale("log")
            axes.grid(linewidth=0.6)
            axes.set_xlabel(axes_labels[0])
            axes.set_ylabel(axes_labels[1])
            axes.legend(fontsize=9)
    return made[0]


def scatter_figure(words: Words, groups: Sequence[tuple[Group, Group]], *, axes_labels: tuple[str, str]) -> Figure:
    """Points of pairs of values (x group, y group) from 0 to 1 with the diagonal: two systems, or two references."""
    with one_chart(words, width=5.6, height=5.2) as (axes, made):
        axes.plot([0, 1], [0, 1], color=OTHER, linewidth=1, linestyle=(0, (4, 3)))
        for x, y in groups:
            axes.scatter(x.values, y.values, s=22, color=x.color, alpha=0.7, linewidths=0, label=x.label)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")
        axes.grid(linewidth=0.6)
        axes.set_xlabel(axes_labels[0])
        axes.set_ylabel(axes_labels[1])
        axes.legend(loc="upper left", fontsize=9)
    return made[0]


def volume_figure(words: Words, groups: Sequence[tuple[Group, Group]], *, axes_labels: tuple[str, str]) -> Figure:
    """Values from 0 to 1 over volumes in ml on a logarithmic axis."""
    with one_chart(words) as (axes, made):
        for x, y in groups:
            axes.scatter(x.values, y.values, s=22, color=x.color, alpha=0.7, linewidths=0, label=x.label)
        if any(x.values for x, _ in groups):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
            axes.xaxis.set_minor_formatter(FuncFormatter(_plain))
            axes.legend(fontsize=9, loc="lower right")
        axes.set_ylim(-0.03, 1.03)
        axes.grid(linewidth=0.6)
        axes.set_xlabel(axes_labels[0])
        axes.set_ylabel(axes_labels[1], color=SOFT)
    return made[0]


def _plain(value: float, _: object) -> str:
    """A tick of a logarithmic axis in plain digits; only 1, 2 and 5 times a power of ten are named."""
    return f"{value:g}" if f"{value:e}"[0] in "125" else ""

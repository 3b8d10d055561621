"""Charts of an evaluation, drawn by matplotlib without a screen, each as PNG and as SVG with real text."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from renalct.core.labels import MassClass

CLASS_COLORS = {
    MassClass.AML: "#c98a00",
    MassClass.CYSTIC: "#1f6fb2",
    MassClass.SOLID: "#c8501e",
    MassClass.UNKNOWN: "#8a4f7d",
}
"""Colors of the classes on white: those of the pictures, darker (after Okabe and Ito)."""
INK, SOFT, LINE = "#17212b", "#4a5866", "#d5dce3"
OURS, OTHER = "#1f5f99", "#9aa7b4"
_DPI = 160
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Segoe UI", "Roboto", "Arial"],
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "grid.color": LINE,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Words:
    """What stands around a chart: the stem of its files, its title, and what a reader must know to read it."""

    name: str
    title: str
    caption: str


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart or picture with its words, its width in inches, and the bytes of a PNG and of an SVG file."""

    words: Words
    width: float
    png: bytes = field(repr=False)
    svg: bytes = field(repr=False)

    @property
    def uri(self) -> str:
        """The SVG as a data URI."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")


@contextmanager
def drawn(words: Words, *, width: float = 7.2, height: float = 4.2) -> Iterator[tuple[Sheet, list[Figure]]]:
    """A sheet of that size (in inches) to draw on, and a list that holds its `Figure` on leaving.

    The same input gives the same bytes.
    """
    made: list[Figure] = []
    style: Any = _STYLE | {"svg.hashsalt": words.name}
    with rc_context(style):
        sheet = Sheet(figsize=(width, height), layout="constrained")
        yield sheet, made
        sheet.draw_without_rendering()
        sheet.set_layout_engine("none")  # laid out once, for both formats
        png, svg = io.BytesIO(), io.BytesIO()
        sheet.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        sheet.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        made.append(Figure(words, width, png.getvalue(), svg.getvalue()))


@contextmanager
def one_chart(words: Words, *, width: float = 7.2, height: float = 4.2) -> Iterator[tuple[Axes, list[Figure]]]:
    """Like `drawn`, with one pair of axes."""
    with drawn(words, width=width, height=height) as (sheet, made):
        yield sheet.add_subplot(), made


def say_nothing_to_show(axes: Axes, why: str) -> None:
    """Write in an empty chart why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", color=SOFT, transform=axes.transAxes, wrap=True)


def with_n(labels: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Labels of an axis with the number of values below each."""
    return [f"{label}\nn = {count}" for label, count in zip(labels, counts, strict=True)]

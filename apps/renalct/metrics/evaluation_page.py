"""An evaluation as one self-contained HTML page: headline numbers, tables, charts, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from renalct.core.report import NOT_FOR_CLINICAL_USE
from renalct.metrics.figures import Figure
from renalct.metrics.tables import Cell, Number, Table, cell_text
from renalct.pictures.templating import template_environment


@dataclass(frozen=True)
class Headline:
    """A number to read first: what it is, its value with interval, and what it is from."""

    title: str
    number: Number
    of: str


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, title, what a reader must know, then its tables and figures.

    A `folded` section shows its title alone until it is opened.
    """

    anchor: str
    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """All that the page says. `facts` are pairs of a name and a text on how it was made; `legend` explains what stands
    beside the numbers."""

    title: str
    subject: str
    headlines: tuple[Headline, ...]
    notices: tuple[str, ...]
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...]
    heading: str = "Evaluation"
    legend: str = (
        "In brackets: 95 % intervals, from resampling whole patients. A number without an interval is from too few "
        "patients for one."
    )


def render_evaluation(page: Page) -> str:
    """The page as HTML: charts inside, no script, nothing fetched; equal input gives equal text."""
    return _environment().get_template("evaluation.html.j2").render(page=page, warning=NOT_FOR_CLINICAL_USE)


@cache
def _environment() -> jinja2.Environment:
    return template_environment(Path(__file__).parent / "templates", main=_main, interval=_interval)


def _main(cell: Cell) -> str:
    """The words of a cell without its interval."""
    return cell_text(Number(cell.value, cell.decimals)) if isinstance(cell, Number) else cell_text(cell)


def _interval(cell: Cell) -> str:
    """The interval of a cell, in brackets; "" for none."""
    return cell_text(cell).removeprefix(_main(cell)).strip() if isinstance(cell, Number) else ""

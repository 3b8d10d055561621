"""The report as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from renalct.core.findings import Mass
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.core.report import NOT_FOR_CLINICAL_USE, Report
from renalct.core.volume import CTVolume
from renalct.pictures.colors import KIDNEY_COLOR, WINDOW_HU, class_color, heat_gradient, hexadecimal
from renalct.pictures.drawing import Picture
from renalct.pictures.planes import View
from renalct.pictures.scenes import mass_views, overview
from renalct.pictures.templating import template_environment


@dataclass(frozen=True)
class Bar:
    """One row of the chart of class probabilities."""

    mass_class: MassClass
    probability: float
    chosen: bool


@dataclass(frozen=True, eq=False)
class Card:
    """What the page shows of one mass."""

    mass: Mass
    pictures: tuple[Picture, ...]
    bars: tuple[Bar, ...]


def render_page(volume: CTVolume, report: Report) -> str:
    """The report as one HTML page: images inside, no script, nothing fetched; equal input gives equal text.

    `volume` is the reference that the findings lie on. Only planes are cut from it; it is never copied. Every text of
    the report is escaped. Of the source it shows UIDs and the series number, never free text from the headers.
    """
    findings = report.findings
    cards = [Card(mass, mass_views(volume, findings, mass), _bars(mass)) for mass in findings.masses]
    classes = [each.classification.mass_class for each in findings.masses]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            warning=NOT_FOR_CLINICAL_USE,
            report=report,
            overviews=[overview(volume, findings, view) for view in (View.CORONAL, View.AXIAL)],
            cards=cards,
            classes=[each for each in MassClass if each in classes],
            class_colors={each: hexadecimal(class_color(each)) for each in MassClass},
            kidney_color=hexadecimal(KIDNEY_COLOR),
            heat_gradient=heat_gradient(),
            window_hu=WINDOW_HU,
            spacing_mm=volume.grid.spacing_mm,
            shape=volume.grid.shape,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    return template_environment(Path(__file__).parent / "templates", number=_number, percent=_percent)


def _bars(mass: Mass) -> tuple[Bar, ...]:
    probabilities = mass.classification.probabilities
    if not probabilities:
        return ()
    chosen = mass.classification.mass_class
    return tuple(Bar(c, p, c is chosen) for c, p in zip(KNOWN_CLASSES, probabilities, strict=True))


def _number(value: float, decimals: int = 0) -> str:
    """The number in decimal notation with a true minus sign, and never as minus zero."""
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def _percent(share: float) -> str:
    """The share as a percentage; what is not quite 0 or 100 is never shown as that."""
    if 0 < share < 0.005:
        return "<\N{NARROW NO-BREAK SPACE}1\N{NARROW NO-BREAK SPACE}%"
    if 0.995 <= share < 1:
        return ">\N{NARROW NO-BREAK SPACE}99\N{NARROW NO-BREAK SPACE}%"
    return f"{100 * share:.0f}\N{NARROW NO-BREAK SPACE}%"

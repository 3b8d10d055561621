"""Tables as values, and as Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
DASH, UNDEFINED, MINUS = "\N{EN DASH}", "undefined", "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Number:
    """A number as a table shows it, with its 95 % interval where it has one; nan is "undefined"."""

    value: float
    decimals: int = 2
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """For example ``0.84 [0.79, 0.90]``."""
        if math.isnan(self.value):
            return UNDEFINED
        if self.low is None or self.high is None or math.isnan(self.low) or math.isnan(self.high):
            return _decimal(self.value, self.decimals)
        low, high = _decimal(self.low, self.decimals), _decimal(self.high, self.decimals)
        return f"{_decimal(self.value, self.decimals)} [{low}, {high}]"


Cell = str | int | Number | None
"""What a table cell holds; None is shown as a dash: not measured, or not printed."""


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is of, how many, and its cells. `ours` tells our measurement from a paper's."""

    data: str
    n: str
    cells: tuple[Cell, ...]
    ours: bool = True


@dataclass(frozen=True)
class Table:
    """A table whose every row says its data set and n. `name` is the stem of its files; `source` whose layout it has.

    `labels` are the first columns of text among `columns`.
    """

    name: str
    title: str
    source: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    labels: int = 1

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row.cells) != len(self.columns)]
        if wrong:
            raise ValueError(f"a row of {self.name} has {len(wrong[0].cells)} cells, not {len(self.columns)}")


def cell_text(cell: Cell) -> str:
    """The words of one cell."""
    if cell is None:
        return DASH
    return cell.text if isinstance(cell, Number) else str(cell)


def to_markdown(table: Table) -> str:
    """The table as GitHub Markdown, with its title, its notes, and numbers to the right."""
    head = ["Data set", "n", *table.columns]
    rule = ["---"] * (2 + table.labels) + ["---:"] * (len(table.columns) - table.labels)
    lines = [f"### {table.title}", "", f"{table.source}.", ""]
    lines += [_line(head), _line(rule)]
    for row in table.rows:
        words = [row.data, row.n, *map(cell_text, row.cells)]
        lines.append(_line([f"**{word}**" if row.ours and n == 0 else word for n, word in enumerate(words)]))
    lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n"


def to_csv(table: Table) -> str:
    """The table as CSV with bare numbers; a column that has an interval anywhere is followed by its two ends."""
    with_ends = {
        n
        for n in range(len(table.columns))
        if any(isinstance(row.cells[n], Number) and row.cells[n].low is not None for row in table.rows)  # type: ignore[union-attr]
    }
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["data_set", "n", "origin"]
    for n, column in enumerate(table.columns):
        head += [column, f"{column}, low", f"{column}, high"] if n in with_ends else [column]
    writer.writerow(head)
    for row in table.rows:
        words: list[Any] = [row.data, row.n, "measured" if row.ours else "printed"]
        for n, cell in enumerate(row.cells):
            number = cell if isinstance(cell, Number) else None
            words.append("" if cell is None else _bare(number.value) if number else cell)
            if n in with_ends:
                words += [_bare(number.low), _bare(number.high)] if number else ["", ""]
        writer.writerow(words)
    return stream.getvalue()


def to_latex(table: Table) -> str:
    """The table as a LaTeX float with booktabs rules; needs ``\\usepackage{booktabs}``."""
    align = "ll" + "l" * table.labels + "r" * (len(table.columns) - table.labels)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{_tex(table.title)}. {_tex(table.source)}.}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(map(_tex, ["Data set", "n", *table.columns])) + r" \\",
        r"\midrule",
    ]
    lines += [
        " & ".join(_tex(word) for word in (row.data, row.n, *map(cell_text, row.cells))) + r" \\" for row in table.rows
    ]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {_tex(' '.join(table.notes))}"] if table.notes else []
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_json(table: Table) -> dict[str, Any]:
    """The table as JSON values; undefined numbers are null with ``"undefined": true``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": table.name,
        "title": table.title,
        "source": table.source,
        "columns": list(table.columns),
        "rows": [
            {
                "data_set": row.data,
                "n": row.n,
                "origin": "measured" if row.ours else "printed",
                "cells": [_json_cell(cell) for cell in row.cells],
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def write_table(table: Table, folder: Path) -> tuple[Path, ...]:
    """Write the table as .md, .csv, .tex and .json into a folder; returns the paths in that order."""
    texts = {
        ".md": to_markdown(table),
        ".csv": to_csv(table),
        ".tex": to_latex(table),
        ".json": json.dumps(to_json(table), indent=1, ensure_ascii=False) + "\n",
    }
    paths = []
    for suffix, text in texts.items():
        paths.append(folder / f"{table.name}{suffix}")
        paths[-1].write_text(text, encoding="utf-8")
    return tuple(paths)


def _decimal(value: float, decimals: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value and decimals and abs(value) < 0.5 * 10**-decimals:
        return f"{value:.1e}".replace("-", MINUS)
    return f"{value:.{decimals}f}".replace("-", MINUS)


def _bare(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(float(value))


def _json_cell(cell: Cell) -> Any:
    if not isinstance(cell, Number):
        return cell
    finite = {name: None if v is None or not math.isfinite(v) else v for name, v in _ends(cell)}
    return finite | ({"undefined": True} if math.isnan(cell.value) else {})


def _ends(number: Number) -> list[tuple[str, float | None]]:
    named: list[tuple[str, float | None]] = [("value", number.value)]
    return named if number.low is None else [*named, ("low", number.low), ("high", number.high)]


def _line(words: list[str]) -> str:
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≥": r"$\geq$", "<": r"$<$", ">": r"$>$", DASH: "--",
    MINUS: r"$-$", "∞": r"$\infty$", "\N{MULTIPLICATION SIGN}": r"$\times$",
}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)

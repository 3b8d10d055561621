"""The folder of an evaluation: tables, figures, scores and the page, written under a temporary name, then renamed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct import __version__
from renalct.core.errors import OutputError
from renalct.core.report import NOT_FOR_CLINICAL_USE
from renalct.formats.output_folder import write_refused
from renalct.learning.evaluation_records import as_json
from renalct.metrics.evaluated import CaseRecord, Evaluated
from renalct.metrics.evaluation_page import Headline, Page, Section, render_evaluation
from renalct.metrics.evaluation_sections import headlines, notices, sections
from renalct.metrics.figures import Figure
from renalct.metrics.score_files import SCHEMA_VERSION, cases_csv, decisions_csv, masses_csv, region_json
from renalct.metrics.scores import ScoreSettings
from renalct.metrics.tables import to_json, write_table

PAGE, SCORES, PREDICTIONS = "evaluation.html", "scores.json", "predictions"
RESULTS = (PAGE, SCORES, "cases.csv", "masses.csv", "decisions.csv", "tables", "figures")
"""What an evaluation writes into its folder, beside the predictions."""


@dataclass(frozen=True)
class Told:
    """What the page says beside the scores: by which rules, the subject of its warning, notices, how it was made."""

    settings: ScoreSettings
    subject: str
    notices: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def check_output(folder: Path, *, replace_existing: bool) -> None:
    """Raise `OutputError` unless the folder is new, empty, or one of an evaluation that may be gone on with."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"the output {folder} is not a folder; choose another name")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.is_dir() else set()
    if names - {PREDICTIONS, *RESULTS}:
        raise OutputError(f"the output folder {folder} holds files that no evaluation wrote; choose another name")
    if SCORES in names and not replace_existing:
        raise OutputError(f"{folder} holds a finished evaluation; choose another name, or add --force to replace it")


def write_evaluation(
    evaluated: Evaluated,
    folder: Path,
    *,
    told: Told,
    other: Evaluated | None = None,
    pictures: Sequence[Figure] = (),
) -> tuple[Headline, ...]:
    """Write everything into a folder, replacing an earlier evaluation there; returns the numbers to read first."""
    first = headlines(evaluated)
    parts = sections(evaluated, other=other, pictures=pictures)
    page = Page(
        f"{evaluated.system} on {evaluated.data}", told.subject, first, (*notices(evaluated), *told.notices), parts,
        told.facts,
    )  # fmt: skip
    with _results(folder) as place:
        _write_parts(parts, place)
        (place / PAGE).write_text(render_evaluation(page), encoding="utf-8")
        (place / "cases.csv").write_text(cases_csv(evaluated), encoding="utf-8")
        (place / "masses.csv").write_text(masses_csv(evaluated), encoding="utf-8")
        (place / "decisions.csv").write_text(decisions_csv(evaluated), encoding="utf-8")
        scores = _scores(evaluated, page, told.settings)
        (place / SCORES).write_text(json.dumps(scores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return first


def _write_parts(parts: Sequence[Section], place: Path) -> None:
    for name in ("tables", "figures"):
        (place / name).mkdir()
    for part in parts:
        for table in part.tables:
            write_table(table, place / "tables")
        for figure in part.figures:
            (place / "figures" / f"{figure.words.name}.png").write_bytes(figure.png)
            (place / "figures" / f"{figure.words.name}.svg").write_bytes(figure.svg)


def _scores(evaluated: Evaluated, page: Page, settings: ScoreSettings) -> dict[str, Any]:
    """scores.json: settings, headline, tables, and every case."""
    return {
        "schema_version": SCHEMA_VERSION,
        "warning": NOT_FOR_CLINICAL_USE,
        "software_version": __version__,
        "data_set": evaluated.data,
        "system": evaluated.system,
        "patients": len(evaluated.patients),
        "cases_n": len(evaluated.records),
        "settings": as_json(settings),
        "headline": [
            {"name": h.title, "of": h.of, "value": as_json(h.number.value), "low": as_json(h.number.low),
             "high": as_json(h.number.high)}
            for h in page.headlines
        ],
        "notices": list(page.notices),
        "tables": [to_json(table) for section in page.sections for table in section.tables],
        "cases": [_case(record) for record in evaluated.records],
    }  # fmt: skip


def _case(record: CaseRecord) -> dict[str, Any]:
    scores = record.scores
    return {
        "case": scores.case,
        "patient": scores.patient,
        "regions": region_json(scores.regions),
        "sides": as_json(scores.sides),
        "references": as_json(scores.references),
        "predictions": as_json(scores.predictions),
        "ignored_references": scores.ignored_references,
        "ignored_predictions": scores.ignored_predictions,
        "unassessed": as_json(scores.unassessed),
        "decisions_found": as_json(record.found),
        "decisions_given": as_json(record.given),
    }


@contextmanager
def _results(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder`; on success what is in it takes the place of earlier results."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder))
    except OSError as error:
        raise write_refused(folder, error) from error
    try:
        yield temporary
        (folder / SCORES).unlink(missing_ok=True)  # what says that an evaluation is finished goes first and comes last
        for path in sorted(temporary.iterdir(), key=lambda path: (path.name == SCORES, path.name)):
            final = folder / path.name
            if final.is_dir():
                shutil.rmtree(final)
            path.replace(final)
    except OSError as error:
        raise write_refused(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

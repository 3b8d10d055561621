"""The scores of an evaluation as files for programs: scores.json, cases.csv and masses.csv."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.core.labels import Region
from renalct.metrics.evaluated import CaseRecord, Evaluated
from renalct.metrics.scores import CaseScores, RegionScore

SCHEMA_VERSION = 1
_REGION_FIELDS = (
    "dice", "surface_dice", "hausdorff_mm", "hausdorff95_mm", "assd_mm", "prediction_ml", "reference_ml",
)  # fmt: skip
_MASS_FIELDS = (
    "case", "patient", "what", "number", "side", "structure", "volume_ml", "diameter_mm", "matched", "best_iou",
    "paired_iou", "dice", "surface_dice", "hausdorff_mm", "hausdorff95_mm", "confidence",
)  # fmt: skip


def cases_csv(evaluated: Evaluated) -> str:
    """One line per case: every score of every region, and counts of masses. Undefined numbers are empty."""
    head = ["case", "patient"]
    head += [f"{region.title}_{name}" for region in Region for name in _REGION_FIELDS]
    head += ["masses", "masses_found", "masses_false", "slices", "slices_with_kidney"]
    return _csv(head, (_case_line(record) for record in evaluated.records))


def masses_csv(evaluated: Evaluated) -> str:
    """One line per mass of the reference (what = reference), then one per predicted mass (what = prediction)."""
    return _csv(_MASS_FIELDS, (line for record in evaluated.records for line in _mass_lines(record)))


def decisions_csv(evaluated: Evaluated) -> str:
    """One line per decision on the class of a mass: inside the readers' masks (given) and the system's own (found)."""
    head = ["patient", "case", "mask", "reference", "answer", "p_aml", "p_cystic", "p_solid", "diameter_mm", "dice"]
    lines = []
    for record in evaluated.records:
        for mask, decisions in (("given", record.given), ("found", record.found)):
            for each in decisions:
                shares = each.probabilities or (math.nan,) * 3
                lines.append(
                    [record.patient, record.case, mask, each.reference.value, each.predicted.value, *map(_text, shares),
                     _text(each.diameter_mm), _text(each.dice)]
                )  # fmt: skip
    return _csv(head, lines)


def region_json(scores: Sequence[RegionScore]) -> dict[str, Any]:
    """The scores of regions by the name of the region; undefined numbers are null."""
    return {score.region.title: {name: _finite(getattr(score, name)) for name in _REGION_FIELDS} for score in scores}


@dataclass(frozen=True)
class ScoredSystem:
    """What scores.json says of a system: its name, the data set, the settings as written, and the cases' regions."""

    system: str
    data: str
    settings: tuple[tuple[str, object], ...]
    cases: tuple[CaseScores, ...]


def read_scores(path: Path) -> ScoredSystem:
    """The region scores of an evaluation's scores.json; undefined numbers are nan, and masses are not read.

    Raises `InputError` when the file is not there or is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA_VERSION:
            raise InputError(f"{path} has schema version {found['schema_version']}; {SCHEMA_VERSION} can be read")
        cases = tuple(_regions_of(case) for case in found["cases"])
        return ScoredSystem(found["system"], found["data_set"], tuple(sorted(found["settings"].items())), cases)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give a folder that renalct evaluate wrote"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no scores.json of renalct evaluate ({error}); evaluate again") from error


def _regions_of(case: dict[str, Any]) -> CaseScores:
    found = [(region, case["regions"].get(region.title)) for region in Region]
    regions = tuple(
        RegionScore(region, *(_defined(numbers[name]) for name in _REGION_FIELDS))
        for region, numbers in found
        if numbers
    )
    return CaseScores(case["case"], case["patient"], regions, (), (), ())


def _defined(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _case_line(record: CaseRecord) -> list[str]:
    scores = record.scores
    line = [scores.case, scores.patient]
    for region in Region:
        score = scores.region(region)
        line += [_text(getattr(score, name)) for name in _REGION_FIELDS]
    found = sum(domain.touched for domain in scores.references)
    counts = (
        *((len(scores.references), found, len(scores.false_positives)) if scores.masses_known else ("", "", "")),
        len(record.slices), sum(each.has_kidney for each in record.slices),
    )  # fmt: skip
    return line + [str(count) for count in counts]


def _mass_lines(record: CaseRecord) -> Iterable[list[str]]:
    scores = record.scores
    for what, domains in (("reference", scores.references), ("prediction", scores.predictions)):
        for domain in domains:
            matched = " ".join(map(str, domain.matched))
            start = [scores.case, scores.patient, what, str(domain.number), domain.side.value, domain.structure.title]
            numbers = [_text(domain.volume_ml), _text(domain.diameter_mm), matched]
            rest = [_text(getattr(domain, name, math.nan)) for name in _MASS_FIELDS[9:]]
            yield start + numbers + rest


def _csv(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return stream.getvalue()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float) -> str:
    return repr(round(float(value), 6)) if math.isfinite(value) else ""

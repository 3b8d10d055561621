"""The list of studies of a cohort, from CSV or JSON lines: read as a whole, and every wrong row told at once."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct.core.errors import ErrorCode, InputError
from renalct.core.nearest import did_you_mean

_COLUMNS = ("study", "id", "series")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UID = re.compile(r"[0-9.]{1,64}")
_TOLD_AT_MOST = 20


@dataclass(frozen=True)
class ManifestRow:
    """One study: where it is, the name of its folder of results, and the series to read ("" for the best one)."""

    study: Path
    name: str
    series: str = ""


def read_manifest(path: Path) -> tuple[ManifestRow, ...]:
    """The studies that a manifest lists, in its order.

    CSV with a header line, or a JSON object a line (``.jsonl``, ``.ndjson``), with the columns ``study`` (a path, from
    the manifest's folder if it is relative), and if wanted ``id`` (the name of the results: letters, digits, ``._-``)
    and ``series`` (a SeriesInstanceUID). Without an id the name is made from a hash of path and series.

    Raises `InputError` that lists the rows that are wrong: no such study, a bad id or series, or a duplicate.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the manifest {path} cannot be read ({type(error).__name__})", code=ErrorCode.NO_INPUT
        ) from error
    reads = _json_lines if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_lines
    rows: list[ManifestRow] = []
    wrong: list[str] = []
    seen: dict[object, int] = {}
    for line, values in reads(text, path):
        try:
            row = _row(values, path.parent)
            for key in (("id", row.name), ("study", row.study, row.series)):
                if key in seen:
                    raise ValueError(f"has the same {key[0]} as line {seen[key]}")
                seen[key] = line
            rows.append(row)
        except ValueError as error:
            wrong.append(f"line {line} {error}")
    if wrong:
        more = f"\n  and {len(wrong) - _TOLD_AT_MOST} more" if len(wrong) > _TOLD_AT_MOST else ""
        told = "\n  ".join(wrong[:_TOLD_AT_MOST])
        raise InputError(f"{len(wrong)} rows of the manifest {path} are wrong; nothing was started:\n  {told}{more}")
    if not rows:
        raise InputError(f"the manifest {path} lists no study", code=ErrorCode.NO_INPUT)
    return tuple(rows)


def _row(values: dict[str, Any], folder: Path) -> ManifestRow:
    unknown = [key for key in values if key not in _COLUMNS]
    if unknown:
        near = did_you_mean(str(unknown[0]), _COLUMNS, ", did you mean {!r}")
        hint = near or f"; the columns are {', '.join(_COLUMNS)}"
        raise ValueError(f"has a column {unknown[0]!r} that is not known{hint}")
    texts = {key: str(values.get(key) or "").strip() for key in _COLUMNS}
    if not texts["study"]:
        raise ValueError("names no study")
    try:
        study = (folder / texts["study"]).resolve()
        is_there = study.exists()
    except (OSError, ValueError) as error:  # no permission, too long, a zero byte
        raise ValueError("names a study that cannot be looked at; check its path and the rights to it") from error
    if not is_there:
        raise ValueError("names a study that is not there")
    if texts["series"] and not _UID.fullmatch(texts["series"]):
        raise ValueError("names a series that is no UID")
    if texts["id"] and not _NAME.fullmatch(texts["id"]):
        raise ValueError("has an id that cannot name a folder: letters, digits, '.', '_' and '-' can, 64 at most")
    return ManifestRow(study, texts["id"] or _name(study, texts["series"]), texts["series"])


def _name(study: Path, series: str) -> str:
    """A name that tells nothing of the path, which may hold a patient's name, and is the same every time."""
    place = "\0".join((str(study), series)).encode("utf-8", "surrogateescape")
    return f"study-{hashlib.sha256(place).hexdigest()[:16]}"


def _csv_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines(), restkey="more values than columns")
    if "study" not in (reader.fieldnames or ()):
        raise InputError(f"the manifest {path} has no column 'study' in its first line; name the columns there")
    try:
        for values in reader:
            yield reader.line_num, values
    except csv.Error as error:
        raise InputError(f"the manifest {path} is no CSV behind line {reader.line_num} ({error})") from error


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            raise InputError(f"line {line} of the manifest {path} is no JSON object; give one a line")
        yield line, values

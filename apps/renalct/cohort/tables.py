"""The measurements of a whole cohort as Parquet tables, built from the folders of its studies, in order of names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from renalct.cohort.home import CohortFolder
from renalct.core.errors import InputError, OutputError
from renalct.core.labels import KNOWN_CLASSES
from renalct.formats.durable import sync_folder
from renalct.runs.status import StudyStatus, read_status

_TEXT, _NUMBER, _COUNT, _FLAGS = pa.string(), pa.float64(), pa.int64(), pa.list_(pa.string())
Column = tuple[str, pa.DataType, str]
"""The name of a column with its unit, its type, and what it says."""

_HU: tuple[Column, ...] = tuple(
    (f"hu_{name}", _NUMBER, f"{words} of the CT numbers, HU")
    for name, words in (("mean", "mean"), ("sd", "standard deviation"), ("min", "least"), ("max", "greatest"))
)
_CENTROID: tuple[Column, ...] = tuple(
    (f"centroid_{axis}_mm", _NUMBER, f"{axis} of the centroid in the patient, mm, RAS+") for axis in "xyz"
)
_NAME: Column = ("study_id", _TEXT, "the name of the study's folder: the id in the manifest")

COLUMNS: dict[str, tuple[Column, ...]] = {
    "studies": (
        _NAME,
        ("outcome", _TEXT, "ok, no-kidney, refused or failed"),
        ("code", _TEXT, "why a study was refused or failed; empty for one with results"),
        ("reason", _TEXT, "the same as a sentence"),
        ("kidneys", _COUNT, "number of kidneys found"),
        ("masses", _COUNT, "number of renal masses found"),
        ("phase", _TEXT, "contrast phase, estimated"),
        ("phase_probability", _NUMBER, "probability of that phase, 0 to 1"),
        ("study_instance_uid", _TEXT, "of the study; of a de-identified one what stands for it"),
        ("series_instance_uid", _TEXT, "of the series that was read"),
        ("release", _TEXT, "name and version of the weights"),
        ("release_digest", _TEXT, "sha256 of the weights"),
        ("software_version", _TEXT, "version of renalct"),
        ("device", _TEXT, "where the networks ran"),
        ("seconds_read", _NUMBER, "time to read the images, s"),
        ("seconds_analyse", _NUMBER, "time of the networks and measurements, s"),
        ("seconds_write", _NUMBER, "time to write the results, s"),
        ("notices", _FLAGS, "what a reader must know"),
    ),
    "kidneys": (
        _NAME,
        ("side", _TEXT, "left, right or undetermined"),
        ("volume_ml", _NUMBER, "volume of the parenchyma, ml"),
        ("volume_with_masses_ml", _NUMBER, "volume with the masses that belong to the kidney, ml"),
        ("voxels", _COUNT, "voxels of the parenchyma"),
        *_CENTROID,
        *_HU,
    ),
    "masses": (
        _NAME,
        ("number", _COUNT, "number of the mass in its study, from 1 by decreasing volume"),
        ("name", _TEXT, "its tracking identifier, for example Mass R1"),
        ("side", _TEXT, "left, right or undetermined"),
        ("class", _TEXT, "aml, cystic, solid or unknown"),
        ("class_reason", _TEXT, "why the class is unknown"),
        *((f"probability_{c.value}", _NUMBER, f"probability of {c.value}, 0 to 1") for c in KNOWN_CLASSES),
        ("label", _COUNT, "value in the label map: 2 tumor, 3 cyst, 4 angiomyolipoma"),
        ("volume_ml", _NUMBER, "volume, ml"),
        ("average_diameter_mm", _NUMBER, "diameter of the sphere of equal volume, mm"),
        ("longest_axial_diameter_mm", _NUMBER, "longest diameter on an axial slice, mm"),
        ("short_axis_diameter_mm", _NUMBER, "diameter at a right angle to it, mm"),
        ("max_3d_diameter_mm", _NUMBER, "longest diameter in space, mm"),
        ("voxels", _COUNT, "voxels"),
        *_CENTROID,
        *_HU,
        ("fat_fraction", _NUMBER, "share of voxels under -10 HU, 0 to 1"),
        ("enhancing_fraction", _NUMBER, "share of voxels that gain over 20 HU between two phases, empty without two"),
        ("confidence", _NUMBER, "mean probability that the voxels are of a mass, 0 to 1"),
    ),
}
"""Every table with its columns; a release of renalct only adds some."""


def write_tables(folder: CohortFolder) -> tuple[Path, ...]:
    """Write studies.parquet, kidneys.parquet and masses.parquet into a cohort's folder; returns their paths.

    The same studies give the same bytes, whatever the order in which they were analysed. Raises `InputError` for a
    study whose report is damaged, `OutputError` when a table cannot be written.
    """
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in COLUMNS}
    for name in folder.names():
        status = read_status(folder.study(name))
        report = _report(folder.study(name)) if status.has_results else {}
        rows["studies"].append(_study(name, status, report))
        rows["kidneys"] += [_found(name, kidney) for kidney in report.get("kidneys", [])]
        rows["masses"] += [_found(name, mass) for mass in report.get("masses", [])]
    return tuple(_write(folder.path / f"{table}.parquet", COLUMNS[table], found) for table, found in rows.items())


def _report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read; remove its folder, and start the cohort again") from error


def _study(name: str, status: StudyStatus, report: dict[str, Any]) -> dict[str, Any]:
    seconds, phase, source = dict(status.seconds_per_stage), report.get("phase", {}), report.get("source", {})
    return {
        **status.to_json(),
        "study_id": name,
        "outcome": status.outcome.value,
        "phase": phase.get("name"),
        "phase_probability": phase.get("probability"),
        "study_instance_uid": source.get("study_instance_uid"),
        "series_instance_uid": source.get("series_instance_uid"),
        **{f"seconds_{stage}": seconds.get(stage) for stage in ("read", "analyse", "write")},
    }


def _found(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A kidney or a mass of a report, flat."""
    probabilities = values.get("class_probabilities") or {}
    return {
        **values,
        "study_id": name,
        **{f"hu_{key}": value for key, value in values["hu"].items()},
        **{f"centroid_{axis}_mm": value for axis, value in zip("xyz", values["centroid_mm"], strict=True)},
        **{f"probability_{key}": value for key, value in probabilities.items()},
    }


def _write(path: Path, columns: tuple[Column, ...], rows: list[dict[str, Any]]) -> Path:
    schema = pa.schema([pa.field(name, kind, metadata={"description": words}) for name, kind, words in columns])
    table = pa.table(
        {name: pa.array([row.get(name) for row in rows], kind) for name, kind, _ in columns}, schema=schema
    )
    part = path.with_name(f".{path.name}.part")
    try:
        pq.write_table(table, part, compression="zstd")
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror})") from error
    return path

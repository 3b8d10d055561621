"""All that one analysis leaves on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalct.core.report import Report
from renalct.core.volume import LabelMap
from renalct.formats.dicom.objects import ObjectSettings, write_objects
from renalct.formats.nifti import write_label_map
from renalct.formats.study import Study
from renalct.pictures.key_image import draw_key_image
from renalct.pictures.page import render_page


def write_results(
    study: Study, label_map: LabelMap, report: Report, folder: Path, *, settings: ObjectSettings
) -> tuple[Path, ...]:
    """Write label_map.nii.gz, report.json, report.html, series.json, and for a DICOM study its DICOM objects.

    Returns the paths in that order.
    """
    label_map_path = folder / "label_map.nii.gz"
    write_label_map(label_map, label_map_path)
    paths = (label_map_path, *write_report(study, report, folder))
    if study.loaded is None:
        return paths
    return (*paths, *write_objects(study.loaded, report, draw_key_images(study, report), folder, settings=settings))


def write_report(study: Study, report: Report, folder: Path) -> tuple[Path, ...]:
    """Write report.json, report.html and series.json (why this series was read); returns the paths in that order."""
    paths = tuple(folder / name for name in ("report.json", "report.html", "series.json"))
    texts = (_json(report.to_json()), render_page(study.volume, report), _json(study.decisions))
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def draw_key_images(study: Study, report: Report) -> dict[int, NDArray[np.uint8]]:
    """The key image of each mass, by the number of the mass."""
    heading = f"renalct {report.provenance.release_name} {report.provenance.release_version}"
    findings = report.findings
    return {mass.number: draw_key_image(study.volume, mass, findings, heading=heading) for mass in findings.masses}


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

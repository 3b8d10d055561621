"""Predictions of a release on labelled cases, saved case by case, so that a stopped evaluation goes on.

A case's folder holds what `renalct predict` writes for a NIfTI file (label_map.nii.gz, report.json, report.html,
series.json), `class_activation_<number>.nii.gz` for each mass, and `reference_masses.json`: what the classifier says
when it is given the readers' masks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from renalct.cascade import Cascade, CascadeResult
from renalct.core.errors import InputError, OutputError
from renalct.core.labels import MassClass
from renalct.formats.nifti import write_array, write_label_map
from renalct.formats.output_folder import output_folder
from renalct.formats.results import write_report
from renalct.formats.study import Study
from renalct.imaging.calipers import equivalent_sphere_diameter_mm
from renalct.learning.evaluation_records import as_json
from renalct.models.cases import Case, CaseFile
from renalct.models.inference import Networks, classify_masses

REFERENCE_MASSES = "reference_masses.json"
SCHEMA_VERSION = 1
_NOTICE = "Made by renalct evaluate from a labelled case."

Tell = Callable[[str, int, int], None]
"""Called with the name of a case, and how many of how many are done."""


@dataclass(frozen=True)
class GivenMass:
    """A mass whose mask was given by the readers: its class, and what the classifier answers inside that mask."""

    reference: MassClass
    predicted: MassClass
    probabilities: tuple[float, float, float]
    diameter_mm: float


def predict_cases(
    cascade: Cascade, files: Sequence[CaseFile], folder: Path, *, tell: Tell, skip_bad: bool = False
) -> tuple[str, ...]:
    """Write the predictions of every case into `folder`/<case>; those of the same release that are there are kept.

    Returns a sentence for each case that cannot be read, when those are to be left out (`skip_bad`); otherwise raises
    an `InputError` that names the first.
    """
    faults = []
    networks: Networks = ()
    if cascade.release.recipe.classify is not None:
        networks = cascade.release.networks("classify", device=cascade.device)
    for number, file in enumerate(files):
        tell(file.name, number, len(files))
        try:
            for case in file.load():
                if predicted_by(folder / case.name) != cascade.release.digest:
                    _predict(cascade, case, networks, folder / case.name)
        except OutputError:
            raise
        except InputError as error:
            if not skip_bad:
                raise InputError(f"{file.name}: {error}; correct it, or leave it out with --skip-bad") from error
            faults.append(f"{file.name}: {error}")
        tell(file.name, number + 1, len(files))
    return tuple(faults)


def _predict(cascade: Cascade, case: Case, networks: Networks, target: Path) -> None:
    result = cascade.run(case.volume)
    given = classify_given(cascade, case, networks)
    with output_folder(target, replace_existing=True) as place:
        _write(case, result, given, place)


def predicted_by(folder: Path) -> str:
    """The digest of the release that made the finished prediction in a folder; "" when there is none."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return str(report["provenance"]["release_digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def classify_given(cascade: Cascade, case: Case, networks: Networks) -> tuple[GivenMass, ...]:
    """What the classifier answers inside the readers' masks of a case; none without a classifier or masses."""
    recipe = cascade.release.recipe
    if recipe.classify is None or not case.masses:
        return ()
    masks = [mass.mask for mass in case.masses]
    rows = classify_masses(case.volume, masks, recipe.classify, networks, device=cascade.device)
    given = []
    for mass, row in zip(case.masses, rows, strict=True):
        diameter = equivalent_sphere_diameter_mm(mass.mask.count * case.volume.grid.voxel_ml)
        aml, cystic, solid = (float(p) for p in row)
        probabilities = (aml, cystic, solid)
        given.append(
            GivenMass(mass.mass_class, cascade.decide(probabilities, diameter).mass_class, probabilities, diameter)
        )
    return tuple(given)


def _write(case: Case, result: CascadeResult, given: Sequence[GivenMass], place: Path) -> None:
    write_label_map(result.label_map, place / "label_map.nii.gz")
    write_report(Study(case.volume, notices=(_NOTICE,)), result.report, place)
    for mass in result.report.findings.masses:
        if mass.activation is not None:
            grid = case.volume.grid.cropped(mass.activation.box)
            write_array(mass.activation.values, grid, place / f"class_activation_{mass.number}.nii.gz")
    text = json.dumps({"schema_version": SCHEMA_VERSION, "masses": as_json(tuple(given))}, indent=1)
    (place / REFERENCE_MASSES).write_text(text + "\n", encoding="utf-8")

"""The folder of a training run: what it says of itself, and where its networks are.

It holds `run.json` (recipe, settings, how many patients), `split.json`, `cases/<stage>/` (prepared inputs),
`held_out/<stage>/` (those of validation), and for each network `<stage>_<member>/` with its checkpoint, its best
weights and its history; at the end also `release/`, the release candidate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalct.core.errors import InputError, OutputError, RecipeError
from renalct.models.case_checks import patients_of
from renalct.models.cases import CaseFile, Origin
from renalct.models.class_calibration import ClassCalibration
from renalct.models.lineage import RunSettings
from renalct.models.recipe import Normalization, Recipe, Stage
from renalct.models.splits import Patient, Split, split_by_shares, split_patients
from renalct.models.values import from_json, to_json

RUN, SPLIT, CANDIDATE = "run.json", "split.json", "release"
_MOST_HELD_OUT, _HELD_OUT_SHARE = 30, 5


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: the recipe, the settings, and how many patients the networks learn from or are tried on.

    `data` says what the patients are and `licence` under which their data stand.
    """

    recipe: Recipe
    settings: RunSettings
    training_patients: int
    validation_patients: int
    split_sha256: str
    test_patients: int = 0
    data: str = ""
    licence: str = ""


def read_run(run: Path) -> tuple[RunRecord, Split]:
    """What a run folder says of itself. Raises `RecipeError` when it is not one."""
    try:
        data = json.loads((run / RUN).read_text(encoding="utf-8"))
        split = Split.read(run / SPLIT)
    except (OSError, ValueError, KeyError, InputError) as error:
        raise RecipeError(f"{run} holds no training run that can be read; start one with renalct train") from error
    return from_json(RunRecord, data, where=RUN), split


def write_run(run: Path, record: RunRecord, split: Split) -> None:
    """Make the folder and write down what it is. Raises `OutputError`."""
    try:
        (run / "cases").mkdir(parents=True, exist_ok=True)
        (run / SPLIT).write_text(split.to_text(), encoding="utf-8")
        (run / RUN).write_text(json.dumps(to_json(record), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the run folder {run} cannot be written ({error.strerror}); give another with -o") from error


def network_folder(run: Path, stage_name: str, member: int) -> Path:
    """Where a network's checkpoint is."""
    return run / f"{stage_name}_{member}"


def finest_spacing(recipe: Recipe) -> tuple[float, float, float] | None:
    """The finest spacing that a segmenting stage of the recipe looks at: phantoms are made no finer."""
    spacings = [s.geometry.spacing_mm for _, s in recipe.stages if s.targets and s.geometry.spacing_mm]
    if not spacings:
        return None
    x, y, z = (min(values) for values in zip(*spacings, strict=True))
    return x, y, z


def refuse_other(found: RunRecord, wanted: RunRecord, run: Path) -> None:
    """Raise `RecipeError` unless both are the same run; how often it is validated may differ, and what was measured on
    the training set before."""
    if _essence(found) != _essence(wanted):
        raise RecipeError(f"{run} holds a run of another recipe, seed or set of cases; give another folder with -o")


def _essence(record: RunRecord) -> RunRecord:
    unwatched = RunSettings()
    settings = replace(
        record.settings,
        validations=unwatched.validations,
        validation_cases=unwatched.validation_cases,
        patience=unwatched.patience,
    )
    return replace(record, recipe=unmeasured(record.recipe), settings=settings)


def unmeasured(recipe: Recipe) -> Recipe:
    """The recipe without what is measured: the training set's mean and deviation, and the classifier's calibration."""
    return recipe.with_stages(_unmeasured)


def _unmeasured(_: str, stage: Stage) -> Stage:
    stage = replace(stage, calibration=ClassCalibration())
    if stage.intensity.normalization is not Normalization.Z_SCORE_OF_TRAINING_SET:
        return stage
    return replace(stage, intensity=replace(stage.intensity, mean_hu=0.0, sd_hu=1.0))


def split_of(
    files: Sequence[CaseFile], recipe: Recipe, settings: RunSettings, patients: Sequence[Patient] = ()
) -> Split:
    """The split of the files' patients by the settings' shares, or the recipe's, or a fifth (at most 30) held out.

    `patients` are given with their strata where those need the labels to be read. Without patients it is empty.
    """
    whole = [f for f in files if f.origin in (Origin.SLAB, Origin.VOLUME)] or list(files)
    shares = settings.shares or recipe.split_shares
    if not whole:
        return Split((), ())
    if shares:
        return split_by_shares(patients or patients_of(whole, by=settings.stratify), shares, seed=settings.seed)
    names = sorted({f.patient for f in whole})
    return split_patients(names, validation=min(_MOST_HELD_OUT, len(names) // _HELD_OUT_SHARE), seed=settings.seed)

"""A training run: cases split by patient, prepared once, and each network trained, validated and kept.

Under `torchrun` every process does this; the first prepares cases, writes and speaks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from renalct.core.errors import RecipeError
from renalct.models.cases import CaseFile, phantom_files
from renalct.models.engine import Status
from renalct.models.fitted import fit_intensities
from renalct.models.lineage import StartedFrom, file_sha256
from renalct.models.made_cases import kits_like_files
from renalct.models.network_training import RunningRun, train_networks
from renalct.models.parallel import team_of
from renalct.models.prepared_cases import prepare_cases
from renalct.models.recipe import Recipe
from renalct.models.run_folder import RUN, RunRecord, finest_spacing, read_run, refuse_other, split_of, write_run
from renalct.models.run_plan import PLAIN_PLAN, UNWATCHED, RunPlan, RunResult, RunWatch, Told
from renalct.models.splits import Split


def train(
    recipe: Recipe,
    patients: tuple[CaseFile, ...],
    folder: Path,
    *,
    plan: RunPlan = PLAIN_PLAN,
    watch: RunWatch = UNWATCHED,
) -> RunResult:
    """Train a recipe on cases of patients and on phantoms, or go on with the run that is in the folder.

    Raises `RecipeError` when the folder holds another recipe's run, and for an unknown stage.
    """
    known = [name for name, _ in recipe.stages]
    for name in (*plan.stages, *(name for name, _ in plan.started_from)):
        if name not in known:
            raise RecipeError(f"the recipe {recipe.name} has no stage {name!r}; it has {', '.join(known)}")
    with team_of(plan.machine.device) as team:
        plan = replace(plan, machine=replace(plan.machine, device=team.device))
        if team.first:
            _begin(recipe, patients, folder, plan, watch)
        else:
            watch = RunWatch(stop=watch.stop)
        team.wait()
        record, split = read_run(folder)
        networks = train_networks(RunningRun(folder, record, split, patients, plan, watch, team))
        return RunResult(record, networks, team.size, team.first)


def training_files(
    record: RunRecord, split: Split, patients: Sequence[CaseFile], plan: RunPlan = PLAIN_PLAN
) -> tuple[CaseFile, ...]:
    """Every case that a run's networks are trained on: of the split's training patients, phantoms and made cases."""
    seen, settings = frozenset(split.training), record.settings
    first = settings.seed * 10_000
    phantoms = phantom_files(range(first, first + settings.phantoms), spacing_mm=finest_spacing(record.recipe))
    made: tuple[CaseFile, ...] = ()
    if settings.made:
        seeds = range(first, first + settings.made)
        made = kits_like_files(plan.label_maps, seeds, stacks=plan.stacks, without={*split.validation, *split.test})
    return tuple(f for f in patients if f.patient in seen) + phantoms + made


def _begin(recipe: Recipe, patients: tuple[CaseFile, ...], folder: Path, plan: RunPlan, watch: RunWatch) -> None:
    """Write a new run down, or see that the old one is of the same recipe and patients; and prepare its cases."""

    def tell_cases(done: int, of: int) -> None:
        watch.tell(Told("cases", 0, Status(done, of, math.nan, 0.0)))

    given = tuple(StartedFrom(stage, path.name, file_sha256(path)) for stage, path in plan.started_from)
    settings = replace(plan.settings, started_from=given)
    split = plan.split or split_of(patients, recipe, settings, plan.patients)
    split.refuse_absent([f.patient for f in patients])
    record = RunRecord(
        recipe=recipe,
        settings=settings,
        training_patients=len(split.training),
        validation_patients=len(split.validation),
        split_sha256=split.sha256,
        test_patients=len(split.test),
        data=plan.data,
        licence=plan.licence,
    )
    if (folder / RUN).exists():
        found, _ = read_run(folder)
        refuse_other(found, record, folder)
        record = found
    else:
        measured = fit_intensities(recipe, training_files(record, split, patients, plan), tell=tell_cases)
        record = replace(record, recipe=measured)
        write_run(folder, record, split)
    files = training_files(record, split, patients, plan)
    prepare_cases(files, record.recipe.stages, folder / "cases", workers=plan.workers, tell=tell_cases)

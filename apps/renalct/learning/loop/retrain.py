"""Retraining: from the labels of a store to a candidate, the gate, and perhaps a new published version.

A training that was stopped or killed goes on with the labels that it began with; what is labelled meanwhile waits for
the next. Under `torchrun` every process does this; the first decides, writes and judges.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from renalct.core.errors import InputError, OutputError, RecipeError, RenalctError
from renalct.formats.durable import locked, write_durably
from renalct.learning.image_source import Locate
from renalct.learning.loop.candidate_version import Judge, Retrained, finish
from renalct.learning.loop.frozen import FreezeSettings, FrozenSet, freeze, keep_frozen, read_frozen
from renalct.learning.loop.gate import GateSettings
from renalct.learning.loop.labelled_cases import REVIEWED, case_files_of, labelled_cases
from renalct.learning.loop.loop_status import LoopState, LoopStatus, StatusFile
from renalct.learning.loop.registry import INPUTS, Registry
from renalct.learning.loop.run_inputs import (
    DONE,
    RetrainSettings,
    RunInputs,
    choose_inputs,
    read_inputs,
    write_inputs,
)
from renalct.learning.loop.run_steps import Progress, plan_of_run
from renalct.learning.stage_validation import stage_validator
from renalct.learning.store import CaseState, LabelStore
from renalct.models.cases import CaseFile
from renalct.models.checkpoint import CHECKPOINT
from renalct.models.machine import PLAIN, Machine
from renalct.models.parallel import team_of
from renalct.models.release import release_folder
from renalct.models.run_plan import RunPlan, RunResult, RunWatch
from renalct.models.training import train

RUNS = "runs"
_USUAL, _GATE, _FREEZING = RetrainSettings(), GateSettings(), FreezeSettings()
_LOCK = "training.lock"
_PATIENCE_SECONDS = 1.0  # somebody may be looking just now whether a training runs


@dataclass(frozen=True, eq=False)
class Loop:
    """Where labels come from and versions go, how they are trained and judged, and on what machine.

    The frozen set is chosen from cases in `frozen_states` when there is none yet. `replay` are cases beside the store,
    of earlier trainings. `first` is the release that was used before a training (None: the starter): it becomes the
    first version of a registry that has published none. Without `publishes`, an accepted version waits for somebody to
    publish it.
    """

    store: LabelStore
    registry: Registry
    locate: Locate
    settings: RetrainSettings = _USUAL
    gate: GateSettings = _GATE
    freezing: FreezeSettings = _FREEZING
    frozen_states: tuple[CaseState, ...] = REVIEWED
    replay: tuple[CaseFile, ...] = ()
    first: Path | None = None
    machine: Machine = PLAIN
    workers: int = 1
    cache_mb: float = 4096.0
    trackers: tuple[str, ...] = ()
    by: str = "retrain"
    publishes: bool = True


class Unfinished(Enum):
    """What to do about a training that was not finished: go on when it has the same settings (else refuse), go on
    whatever settings it has, or leave it and begin anew."""

    SAME = "go on with the same settings"
    ANY = "go on"
    LEAVE = "begin anew"


def _silent(status: LoopStatus) -> None:
    """Nobody listens."""


def retrain(
    loop: Loop,
    *,
    stop: Callable[[], bool] = bool,
    tell: Callable[[LoopStatus], None] = _silent,
    about: Unfinished = Unfinished.SAME,
) -> Retrained | None:
    """Train, judge and, when it is better, publish; None when it was stopped, and in every process but the first.

    `about` says what becomes of a training that was not finished. Raises `InputError` when there are no labels to
    train on or the unfinished training has other settings, and `OutputError` when another process trains for this
    registry.
    """
    first = os.environ.get("RANK", "0") == "0"
    with ExitStack() as stack:
        status = None
        if first:
            stack.enter_context(locked(loop.registry.folder / _LOCK, seconds=_PATIENCE_SECONDS))
            status = StatusFile(loop.registry.folder)
            stack.enter_context(status.alive())
        try:
            found = _retrain(loop, status, stop=stop, tell=tell, about=about)
        except Exception as error:
            if status:
                message = str(error) if isinstance(error, RenalctError) else f"a bug ({type(error).__name__})"
                status.tell(state=LoopState.FAILED, message=message)
            raise
        if status and found is None:
            status.tell(state=LoopState.STOPPED, message="it goes on when it is started again")
        if status and found:
            state = LoopState.PUBLISHED if found.published else LoopState.KEPT
            numbers = dict(found.decision.numbers)
            best = numbers.get("kidney and mass Dice", numbers.get("kidney Dice", 0.0))
            status.tell(
                state=state,
                message=found.decision.reason,
                version=found.version.name,
                numbers=found.decision.numbers,
                best_metric=best,
            )
            tell(status.status)
        return found


def is_training(registry: Registry) -> bool:
    """Whether some process trains for a registry now."""
    try:
        with locked(registry.folder / _LOCK, seconds=0.0):
            return False
    except OutputError:
        return True


def last_run(registry: Registry) -> Path | None:
    """The folder of the training that was begun last, whatever became of it."""
    runs = _runs(registry)
    return runs[-1] if runs else None


def unfinished(registry: Registry) -> Path | None:
    """The run that was begun and not finished."""
    run = last_run(registry)
    return run if run is not None and not (run / DONE).exists() else None


def frozen_of(loop: Loop) -> FrozenSet:
    """The frozen validation set of the registry, chosen now where there is none. Raises `InputError`."""
    folder = loop.registry.folder
    frozen = read_frozen(folder)
    if frozen is None:
        frozen = freeze(labelled_cases(loop.store, loop.frozen_states), loop.freezing)
        keep_frozen(folder, frozen)
    return frozen


def judge_of(loop: Loop, frozen: FrozenSet, *, device: str = "") -> Judge:
    """What judges candidates on a frozen set, on a device, or on that of the training."""
    files = case_files_of(loop.store, frozen.cases, loop.locate)
    validated = tuple(zip(frozen.cases, files, strict=True))
    return Judge(loop.registry, frozen.sha256, validated, loop.gate, device or loop.machine.device)


def _retrain(
    loop: Loop,
    status: StatusFile | None,
    *,
    stop: Callable[[], bool],
    tell: Callable[[LoopStatus], None],
    about: Unfinished,
) -> Retrained | None:
    with team_of(loop.machine.device) as team:
        number = int(team.told(float(_begin(loop, about=about)) if team.first else 0.0))
    run = loop.registry.folder / RUNS / f"r{number:04d}"
    inputs = read_inputs(run)
    frozen = read_frozen(loop.registry.folder, inputs.frozen_sha256)
    assert frozen is not None
    try:
        frozen.refuse_trained(inputs.cases)
        files = case_files_of(loop.store, inputs.cases, loop.locate) + loop.replay
        refuse_frozen_files(files, frozen)
        result = train_run(loop, run, inputs, files, Progress(status, tell, inputs, run.name), stop=stop)
    except (InputError, RecipeError) as error:
        if status and not isinstance(error, OutputError) and not any(run.glob(f"*/{CHECKPOINT}")):
            _close(run, "")  # the same labels would fail again: the next training takes those that there are then
        raise
    if result.stopped or not result.first or status is None:
        return None

    def judged(done: int, of: int) -> None:
        status.tell(state=LoopState.JUDGING, message=f"{done} of {of} whole volumes are judged")
        tell(status.status)

    judged(0, 2 * len(frozen.cases))
    judge = replace(judge_of(loop, frozen), tell=judged)
    found = finish(judge, run, inputs, processes=result.processes, by=loop.by if loop.publishes else "")
    _close(run, found.version.name)
    return found


def refuse_frozen_files(files: tuple[CaseFile, ...], frozen: FrozenSet) -> None:
    """Raise `InputError` when a file that is to be trained on is of a frozen patient."""
    held = [file for file in files if file.patient in frozen.patients]
    if held:
        raise InputError(
            f"{len(held)} cases that are to be trained on are of patients of the frozen validation set; whoever "
            "decides between versions is never trained on: leave them out"
        )


def _close(run: Path, version: str) -> None:
    """Note that a run is over, and which version it became; its prepared cases are removed."""
    write_durably(run / DONE, json.dumps({"schema_version": 1, "version": version}) + "\n")
    for name in ("cases", "held_out"):
        shutil.rmtree(run / name, ignore_errors=True)


def _runs(registry: Registry) -> list[Path]:
    return sorted(path.parent for path in registry.folder.glob(f"{RUNS}/r*/{INPUTS}"))


def _begin(loop: Loop, *, about: Unfinished) -> int:
    """The number of the run to go on with, or of a new one."""
    open_run = unfinished(loop.registry)
    if open_run is not None:
        if about is Unfinished.LEAVE:
            _close(open_run, "")
        elif about is Unfinished.SAME and read_inputs(open_run).settings != loop.settings:
            raise InputError(
                f"the training {open_run.name} was not finished and has other settings; give the same to go on with "
                "it, or begin anew"
            )
        else:
            return int(open_run.name[1:])
    _publish_first(loop)
    runs = _runs(loop.registry)
    number = int(runs[-1].name[1:]) + 1 if runs else 1
    inputs = choose_inputs(loop.store, loop.registry, frozen_of(loop), loop.settings)
    write_inputs(loop.registry.folder / RUNS / f"r{number:04d}", inputs)
    return number


def _publish_first(loop: Loop) -> None:
    """Let what was used so far be what candidates start from, and are compared with."""
    if loop.first is None or loop.registry.current() is not None:
        return
    folder = release_folder(loop.first)
    version = loop.registry.add(folder, run="", accepted=True, compared_with="", reason="what labelling began with")
    loop.registry.publish(version.name, by=loop.by)


def _plan(loop: Loop, inputs: RunInputs, files: tuple[CaseFile, ...]) -> RunPlan:
    return replace(
        plan_of_run(loop.registry, inputs, files, replay=loop.replay),
        machine=loop.machine,
        workers=loop.workers,
        cache_mb=loop.cache_mb,
        trackers=loop.trackers,
    )


def train_run(
    loop: Loop,
    run: Path,
    inputs: RunInputs,
    files: tuple[CaseFile, ...],
    progress: Progress,
    *,
    stop: Callable[[], bool] = bool,
) -> RunResult:
    """Train the stages that look at images, then, where a case has a mass to learn from, the classifier."""
    plan = _plan(loop, inputs, files)
    validator = stage_validator(loop.machine.device) if plan.split and plan.split.validation else None
    watch = RunWatch(progress, validator, stop)
    with_images = tuple(name for name, stage in inputs.recipe.stages if not stage.classes)
    result = train(inputs.recipe, files, run, plan=replace(plan, stages=with_images), watch=watch)
    for name, stage in inputs.recipe.stages:
        if stage.classes and not result.stopped and any((run / "cases" / name).glob("*.json")):
            last = train(inputs.recipe, files, run, plan=replace(plan, stages=(name,)), watch=watch)
            result = replace(last, networks=result.networks + last.networks)
    return result

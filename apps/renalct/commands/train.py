"""Train a recipe into a run folder, from images with labels and from synthetic phantoms, up to a release candidate.

A run can be stopped at any moment (Ctrl-C, a lost connection, a full disk) and goes on with --resume, exactly as if it
had never stopped. Without --data or --stacks the networks learn from synthetic phantoms alone.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from renalct.commands.stopping import stop_asked
from renalct.commands.train_data import GivenData, given_data
from renalct.commands.train_options import add_run_options, plan_of, recipe_of
from renalct.commands.train_progress import TrainingLines
from renalct.core.errors import InputError, OutputError
from renalct.learning.candidate import CandidateSettings, export_candidate
from renalct.learning.stage_validation import stage_validator
from renalct.models.recipe import Recipe
from renalct.models.release import Release
from renalct.models.run_folder import CANDIDATE, RUN
from renalct.models.run_plan import RunPlan, RunResult, RunWatch
from renalct.models.training import train

EPILOG = """examples:
  renalct train zhao2023 --data kits23/dataset -o run --device cuda --workers 8 --loaders 8
  renalct train starter -o run --stacks STACKS --single-slices SLICES --phantoms 286 --workers 2
  renalct train starter -o run --resume --minutes 30      go on for half an hour
  torchrun --nproc-per-node 4 -m renalct train zang2021 --data kits21 -o run --device cuda"""
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct train`."""
    add_run_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, telling how far it is about every 15 seconds, and make the release candidate."""
    plan = plan_of(arguments)
    recipe = recipe_of(arguments)
    first = os.environ.get("RANK", "0") == "0"
    if first and (arguments.output / RUN).exists() and not arguments.resume:
        raise OutputError(f"{arguments.output} holds a run already; go on with it by --resume, or give another folder")
    if arguments.resume and not (arguments.output / RUN).exists():
        raise InputError(f"{arguments.output} holds no run to go on with; leave --resume out to start one")
    if first:
        for note in recipe.notes:
            print(f"Note on {recipe.name}: {note}.", flush=True)
    given = given_data(arguments, plan, speak=first)
    return train_and_export(recipe, given, arguments.output, release=not arguments.no_release)


def train_and_export(recipe: Recipe, given: GivenData, folder: Path, *, release: bool = True) -> int:
    """Train, say how it ended and, when every network is trained, make the release candidate; the exit code."""
    lines = TrainingLines()
    validator = stage_validator(given.plan.machine.device)
    with stop_asked() as asked:
        watch = RunWatch(lines, validator, lambda: bool(asked))
        result = train(recipe, given.trained_on, folder, plan=given.plan, watch=watch)
    if not result.first:
        return _INTERRUPTED if result.stopped else 0
    record = result.record
    print(
        f"{recipe.name}: learned from {record.training_patients} patients and {record.settings.phantoms} phantoms; "
        f"{record.validation_patients} patients held out for validation, {record.test_patients} for the test"
    )
    for name, member, status in result.networks:
        words = [f"{status.step} of {status.steps} steps"]
        if math.isfinite(status.best):
            words.append(f"best validation {status.best:.4f}")
        if status.ended:
            words.append(status.ended)
        print(f"{name} {member}: {', '.join(words)}")
    if result.stopped:
        print(f"stopped; go on with: renalct train ... -o {folder} --resume")
        return _INTERRUPTED
    if release and not given.plan.stages:
        print_candidate(_export(folder, given, result), folder)
    else:
        print(f"Export it: renalct weights {folder} -o FOLDER")
    return 0


def _export(folder: Path, given: GivenData, result: RunResult) -> Release:
    plan: RunPlan = given.plan
    settings = CandidateSettings(device=plan.machine.device, processes=result.processes)
    return export_candidate(folder, given.files, settings=settings, tell=_tell_measured)


def print_candidate(release: Release, folder: Path) -> None:
    """Print the metrics of a release candidate, and where it is."""
    print(f"release candidate: {folder / CANDIDATE} (sha256 {release.digest[:12]})")
    for metric in release.card.metrics:
        interval = f"[{metric.low:.3f} to {metric.high:.3f}]"
        print(f"  {metric.name}: {metric.value:.3f} {interval}, n = {metric.n}, {metric.data}")


def _tell_measured(done: int, of: int) -> None:
    if done % 5 == 0 or done == of:
        print(f"measured {done} of {of} cases", flush=True)

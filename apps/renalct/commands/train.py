"""Train a recipe into a run folder, from slices of patients and from synthetic phantoms; `renalct weights` exports it.

A run can be stopped at any moment (Ctrl-C) and goes on with --resume, exactly as if it had never stopped.
Without --stacks the networks learn from synthetic phantoms alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from renalct.core.errors import InputError, OutputError
from renalct.models.cases import CaseFile, single_slice_files, stack_files
from renalct.models.recipes import RECIPES, recipe_named
from renalct.models.training import RUN, RunPlan, Told, train

EPILOG = """examples:
  renalct train starter -o run --stacks STACKS --single-slices SLICES --phantoms 286 --workers 2
  renalct train starter -o run --resume --minutes 30      go on for half an hour"""
_SAY_EVERY_SECONDS = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct train`."""
    names = ", ".join(recipe.name for recipe in RECIPES)
    parser.add_argument("recipe", metavar="RECIPE", help=f"the recipe to train: {names}")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="the folder of the run")
    parser.add_argument("--stacks", type=Path, metavar="FOLDER", help="slice stacks of patients (case_XXXXX/case.json)")
    parser.add_argument(
        "--single-slices", type=Path, metavar="FOLDER", help="full-field single slices of patients (index.json)"
    )
    parser.add_argument("--phantoms", type=int, default=120, metavar="N", help="how many phantoms to make (120)")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="stop after this time; else after the recipe's steps"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps per network, instead of the recipe's number")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="NAME", help="train this stage only (repeatable)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run that is in the folder")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the split, the weights and the samples"
    )
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that prepare cases (1)")


def run(arguments: argparse.Namespace) -> int:
    """Train, telling how far it is about every 15 seconds."""
    recipe = recipe_named(arguments.recipe)
    _check(arguments)
    if (arguments.output / RUN).exists() and not arguments.resume:
        raise OutputError(f"{arguments.output} holds a run already; go on with it by --resume, or give another folder")
    if arguments.resume and not (arguments.output / RUN).exists():
        raise InputError(f"{arguments.output} holds no run to go on with; leave --resume out to start one")
    plan = RunPlan(
        seed=arguments.seed,
        phantoms=arguments.phantoms,
        minutes=arguments.minutes,
        device=arguments.device,
        workers=arguments.workers,
        stages=tuple(arguments.stage),
        steps=arguments.steps,
    )
    record = train(recipe, _patients(arguments), arguments.output, plan=plan, tell=_Teller())
    print(
        f"{recipe.name}: learned from {record.training_patients} patients and {record.phantoms} phantoms, "
        f"{record.validation_patients} patients held out. Export it: renalct weights {arguments.output} -o FOLDER"
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (("phantoms", 0), ("minutes", 0), ("steps", 1), ("seed", 0), ("workers", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise InputError(f"--{name} is {value}; {least} or more is needed")
    if arguments.device != "cpu" and not (arguments.device.startswith("cuda") and torch.cuda.is_available()):
        raise InputError(f"there is no device {arguments.device!r} here to train on; leave --device out to use the CPU")


def _patients(arguments: argparse.Namespace) -> tuple[CaseFile, ...]:
    files: tuple[CaseFile, ...] = ()
    if arguments.stacks:
        files += stack_files(arguments.stacks)
    if arguments.single_slices:
        files += single_slice_files(arguments.single_slices)
    return files


class _Teller:
    """Prints a line now and then."""

    def __init__(self) -> None:
        self._said = 0.0
        self._stage = ""

    def __call__(self, told: Told) -> None:
        now, status = time.monotonic(), told.status
        if told.stage == self._stage and now - self._said < _SAY_EVERY_SECONDS and status.step != status.steps:
            return
        self._said, self._stage = now, told.stage
        if told.stage == "cases":
            print(f"cases: {status.step} of {status.steps} prepared", flush=True)
            return
        left = (status.steps - status.step) * status.seconds_per_step / 60
        name = told.stage if told.member == 0 else f"{told.stage} {told.member}"
        print(
            f"{name}: step {status.step} of {status.steps}, loss {status.loss:.3f}, "
            f"{status.seconds_per_step:.2f} s a step, {left:.0f} min left",
            flush=True,
        )

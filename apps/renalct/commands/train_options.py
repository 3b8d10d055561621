"""The options of `renalct train`, and the values that they mean."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from renalct.core.errors import InputError, RecipeError
from renalct.models.lineage import Ensemble, RunSettings
from renalct.models.machine import Machine, Precision
from renalct.models.recipe import Recipe
from renalct.models.recipes import RECIPES, recipe_named
from renalct.models.run_plan import TRACKERS, RunPlan
from renalct.models.splits import Split, Stratify, shares_from
from renalct.models.values import from_json


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What is trained, and on what."""
    names = ", ".join(recipe.name for recipe in RECIPES)
    parser.add_argument("recipe", metavar="RECIPE", help=f"a recipe by name, or a JSON file of one; known: {names}")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="the folder of the run")
    data = parser.add_argument_group("data")
    add_data_options(data)
    data.add_argument("--stacks", type=Path, metavar="FOLDER", help="slice stacks of patients (case_XXXXX/case.json)")
    data.add_argument(
        "--single-slices", type=Path, metavar="FOLDER", help="full-field single slices of patients (index.json)"
    )
    data.add_argument("--phantoms", type=int, metavar="N", help="how many phantoms to make (120, or 0 with --data)")
    data.add_argument(
        "--made", type=int, default=0, metavar="N",
        help="how many cases like those of KiTS to make of the training patients (0); procedural without --label-maps",
    )  # fmt: skip
    data.add_argument(
        "--shares", metavar="A:B:C", help="sizes of the parts of a new split, for example 8:1:1 or 240/60"
    )
    data.add_argument(
        "--stratify", choices=[member.value for member in Stratify],
        help="what the parts of a new split hold alike (content: which masses are labelled; nothing for slices)",
    )  # fmt: skip
    data.add_argument(
        "--fill-sinus", action="store_true", help="label the renal sinus as kidney, as Zhao 2023's readers"
    )
    data.add_argument("--licence", default="", metavar="TEXT", help="the licence of the data, for the release's card")
    run = parser.add_argument_group("run")
    run.add_argument("--resume", action="store_true", help="go on with the run that is in the folder")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split, the weights and the samples")
    run.add_argument("--minutes", type=float, metavar="N", help="stop after this time; else after the recipe's steps")
    run.add_argument("--steps", type=int, metavar="N", help="steps per network, instead of the recipe's number")
    run.add_argument("--epochs", type=int, metavar="N", help="epochs per network, instead of the recipe's number")
    run.add_argument("--stage", action="append", default=[], metavar="NAME", help="train this stage only (repeatable)")
    run.add_argument("--members", type=int, metavar="N", help="networks per stage, instead of the recipe's number")
    _add_choice(run, "--ensemble", Ensemble, "how the members of a stage differ")
    run.add_argument(
        "--weights", action="append", default=[], metavar="STAGE=FILE", help="start a stage from these weights (.pth)"
    )
    run.add_argument("--validations", type=int, default=10, metavar="N", help="validations per network (10)")
    run.add_argument("--validation-cases", type=int, default=12, metavar="N", help="cases of each validation (12)")
    run.add_argument("--patience", type=int, metavar="N", help="end after N validations without a better one")
    run.add_argument("--no-release", action="store_true", help="make no release candidate at the end")
    add_machine_options(parser)


def add_data_options(group: argparse._ArgumentGroup) -> None:
    """Folders of labelled images, and their split."""
    group.add_argument(
        "--data", type=Path, action="append", default=[], metavar="FOLDER",
        help="labelled images: KiTS cases, NIfTI pairs, DICOM with segmentations, a MONAI Label store (repeatable)",
    )  # fmt: skip
    group.add_argument(
        "--label-maps", type=Path, metavar="FOLDER", help="label maps (case_XXXXX.npz) that made cases are made of"
    )
    group.add_argument("--split", type=Path, metavar="FILE", help="use the split in this file instead of a new one")
    group.add_argument("--skip-bad", action="store_true", help="go on without the cases that cannot be used")
    group.add_argument(
        "--masks-from", type=Path, metavar="RELEASE", help="train the classifier on the masses that this release finds"
    )


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """On what it is computed; for several GPUs or computers start the program by torchrun."""
    group = parser.add_argument_group("machine", "none of these changes what is learned, but for rounding")
    group.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or auto")
    group.add_argument("--workers", type=int, default=1, metavar="N", help="processes that check and prepare cases (1)")
    group.add_argument(
        "--loaders", type=int, default=1, metavar="N", help="processes that draw samples (1); 0 for none"
    )
    _add_choice(group, "--precision", Precision, "what networks are computed in")
    group.add_argument("--accumulate", type=int, default=1, metavar="N", help="compute each batch in N parts (1)")
    group.add_argument(
        "--compile", nargs="?", const="inductor", default="", metavar="BACKEND", help="torch.compile (inductor)"
    )
    group.add_argument("--deterministic", action="store_true", help="no operation that may differ when repeated")
    group.add_argument("--cache-mb", type=float, default=4096.0, metavar="N", help="prepared cases kept mapped (4096)")
    for name in TRACKERS:
        group.add_argument(f"--{name}", action="store_true", help=f"write the numbers for {name} into the run folder")


def _add_choice(group: argparse._ArgumentGroup, option: str, kind: type[Ensemble | Precision], words: str) -> None:
    values = [member.value for member in kind]
    group.add_argument(option, choices=values, default=values[0], help=f"{words} ({values[0]})")


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """The recipe that is named, or in a JSON file, with as many members as asked for."""
    name = arguments.recipe
    if name.endswith(".json"):
        try:
            recipe = from_json(Recipe, json.loads(Path(name).read_text(encoding="utf-8")), where=Path(name).name)
        except (OSError, ValueError) as error:
            raise RecipeError(f"the recipe {name} cannot be read as JSON ({error})") from error
    else:
        recipe = recipe_named(name)
    members = arguments.members
    return recipe if members is None else recipe.with_stages(lambda _, stage: replace(stage, members=members))


def machine_of(arguments: argparse.Namespace) -> Machine:
    """The machine that the options describe. Raises `InputError` for a device that is not there."""
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise InputError(f"there is no device {device!r} here to train on; leave --device out to use the CPU")
    return Machine(
        device=device,
        precision=Precision(arguments.precision),
        accumulate=arguments.accumulate,
        loaders=arguments.loaders,
        compiler=arguments.compile,
        deterministic=arguments.deterministic,
    )


def plan_of(arguments: argparse.Namespace) -> RunPlan:
    """The plan that the options describe, without what the data say. Raises `InputError` for values that cannot be."""
    _check(arguments)
    phantoms = arguments.phantoms
    if phantoms is None:
        phantoms = 0 if arguments.data else RunSettings().phantoms
    settings = RunSettings(
        seed=arguments.seed,
        phantoms=phantoms,
        made=arguments.made,
        ensemble=Ensemble(arguments.ensemble),
        shares=shares_from(arguments.shares) if arguments.shares else (),
        stratify=_stratify(arguments),
        fill_sinus=arguments.fill_sinus,
        validations=arguments.validations,
        validation_cases=arguments.validation_cases,
        patience=arguments.patience,
    )
    return RunPlan(
        settings=settings,
        machine=machine_of(arguments),
        minutes=arguments.minutes,
        steps=arguments.steps,
        epochs=arguments.epochs,
        stages=tuple(arguments.stage),
        workers=arguments.workers,
        cache_mb=arguments.cache_mb,
        split=Split.read(arguments.split) if arguments.split else None,
        label_maps=arguments.label_maps,
        stacks=arguments.stacks,
        licence=arguments.licence,
        started_from=tuple(_stage_and_file(text) for text in arguments.weights),
        trackers=tuple(name for name in TRACKERS if getattr(arguments, name)),
    )


def _stratify(arguments: argparse.Namespace) -> Stratify:
    """What the parts of a split hold alike: as asked for, or by content where whole volumes are read before it."""
    if arguments.stratify is not None:
        return Stratify(arguments.stratify)
    volumes_alone = arguments.data and not (arguments.stacks or arguments.single_slices)
    return Stratify.CONTENT if volumes_alone else Stratify.NOTHING


def _check(arguments: argparse.Namespace) -> None:
    least = (
        ("phantoms", 0), ("made", 0), ("minutes", 0), ("steps", 1), ("epochs", 1), ("seed", 0), ("workers", 1),
        ("members", 1), ("validations", 0), ("validation_cases", 1), ("patience", 1), ("loaders", 0),
        ("accumulate", 1), ("cache_mb", 1),
    )  # fmt: skip
    for name, smallest in least:
        value = getattr(arguments, name)
        if value is not None and value < smallest:
            raise InputError(f"--{name.replace('_', '-')} is {value}; {smallest} or more is needed")
    if arguments.steps is not None and arguments.epochs is not None:
        raise InputError("give --steps or --epochs, not both")


def _stage_and_file(text: str) -> tuple[str, Path]:
    stage, found, path = text.partition("=")
    if not found or not path:
        raise InputError(f"--weights {text} names no file; give a stage and its file, as in classify=resnet_10.pth")
    return stage, Path(path)

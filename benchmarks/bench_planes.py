"""Three planes against the axial plane alone: the 2D system of Beheshtifard 2023, narrow, on synthetic phantoms.

    python benchmarks/bench_planes.py RUNS [--phantoms 60] [--steps 1200] [--test 40] [--spacing 4]

Trains five networks per stage in the folder RUNS, which a second start goes on with: three that all see axial slices
and differ by their seed, one that sees coronal and one that sees sagittal slices, on the same phantoms for the same
steps. The first axial network and the last two are the three planes. Prints the Dice of kidneys, tumors and cysts on
phantoms that none has seen, of one axial network, of the three, and of the three planes, with 95 % intervals, and the
paired differences; of each class over the phantoms that have it. It says what the planes add to a small network on made
images: patients' volumes are not in it.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from renalct.cascade import Cascade
from renalct.core.labels import Structure
from renalct.learning.stage_validation import class_dice
from renalct.metrics.estimates import mean_of
from renalct.models.cases import CaseFile, phantom_files
from renalct.models.lineage import RunSettings
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Recipe, Stage, Target
from renalct.models.recipes import recipe_named
from renalct.models.release import Release
from renalct.models.run_plan import RunPlan
from renalct.models.trained import trained_release
from renalct.models.training import train
from renalct.models.training_settings import Loss, Sampling, Schedule, Select
from renalct.pictures.planes import View

# No residual units: with them MONAI normalizes the answer of each slice, so that a slice can hardly be without a mass.
NETWORK = NetworkSpec(Architecture.UNET, channels=(12, 24, 48, 96), strides=((2, 2, 1),) * 3, residual_units=0)
CLASSES = (
    ("kidney", frozenset({Structure.KIDNEY})),
    ("tumor", frozenset({Structure.TUMOR, Structure.ANGIOMYOLIPOMA})),
    ("cyst", frozenset({Structure.CYST})),
)
FIRST_TEST_SEED = 900_000
PATCH_MM = 384


def main() -> None:
    """Train what is not trained yet, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of both runs")
    parser.add_argument("--phantoms", type=int, default=60, help="phantoms to train on (60)")
    parser.add_argument("--steps", type=int, default=1200, help="steps per network (1200)")
    parser.add_argument("--test", type=int, default=40, help="phantoms to score (40)")
    parser.add_argument("--spacing", type=float, default=4.0, help="mm between voxels of phantoms and networks (4)")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    planes = narrow(recipe_named("beheshtifard2023_three_planes"), arguments.spacing)
    recipes = (
        replace(planes, name="axial").with_stages(lambda _, stage: seeing(stage, View.AXIAL, members=3)),
        replace(planes, name="other_planes").with_stages(
            lambda _, stage: seeing(stage, View.CORONAL, View.SAGITTAL, members=2)
        ),
    )
    plan = RunPlan(RunSettings(phantoms=arguments.phantoms, validations=0), steps=arguments.steps)
    releases = []
    for recipe in recipes:
        print(f"training {recipe.name}", flush=True)
        train(recipe, (), arguments.runs / recipe.name, plan=plan)
        releases.append(trained_release(arguments.runs / recipe.name, version="1"))
    axial, others = releases
    seeds = range(FIRST_TEST_SEED, FIRST_TEST_SEED + arguments.test)
    files = phantom_files(seeds, spacing_mm=(arguments.spacing,) * 3)
    systems = {
        "one axial network": alone(axial),
        "three axial networks": axial,
        "three planes": joined(axial, others),
    }
    report({name: scores(release, files) for name, release in systems.items()})


def narrow(recipe: Recipe, spacing_mm: float) -> Recipe:
    """The recipe with narrow networks on a coarse grid, tumors and cysts as targets, and a training for few steps:
    the paper's loss and rate do not leave the background in some hundred."""

    def change(name: str, stage: Stage) -> Stage:
        side = int(PATCH_MM / spacing_mm) // 8 * 8
        training = replace(
            stage.training, batch=16, patch=(side, side, 1), select=Select.LAST, schedule=Schedule.COSINE, epochs=None,
            loss=Loss.DICE_AND_CROSS_ENTROPY, learning_rate=5e-3, foreground_share=0.7, sampling=Sampling.AT_RANDOM,
        )  # fmt: skip
        geometry = replace(stage.geometry, spacing_mm=(spacing_mm,) * 3)
        targets = (Target.TUMOR, Target.CYST) if name == "segment" else stage.targets
        return replace(stage, network=NETWORK, geometry=geometry, targets=targets, training=training)

    return replace(recipe, name="three_planes", split_shares=()).with_stages(change)


def seeing(stage: Stage, *planes: View, members: int) -> Stage:
    """The stage with so many networks, which see slices of these planes."""
    return replace(stage, geometry=replace(stage.geometry, planes=planes), members=members)


def alone(release: Release) -> Release:
    """The release with the first network of each stage."""
    recipe = release.recipe.with_stages(lambda _, stage: replace(stage, members=1))
    return replace(release, recipe=recipe, weights=tuple((name, found[:1]) for name, found in release.weights))


def joined(axial: Release, others: Release) -> Release:
    """The release of three planes: the first axial network of each stage, and both of the others."""
    views = (View.AXIAL, View.CORONAL, View.SAGITTAL)
    recipe = axial.recipe.with_stages(lambda _, stage: seeing(stage, *views, members=3))
    theirs = dict(others.weights)
    return replace(axial, recipe=recipe, weights=tuple((n, (found[0], *theirs[n])) for n, found in axial.weights))


def scores(release: Release, files: tuple[CaseFile, ...]) -> list[list[float]]:
    """The Dice of each class on each phantom, end to end; nan where the phantom has none of it."""
    cascade, found = Cascade(release, explained=False), []
    for file in files:
        for case in file.load():
            predicted = cascade.run(case.volume).label_map
            there = [np.isin(case.label_map.values, [int(s) for s in structures]).any() for _, structures in CLASSES]
            dice = [class_dice(predicted, case.label_map, structures) for _, structures in CLASSES]
            found.append([d if known else math.nan for d, known in zip(dice, there, strict=True)])
    return found


def report(dice: dict[str, list[list[float]]]) -> None:
    """Print a table of means, and of the differences between the three planes and the others."""
    names = [f"phantom {n}" for n in range(len(next(iter(dice.values()))))]
    counts = [sum(not math.isnan(each[n]) for each in next(iter(dice.values()))) for n in range(len(CLASSES))]
    print(f"\nDice, mean over those of {len(names)} phantoms that have the class [95 % interval]")
    heads = (f"{name} (n = {count})" for (name, _), count in zip(CLASSES, counts, strict=True))
    print("| system | " + " | ".join(heads) + " |")
    print("|---|" + "---|" * len(CLASSES))
    rows = dict(dice)
    planes = dice["three planes"]
    for name, found in dice.items():
        if found is not planes:
            pairs = zip(planes, found, strict=True)
            rows[f"three planes less {name}"] = [[a - b for a, b in zip(*pair, strict=True)] for pair in pairs]
    for name, found in rows.items():
        cells = [mean_of([each[n] for each in found], names, decimals=3).text for n in range(len(CLASSES))]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

"""The 3D recipes learning on synthetic volumes: loss and Dice over the steps, as one picture and one table.

    python benchmarks/bench_learning_curves.py RUNS [--phantoms 60] [--steps 400] [--picture FILE.png]

Trains Zhao 2023 (two 3D U-Nets and the classifier) and Zang 2021 (one sliding 3D U-Net) in the folder RUNS, which a
second start goes on with, on phantoms at 4 mm; a fifth of the phantoms is held out and scored on whole volumes. What is
narrowed is in `narrow`: channels, levels, field, batch, optimizer and rate, and how many patches lie on kidneys.
Losses, augmentation, windows and targets are the recipes' own. It shows that each can be trained; it says nothing of
patients.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from renalct.learning.stage_validation import stage_validator
from renalct.metrics.figures import Words, drawn
from renalct.models.cases import phantom_files
from renalct.models.lineage import RunSettings
from renalct.models.recipe import Recipe, Stage
from renalct.models.recipes import recipe_named
from renalct.models.run_plan import RunPlan, RunWatch
from renalct.models.tracking import read_history
from renalct.models.training import train
from renalct.models.training_settings import Optimizer

RECIPES = ("zhao2023", "zang2021")
SPACING_MM = 4.0
SIDE = 64
MASS_SIDE = 32
PATCH_SIDE = 32  # with a level less, so that the lowest still has eight voxels
SCORES = ("kidneys Dice", "kidney and mass Dice", "mass Dice", "balanced accuracy")
RATE = 1e-3
"""Of Adam, for both: at Zhao's rate of 1e-4 some hundred steps show little, and with Zang's SGD (0.06, or 0.01 as in
nnU-Net) the narrow network had not left the background after 700."""
Points = list[tuple[int, float]]


def main() -> None:
    """Train what is not trained yet, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of both runs")
    parser.add_argument("--phantoms", type=int, default=60, help="phantoms, a fifth of them held out (60)")
    parser.add_argument("--steps", type=int, default=400, help="steps per network (400)")
    parser.add_argument("--sliding-steps", type=int, default=1200, help="steps of the network that sees patches (1200)")
    parser.add_argument("--picture", type=Path, help="PNG to write the curves to")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    files = phantom_files(range(arguments.phantoms), spacing_mm=(SPACING_MM,) * 3)
    settings = RunSettings(phantoms=0, validations=8, validation_cases=max(1, arguments.phantoms // 5))
    curves: dict[str, dict[str, Points]] = {}
    for name in RECIPES:
        recipe = narrow(recipe_named(name))
        print(f"training {name}", flush=True)
        steps = arguments.steps if recipe.localize else arguments.sliding_steps
        plan = RunPlan(settings, steps=steps)
        train(recipe, files, arguments.runs / name, plan=plan, watch=RunWatch(validator=stage_validator()))
        for stage, _ in recipe.stages:
            curves[f"{name}, {stage}"] = curves_of(arguments.runs / name / f"{stage}_0")
    print_table(curves)
    if arguments.picture:
        arguments.picture.write_bytes(picture_of(curves))


def narrow(recipe: Recipe) -> Recipe:
    """The recipe with narrow networks, small fields and batches, and a fifth of the patients held out."""

    def change(_: str, stage: Stage) -> Stage:
        geometry, settings = stage.geometry, stage.training
        network = replace(stage.network, channels=tuple(max(8, n // 4) for n in stage.network.channels))
        if geometry.patch is not None:
            geometry = replace(geometry, spacing_mm=(SPACING_MM,) * 3, patch=(PATCH_SIDE,) * 3)
            settings = replace(settings, foreground_share=0.8)  # few patches of that size would show a kidney
            network = replace(
                network, channels=network.channels[:5], strides=network.strides[:4], kernels=network.kernels[:5]
            )
        else:
            geometry = replace(geometry, shape=(MASS_SIDE if stage.classes else SIDE,) * 3)
        settings = replace(settings, optimizer=Optimizer.ADAM, learning_rate=RATE, warm_up_steps=20)
        settings = replace(settings, batch=2 if stage.geometry.shape else settings.batch)
        settings = replace(settings, epochs=None, batches_per_epoch=None, steps=1)
        return replace(stage, geometry=geometry, network=network, training=settings)

    return replace(recipe, split_shares=(4, 1)).with_stages(change)


def curves_of(network: Path) -> dict[str, Points]:
    """What a network's history holds, by name: the loss and what was measured on held-out phantoms."""
    found: dict[str, Points] = defaultdict(list)
    for step, numbers in read_history(network):
        for name, value in numbers:
            if math.isfinite(value):
                found[name].append((step, value))
    return dict(found)


def scores_of(curves: dict[str, Points]) -> dict[str, Points]:
    """Those that are shown beside the losses."""
    return {name: points for name, points in curves.items() if name in SCORES}


def print_table(curves: dict[str, dict[str, Points]]) -> None:
    """Print the first and the last value of every loss and score."""
    print("\n| network | what | first (step) | last (step) |\n|---|---|---|---|")
    for network, found in curves.items():
        for name, points in found.items():
            if "loss" in name or name in scores_of(found):
                (first, a), (last, b) = points[0], points[-1]
                print(f"| {network} | {name} | {a:.3f} ({first}) | {b:.3f} ({last}) |")


def picture_of(curves: dict[str, dict[str, Points]]) -> bytes:
    """A PNG with the losses of every network above its scores."""
    words = Words("learning_curves", "Learning on synthetic volumes", "Loss above, Dice or accuracy on held-out below.")
    with drawn(words, width=3.2 * len(curves), height=5.2) as (sheet, figures):
        axes = sheet.subplots(2, len(curves), squeeze=False)
        for column, (network, found) in enumerate(curves.items()):
            losses = {name: points for name, points in found.items() if "loss" in name}
            for row, lines in enumerate((losses, scores_of(found))):
                panel = axes[row][column]
                for name, points in lines.items():
                    panel.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
                panel.set_xlabel("step")
                panel.legend(fontsize=6)
            axes[0][column].set_title(network, fontsize=9)
            axes[1][column].set_ylim(0, 1)
    return figures[0].png


if __name__ == "__main__":
    main()

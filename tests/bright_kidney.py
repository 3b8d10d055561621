"""A made task that a tiny network learns in seconds: what is bright is kidney. Shared by the tests of the engine."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from renalct.models.checkpoint import averaged_weights
from renalct.models.engine import Job
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Geometry, Stage, Target
from renalct.models.recipes import recipe_named
from renalct.models.training_settings import DiceOver, Optimizer, Training

STAGE = replace(
    recipe_named("starter").segment,
    geometry=Geometry(patch=(16, 16, 8)),
    network=NetworkSpec(
        Architecture.UNET, channels=(4, 8, 16), strides=((2, 2, 2),) * 2, residual_units=1, dropout=0.2
    ),
    targets=(Target.KIDNEY,),
    training=Training(optimizer=Optimizer.ADAMW, learning_rate=0.01, batch=2, steps=40, ema_decay=0.9),
)
PLAIN = replace(
    STAGE,
    network=replace(STAGE.network, dropout=0.0),
    training=replace(
        STAGE.training, batch=4, dice_over=DiceOver.SAMPLE, optimizer=Optimizer.SGD_NESTEROV, learning_rate=0.1
    ),
)
"""Without anything that depends on how a batch is divided, nor Adam, which divides by gradients that are all rounding
(those of a bias before a norm)."""


def bright_is_kidney(step: int, numbers: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The samples of these numbers of a step."""
    images = []
    for number in numbers:
        generator = torch.Generator().manual_seed(1000 * step + number)
        image = torch.randn(1, 16, 16, 8, generator=generator)
        images.append(torch.nn.functional.avg_pool3d(image, 3, 1, 1) * 5 - number)  # ever less of it is bright
    batch = torch.stack(images)
    return batch, (batch[:, 0] > 0).long()


def job(folder: Path, stage: Stage = STAGE, **changes: object) -> Job:
    """The task in a folder, for as many steps as the stage says."""
    return replace(Job("segment", stage, bright_is_kidney, folder, stage.training.steps), **changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of the checkpoint."""
    return averaged_weights(folder)[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of any two weights."""
    return max(float((one[k].float() - other[k].float()).abs().max()) for k in one)

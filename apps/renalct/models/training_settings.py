"""How a stage is trained, as values: loss, optimizer, schedule, sampling, augmentation, and how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from renalct.core.errors import RecipeError


class Loss(Enum):
    """What training minimizes."""

    DICE_AND_CROSS_ENTROPY = "dice and cross-entropy"
    BINARY_CROSS_ENTROPY = "binary cross-entropy"
    CROSS_ENTROPY = "cross-entropy"


class DiceOver(Enum):
    """What one soft Dice is taken over: all samples of a step together, or each sample on its own."""

    BATCH = "batch"
    SAMPLE = "sample"


class Optimizer(Enum):
    """How weights are updated."""

    ADAM = "Adam"
    ADAMW = "AdamW"
    SGD_NESTEROV = "SGD with Nesterov momentum"


class Schedule(Enum):
    """How the learning rate goes on after its linear rise."""

    CONSTANT = "constant"
    COSINE = "half a cosine down to 2 %"
    POLYNOMIAL = "(1 - step / steps) to the power 0.9"


class Sampling(Enum):
    """Which case a sample comes from: one at random, or every case once before any comes again."""

    AT_RANDOM = "at random"
    IN_TURN = "each case once per epoch"


class Balance(Enum):
    """What is done about classes of unequal size: drawn equally, weighted in the loss, or nothing."""

    SAMPLING = "classes drawn equally"
    WEIGHTS = "classes weighted in the loss"
    NONE = "classes as they are"


class Select(Enum):
    """Which weights a network keeps: the last, or those with the best score or the lowest loss in validation."""

    LAST = "last"
    BEST_SCORE = "best validation score"
    BEST_LOSS = "lowest validation loss"


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training samples; 0 turns one off. Ranges are symmetric about no change.

    `rotation_deg` turns in the axial plane, `tilt_deg` about the two other axes (None: a third of the rotation).
    Changes of place happen together, brightness with contrast, each with `probability`; or, `separately`, every
    change happens on its own. `mirror_axes` are those along which `mirror` flips, with `mirror_probability` each.
    """

    probability: float = 0.5
    rotation_deg: float = 0.0
    tilt_deg: float | None = None
    scale: float = 0.0
    translation: float = 0.0
    mirror: bool = False
    mirror_axes: tuple[int, ...] = (0,)
    mirror_probability: float = 0.5
    separately: bool = False
    noise_hu: float = 0.0
    brightness_hu: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    blur_voxels: float = 0.0

    def __post_init__(self) -> None:
        for name in ("probability", "mirror_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"augmentation.{name} is {getattr(self, name)}; a probability from 0 to 1 is needed")
        if not set(self.mirror_axes) <= {0, 1, 2}:
            raise RecipeError(f"augmentation.mirror_axes is {self.mirror_axes}; axes are 0, 1 and 2")
        if not 0 <= self.scale < 1:
            raise RecipeError(f"augmentation.scale is {self.scale}; a share from 0 to below 1 is needed")


@dataclass(frozen=True)
class Training:
    """How a stage is trained: `foreground_share` of the samples are centred on the target, and onto `pasted_share` of
    them a mass of another case is pasted.

    It takes `epochs` of `batches_per_epoch` (None: as many as pass all training cases once), or `steps` where no epochs
    are given. `batch` is what one update of the weights sees, on however many processes. `patch` is the shape of a
    sample where the geometry has neither a patch nor a shape; `time_share` this stage's part of a training that is
    limited in time. `least_foreground` is the share of a sample's voxels that must be target (0: no such rule).
    """

    loss: Loss = Loss.DICE_AND_CROSS_ENTROPY
    dice_over: DiceOver = DiceOver.BATCH
    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: float = 1e-4
    schedule: Schedule = Schedule.COSINE
    warm_up_steps: int = 50
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch: int = 2
    steps: int = 1000
    epochs: int | None = None
    batches_per_epoch: int | None = None
    sampling: Sampling = Sampling.AT_RANDOM
    balance: Balance = Balance.SAMPLING
    select: Select = Select.LAST
    foreground_share: float = 0.33
    least_foreground: float = 0.0
    pasted_share: float = 0.0
    ema_decay: float = 0.0
    clip_gradient: float = 0.0
    label_smoothing: float = 0.0
    patch: tuple[int, int, int] | None = None
    time_share: float = 1.0
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        for name in ("batch", "steps", "epochs", "batches_per_epoch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"training.{name} is {value}; 1 or more is needed")
        for name in ("learning_rate", "time_share"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise RecipeError(f"training.{name} is {value}; a number above 0 is needed")
        for name in ("foreground_share", "least_foreground", "pasted_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; a share from 0 to 1 is needed")
        for name in ("ema_decay", "momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; a number from 0 to below 1 is needed")
        for name in ("weight_decay", "clip_gradient", "warm_up_steps"):
            if getattr(self, name) < 0:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; 0 or more is needed")

    def steps_for(self, samples: int) -> int:
        """How many steps the training takes when one pass over the training set is that many samples."""
        if self.epochs is None:
            return self.steps
        return self.epochs * self.steps_per_epoch(samples)

    def steps_per_epoch(self, samples: int) -> int:
        """Steps of one epoch; a last, smaller batch counts as one."""
        return self.batches_per_epoch or max(1, -(-samples // self.batch))

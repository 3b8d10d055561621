"""How a stage is trained, as values: loss, optimizer, augmentation, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Loss(Enum):
    """What training minimizes."""

    DICE_AND_CROSS_ENTROPY = "dice and cross-entropy"
    BINARY_CROSS_ENTROPY = "binary cross-entropy"
    CROSS_ENTROPY = "cross-entropy"


class Optimizer(Enum):
    """How weights are updated."""

    ADAM = "Adam"
    ADAMW = "AdamW"
    SGD_NESTEROV = "SGD with Nesterov momentum"


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training samples; 0 turns one off. Ranges are symmetric about no change."""

    probability: float = 0.5
    rotation_deg: float = 0.0
    scale: float = 0.0
    translation: float = 0.0
    mirror: bool = False
    noise_hu: float = 0.0
    brightness_hu: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    blur_voxels: float = 0.0


@dataclass(frozen=True)
class Training:
    """How a stage is trained: `foreground_share` of the samples are centred on the target.

    `patch` is the shape of a sample where the geometry has neither a patch nor a shape; `time_share` this stage's part
    of a training that is limited in time.
    """

    loss: Loss = Loss.DICE_AND_CROSS_ENTROPY
    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch: int = 2
    steps: int = 1000
    foreground_share: float = 0.33
    ema_decay: float = 0.0
    clip_gradient: float = 0.0
    label_smoothing: float = 0.0
    patch: tuple[int, int, int] | None = None
    time_share: float = 1.0
    augmentation: Augmentation = Augmentation()

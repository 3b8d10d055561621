"""The learning rate of a step, and the optimizers."""

from __future__ import annotations

import math

import torch
from torch import nn

from renalct.models.training_settings import Optimizer, Schedule, Training

_LOWEST_SHARE = 0.02
_POWER = 0.9  # nnU-Net, Isensee et al. 2021


def learning_rate(training: Training, step: int, steps: int) -> float:
    """The rate of a step (from 0) of `steps`: a linear rise over the warm-up (at most a tenth of the training), times
    the schedule's fall."""
    warm_up = min(training.warm_up_steps, max(1, steps // 10))
    rise = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    done = min(1.0, step / max(1, steps))
    falls: dict[Schedule, float] = {
        Schedule.CONSTANT: 1.0,
        Schedule.COSINE: _LOWEST_SHARE + (1 - _LOWEST_SHARE) * 0.5 * (1 + math.cos(math.pi * done)),
        Schedule.POLYNOMIAL: math.pow(1 - done, _POWER),
    }
    return training.learning_rate * rise * falls[training.schedule]


def build_optimizer(training: Training, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a training over all parameters of a network."""
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer is Optimizer.SGD_NESTEROV:
        return torch.optim.SGD(
            network.parameters(), rate, momentum=training.momentum, nesterov=True, weight_decay=decay
        )
    kind = torch.optim.AdamW if training.optimizer is Optimizer.ADAMW else torch.optim.Adam
    return kind(network.parameters(), rate, weight_decay=decay)

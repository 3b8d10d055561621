"""The loss on samples of cases that are not trained on: always the same samples, unchanged by augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from renalct.models.losses import loss_of
from renalct.models.machine import Machine
from renalct.models.networks import build_network, load_state, placed
from renalct.models.prepared_cases import PreparedCase
from renalct.models.recipe import Stage
from renalct.models.samples import Sampler
from renalct.models.training_settings import Augmentation

_SAMPLES = 64


class ValidationLoss:
    """The mean loss of a stage's weights on at most 64 samples of held-out cases."""

    def __init__(self, stage: Stage, pool: Sequence[PreparedCase], machine: Machine) -> None:
        training = replace(stage.training, augmentation=Augmentation(), pasted_share=0.0, least_foreground=0.0)
        self._stage, self._machine = replace(stage, training=training), machine
        self._sampler = Sampler(self._stage, tuple(pool))
        self._network = placed(build_network(stage), stage, machine.device)

    @torch.inference_mode()
    def __call__(self, weights: dict[str, torch.Tensor]) -> float:
        """The loss of these weights."""
        load_state(self._network, weights)
        losses = []
        batch = self._stage.training.batch
        for step in range(max(1, _SAMPLES // batch)):
            for part in self._machine.parts(batch):
                images, targets = (t.to(self._machine.device) for t in self._sampler.batch(step, part))
                with self._machine.autocast(self._stage):
                    output = self._network(images)
                losses.append(float(loss_of(output.float(), targets, self._stage)))
        return sum(losses) / len(losses)

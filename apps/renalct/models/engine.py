"""The training loop of one network: steps, checkpoints, and a continuation that is identical after any stop.

Nothing random outlives a step: samples, dropout and the learning rate are functions of the seed and the step number.
Checkpoints are safetensors (no pickle), written to a temporary name and renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.losses.dice import DiceCELoss, DiceLoss
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from renalct.core.errors import OutputError, RecipeError
from renalct.models.networks import build_network, load_state, placed, state_of
from renalct.models.recipe import Activation, Stage
from renalct.models.samples import Batch
from renalct.models.training_settings import Loss, Optimizer, Training
from renalct.models.values import to_json

CHECKPOINT = "checkpoint.safetensors"
_WARM_UP_STEPS = 50
_NARROWEST_BFLOAT16 = 16


@dataclass(frozen=True)
class Pace:
    """When to stop and to save. `deadline` is a time of `time.monotonic`; None means all steps of the recipe."""

    deadline: float | None = None
    save_every_seconds: float = 120.0
    steps: int | None = None


@dataclass(frozen=True)
class Status:
    """How far a training is; `loss` is a running mean."""

    step: int
    steps: int
    loss: float
    seconds_per_step: float


Tell = Callable[[Status], None]


@dataclass(eq=False)
class _State:
    """What changes while training."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, torch.Tensor]
    step: int = 0
    loss: float = math.nan
    stage_sha256: str = field(default="", repr=False)


def train_network(
    stage: Stage, draw: Callable[[int], Batch], folder: Path, *, seed: int = 0, device: str = "cpu",
    pace: Pace = Pace(), tell: Tell | None = None,
) -> Status:  # fmt: skip
    """Train the stage's network until its steps are done or time is up, from the checkpoint in `folder` if there is
    one, and leave a checkpoint there. `draw(step)` gives the batch of a step.

    Raises `RecipeError` when the checkpoint is of another recipe, or when the loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _start(stage, folder / CHECKPOINT, seed, device)
    steps = pace.steps or stage.training.steps
    saved = began = time.monotonic()
    first = state.step
    while state.step < steps and (pace.deadline is None or time.monotonic() < pace.deadline):
        loss = _step(state, stage, draw(state.step), steps=steps, seed=seed, device=device)
        state.loss = loss if math.isnan(state.loss) else 0.98 * state.loss + 0.02 * loss
        state.step += 1
        now = time.monotonic()
        if tell:
            tell(Status(state.step, steps, state.loss, (now - began) / (state.step - first)))
        if now - saved > pace.save_every_seconds:
            _save(state, folder / CHECKPOINT)
            saved = now
    _save(state, folder / CHECKPOINT)
    taken = (time.monotonic() - began) / max(1, state.step - first)
    return Status(state.step, steps, state.loss, taken)


def _start(stage: Stage, path: Path, seed: int, device: str) -> _State:
    network = build_network(stage, seed=seed)
    network = placed(network, stage, device).train()
    average = {name: tensor.clone() for name, tensor in state_of(network).items()}
    digest = hashlib.sha256(json.dumps(to_json(stage), sort_keys=True).encode()).hexdigest()
    state = _State(network, _optimizer(stage.training, network), average, stage_sha256=digest)
    if path.exists():
        _restore(state, path)
    return state


def _step(state: _State, stage: Stage, batch: Batch, *, steps: int, seed: int, device: str) -> float:
    torch.manual_seed(seed * 1_000_003 + state.step)
    images, targets = (tensor.to(device) for tensor in batch)
    layout = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
    images = images.contiguous(memory_format=layout)
    training = stage.training
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(training, state.step, steps)
    with _autocast(stage, device):
        output = state.network(images)
    loss = loss_of(output.float(), targets, stage)
    if not torch.isfinite(loss):
        raise RecipeError(
            f"the loss is not finite at step {state.step}; the last checkpoint is kept: lower the learning rate "
            f"({training.learning_rate:g}) or clip the gradient, and resume"
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if training.clip_gradient:
        nn.utils.clip_grad_norm_(state.network.parameters(), training.clip_gradient)
    state.optimizer.step()
    _average(state, training.ema_decay)
    return float(loss.detach())


def learning_rate(training: Training, step: int, steps: int) -> float:
    """A linear rise over 50 steps, then half a cosine down to 2 % at the last step."""
    rise = min(1.0, (step + 1) / min(_WARM_UP_STEPS, max(1, steps // 10)))
    fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return training.learning_rate * rise * fall


def loss_of(output: torch.Tensor, targets: torch.Tensor, stage: Stage) -> torch.Tensor:
    """The stage's loss; heads of deep supervision (n, heads, channels, ...) weigh half as much per level."""
    spatial = targets.ndim - (2 if stage.activation is Activation.SIGMOID else 1)
    if not stage.classes and output.ndim == spatial + 3:
        weights = [0.5**head for head in range(output.shape[1])]
        losses = [w * loss_of(output[:, head], targets, stage) for head, w in enumerate(weights)]
        return torch.stack(losses).sum() / sum(weights)
    training = stage.training
    if training.loss is Loss.CROSS_ENTROPY:
        return nn.functional.cross_entropy(output, targets, label_smoothing=training.label_smoothing)
    if stage.activation is Activation.SIGMOID:
        binary = nn.functional.binary_cross_entropy_with_logits(output, targets)
        if training.loss is Loss.BINARY_CROSS_ENTROPY:
            return binary
        dice: torch.Tensor = DiceLoss(sigmoid=True, batch=True)(output, targets)
        return binary + dice
    loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    combined: torch.Tensor = loss(output, targets[:, None])
    return combined


def _average(state: _State, decay: float) -> None:
    """Exponential moving average of the weights, faster at the start."""
    keep = min(decay, (1 + state.step) / (10 + state.step)) if decay else 0.0
    with torch.no_grad():
        for name, tensor in state_of(state.network).items():
            if tensor.is_floating_point():
                state.average[name].lerp_(tensor, 1 - keep)
            else:
                state.average[name].copy_(tensor)


def _optimizer(training: Training, network: nn.Module) -> torch.optim.Optimizer:
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer is Optimizer.SGD_NESTEROV:
        return torch.optim.SGD(
            network.parameters(), rate, momentum=training.momentum, nesterov=True, weight_decay=decay
        )
    kind = torch.optim.AdamW if training.optimizer is Optimizer.ADAMW else torch.optim.Adam
    return kind(network.parameters(), rate, weight_decay=decay)


def _autocast(stage: Stage, device: str) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 where the processor computes in it.

    Not for networks under 16 channels on a CPU: there oneDNN's gradient of the weights holds memory never written.
    """
    kind = torch.device(device).type
    wide = min(stage.network.widths, default=_NARROWEST_BFLOAT16) >= _NARROWEST_BFLOAT16
    able = kind == "cuda" or (kind == "cpu" and wide and torch.cpu._is_avx512_bf16_supported())
    return torch.autocast(kind, dtype=torch.bfloat16) if able else contextlib.nullcontext()


def _save(state: _State, path: Path) -> None:
    tensors = {f"network.{k}": v for k, v in state_of(state.network).items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    for number, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in values.items() if isinstance(v, torch.Tensor)}
    about = {"step": str(state.step), "loss": repr(state.loss), "stage_sha256": state.stage_sha256}
    part = path.with_name(path.name + ".part")
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata=about)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"the checkpoint {path} cannot be written ({error}); the one before it is kept") from error


def _restore(state: _State, path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if about["stage_sha256"] != state.stage_sha256:
        raise RecipeError(f"{path} was trained with another recipe; give another run folder, or the same recipe")
    load_state(state.network, _named(tensors, "network."))
    for name, tensor in _named(tensors, "average.").items():
        state.average[name].copy_(tensor)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in _named(tensors, "optimizer.").items():
        number, name = key.split(".", 1)
        moments.setdefault(int(number), {})[name] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.step, state.loss = int(about["step"]), float(about["loss"])


def _named(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def averaged_weights(folder: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The averaged weights in a folder's checkpoint, and the steps that they have seen."""
    with safe_open(folder / CHECKPOINT, framework="pt") as file:
        names = [key for key in file.keys() if key.startswith("average.")]  # noqa: SIM118
        weights = {key.removeprefix("average."): file.get_tensor(key) for key in names}
        return weights, int(file.metadata()["step"])

"""What changes while a network is trained, and its checkpoints: safetensors (no pickle), written under a temporary name
and renamed, so that a stop at any moment leaves the one before."""

from __future__ import annotations

import errno
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from renalct.core.errors import OutputError, RecipeError
from renalct.formats.durable import replace_file
from renalct.models.networks import load_state, state_of
from renalct.models.recipe import Stage
from renalct.models.values import to_json

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"


@dataclass(eq=False)
class TrainingState:
    """What changes while training: weights, their moving average, moments, the step, and how validation went."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: dict[str, torch.Tensor]
    planned_steps: int = 0
    step: int = 0
    loss: float = math.nan
    best: float = -math.inf
    since_best: int = 0
    stage_sha256: str = field(default="", repr=False)

    def averaged(self, decay: float) -> None:
        """Move the exponential moving average of the weights one step on; it is faster at the start."""
        keep = min(decay, (1 + self.step) / (10 + self.step)) if decay else 0.0
        with torch.no_grad():
            for name, tensor in state_of(self.network).items():
                if tensor.is_floating_point():
                    self.average[name].lerp_(tensor, 1 - keep)
                else:
                    self.average[name].copy_(tensor)


def digest_of(stage: Stage) -> str:
    """The sha256 of a stage as JSON."""
    return hashlib.sha256(json.dumps(to_json(stage), sort_keys=True).encode()).hexdigest()


def save_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write everything that the continuation needs. Raises `OutputError`, and keeps the one before."""
    tensors = {f"network.{k}": v for k, v in state_of(state.network).items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    for number, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in values.items() if isinstance(v, torch.Tensor)}
    about = {
        "step": str(state.step),
        "planned_steps": str(state.planned_steps),
        "loss": repr(state.loss),
        "best": repr(state.best),
        "since_best": str(state.since_best),
        "stage_sha256": state.stage_sha256,
        "scaler": json.dumps(state.scaler.state_dict()),
    }
    _write(tensors, folder / CHECKPOINT, about)


def save_best(state: TrainingState, folder: Path) -> None:
    """Write the averaged weights as the best of the training so far."""
    tensors = {f"average.{k}": v for k, v in state.average.items()}
    _write(tensors, folder / BEST, {"step": str(state.step), "best": repr(state.best)})


def _write(tensors: dict[str, torch.Tensor], path: Path, about: dict[str, str]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        data = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata=about)
        replace_file(path, data, part=part)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"the checkpoint {path} cannot be written ({_reason(error)}); the one before is kept"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space is left on the disk; free some and resume"
    return str(error)


def restore_checkpoint(state: TrainingState, folder: Path) -> bool:
    """Put a state back to where the checkpoint in a folder is; False when there is none.

    Raises `RecipeError` when the checkpoint is damaged, or of another recipe.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"the checkpoint {path} is damaged ({error}); delete it to begin anew") from error
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
    state.scaler.load_state_dict(json.loads(about["scaler"]))
    state.step, state.loss = int(about["step"]), float(about["loss"])
    state.best, state.since_best = float(about["best"]), int(about["since_best"])
    return True


def _named(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def progress_of(folder: Path) -> tuple[int, int]:
    """The steps done, and planned, of the training in a folder."""
    with safe_open(folder / CHECKPOINT, framework="pt") as file:
        about = file.metadata()
    return int(about["step"]), int(about["planned_steps"])


def averaged_weights(folder: Path, *, best: bool = False) -> tuple[dict[str, torch.Tensor], int]:
    """The averaged weights in a folder's checkpoint, and the steps that they have seen; of the best where asked and
    where a validation found one."""
    path = folder / BEST if best and (folder / BEST).exists() else folder / CHECKPOINT
    with safe_open(path, framework="pt") as file:
        names = [key for key in file.keys() if key.startswith("average.")]  # noqa: SIM118
        weights = {key.removeprefix("average."): file.get_tensor(key) for key in names}
        return weights, int(file.metadata()["step"])

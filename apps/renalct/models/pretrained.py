"""Weights that a network starts from: MedicalNet's or ImageNet's from a file, or those of another training."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from renalct.core.errors import InputError, RecipeError
from renalct.models.network_spec import Architecture
from renalct.models.networks import build_network, state_of
from renalct.models.recipe import Stage

Weights = dict[str, torch.Tensor]
_PREFIXES = ("module.", "backbone.", "encoder.", "0.")
_COUNTER = "num_batches_tracked"  # of old files it is missing; it has no influence here
_LISTED = 3
_STACK = re.compile(r"^_blocks\.\d+\.(?=\d)")  # in MONAI alone the blocks of an EfficientNet stand in stacks


def read_weights(path: Path) -> Weights:
    """The tensors in a safetensors or PyTorch file, by name; nothing else in it is read or executed.

    Raises `InputError` when the file is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"the weights {path} cannot be read ({error.strerror})") from error
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} holds no weights that can be read safely; give a .safetensors or .pth file"
        ) from error
    data = data.get("state_dict", data) if isinstance(data, dict) else data
    if not isinstance(data, dict) or not all(isinstance(value, torch.Tensor) for value in data.values()):
        raise InputError(f"{path} holds something else than named tensors; give the state_dict of a network")
    return data


def starting_weights(stage: Stage, given: Weights, *, seed: int, source: str) -> Weights:
    """All tensors of the stage's network: the backbone's as given, the others drawn from `seed`.

    The backbone is a ResNet without its last layers, the encoder of a FlexibleUNet, and all of any other network. The
    first convolution of colour images is summed over the colours. Weights of this very network (tensors of the same
    names and shapes) are taken whole, its last layers too. Raises `RecipeError` when a tensor of the backbone is
    missing or has another shape.
    """
    own = {name: tensor.clone() for name, tensor in state_of(build_network(stage, seed=seed)).items()}
    if given.keys() == own.keys() and all(given[name].shape == own[name].shape for name in own):
        return {name: given[name].to(own[name].dtype) for name in own}
    by_name = {_bare(name): tensor for name, tensor in given.items()}
    in_backbone = _backbone(stage)
    problems = []
    for name, tensor in own.items():
        if not in_backbone(name):
            continue
        found = by_name.get(_bare(name))
        if found is None and name.endswith(_COUNTER):
            continue
        if found is not None and _first_of_colors(found, tensor):
            found = found.sum(1, keepdim=True)
        if found is None or found.shape != tensor.shape:
            problems.append(name)
            continue
        tensor.copy_(found)
    if problems:
        raise RecipeError(
            f"{source} does not fit the {stage.network.architecture.value} of the recipe: {len(problems)} tensors are "
            f"missing or of another shape ({', '.join(problems[:_LISTED])}); give the weights of the same network"
        )
    return own


def _bare(name: str) -> str:
    shorter = name
    for prefix in _PREFIXES:
        shorter = shorter.removeprefix(prefix)
    return _STACK.sub("_blocks.", shorter)


def _backbone(stage: Stage) -> Callable[[str], bool]:
    architecture = stage.network.architecture
    if architecture is Architecture.RESNET:
        return lambda name: _bare(name).startswith(("conv1", "bn1", "layer"))
    if architecture is Architecture.FLEXIBLE_UNET:
        return lambda name: name.startswith("encoder.") and not _bare(name).startswith("fc.")
    return lambda name: True


def _first_of_colors(found: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a convolution of three colours stands where ours has one channel."""
    return found.ndim == own.ndim >= 4 and found.shape[1] == 3 and own.shape[1] == 1

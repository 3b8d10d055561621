"""Dropout at inference: the layers of a network that drop, or its bottleneck where it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.unet import UNet
from torch import nn

from renalct.core.errors import RecipeError

BOTTLENECK_DROPOUT = 0.2
"""The share of numbers that is dropped at the bottleneck of a network that was trained without dropout: as little as
shows a difference, because such a network never learned to do without."""


def dropout_layers(network: nn.Module) -> tuple[nn.Module, ...]:
    """The layers of a network that drop something when it is trained; norms are never among them."""
    return tuple(
        module for module in network.modules() if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
    )


def bottleneck(network: nn.Module) -> nn.Module:
    """The module whose answer is the deepest features of a segmenting network.

    Its answer is a tensor, or a list whose last is the deepest. Raises `RecipeError` for an unknown architecture.
    """
    if isinstance(network, DynUNet):
        return network.get_submodule("bottleneck")
    if isinstance(network, FlexibleUNet):
        return network.get_submodule("encoder")
    if isinstance(network, UNet):
        module: nn.Module = network.model
        while deeper := [m for m in module.children() if isinstance(m, SkipConnection)]:
            module = deeper[0].get_submodule("submodule")
        return module
    raise RecipeError(
        f"the deepest features of a {type(network).__name__} are not known, and it has no dropout of its own; "
        "choose another strategy (entropy, disagreement), or a recipe with dropout"
    )


@contextmanager
def dropping(network: nn.Module) -> Iterator[None]:
    """A network that drops at random while the context lasts, and is as before after it.

    Its own dropout layers where it has any (Gal and Ghahramani 2016); else `BOTTLENECK_DROPOUT` of its deepest
    features, which is an approximation: nothing was trained with it. Other layers, norms above all, are not touched.
    Not for a network that another thread uses meanwhile. Raises as `bottleneck`.
    """
    layers = dropout_layers(network)
    with ExitStack() as after:
        if layers:
            for layer in layers:
                after.callback(layer.train, layer.training)
                layer.train()
        else:
            hook = bottleneck(network).register_forward_hook(_drop)
            after.callback(hook.remove)
        yield


@contextmanager
def deepest(network: nn.Module, tell: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Have `tell` given the deepest features of every call of a network while the context lasts."""

    def show(_: nn.Module, __: Any, answer: Any) -> None:
        tell(answer if isinstance(answer, torch.Tensor) else answer[-1])

    hook = bottleneck(network).register_forward_hook(show)
    try:
        yield
    finally:
        hook.remove()


def _drop(_: nn.Module, __: Any, answer: Any) -> Any:
    if isinstance(answer, torch.Tensor):
        return nn.functional.dropout(answer, BOTTLENECK_DROPOUT, training=True)
    return [*answer[:-1], nn.functional.dropout(answer[-1], BOTTLENECK_DROPOUT, training=True)]

"""The MONAI network of a stage."""

from __future__ import annotations

import math

import torch
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE, FlexibleUNet
from monai.networks.nets.resnet import ResNet
from monai.networks.nets.unet import UNet
from torch import nn

from renalct.core.errors import RecipeError
from renalct.models.efficientnet_lite import EfficientNetLite0
from renalct.models.network_spec import Architecture
from renalct.models.recipe import Stage

_FLEXIBLE_UNET_DIVISOR = 32  # five halvings in the encoder


def build_network(stage: Stage, *, seed: int = 0) -> nn.Module:
    """The untrained network of a stage, in evaluation mode, with weights drawn from `seed`.

    It takes (n, input channels, x, y, z), or (n, input channels, x, y) for a slice-wise stage, and gives logits
    (n, output channels, ...) on the same voxels, or (n, classes) for a classifier.
    """
    builders = {
        Architecture.UNET: _unet,
        Architecture.DYN_UNET: _dyn_unet,
        Architecture.FLEXIBLE_UNET: _flexible_unet,
        Architecture.RESNET: _resnet,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = builders[stage.network.architecture](stage)
    return network.eval()


def placed(network: nn.Module, stage: Stage, device: str) -> nn.Module:
    """The network on a device, channels last, which is how processors compute convolutions fastest."""
    layout = torch.channels_last if stage.geometry.slice_wise else torch.channels_last_3d
    network.to(device)
    network.to(memory_format=layout)  # type: ignore[call-overload]
    return network


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and buffers of a network by name, each once (a DynUNet holds its blocks under two names)."""
    return {name: t.detach() for name, t in (*network.named_parameters(), *network.named_buffers())}


def load_state(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy tensors as given by `state_of` into a network. Raises `ValueError` unless names and shapes are the same."""
    own = state_of(network)
    if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
        raise ValueError("the tensors are those of another network")
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def divisor(stage: Stage) -> tuple[int, int, int]:
    """What each side of the input must be a multiple of."""
    spec = stage.network
    if spec.architecture is Architecture.FLEXIBLE_UNET:
        last = 1 if stage.geometry.slice_wise else _FLEXIBLE_UNET_DIVISOR
        return _FLEXIBLE_UNET_DIVISOR, _FLEXIBLE_UNET_DIVISOR, last
    sides = [math.prod(stride[axis] for stride in spec.strides) for axis in range(3)]
    return sides[0], sides[1], 1 if stage.geometry.slice_wise else sides[2]


def explained_module(network: nn.Module, stage: Stage) -> str:
    """The name of the module whose features Grad-CAM reads."""
    names = {name for name, _ in network.named_modules()}
    prefix = "0." if f"0.{stage.network.explained_layer}" in names else ""
    return prefix + stage.network.explained_layer


def _dimensions(stage: Stage) -> int:
    return 2 if stage.geometry.slice_wise else 3


def _unet(stage: Stage) -> nn.Module:
    spec, n = stage.network, _dimensions(stage)
    return UNet(
        spatial_dims=n,
        in_channels=stage.input_channels,
        out_channels=stage.output_channels,
        channels=spec.widths,
        strides=[stride[:n] for stride in spec.strides],  # type: ignore[misc]  # MONAI takes one stride per axis too
        num_res_units=spec.residual_units,
        dropout=spec.dropout,
    )


def _dyn_unet(stage: Stage) -> nn.Module:
    spec, n = stage.network, _dimensions(stage)
    kernels: list[tuple[int, ...]] = [k[:n] for k in (spec.kernels or ((3, 3, 3),) * len(spec.channels))]
    strides: list[tuple[int, ...]] = [s[:n] for s in spec.strides]
    heads = spec.deep_supervision_heads
    return DynUNet(
        spatial_dims=n,
        in_channels=stage.input_channels,
        out_channels=stage.output_channels,
        kernel_size=kernels,
        strides=[(1,) * n, *strides],
        upsample_kernel_size=strides,
        filters=list(spec.widths),
        dropout=spec.dropout or None,
        norm_name=("INSTANCE", {"affine": True}),
        deep_supervision=heads > 0,
        deep_supr_num=max(1, heads),
    )


def _flexible_unet(stage: Stage) -> nn.Module:
    FLEXUNET_BACKBONE.register_class(EfficientNetLite0)
    known = FLEXUNET_BACKBONE.register_dict
    if stage.network.encoder not in known:
        raise RecipeError(f"a FlexibleUNet has no encoder {stage.network.encoder!r}; give one of {', '.join(known)}")
    return FlexibleUNet(
        in_channels=stage.input_channels,
        out_channels=stage.output_channels,
        backbone=stage.network.encoder,
        pretrained=False,
        spatial_dims=_dimensions(stage),
        dropout=stage.network.dropout,
    )


def _resnet(stage: Stage) -> nn.Module:
    spec = stage.network
    network: nn.Module = ResNet(
        block="basic",
        layers=[1, 1, 1, 1],
        block_inplanes=list(spec.channels),
        spatial_dims=_dimensions(stage),
        n_input_channels=stage.input_channels,
        conv1_t_stride=2,  # as MedicalNet; MONAI's own default is 1
        num_classes=spec.hidden or stage.output_channels,
        shortcut_type="B",
        bias_downsample=False,
        no_max_pool=not spec.max_pool,
    )
    if spec.dilated:
        _dilate(network)
    if spec.hidden:
        last = nn.Linear(spec.hidden, stage.output_channels)
        return nn.Sequential(network, nn.ReLU(), nn.Dropout(spec.dropout), last)
    if spec.dropout:
        network.fc = nn.Sequential(nn.Dropout(spec.dropout), network.get_submodule("fc"))
    return network


def _dilate(network: nn.Module) -> None:
    """Give the last two levels dilation 2 and 4 instead of a stride, as in MedicalNet's ResNet-10."""
    for name, dilation in (("layer3", 2), ("layer4", 4)):
        for module in network.get_submodule(name).modules():
            if not isinstance(module, nn.Conv2d | nn.Conv3d):
                continue
            n = len(module.kernel_size)
            module.stride = (1,) * n
            if module.kernel_size[0] == 3:
                module.dilation = (dilation,) * n
                module.padding = (dilation,) * n


def parameter_count(network: nn.Module) -> int:
    """How many numbers a network has learned."""
    return sum(p.numel() for p in network.parameters())

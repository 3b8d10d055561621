"""EfficientNet-Lite0 as an encoder of MONAI's FlexibleUNet: small, and with weights of ImageNet at hand.

Tan and Le, "EfficientNet" (ICML 2019), in its Lite form (tensorflow/tpu, 2020): no squeeze and excitation, and ReLU6
where the others have swish. Lite0 has the widths and depths of B0.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.blocks.encoder import BaseEncoder
from monai.networks.nets.efficientnet import EfficientNet, MBConvBlock
from torch import nn

NAME = "efficientnet-lite0"
_BLOCKS = [  # repeats, kernel, stride, expansion, channels in and out
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
]
_FEATURES = (16, 24, 40, 112, 320)
_MULTIPLE = 224  # any multiple of 32 gives the same padding


class EfficientNetLite0(EfficientNet, BaseEncoder):
    """Features of a slice (n, channels, x, y), both sides multiples of 32, at 1/2 to 1/32 of its resolution."""

    def __init__(self, *, in_channels: int, spatial_dims: int, pretrained: bool) -> None:
        if pretrained:
            raise ValueError("weights of ImageNet come from a file; they are never downloaded")
        super().__init__(
            _BLOCKS.copy(),
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            image_size=_MULTIPLE,
            drop_connect_rate=0.0,
        )
        for unused in ("_conv_head", "_conv_head_padding", "_bn1", "_avg_pooling", "_dropout", "_fc"):
            delattr(self, unused)
        self._swish = nn.ReLU6(inplace=True)
        for module in self.modules():
            if isinstance(module, MBConvBlock):
                module._swish = nn.ReLU6(inplace=True)

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """The five feature maps, finest first."""
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
        features = []
        for number, stack in enumerate(self._blocks, start=1):
            x = stack(x)
            if number in self.extract_stacks:
                features.append(x)
        return features

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """What MONAI's register builds it with; the caller's channels and dimensions replace these."""
        return [{"in_channels": 3, "spatial_dims": 2, "pretrained": False}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Channels of the five feature maps."""
        return [_FEATURES]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """How many feature maps there are."""
        return [len(_FEATURES)]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """The name that a recipe gives."""
        return [NAME]

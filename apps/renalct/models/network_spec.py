"""What a network is built like: an architecture of MONAI, its widths and strides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from renalct.core.errors import RecipeError


class Architecture(Enum):
    """The MONAI network that is built."""

    UNET = "UNet"
    DYN_UNET = "DynUNet"
    FLEXIBLE_UNET = "FlexibleUNet"
    RESNET = "ResNet"


@dataclass(frozen=True)
class NetworkSpec:
    """One network: channels per level (capped at `max_channels`), strides and kernels (x, y, z) per level.

    `hidden` is the width of a fully connected layer before the classes (0 for none). `dilated` gives the last two
    levels of a ResNet dilation instead of stride. `explained_layer` is the level that Grad-CAM reads.
    """

    architecture: Architecture
    channels: tuple[int, ...] = ()
    strides: tuple[tuple[int, int, int], ...] = ()
    kernels: tuple[tuple[int, int, int], ...] = ()
    max_channels: int | None = None
    residual_units: int = 0
    deep_supervision_heads: int = 0
    encoder: str = ""
    hidden: int = 0
    dropout: float = 0.0
    dilated: bool = False
    max_pool: bool = True
    explained_layer: str = "layer4"

    def __post_init__(self) -> None:
        levels = len(self.channels)
        if self.architecture in (Architecture.UNET, Architecture.DYN_UNET):
            if levels < 2 or len(self.strides) != levels - 1:
                raise RecipeError(f"{levels} channel levels need {levels - 1} strides, not {len(self.strides)}")
            if self.kernels and len(self.kernels) != levels:
                raise RecipeError(f"{levels} channel levels need {levels} kernels, not {len(self.kernels)}")
        if self.architecture is Architecture.RESNET and levels != 4:
            raise RecipeError(f"a ResNet has four channel levels, not {levels}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level after the cap."""
        return tuple(min(c, self.max_channels or c) for c in self.channels)

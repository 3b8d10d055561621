"""Numbers that say how alike two images are: a network's deepest features, and a descriptor that needs no network."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray

from renalct.cascade import Cascade
from renalct.core.volume import CTVolume
from renalct.learning.acquisition.dropout import deepest

_DESCRIBED_HU = (-150.0, -50.0, 0.0, 20.0, 40.0, 60.0, 80.0, 110.0, 150.0, 200.0, 300.0, 1000.0)
_BODY_HU = -300
_SIZE_WEIGHT = 0.2  # an image's extent counts as one or two bins of its histogram do
Vector = NDArray[np.float64]


class EncoderFeatures:
    """The deepest features of a cascade's segmenting network over all that it is shown: each channel's mean.

    To be asked for after the network was used inside `collected`.
    """

    def __init__(self, cascade: Cascade) -> None:
        self._network = cascade.networks("segment")[0]
        self._sum: Vector = np.zeros(0)

    def collected(self) -> AbstractContextManager[None]:
        """The context within which features are collected. Raises `RecipeError` for an unknown architecture."""
        return deepest(self._network, self._add)

    @property
    def vector(self) -> Vector:
        """The features, of length 1 as a vector; empty where the network was shown nothing."""
        length = float(np.linalg.norm(self._sum))
        return self._sum / length if length else self._sum

    def _add(self, answer: torch.Tensor) -> None:
        channels = answer.float().flatten(2).mean(dim=2).double().sum(dim=0).cpu().numpy()
        self._sum = self._sum + channels if self._sum.size else channels


def descriptor(volume: CTVolume) -> Vector:
    """What an image is like without a network: the shares of its body in bins of HU (fat, water, tissue with and
    without contrast, bone), and its extent.

    For a cold start, when no release exists yet: phases and the shape of the field tell images apart.
    """
    hu = volume.hu[volume.hu > _BODY_HU]
    counts = np.histogram(np.clip(hu, _BODY_HU, _DESCRIBED_HU[-1]), bins=[_BODY_HU, *_DESCRIBED_HU])[0]
    shares = np.sqrt(counts / max(1, counts.sum()))  # equal distances for equal ratios (Hellinger)
    extent_mm = np.asarray(volume.grid.canonical().shape) * np.asarray(volume.grid.canonical().spacing_mm)
    found: Vector = np.concatenate([shares, _SIZE_WEIGHT * np.log(extent_mm)])
    return found

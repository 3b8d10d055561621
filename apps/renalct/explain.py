"""Where a classifier looked: Grad-CAM (Selvaraju 2017), by MONAI, on the voxels around a mass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalct.core.findings import ActivationMap
from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.resample import resample
from renalct.models.inference import Networks, mass_input
from renalct.models.memory_ladder import MemoryLadder, Rung
from renalct.models.networks import explained_module
from renalct.models.prepare import grown_mm
from renalct.models.recipe import Stage

Heat = NDArray[np.float32]


def explain_mass(
    volume: CTVolume,
    mask: Mask,
    mass_class: MassClass,
    stage: Stage,
    networks: Networks,
    *,
    margin_mm: float = 15.0,
    device: str = "cpu",
    ladder: MemoryLadder | None = None,
) -> ActivationMap:
    """The Grad-CAM of `mass_class` for one mass, scaled so that its largest value is 1 (all 0 where nothing spoke).

    Members are averaged. The map lies on the box of the mass on the reference grid, grown by `margin_mm`.
    Raises `ValueError` for a class that the classifier does not know.
    """
    index = KNOWN_CLASSES.index(mass_class)
    array, grid = mass_input(volume, mask, stage)
    batch = torch.from_numpy(array[None])

    def heat(some: Networks, rung: Rung) -> Heat:
        found: Heat = np.add.reduce([_grad_cam(network, batch.to(rung.device), index, stage) for network in some])
        return found

    total = heat(networks, Rung(device, sparing=False)) if ladder is None else ladder.run(networks, heat)
    box: Box = grown_mm(mask.box, volume.grid, margin_mm)
    values = resample(total, grid, volume.grid.cropped(box))
    largest = float(values.max(initial=0.0))
    scaled = values / largest if largest > 0 else values
    return ActivationMap(mass_class, box, np.clip(scaled, 0.0, 1.0).astype(np.float32))


def _grad_cam(network: nn.Module, batch: torch.Tensor, index: int, stage: Stage) -> Heat:
    """Positive class evidence on the network's grid; gradients flow from the input, the weights need none."""
    # imported here, so that renalct.models is the first to import monai
    from monai.visualize.class_activation_maps import GradCAM

    layer = explained_module(network, stage)
    with torch.enable_grad(), _hooks_removed(network.get_submodule(layer)):
        camera = GradCAM(nn_module=network, target_layers=layer, postprocessing=_identity)
        heat = camera(x=batch.clone().requires_grad_(True), class_idx=index)
    found: Heat = np.maximum(_as_array(heat), 0)
    return found


@contextmanager
def _hooks_removed(layer: nn.Module) -> Iterator[None]:
    """A time after which a layer has the hooks that it had before: each call of MONAI's GradCAM adds two to it."""
    kept = [(hooks, set(hooks)) for hooks in (layer._forward_hooks, layer._backward_hooks)]
    try:
        yield
    finally:
        for hooks, before in kept:
            for key in set(hooks) - before:
                del hooks[key]


def _identity(heat: torch.Tensor) -> torch.Tensor:
    return heat


def _as_array(heat: torch.Tensor) -> Heat:
    return np.asarray(heat.detach().cpu().numpy()[0, 0], dtype=np.float32)

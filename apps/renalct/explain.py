"""Where a classifier looked: Grad-CAM (Selvaraju 2017), by MONAI, on the voxels around a mass."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from renalct.core.findings import ActivationMap
from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.resample import resample
from renalct.models.inference import Networks, mass_input
from renalct.models.networks import explained_module
from renalct.models.prepare import grown_mm
from renalct.models.recipe import Stage


def explain_mass(
    volume: CTVolume,
    mask: Mask,
    mass_class: MassClass,
    stage: Stage,
    networks: Networks,
    *,
    margin_mm: float = 15.0,
    device: str = "cpu",
) -> ActivationMap:
    """The Grad-CAM of `mass_class` for one mass, scaled so that its largest value is 1 (all 0 where nothing spoke).

    Members are averaged. The map lies on the box of the mass on the reference grid, grown by `margin_mm`.
    Raises `ValueError` for a class that the classifier does not know.
    """
    index = KNOWN_CLASSES.index(mass_class)
    array, grid = mass_input(volume, mask, stage)
    batch = torch.from_numpy(array[None]).to(device)
    total = np.zeros(grid.shape, np.float32)
    for network in networks:
        total += _grad_cam(network, batch, index, stage)
    box: Box = grown_mm(mask.box, volume.grid, margin_mm)
    values = resample(total, grid, volume.grid.cropped(box))
    largest = float(values.max(initial=0.0))
    scaled = values / largest if largest > 0 else values
    return ActivationMap(mass_class, box, np.clip(scaled, 0.0, 1.0).astype(np.float32))


def _grad_cam(
    network: nn.Module, batch: torch.Tensor, index: int, stage: Stage
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Positive class evidence on the network's grid; gradients flow from the input, the weights need none."""
    # imported here, so that renalct.models is the first to import monai
    from monai.visualize.class_activation_maps import GradCAM

    with torch.enable_grad():
        camera = GradCAM(nn_module=network, target_layers=explained_module(network, stage), postprocessing=_identity)
        heat = camera(x=batch.clone().requires_grad_(True), class_idx=index)
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.maximum(_as_array(heat), 0)
    return found


def _identity(heat: torch.Tensor) -> torch.Tensor:
    return heat


def _as_array(heat: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(heat.detach().cpu().numpy()[0, 0], dtype=np.float32)

"""Networks on one field: in windows or at once, and as sparing of memory as it must be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from torch import nn

from renalct.models.memory_ladder import Rung
from renalct.models.networks import divisor
from renalct.models.plane_slices import stacked
from renalct.models.recipe import Activation, Stage


def averaged(
    array: NDArray[np.float32], stage: Stage, networks: Sequence[nn.Module], rung: Rung, *, fill: float
) -> NDArray[np.float32]:
    """The probabilities of a prepared field, averaged over members and mirror images (`inference.probabilities`)."""
    batch = torch.from_numpy(np.ascontiguousarray(array)).to("cpu" if rung.sparing else rung.device)
    batch = stacked(batch, stage.geometry.neighbors) if stage.geometry.slice_wise else batch[None]
    answers = [activate(slide(batch, stage, network, rung, fill=fill), stage) for network in networks]
    if stage.mirror_averaged:
        turned = batch.flip(2)
        answers += [activate(slide(turned, stage, network, rung, fill=fill), stage).flip(2) for network in networks]
    mean = torch.stack(answers).mean(dim=0)
    mean = mean.movedim(0, -1) if stage.geometry.slice_wise else mean[0]
    scores: NDArray[np.float32] = mean.float().cpu().numpy()
    return scores


def slide(batch: torch.Tensor, stage: Stage, network: nn.Module, rung: Rung, *, fill: float) -> torch.Tensor:
    """The logits of a batch, where the batch is; a sparing rung computes one sample, and one window, at a time."""
    if rung.sparing and len(batch) > 1:
        return torch.cat([slide(one, stage, network, rung, fill=fill) for one in torch.split(batch, 1)])
    n = batch.ndim - 2
    if stage.geometry.patch is not None:
        logits = sliding_window_inference(
            batch, stage.geometry.patch[:n], len(batch), network, sw_device=rung.device, device=batch.device,
            overlap=stage.geometry.overlap, mode="gaussian", padding_mode="constant", cval=fill,
        )  # fmt: skip
        assert isinstance(logits, torch.Tensor)
        return logits
    shape = batch.shape[2:]
    extra = [-size % step for size, step in zip(shape, divisor(stage)[:n], strict=True)]
    pads = [p for side in reversed(extra) for p in (side // 2, side - side // 2)]
    logits = network(nn.functional.pad(batch, pads, value=fill).to(rung.device)).to(batch.device)
    inner = tuple(slice(e // 2, e // 2 + size) for e, size in zip(extra, shape, strict=True))
    result: torch.Tensor = logits[(slice(None), slice(None), *inner)]
    return result


def in_pieces(network: nn.Module, batch: torch.Tensor, rung: Rung) -> torch.Tensor:
    """The answers of a network to a batch, all at once or on a sparing rung to one sample after the other."""
    pieces = torch.split(batch, 1 if rung.sparing else len(batch))
    return torch.cat([network(piece.to(rung.device)).to("cpu" if rung.sparing else rung.device) for piece in pieces])


def activate(logits: torch.Tensor, stage: Stage) -> torch.Tensor:
    """Probabilities of logits."""
    return logits.softmax(1) if stage.activation is Activation.SOFTMAX else logits.sigmoid()

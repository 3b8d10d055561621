"""Running a stage's networks: where kidneys are, the probabilities of a field, and the classes of masses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.resample import mirrored, resample
from renalct.models.memory_ladder import MemoryLadder, Rung
from renalct.models.plane_slices import sliced
from renalct.models.prepare import Input, Scale, field_grid, grown_mm, measure_scale, prepare, prepare_slab
from renalct.models.recipe import Activation, Stage
from renalct.models.sliding import averaged, in_pieces
from renalct.pictures.planes import View

Networks = Sequence[nn.Module]
Scores = NDArray[np.float32]
Progress = Callable[[float], None]
"""Told the share that is done, 0 to 1."""

SLICES_AT_ONCE = 8
_MASSES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Located:
    """Where a localize stage saw kidneys (with their masses): a score of 0 to 255 per voxel of its own grid."""

    grid: Grid
    scores: NDArray[np.uint8] = field(repr=False)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the score is above one half."""
        return self.scores > 127

    def near(self, distance_mm: float) -> Located:
        """Everything within a distance of where the score is above one half, with a score of 255."""
        seen = self.mask
        box = grown_mm(Box.around(seen), self.grid, distance_mm)
        scores = np.zeros(self.grid.shape, np.uint8)
        if seen.any():
            distance = ndimage.distance_transform_edt(~seen[box.slices], self.grid.spacing_mm)
            scores[box.slices][distance <= distance_mm] = 255
        return Located(self.grid, scores)

    def mask_on(self, grid: Grid, box: Box) -> Mask:
        """Where the score is above one half, on a box of another grid."""
        target = grid.cropped(box)
        return Mask(box, resample(self.scores, self.grid, target) > 127.5)


@torch.inference_mode()
def localize(
    volume: CTVolume,
    stage: Stage,
    networks: Networks,
    *,
    device: str = "cpu",
    ladder: MemoryLadder | None = None,
    progress: Progress | None = None,
) -> Located:
    """Where the kidneys are, from the localize stage's networks. A `ladder` helps where memory is short."""
    grid = field_grid(volume.grid, Box.whole(volume.grid.shape), stage)
    scale = measure_scale(volume, stage.intensity)
    scores = np.zeros(grid.shape, np.uint8)
    kidney = [n for n, painted in enumerate(painted_structures(stage)) if painted is Structure.KIDNEY]
    slabs = slabs_of(grid, SLICES_AT_ONCE) if in_slabs(stage) else [Box.whole(grid.shape)]
    for number, slab in enumerate(slabs):
        array = (
            prepare_slab(volume, grid, slab, stage, scale=scale)
            if in_slabs(stage)
            else prepare(volume, grid, stage, scale=scale)
        )
        body = _body(array, stage, scale.fill)
        if body.shape[0] and body.shape[1]:
            field = array[:, *body.slices]
            channels = probabilities(field, stage, networks, device=device, fill=scale.fill, ladder=ladder)
            inner = Box((*body.start[:2], slab.start[2]), (*body.stop[:2], slab.stop[2]))
            scores[inner.slices] = np.round(255 * np.clip(channels[kidney].max(axis=0), 0, 1)).astype(np.uint8)
        if progress:
            progress((number + 1) / len(slabs))
    return Located(grid, scores)


def _body(array: Input, stage: Stage, fill: float) -> Box:
    """The box of what is not air, across all slices: a network that slides need not look beside the patient."""
    _, nx, ny, nz = array.shape
    if stage.geometry.patch is None:
        return Box.whole((nx, ny, nz))
    box = Box.around((array > fill).any(axis=(0, 3), keepdims=True)[0])
    return Box(box.start, (*box.stop[:2], nz))


def probabilities(
    array: Input,
    stage: Stage,
    networks: Networks,
    *,
    device: str = "cpu",
    fill: float = -1.0,
    ladder: MemoryLadder | None = None,
) -> Scores:
    """Probabilities (output channels, x, y, z) of a prepared field, averaged over members and mirror images; float32.

    A slice-wise stage gets its neighbors on both sides with the field (`prepare_slab`) and answers without them; one of
    other planes than the axial gets the field alone (`prepare`).
    """
    if not stage.geometry.in_slabs:
        return _fused(array, stage, networks, device=device, fill=fill, ladder=ladder)
    if ladder is not None:
        return ladder.run(networks, lambda some, rung: averaged(array, stage, some, rung, fill=fill))
    return averaged(array, stage, networks, Rung(device, sparing=False), fill=fill)


def _fused(
    array: Input, stage: Stage, networks: Networks, *, device: str, fill: float, ladder: MemoryLadder | None
) -> Scores:
    """The mean over the members' answers, each to the slices of its own plane, and over mirror images."""
    count, total = stage.geometry.neighbors, np.zeros((stage.output_channels, *array.shape[1:]), np.float32)
    alone = replace(stage, geometry=replace(stage.geometry, planes=(View.AXIAL,)), mirror_averaged=False)
    mirrors = (slice(None), slice(None, None, -1)) if stage.mirror_averaged else (slice(None),)
    for member, network in enumerate(networks):
        (view,) = stage.seen_by(member).geometry.planes
        for turn in mirrors:
            slices, answer = sliced(array[:, turn], view), sliced(total[:, turn], view)
            deep = slices.shape[-1]
            for first in range(0, deep, SLICES_AT_ONCE):
                last = min(deep, first + SLICES_AT_ONCE)
                some = slices[..., mirrored(np.arange(first - count, last + count), deep)]
                answer[..., first:last] += probabilities(
                    some, alone, [network], device=device, fill=fill, ladder=ladder
                )
    total /= len(networks) * len(mirrors)
    return total


def in_slabs(stage: Stage) -> bool:
    """Whether a stage answers to a few axial slices at a time."""
    return stage.geometry.slice_wise and stage.geometry.in_slabs


@torch.inference_mode()
def classify_masses(
    volume: CTVolume,
    masks: Sequence[Mask],
    stage: Stage,
    networks: Networks,
    *,
    device: str = "cpu",
    ladder: MemoryLadder | None = None,
) -> NDArray[np.float64]:
    """The calibrated probability of each of `KNOWN_CLASSES` for each mass, (n, 3); masks are on the volume's grid."""
    scale = measure_scale(volume, stage.intensity)
    found = np.zeros((len(masks), len(stage.classes)))
    for start in range(0, len(masks), _MASSES_AT_ONCE):
        some = masks[start : start + _MASSES_AT_ONCE]
        arrays = [mass_input(volume, mask, stage, scale=scale)[0] for mask in some]
        batch = torch.from_numpy(np.stack(arrays))
        if ladder is None:
            summed = _class_scores(networks, Rung(device, sparing=False), batch=batch)
        else:
            summed = ladder.run(networks, partial(_class_scores, batch=batch))
        found[start : start + len(some)] = summed
    return stage.calibration.of(found / len(networks))


def _class_scores(networks: Networks, rung: Rung, *, batch: torch.Tensor) -> NDArray[np.float64]:
    """The sum over the members of their probabilities for each mass of a batch."""
    total = np.zeros(())
    for network in networks:
        total = total + in_pieces(network, batch, rung).double().softmax(1).cpu().numpy()
    return total


def mass_input(volume: CTVolume, mask: Mask, stage: Stage, *, scale: Scale | None = None) -> tuple[Input, Grid]:
    """What the classifier sees of one mass, and the grid of it."""
    grid = field_grid(volume.grid, mask.box, stage)
    return prepare(volume, grid, stage, mask=mask, scale=scale), grid


def painted_structures(stage: Stage) -> list[Structure]:
    """The label value of each output channel."""
    background = [Structure.BACKGROUND] if stage.activation is Activation.SOFTMAX else []
    return background + [target.painted_as for target in stage.targets]


def slabs_of(grid: Grid, deep: int) -> list[Box]:
    """The grid cut along its third axis into boxes of at most `deep` slices."""
    a, b, c = grid.shape
    return [Box((0, 0, k), (a, b, min(c, k + deep))) for k in range(0, c, deep)]

"""Running a stage's networks: scores on the network's grid, and their way back to the reference grid."""

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
from renalct.imaging.resample import Interpolation, resample
from renalct.models.mass_scores import mass_score
from renalct.models.memory_ladder import MemoryLadder, Rung
from renalct.models.plane_slices import sliced
from renalct.models.prepare import Input, Scale, field_grid, grown_mm, measure_scale, mirrored, prepare, prepare_slab
from renalct.models.recipe import Activation, Masking, Stage
from renalct.models.sliding import averaged, in_pieces
from renalct.pictures.planes import View

Networks = Sequence[nn.Module]
Scores = NDArray[np.float32]
Labels = NDArray[np.uint8]
Progress = Callable[[float], None]
"""Told the share that is done, 0 to 1."""

_SLAB_VOXELS = 1 << 22
_SLICES_AT_ONCE = 8
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
    slabs = slabs_of(grid, _SLICES_AT_ONCE) if _in_slabs(stage) else [Box.whole(grid.shape)]
    for number, slab in enumerate(slabs):
        array = (
            prepare_slab(volume, grid, slab, stage, scale=scale)
            if _in_slabs(stage)
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


@torch.inference_mode()
def segment(
    volume: CTVolume,
    boxes: Sequence[Box],
    stage: Stage,
    networks: Networks,
    *,
    located: Located | None = None,
    device: str = "cpu",
    ladder: MemoryLadder | None = None,
    progress: Progress | None = None,
    tell_mass: Callable[[Box, Labels], None] | None = None,
) -> Labels:
    """`Structure` values on the reference grid: 0 outside the boxes (of kidneys, without margin) and their margins.

    Where the fields of two boxes overlap the earlier one wins. `located` gives the kidneys to a stage that hides
    everything else, or that segments masses alone.
    """
    values = np.zeros(volume.grid.shape, np.uint8)
    scale = measure_scale(volume, stage.intensity)
    ask = partial(probabilities, stage=stage, networks=networks, device=device, fill=scale.fill, ladder=ladder)
    near = located.near(stage.near_located_mm) if located and stage.near_located_mm is not None else None
    for number, box in enumerate(boxes):
        outer = grown_mm(box, volume.grid, stage.margin_mm)
        found, mass = _segment_field(volume, box, stage, ask, scale=scale, located=located)
        if near is not None:
            found[~near.mask_on(volume.grid, outer).voxels] = Structure.BACKGROUND
        if not stage.finds_kidneys and located is not None:
            kidney = located.mask_on(volume.grid, outer).voxels
            found[kidney & (found == 0)] = Structure.KIDNEY
        part = values[outer.slices]
        np.copyto(part, found, where=part == 0)
        if tell_mass:
            tell_mass(outer, mass)
        if progress:
            progress((number + 1) / len(boxes))
    return values


def _segment_field(
    volume: CTVolume,
    box: Box,
    stage: Stage,
    ask: Callable[[Input], Scores],
    *,
    scale: Scale,
    located: Located | None,
) -> Labels:
    """The values and mass scores on the box with its margin, (2, x, y, z), slab by slab."""
    outer = grown_mm(box, volume.grid, stage.margin_mm)
    grid = field_grid(volume.grid, box, stage)
    mask = located.mask_on(volume.grid, outer) if located and stage.masking is Masking.KIDNEY else None
    target = volume.grid.cropped(outer)
    if not _in_slabs(stage):
        array = prepare(volume, grid, stage, mask=mask, scale=scale)
        return _back(ask(array), grid, target, stage)
    slabs = slabs_of(grid, _SLICES_AT_ONCE)
    arrays = (prepare_slab(volume, grid, slab, stage, mask=mask, scale=scale) for slab in slabs)
    answers = map(ask, arrays)
    if stage.geometry.spacing_mm is not None:
        return _back(np.concatenate(list(answers), axis=-1), grid, target, stage)
    # on the volume's own voxels there is nothing to interpolate: decide at once, and keep no scores
    labels = np.concatenate([_decided(scores, stage) for scores in answers], axis=-1)
    back: Labels = resample(labels, grid, target, order=Interpolation.NEAREST)
    return back


def _back(scores: Scores, grid: Grid, target: Grid, stage: Stage) -> Labels:
    """Decided values and mass scores on `target`: interpolated linearly, then decided, one slab at a time."""
    if stage.geometry.nearest_back:
        back: Labels = resample(_decided(scores, stage), grid, target, order=Interpolation.NEAREST)
        return back
    values = np.zeros((2, *target.shape), np.uint8)
    deep = max(1, _SLAB_VOXELS // (target.shape[0] * target.shape[1]))
    for slab in slabs_of(target, deep):
        values[:, *slab.slices] = _decided(resample(scores, grid, target.cropped(slab)), stage)
    return values


def _decided(scores: Scores, stage: Stage) -> Labels:
    return np.stack([decide(scores, stage), mass_score(scores, stage)])


def decide(scores: Scores, stage: Stage) -> Labels:
    """The `Structure` value at each voxel: the largest of a softmax, or the last target above one half."""
    painted = np.asarray([int(p) for p in painted_structures(stage)], np.uint8)
    if stage.activation is Activation.SOFTMAX:
        chosen: Labels = painted[np.argmax(scores, axis=0)]
        return chosen
    values = np.zeros(scores.shape[1:], np.uint8)
    for channel, value in zip(scores, painted, strict=True):
        values[channel > 0.5] = value
    return values


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
            for first in range(0, deep, _SLICES_AT_ONCE):
                last = min(deep, first + _SLICES_AT_ONCE)
                some = slices[..., mirrored(np.arange(first - count, last + count), deep)]
                answer[..., first:last] += probabilities(
                    some, alone, [network], device=device, fill=fill, ladder=ladder
                )
    total /= len(networks) * len(mirrors)
    return total


def _in_slabs(stage: Stage) -> bool:
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

"""Segmenting what a cascade has located: probabilities of one or two stages, decided on the reference grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from renalct.core.grid import Box, Grid
from renalct.core.labels import Region, Structure
from renalct.core.volume import CTVolume
from renalct.imaging.resample import Interpolation, resample
from renalct.models.inference import (
    SLICES_AT_ONCE,
    Located,
    Networks,
    Progress,
    Scores,
    in_slabs,
    painted_structures,
    probabilities,
    slabs_of,
)
from renalct.models.mass_scores import mass_score
from renalct.models.memory_ladder import MemoryLadder
from renalct.models.prepare import field_grid, grown_mm, measure_scale, prepare, prepare_slab
from renalct.models.recipe import Activation, Masking, Stage

Labels = NDArray[np.uint8]

_SLAB_VOXELS = 1 << 22


@dataclass(frozen=True)
class Segmenter:
    """A segmenting stage with its networks."""

    stage: Stage
    networks: Networks = field(repr=False)


@torch.inference_mode()
def segment(
    volume: CTVolume,
    boxes: Sequence[Box],
    segmenters: Sequence[Segmenter],
    *,
    located: Located | None = None,
    device: str = "cpu",
    ladder: MemoryLadder | None = None,
    progress: Progress | None = None,
    tell_mass: Callable[[Box, Labels], None] | None = None,
) -> Labels:
    """`Structure` values on the reference grid: 0 outside the boxes (of kidneys, without margin) and their margins.

    The probabilities of several segmenters are averaged on the reference grid; the first says how fields and answers
    are treated. Where the fields of two boxes overlap the earlier one wins. `located` gives the kidneys to a stage that
    hides everything else, or that segments masses alone.
    """
    stage = segmenters[0].stage
    values = np.zeros(volume.grid.shape, np.uint8)
    seen = [_Seen(volume, each, located, device=device, ladder=ladder) for each in segmenters]
    near = located.near(stage.near_located_mm) if located and stage.near_located_mm is not None else None
    for number, box in enumerate(boxes):
        outer = grown_mm(box, volume.grid, stage.margin_mm)
        found, mass = _segment_field(seen, box)
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


class _Seen:
    """A volume as one segmenter sees it."""

    def __init__(
        self,
        volume: CTVolume,
        segmenter: Segmenter,
        located: Located | None,
        *,
        device: str,
        ladder: MemoryLadder | None,
    ) -> None:
        self.volume, self.stage = volume, segmenter.stage
        self._located = located if self.stage.masking is Masking.KIDNEY else None
        self._scale = measure_scale(volume, self.stage.intensity)
        self._ask = partial(
            probabilities,
            stage=self.stage,
            networks=segmenter.networks,
            device=device,
            fill=self._scale.fill,
            ladder=ladder,
        )

    def grid(self, box: Box) -> Grid:
        """The network's grid of a box with its margin."""
        return field_grid(self.volume.grid, box, self.stage)

    def target(self, box: Box) -> Grid:
        """The volume's own grid of a box with its margin."""
        return self.volume.grid.cropped(grown_mm(box, self.volume.grid, self.stage.margin_mm))

    def answers(self, box: Box) -> Iterator[Scores]:
        """The probabilities on the network's grid, a few slices after the other."""
        volume, grid, stage, scale = self.volume, self.grid(box), self.stage, self._scale
        outer = grown_mm(box, volume.grid, stage.margin_mm)
        mask = self._located.mask_on(volume.grid, outer) if self._located else None
        if not in_slabs(stage):
            yield self._ask(prepare(volume, grid, stage, mask=mask, scale=scale))
            return
        for slab in slabs_of(grid, SLICES_AT_ONCE):
            yield self._ask(prepare_slab(volume, grid, slab, stage, mask=mask, scale=scale))


def _segment_field(seen: Sequence[_Seen], box: Box) -> Labels:
    """The values and mass scores on the box with its margin, (2, x, y, z)."""
    first, stage = seen[0], seen[0].stage
    target = first.target(box)
    own_voxels = in_slabs(stage) and stage.geometry.spacing_mm is None
    if own_voxels or stage.geometry.nearest_back:
        # decided where the network answers, a few slices at a time: nothing is interpolated, and no scores are kept
        decided = np.concatenate([_decided(scores, stage) for scores in first.answers(box)], axis=-1)
        back: Labels = resample(decided, first.grid(box), target, order=Interpolation.NEAREST)
        return back
    answers = [(each.grid(box), np.concatenate(list(each.answers(box)), axis=-1)) for each in seen]
    values = np.zeros((2, *target.shape), np.uint8)
    for slab in slabs_of(target, max(1, _SLAB_VOXELS // (target.shape[0] * target.shape[1]))):
        there = target.cropped(slab)
        mean = np.mean([resample(scores, grid, there) for grid, scores in answers], axis=0, dtype=np.float32)
        values[:, *slab.slices] = _decided(mean, stage)
    return values


def _decided(scores: Scores, stage: Stage) -> Labels:
    return np.stack([decide(scores, stage), mass_score(scores, stage)])


def decide(scores: Scores, stage: Stage) -> Labels:
    """The `Structure` value at each voxel: the largest of a softmax, masses weighted, or the last target above half."""
    structures = painted_structures(stage)
    painted = np.asarray([int(p) for p in structures], np.uint8)
    if stage.activation is Activation.SOFTMAX:
        weights = [stage.mass_weight if p in Region.MASS.value else 1.0 for p in structures]
        weighted = scores * np.asarray(weights, np.float32)[:, None, None, None]
        chosen: Labels = painted[np.argmax(weighted, axis=0)]
        return chosen
    values = np.zeros(scores.shape[1:], np.uint8)
    for channel, value in zip(scores, painted, strict=True):
        values[channel > 0.5] = value
    return values

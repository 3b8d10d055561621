"""Class probabilities of a release's segment stage on the kidney regions of an image, one region after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalct.cascade import Cascade
from renalct.core.errors import InputError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume
from renalct.imaging.components import component_boxes
from renalct.imaging.resample import mirrored, resample
from renalct.learning.acquisition.dropout import dropping
from renalct.learning.acquisition.uncertainty import entropy_nats
from renalct.models.inference import Located, Networks, Scores, painted_structures, probabilities, slabs_of
from renalct.models.prepare import (
    Input,
    Scale,
    field_grid,
    grown_mm,
    measure_scale,
    prepare,
    prepare_slab,
)
from renalct.models.recipe import Activation, Field, Masking, Stage

NEIGHBORHOOD_MM = 10.0
"""How far from a kidney (with its masses) probabilities count: beyond lies what no annotator of kidneys looks at."""
_REGION_MARGIN_MM = 20.0  # of a stage that sees the whole volume, and has no margin of its own
_MOST_REGIONS = 4
_SLICES_AT_ONCE = 8
_LEAST_KIDNEY_ML = 2.0
Floats = NDArray[np.float32]


class Way(Enum):
    """How the answers whose agreement is asked for come about."""

    PLAIN = "plain"  # one answer: what the cascade itself decides from
    MEMBERS = "members"  # every member of the ensemble, each on the image and on its mirror image
    DROPOUT = "dropout"  # passes with dropout, of every member in turn


@dataclass(frozen=True)
class Answers:
    """Which answers to ask for. `passes` and `seed` are for dropout alone; the same seed drops the same."""

    way: Way = Way.PLAIN
    passes: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.passes < 2:
            raise InputError(f"{self.passes} passes with dropout cannot disagree; 2 or more are needed")


PLAIN = Answers()


@dataclass(frozen=True, eq=False)
class RegionProbabilities:
    """What the answers say of one kidney region, on the network's own grid (x, y, z).

    `box` is the region on the image's grid, `structures` the meaning of the channels (background first, they sum to
    1). `mean` (channels, x, y, z) is the mean answer, `expected_entropy` (x, y, z) the mean of the answers' entropies
    in nats, `votes` (answers, x, y, z) the `Structure` value that each answer decides for, and `near` where the
    kidney's neighborhood is. Answers are summed up as they come: memory does not grow with their probabilities.
    """

    box: Box
    grid: Grid
    structures: tuple[Structure, ...]
    mean: Floats = field(repr=False)
    expected_entropy: Floats = field(repr=False)
    votes: NDArray[np.uint8] = field(repr=False)
    near: NDArray[np.bool_] = field(repr=False)

    @property
    def decided(self) -> NDArray[np.uint8]:
        """The `Structure` value with the highest mean probability, (x, y, z)."""
        values: NDArray[np.uint8] = np.asarray([int(s) for s in self.structures], np.uint8)[self.mean.argmax(axis=0)]
        return values

    def on_image(self, values: Floats, grid: Grid) -> Floats:
        """Values (x, y, z) of the region, interpolated at the voxels of `box` of the image's `grid`."""
        back: Floats = resample(values, self.grid, grid.cropped(self.box))
        return back


def region_probabilities(
    volume: CTVolume, cascade: Cascade, *, answers: Answers = PLAIN
) -> Iterator[RegionProbabilities]:
    """The probabilities on each kidney region of an image, largest kidney first; none where no kidney is found.

    They are those of the segment stage; a recipe's `segment_too` is not asked.

    Networks that drop are changed while a region is computed and put back after it: give a cascade that nobody else
    uses meanwhile. Raises `NotCT` as the cascade does, and `RecipeError` where a network cannot drop.
    """
    stage, networks = cascade.release.recipe.segment, cascade.networks("segment")
    boxes, located = kidney_boxes(volume, cascade)
    near = located.near(NEIGHBORHOOD_MM)
    if stage.field is Field.WHOLE_VOLUME:
        stage = replace(stage, margin_mm=max(stage.margin_mm, _REGION_MARGIN_MM))
    scale = measure_scale(volume, stage.intensity)
    for number, box in enumerate(boxes):
        arrays = _inputs(volume, box, stage, located, scale)
        grid = field_grid(volume.grid, box, stage)
        parts = [
            _summed_up(
                array, stage, networks, replace(answers, seed=hash_of(answers.seed, number, part)), cascade, scale
            )
            for part, array in enumerate(arrays)
        ]
        mean, expected, votes = (np.concatenate([part[n] for part in parts], axis=-1) for n in range(3))
        yield RegionProbabilities(
            box=grown_mm(box, volume.grid, stage.margin_mm),
            grid=grid,
            structures=_structures(stage),
            mean=mean,
            expected_entropy=expected,
            votes=votes,
            near=near.mask_on(grid, Box.whole(grid.shape)).voxels,
        )


def kidney_boxes(volume: CTVolume, cascade: Cascade) -> tuple[tuple[Box, ...], Located]:
    """The boxes of the kidneys on the image's grid, and where exactly they are.

    A recipe that segments the whole volume without localizing first is asked for its label map instead.
    """
    regions = cascade.localize(volume)
    stage, located = cascade.release.recipe.segment, regions.located
    if located is None:
        found = cascade.segment(volume, regions).values > 0
        located = Located(volume.grid, np.where(found, np.uint8(255), np.uint8(0)))
    elif stage.field is not Field.WHOLE_VOLUME or stage.geometry.shape is not None:
        return regions.boxes, located
    if stage.geometry.shape is not None:  # a fixed shape was trained on whole volumes, and is small anyway
        return (regions.boxes if located.mask.any() else ()), located
    least = _LEAST_KIDNEY_ML / located.grid.voxel_ml
    boxes = component_boxes(located.mask, min_voxels=least)[:_MOST_REGIONS]
    return tuple(volume.grid.box_of(box, located.grid) for box in boxes), located


def exclusive(scores: Scores, stage: Stage) -> Floats:
    """Probabilities (channels, ...) that sum to 1, the background's first, whatever the stage's activation is.

    Of sigmoid channels a later one is painted over an earlier one, so it takes its share first.
    """
    if stage.activation is Activation.SOFTMAX:
        return scores
    left = np.ones(scores.shape[1:], np.float32)
    channels = []
    for channel in scores[::-1]:
        channels.append(channel * left)
        left = left * (1 - channel)
    return np.stack([left, *channels[::-1]])


def hash_of(*numbers: int) -> int:
    """A seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _structures(stage: Stage) -> tuple[Structure, ...]:
    painted = painted_structures(stage)
    return tuple(painted if stage.activation is Activation.SOFTMAX else [Structure.BACKGROUND, *painted])


def _inputs(volume: CTVolume, box: Box, stage: Stage, located: Located, scale: Scale) -> Iterator[Input]:
    """What the networks see of a region: slab by slab for a slice-wise stage, else at once."""
    grid = field_grid(volume.grid, box, stage)
    outer = grown_mm(box, volume.grid, stage.margin_mm)
    mask = located.mask_on(volume.grid, outer) if stage.masking is Masking.KIDNEY else None
    if not (stage.geometry.slice_wise and stage.geometry.in_slabs):
        yield prepare(volume, grid, stage, mask=mask, scale=scale)
        return
    for slab in slabs_of(grid, _SLICES_AT_ONCE):
        yield prepare_slab(volume, grid, slab, stage, mask=mask, scale=scale)


def _summed_up(
    array: Input, stage: Stage, networks: Networks, answers: Answers, cascade: Cascade, scale: Scale
) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Mean, expected entropy and votes of the answers to one input."""
    painted = np.asarray([int(s) for s in _structures(stage)], np.uint8)
    total: Floats | None = None
    expected: Floats | None = None
    votes = []
    for scores in _answers(array, stage, networks, answers, cascade.device, scale.fill):
        each = exclusive(scores, stage)
        entropy = entropy_nats(each)
        total = each if total is None else total + each
        expected = entropy if expected is None else expected + entropy
        votes.append(painted[each.argmax(axis=0)])
    assert total is not None and expected is not None
    return total / len(votes), expected / len(votes), np.stack(votes)


@torch.inference_mode()
def _answers(
    array: Input, stage: Stage, networks: Networks, answers: Answers, device: str, fill: float
) -> Iterator[Scores]:
    if answers.way is Way.PLAIN:
        yield probabilities(array, stage, networks, device=device, fill=fill)
        return
    if answers.way is Way.MEMBERS:
        for member, network in enumerate(networks):
            yield _alone(array, stage, network, member, device, fill)
            yield np.flip(_alone(np.flip(array, 1), stage, network, member, device, fill), 1)
        return
    for number in range(answers.passes):
        member = number % len(networks)
        with dropping(networks[member]), _seeded(hash_of(answers.seed, number), device):
            scores = _alone(array, stage, networks[member], member, device, fill)
        yield scores


def _alone(array: Input, stage: Stage, network: nn.Module, member: int, device: str, fill: float) -> Scores:
    """The answer of one member, in its own plane, to the image alone."""
    own = replace(stage.seen_by(member), mirror_averaged=False)
    if own.geometry.in_slabs and not stage.geometry.in_slabs:  # its slices were prepared without their neighbors
        count, deep = own.geometry.neighbors, array.shape[-1]
        array = array[..., mirrored(np.arange(-count, deep + count), deep)]
    return probabilities(array, own, [network], device=device, fill=fill)


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Random numbers of torch from a seed while the context lasts; those outside it go on as if nothing was."""
    devices = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield

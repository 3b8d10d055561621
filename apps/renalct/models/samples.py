"""The samples of a training step, drawn from prepared cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from renalct.core.errors import RecipeError
from renalct.core.labels import KNOWN_CLASSES, Structure
from renalct.imaging.resample import mirrored
from renalct.models.augment import augment
from renalct.models.cases import Origin
from renalct.models.mixing import paste_mass
from renalct.models.plane_slices import sliced_axes, stacked
from renalct.models.prepared_cases import EVERYTHING, PreparedCase
from renalct.models.recipe import Activation, Field, Normalization, Stage
from renalct.models.sliced_cases import sliced_cases
from renalct.models.training_settings import Balance, Sampling

Batch = tuple[torch.Tensor, torch.Tensor]
_WEIGHT = {Origin.SLAB: 6.0, Origin.PHANTOM: 3.0, Origin.SINGLE_SLICE: 1.5, Origin.VOLUME: 3.0}
_WHOLE_WEIGHT = {**_WEIGHT, Origin.SINGLE_SLICE: 5.0}  # the only images of patients that show other levels
_WITHIN_SHARE = 0.85  # samples moved inside their image; the others learn what lies beyond its edge
_OTHER_WEIGHT = 6.0
_MOST_TRIES = 50
_TYPICAL_SD_HU = 100.0  # of a whole abdomen
_SPOT_SHARES = (1.0, 2.0)  # kidney, masses: there are fewer masses


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws the samples of a step: the same step gives the same batch, whatever was drawn before.

    Drawn at random, slabs of patients come twice as often as phantoms, single slices less (but for a stage that sees
    whole volumes), and a classifier's classes equally unless its loss is weighted. Drawn in turn, every case (for a
    slice-wise stage every slice) comes once before any comes again, in another order in each epoch.

    With a `replay_share`, that share of the samples drawn at random is of the patients `replayed`, as far as both they
    and others have any.
    """

    stage: Stage
    pool: tuple[PreparedCase, ...] = field(repr=False)
    seed: int = 0
    replayed: frozenset[str] = frozenset()
    replay_share: float | None = None

    def __post_init__(self) -> None:
        if self.replay_share is not None and self.stage.training.sampling is Sampling.IN_TURN:
            raise RecipeError("each case once per epoch leaves no share for earlier patients; leave replay_share out")
        if not self.pool:
            raise RecipeError("no training case has what this stage needs (kidneys, or masses); give more cases")
        if self.stage.training.least_foreground and not self.stage.classes:
            self._check_foreground()

    @cached_property
    def cases(self) -> tuple[PreparedCase, ...]:
        """The pool in slices of the plane that the network sees."""
        return sliced_cases(self.pool, self.stage.geometry)

    @property
    def samples_per_epoch(self) -> int:
        """How many samples one pass over the cases is."""
        return int(self._ends[-1])

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        """The number of samples in one pass up to the end of each case."""
        each = [case.labels.shape[2] if self.stage.geometry.slice_wise else 1 for case in self.cases]
        return np.cumsum(each)

    def batch(self, step: int, numbers: Sequence[int] | None = None) -> Batch:
        """Inputs (n, channels, ...) and targets (see `targets_of`); of the samples of these numbers of the batch, or
        of all."""
        numbers = range(self.stage.training.batch) if numbers is None else numbers
        samples = [self._sample(step, n) for n in numbers]
        images = torch.from_numpy(np.stack([image for image, _ in samples]))
        targets = torch.from_numpy(np.stack([target for _, target in samples]))
        if not self.stage.geometry.slice_wise:
            return images, targets
        neighbors = self.stage.geometry.neighbors
        return torch.cat([stacked(image, neighbors) for image in images]), targets[..., neighbors]

    def _sample(self, step: int, number: int) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        rng = np.random.default_rng((self.seed, step, number))
        slice_index = None
        if self.stage.training.sampling is Sampling.IN_TURN:
            chosen, slice_index = self._in_turn(step * self.stage.training.batch + number)
        else:
            chosen = self._choose(rng)
        if self.stage.classes:
            image, labels = np.asarray(chosen.image, np.float32), np.zeros(chosen.image.shape[1:], np.uint8)
            image, _ = self._augmented(image, labels, rng)
            return image, np.asarray(chosen.class_index, np.int64)
        image, labels = self._patch(chosen, rng, slice_index)
        image, labels = self._augmented(image, labels, rng)
        return image, targets_of(labels, self.stage, chosen.assessed)

    def _in_turn(self, count: int) -> tuple[PreparedCase, int | None]:
        """The case of the sample with that number since the start, and its slice for a slice-wise stage."""
        epoch, place = divmod(count, self.samples_per_epoch)
        number = int(_order(self.seed, epoch, self.samples_per_epoch)[place])
        index = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[index - 1]) if index else 0
        return self.cases[index], number - before if self.stage.geometry.slice_wise else None

    def _choose(self, rng: np.random.Generator) -> PreparedCase:
        pool: Sequence[PreparedCase] = self.cases
        if self.stage.classes and self.stage.training.balance is Balance.SAMPLING:
            classes = sorted({p.class_index for p in pool})
            wanted = classes[int(rng.integers(len(classes)))]
            return self._one([p for p in pool if p.class_index == wanted], rng)
        origins = [origin for origin in Origin if any(p.origin is origin for p in pool)]
        table = _WHOLE_WEIGHT if self.stage.field is Field.WHOLE_VOLUME else _WEIGHT
        weights = np.asarray([table.get(origin, _OTHER_WEIGHT) for origin in origins])
        origin = origins[int(rng.choice(len(origins), p=weights / weights.sum()))]
        return self._one([p for p in pool if p.origin is origin], rng)

    def _one(self, pool: Sequence[PreparedCase], rng: np.random.Generator) -> PreparedCase:
        """One of these cases at random; first, of earlier or of new patients by their share."""
        if self.replay_share is not None:
            earlier = rng.random() < self.replay_share
            pool = [p for p in pool if (p.patient in self.replayed) == earlier] or pool
        return pool[int(rng.integers(len(pool)))]

    def _patch(
        self, case: PreparedCase, rng: np.random.Generator, slice_index: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A sample of the case that has as much foreground as the recipe asks for."""
        least = self.stage.training.least_foreground
        for _ in range(_MOST_TRIES):
            image, labels = self._any_patch(case, rng, slice_index)
            if not least or np.count_nonzero(labels) >= least * labels.size:
                return image, labels
        raise RecipeError(
            f"no sample with {least:.0%} of target was found in a case in {_MOST_TRIES} tries; lower "
            "training.least_foreground, or use training.foreground_share"
        )

    def _check_foreground(self) -> None:
        shape, least = patch_shape(self.stage), self.stage.training.least_foreground
        most = max(int(np.count_nonzero(case.labels)) for case in self.pool)
        wanted = least * float(np.prod(shape))
        if most >= wanted:
            return
        voxel_ml = float(np.prod(self.stage.geometry.spacing_mm or (0, 0, 0))) / 1000
        told = f" ({wanted * voxel_ml / 1000:.1f} litres)" if voxel_ml else ""
        raise RecipeError(
            f"training.least_foreground asks for {wanted:.0f} voxels of target{told} in a sample of {shape}, and no "
            f"case has more than {most}; use training.foreground_share, the share of samples that hold some"
        )

    def _any_patch(
        self, case: PreparedCase, rng: np.random.Generator, slice_index: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        shape = patch_shape(self.stage)
        size = np.asarray(case.labels.shape)
        weights = np.asarray([share if len(s) else 0.0 for s, share in zip(case.spots, _SPOT_SHARES, strict=True)])
        if weights.any() and rng.random() < self.stage.training.foreground_share:
            some = case.spots[int(rng.choice(len(weights), p=weights / weights.sum()))]
            center = some[int(rng.integers(len(some)))] + np.rint(rng.uniform(-0.3, 0.3, 3) * shape).astype(int)
        else:
            center = np.asarray([int(rng.integers(n)) for n in size])
        if shape == tuple(size):
            center = size // 2
        center = np.clip(center, 0, size - 1)
        if slice_index is not None:
            center[2] = slice_index
        if rng.random() < _WITHIN_SHARE:
            center[:2] = _within(center, shape, size)[:2]
        image, labels = cut_patch(case, center, shape, mirror_ends=bool(rng.random() < 0.5))
        if rng.random() < self.stage.training.pasted_share:
            image, labels = self._pasted(case.origin, image, labels, rng)
        return image, labels

    def _pasted(
        self, origin: Origin, image: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The sample with a mass of another case of the same origin."""
        donors = [case for case in self.cases if case.origin is origin and len(case.spots[1])]
        if not donors:
            return image, labels
        donor = donors[int(rng.integers(len(donors)))]
        center = donor.spots[1][int(rng.integers(len(donor.spots[1])))]
        given, given_labels = cut_patch(donor, center, patch_shape(self.stage), mirror_ends=False)
        return paste_mass(image, labels, given, given_labels, rng)

    def _augmented(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        geometry = self.stage.geometry
        spacing = np.asarray(sliced_axes(geometry.spacing_mm or (1.0, 1.0, 1.0), geometry.planes[0]), np.float32)
        return augment(
            image, labels, self.stage.training.augmentation, rng, spacing=spacing, hu_per_unit=_hu_per_unit(self.stage)
        )


def patch_shape(stage: Stage) -> tuple[int, int, int]:
    """The shape of a training sample, with a slice's neighbors. Raises `RecipeError` when the recipe does not say."""
    shape = stage.geometry.patch or stage.geometry.shape or stage.training.patch
    if shape is None:
        raise RecipeError(
            "a stage is trained on samples of one shape; give geometry.patch, geometry.shape or training.patch"
        )
    if stage.geometry.slice_wise:
        return shape[0], shape[1], 1 + 2 * stage.geometry.neighbors
    return shape


def _within(center: NDArray[np.intp], shape: tuple[int, ...], size: NDArray[np.intp]) -> NDArray[np.intp]:
    """The centre, moved so that the patch lies inside an image of `size` where it fits."""
    half = np.asarray(shape) // 2
    low, high = half, size - np.asarray(shape) + half
    return np.where(high < low, center, np.clip(center, low, np.maximum(low, high)))


def cut_patch(
    case: PreparedCase, center: NDArray[np.generic], shape: tuple[int, int, int], *, mirror_ends: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The part of a case around a voxel. What lies outside is the image's lowest value, or above and below the
    slices (`mirror_ends`) their mirror image, so that a network also learns slabs that go on."""
    start = np.asarray(center).astype(int) - np.asarray(shape) // 2
    index = [np.arange(a, a + n) for a, n in zip(start, shape, strict=True)]
    size = case.labels.shape
    if mirror_ends:
        index[2] = mirrored(index[2], size[2])
    inside = [(i >= 0) & (i < n) for i, n in zip(index, size, strict=True)]
    take = np.ix_(*(i[ok] for i, ok in zip(index, inside, strict=True)))
    put = np.ix_(*(np.flatnonzero(ok) for ok in inside))
    image = np.full((len(case.image), *shape), case.fill, np.float32)
    labels = np.zeros(shape, np.uint8)
    for channel, source in zip(image, case.image, strict=True):
        channel[put] = source[take]
    labels[put] = case.labels[take]
    return image, labels


def targets_of(
    labels: NDArray[np.uint8], stage: Stage, assessed: frozenset[Structure] = EVERYTHING
) -> NDArray[np.generic]:
    """Class indices (x, y, z) int64 for a softmax, or one 0/1 channel per target, float32, for a sigmoid.

    Where a case does not assess all structures of a target, its channel is -1; among class indices a voxel that may be
    of such a target is minus the sum of 2 ** index of all of them, which `renalct.models.losses` reads.
    """
    known = [_assessed(target.structures, assessed) for target in stage.targets]
    if stage.activation is Activation.SIGMOID:
        channels = [
            np.isin(labels, [int(s) for s in t.structures]) if k else np.full(labels.shape, -1)
            for t, k in zip(stage.targets, known, strict=True)
        ]
        stacked_channels: NDArray[np.float32] = np.stack(channels).astype(np.float32)
        return stacked_channels
    unknown = -sum(1 << n for n, k in enumerate(known, start=1) if not k)
    table = np.full(len(Structure), unknown, np.int64)
    for number, (target, is_known) in enumerate(zip(stage.targets, known, strict=True), start=1):
        table[[int(s) for s in target.structures]] = number if is_known else unknown
    return table[labels]


def _assessed(structures: frozenset[Structure], assessed: frozenset[Structure]) -> bool:
    """Whether all structures of a target are; a tumor that was looked for may be an angiomyolipoma."""
    if Structure.TUMOR in assessed:
        assessed |= {Structure.ANGIOMYOLIPOMA}
    return structures <= assessed


def _hu_per_unit(stage: Stage) -> float:
    """The size in HU of 1 in what a network sees."""
    intensity = stage.intensity
    if intensity.normalization is Normalization.Z_SCORE_OF_TRAINING_SET:
        return intensity.sd_hu
    if intensity.normalization is Normalization.MINUS_ONE_TO_ONE and intensity.low_hu is not None:
        assert intensity.high_hu is not None
        return (intensity.high_hu - intensity.low_hu) / 2
    return _TYPICAL_SD_HU


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.intp]:
    """The order of the samples in an epoch."""
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def class_counts(pool: Sequence[PreparedCase]) -> tuple[int, ...]:
    """How many masses of each of `KNOWN_CLASSES` there are."""
    return tuple(sum(case.class_index == n for case in pool) for n in range(len(KNOWN_CLASSES)))


def class_weights(pool: Sequence[PreparedCase]) -> tuple[float, ...]:
    """The weight of each class in the loss, by the inverse of its size; the mean over the masses is 1."""
    counts = class_counts(pool)
    present = sum(count > 0 for count in counts)
    return tuple(len(pool) / (present * count) if count else 0.0 for count in counts)

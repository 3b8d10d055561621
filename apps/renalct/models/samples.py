"""Prepared cases on disk, and the samples of a training step drawn from them."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from renalct.core.errors import RecipeError
from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.imaging.resample import Interpolation, resample
from renalct.models.augment import augment
from renalct.models.cases import Case, CaseFile, Origin
from renalct.models.inference import mass_input, stacked
from renalct.models.mixing import paste_mass
from renalct.models.prepare import field_grid, grown_mm, measure_scale, mirrored, prepare
from renalct.models.recipe import Activation, Field, Masking, Stage

Batch = tuple[torch.Tensor, torch.Tensor]
_SPOTS = 400
_WEIGHT = {Origin.SLAB: 6.0, Origin.PHANTOM: 3.0, Origin.SINGLE_SLICE: 1.5}
_REGION_MM = 45.0
_WITHIN_SHARE = 0.85  # samples moved inside their image; the others learn what lies beyond its edge
_SPOT_SHARES = (1.0, 2.0)  # kidney, masses: there are fewer masses


@dataclass(frozen=True, eq=False)
class Prepared:
    """One prepared input (float16) with its label values, or with its class for a classifier."""

    origin: Origin
    image: NDArray[np.float16] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    spots: tuple[NDArray[np.int16], ...] = field(repr=False)
    class_index: int = -1
    fill: float = 0.0


def prepare_cases(
    files: Sequence[CaseFile],
    stages: Sequence[tuple[str, Stage]],
    folder: Path,
    *,
    workers: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> None:
    """Write each case, prepared for each stage, into `folder/<stage>`; cases that are there already are kept.

    `tell` hears how many of how many are done.
    """
    todo = [file for file in files if not (folder / f"{file.name}.done").exists()]
    for name, _ in stages:
        (folder / name).mkdir(parents=True, exist_ok=True)
    work = partial(_prepare_file, stages=tuple(stages), folder=folder)
    with ExitStack() as stack:
        run: Callable[..., Iterable[None]] = map
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            run = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context)).map
        for number, _ in enumerate(run(work, todo), start=1):
            if tell:
                tell(number, len(todo))


def _prepare_file(file: CaseFile, *, stages: tuple[tuple[str, Stage], ...], folder: Path) -> None:
    for case in file.load():
        for name, stage in stages:
            _write_case(case, stage, folder / name)
    (folder / f"{file.name}.done").write_text("")


def _write_case(case: Case, stage: Stage, folder: Path) -> None:
    if stage.classes:
        for number, mass in enumerate(case.masses):
            image = mass_input(case.volume, mass.mask, stage)[0]
            _write(
                folder / f"{case.name}_{number}",
                image,
                np.zeros((1, 1, 1), np.uint8),
                _about(case, mass.mass_class.value),
            )
        return
    case = _cropped(case) if stage.field in (Field.EACH_KIDNEY, Field.KIDNEY_REGION) else case
    if stage.field is not Field.WHOLE_VOLUME and not case.label_map.values.any():
        return
    whole = Box.whole(case.volume.grid.shape)
    grid = field_grid(case.volume.grid, whole, stage)
    mask = Mask(whole, case.label_map.values > 0) if stage.masking is Masking.KIDNEY else None
    image = prepare(case.volume, grid, stage, mask=mask, scale=measure_scale(case.volume, stage.intensity))
    labels = resample(case.label_map.values, case.volume.grid, grid, order=Interpolation.NEAREST)
    _write(folder / case.name, image, labels, _about(case, ""))


def _cropped(case: Case) -> Case:
    """The case around its kidneys and masses."""
    box = Box.around(case.label_map.values > 0)
    box = grown_mm(box, case.volume.grid, _REGION_MM) if min(box.shape) else Box.whole(case.volume.grid.shape)
    part = LabelMap(case.label_map.values[box.slices], case.label_map.grid.cropped(box))
    volume: CTVolume = case.volume.cropped(box)
    return Case(case.name, case.patient, case.origin, volume, part, ())


def _about(case: Case, mass_class: str) -> str:
    return json.dumps({"patient": case.patient, "origin": case.origin.value, "class": mass_class})


def _write(stem: Path, image: NDArray[np.float32], labels: NDArray[np.uint8], about: str) -> None:
    np.save(stem.with_name(stem.name + ".image.npy"), image.astype(np.float16))
    np.save(stem.with_name(stem.name + ".labels.npy"), np.ascontiguousarray(labels))
    stem.with_name(stem.name + ".json").write_text(about)


def read_prepared(folder: Path, patients: frozenset[str] | None = None) -> tuple[Prepared, ...]:
    """The prepared inputs in a stage's folder, by name; of the given patients (and all phantoms) only."""
    found = []
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text())
        origin = Origin(about["origin"])
        if patients is not None and origin is not Origin.PHANTOM and about["patient"] not in patients:
            continue
        stem = path.with_suffix("")
        image = np.load(stem.with_name(stem.name + ".image.npy"), mmap_mode="r")
        labels = np.load(stem.with_name(stem.name + ".labels.npy"), mmap_mode="r")
        index = [c.value for c in KNOWN_CLASSES].index(about["class"]) if about["class"] else -1
        found.append(Prepared(origin, image, labels, _spots(np.asarray(labels)), index, float(image[0].min())))
    return tuple(found)


def _spots(labels: NDArray[np.uint8]) -> tuple[NDArray[np.int16], ...]:
    """Up to 400 voxels of the kidney and of the masses, the same at every reading."""
    rng = np.random.default_rng(labels.size)
    spots = []
    for wanted in (labels == Structure.KIDNEY, labels > Structure.KIDNEY):
        where = np.argwhere(wanted)
        spots.append(where[rng.permutation(len(where))[:_SPOTS]].astype(np.int16))
    return tuple(spots)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws the samples of a step: the same step gives the same batch, whatever was drawn before.

    Slabs of patients are drawn twice as often as phantoms, single slices less; a classifier's classes equally.
    """

    stage: Stage
    pool: tuple[Prepared, ...] = field(repr=False)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.pool:
            raise RecipeError("no training case has what this stage needs (kidneys, or masses); give more cases")

    def batch(self, step: int) -> Batch:
        """Inputs (n, channels, ...) and targets: class indices, or 0/1 channels for sigmoid outputs."""
        samples = [self._sample(np.random.default_rng((self.seed, step, n))) for n in range(self.stage.training.batch)]
        images = torch.from_numpy(np.stack([image for image, _ in samples]))
        targets = torch.from_numpy(np.stack([target for _, target in samples]))
        if not self.stage.geometry.slice_wise:
            return images, targets
        neighbors = self.stage.geometry.neighbors
        return torch.cat([stacked(image, neighbors) for image in images]), targets[..., neighbors]

    def _sample(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        chosen = self._choose(rng)
        if self.stage.classes:
            image, labels = np.asarray(chosen.image, np.float32), np.zeros(chosen.image.shape[1:], np.uint8)
            image, _ = self._augmented(image, labels, rng)
            return image, np.asarray(chosen.class_index, np.int64)
        image, labels = self._patch(chosen, rng)
        image, labels = self._augmented(image, labels, rng)
        return image, targets_of(labels, self.stage)

    def _choose(self, rng: np.random.Generator) -> Prepared:
        pool: Sequence[Prepared] = self.pool
        if self.stage.classes:
            classes = sorted({p.class_index for p in pool})
            wanted = classes[int(rng.integers(len(classes)))]
            pool = [p for p in pool if p.class_index == wanted]
        origins = [origin for origin in Origin if any(p.origin is origin for p in pool)]
        weights = np.asarray([_WEIGHT[origin] for origin in origins])
        origin = origins[int(rng.choice(len(origins), p=weights / weights.sum()))]
        pool = [p for p in pool if p.origin is origin]
        return pool[int(rng.integers(len(pool)))]

    def _patch(self, case: Prepared, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
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
        donors = [case for case in self.pool if case.origin is origin and len(case.spots[1])]
        if not donors:
            return image, labels
        donor = donors[int(rng.integers(len(donors)))]
        center = donor.spots[1][int(rng.integers(len(donor.spots[1])))]
        given, given_labels = cut_patch(donor, center, patch_shape(self.stage), mirror_ends=False)
        return paste_mass(image, labels, given, given_labels, rng)

    def _augmented(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        intensity = self.stage.intensity
        bounded = intensity.low_hu is not None and intensity.high_hu is not None
        width = (intensity.high_hu - intensity.low_hu) / 2 if bounded else 100.0  # type: ignore[operator]
        spacing = np.asarray(self.stage.geometry.spacing_mm or (1.0, 1.0, 1.0), np.float32)
        return augment(image, labels, self.stage.training.augmentation, rng, spacing=spacing, hu_per_unit=width)


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
    case: Prepared, center: NDArray[np.generic], shape: tuple[int, int, int], *, mirror_ends: bool
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


def targets_of(labels: NDArray[np.uint8], stage: Stage) -> NDArray[np.generic]:
    """Class indices (x, y, z) int64 for a softmax, or one 0/1 channel per target, float32, for a sigmoid."""
    if stage.activation is Activation.SIGMOID:
        return np.stack([np.isin(labels, [int(s) for s in t.structures]) for t in stage.targets]).astype(np.float32)
    table = np.zeros(len(Structure), np.int64)
    for number, target in enumerate(stage.targets, start=1):
        table[[int(s) for s in target.structures]] = number
    return table[labels]

"""Overlays that any viewer shows as segments: how unsure a model is, and where a label or an answer may be wrong.

Their names are no labels (`formats.segment_names`), so that ingestion drops them. Both come from the answers of the
segment stage on the kidney regions (`learning.acquisition.probabilities`) and are pure functions of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.cascade import Cascade
from renalct.core.errors import GeometryError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.segment_names import SUSPECTED_NAMES, UNCERTAINTY_NAMES
from renalct.imaging.components import connected
from renalct.imaging.label_findings import Place
from renalct.imaging.resample import Interpolation, resample
from renalct.learning.acquisition.probabilities import Answers, RegionProbabilities, Way, region_probabilities
from renalct.learning.acquisition.uncertainty import entropy_nats

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
AGREEMENT = Answers(Way.MEMBERS)
"""Every member of the ensemble on the image and on its mirror image."""


class Suspicion(IntEnum):
    """What may be wrong at a voxel; the values of the overlay, in the order of `SUSPECTED_NAMES`."""

    MISSED = 1
    TOO_MUCH = 2
    CLASS = 3


@dataclass(frozen=True)
class OverlaySettings:
    """When a voxel is unsure, and when a label or an answer is suspected.

    `levels` are where the three levels of `uncertainty` begin: between two answers the likelier one has a probability
    of 0.98 at 0.15, of 0.89 at 0.5, and of 0.72 at 0.85. A label is suspected where the mean answer is another one
    with at least `sure`; without a label, an answer where at least `dissent` of the single answers say otherwise.
    Smaller places than `least_mm3` (a sphere of 5 mm), and edges no more than a voxel or two thick, are left out.
    """

    levels: tuple[float, float, float] = (0.15, 0.5, 0.85)
    sure: float = 0.8
    dissent: float = 1 / 3
    least_mm3: float = 65.0

    def __post_init__(self) -> None:
        if not 0 < self.levels[0] < self.levels[1] < self.levels[2] < 1:
            raise ValueError(f"levels rise between 0 and 1, unlike {self.levels}")


USUAL_OVERLAYS = OverlaySettings()


@dataclass(frozen=True)
class SuspectedError:
    """One place to look at: its middle, what stands there, what is proposed, how large it is, and a sentence.

    `probability` is that of what is proposed, on average over the place.
    """

    suspicion: Suspicion
    place: Place
    found: Structure
    proposed: Structure
    volume_mm3: float
    probability: float
    reason: str


@dataclass(frozen=True, eq=False)
class Overlay:
    """Segments on an image's grid: the name of value 1 comes first. `errors` are the places behind them, if any."""

    values: Bytes = field(repr=False)
    grid: Grid
    names: tuple[str, ...]
    errors: tuple[SuspectedError, ...] = ()

    @property
    def label_names(self) -> dict[str, int]:
        """Name to value, in the order of the values, as viewers take it."""
        return {name: value for value, name in enumerate(self.names, start=1)}


def uncertainty_overlay(
    volume: CTVolume, cascade: Cascade, *, answers: Answers = AGREEMENT, settings: OverlaySettings = USUAL_OVERLAYS
) -> Overlay:
    """How unsure a release is on the kidneys of an image, in three levels. Raises as `region_probabilities`."""
    regions = region_probabilities(volume, cascade, answers=answers)
    return Overlay(uncertainty_of(regions, volume.grid, settings=settings), volume.grid, UNCERTAINTY_NAMES)


def suspected_errors_overlay(
    volume: CTVolume,
    cascade: Cascade,
    *,
    labels: LabelMap | None = None,
    answers: Answers = AGREEMENT,
    settings: OverlaySettings = USUAL_OVERLAYS,
) -> Overlay:
    """Where the labels of an image contradict a release; without labels, where the release's answers contradict each
    other. Largest first. Raises `GeometryError` for labels on another grid, and as `region_probabilities`."""
    if labels is not None and not labels.grid.same_as(volume.grid):
        raise GeometryError("the labels do not lie on the voxels of their image; give the labels of this image")
    regions = region_probabilities(volume, cascade, answers=answers)
    return suspected_errors_of(regions, volume.grid, labels=labels, settings=settings)


def uncertainty_of(
    regions: Iterable[RegionProbabilities], grid: Grid, *, settings: OverlaySettings = USUAL_OVERLAYS
) -> Bytes:
    """The level of uncertainty (0 none, 1 low, 2 medium, 3 high) at each voxel of a grid, near kidneys.

    Where regions overlap the more uncertain one counts.
    """
    values = np.zeros(grid.shape, np.uint8, order="F")
    for region in regions:
        uncertain = np.where(region.near, uncertainty(region.mean), np.float32(0))
        part = values[region.box.slices]
        np.maximum(part, levels_of(region.on_image(uncertain, grid), settings), out=part)
    return values


def uncertainty(probabilities: Floats) -> Floats:
    """The entropy of probabilities (channels, ...) in bits, at most 1: that of a choice between two even answers."""
    return np.minimum(entropy_nats(probabilities) / np.float32(np.log(2)), np.float32(1))


def levels_of(uncertain: Floats, settings: OverlaySettings = USUAL_OVERLAYS) -> Bytes:
    """The level (0 to 3) of values of `uncertainty`."""
    return np.digitize(uncertain, settings.levels).astype(np.uint8)


def suspected_errors_of(
    regions: Iterable[RegionProbabilities],
    grid: Grid,
    *,
    labels: LabelMap | None = None,
    settings: OverlaySettings = USUAL_OVERLAYS,
) -> Overlay:
    """The overlay of suspected errors from the answers on the regions; see `suspected_errors_overlay`."""
    values = np.zeros(grid.shape, np.uint8, order="F")
    errors: list[SuspectedError] = []
    for region in regions:
        if labels is None:
            given, proposed = region.decided, _dissent(region, settings)
        else:
            whole = labels.values[region.box.slices]
            given = resample(whole, grid.cropped(region.box), region.grid, order=Interpolation.NEAREST)
            proposed = _contradicting(region, given, settings)
        suspected = np.zeros(given.shape, np.uint8)
        for error, where in _places(region, given, proposed, grid, settings, by_label=labels is not None):
            suspected[where] = error.suspicion
            errors.append(error)
        part = values[region.box.slices]
        back = resample(suspected, region.grid, grid.cropped(region.box), order=Interpolation.NEAREST)
        np.copyto(part, back, where=part == 0)
    errors.sort(key=lambda error: -error.volume_mm3)
    return Overlay(values, grid, SUSPECTED_NAMES, tuple(errors))


def _contradicting(region: RegionProbabilities, labels: Bytes, settings: OverlaySettings) -> Bytes:
    """What the mean answer says where it is sure and the label another one; elsewhere the label itself.

    To a model that does not tell them apart an angiomyolipoma is a tumor.
    """
    decided = region.decided
    same = decided == labels
    if Structure.ANGIOMYOLIPOMA not in region.structures:
        same |= (decided == Structure.TUMOR) & (labels == Structure.ANGIOMYOLIPOMA)
    suspect = (region.mean.max(axis=0) >= settings.sure) & ~same & region.near
    return np.where(suspect, decided, labels)


def _dissent(region: RegionProbabilities, settings: OverlaySettings) -> Bytes:
    """What most of the answers say that contradict the mean one, where they are many enough; elsewhere the answer."""
    decided, proposed = region.decided, region.decided.copy()
    against = np.stack([np.mean((region.votes == s) & (decided != s), axis=0) for s in region.structures])
    many = (against.sum(axis=0) >= settings.dissent) & region.near
    values = np.asarray([int(s) for s in region.structures], np.uint8)[against.argmax(axis=0)]
    proposed[many] = values[many]
    return proposed


def _places(
    region: RegionProbabilities, given: Bytes, proposed: Bytes, grid: Grid, settings: OverlaySettings, *, by_label: bool
) -> Iterator[tuple[SuspectedError, NDArray[np.bool_]]]:
    """The connected places where something else is proposed, by what stands there and what is proposed."""
    voxel_mm3 = region.grid.voxel_ml * 1000.0
    pairs = np.unique(np.stack([given, proposed])[:, given != proposed], axis=1).T
    for found, other in ((Structure(int(a)), Structure(int(b))) for a, b in pairs):
        differs = (given == found) & (proposed == other)
        core = ndimage.binary_opening(differs, iterations=1)
        numbers, count = connected(core)
        for number in range(1, count + 1):
            where = ndimage.binary_dilation(numbers == number, np.ones((3, 3, 3))) & differs
            volume_mm3 = float(np.count_nonzero(where)) * voxel_mm3
            if volume_mm3 >= settings.least_mm3:
                probability = float(region.mean[region.structures.index(other)][where].mean())
                place = _middle(where, region.grid, grid)
                yield _error(found, other, place, volume_mm3, probability, by_label=by_label), where


def _middle(where: NDArray[np.bool_], own: Grid, grid: Grid) -> Place:
    """The voxel of the image nearest to the voxel of the place that is nearest to its mean."""
    voxels = np.argwhere(where)
    nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
    index = np.rint(grid.to_index(own.to_patient(nearest))).astype(int)
    i, j, k = (int(v) for v in np.clip(index, 0, np.asarray(grid.shape) - 1))
    return Place.at((i, j, k), grid)


def _error(
    found: Structure, other: Structure, place: Place, volume_mm3: float, probability: float, *, by_label: bool
) -> SuspectedError:
    suspicion = Suspicion.CLASS
    if Structure.BACKGROUND in (found, other):
        suspicion = Suspicion.MISSED if found is Structure.BACKGROUND else Suspicion.TOO_MUCH
    who = "is labelled as" if by_label else "is answered as"
    what = "nothing" if found is Structure.BACKGROUND else found.title
    instead = "nothing" if other is Structure.BACKGROUND else other.title
    why = f"the model says {instead} (probability {probability:.2f})" if by_label else f"other answers say {instead}"
    reason = f"{volume_mm3 / 1000:.1f} ml on {place.words} {who} {what}; {why}."
    return SuspectedError(suspicion, place, found, other, volume_mm3, probability, reason)

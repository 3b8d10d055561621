"""How far annotators agree: every pair of independent readings of one case, and the cases on which they differ most.

A reading is the newest label of an author that was not made from another author's label: what a reviewer corrected
says nothing of independent readers. Blind repeats (the tag `repeat`) are compared with the same author's own label.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from renalct.core.grid import Box
from renalct.core.labels import Region, Structure
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.learning.statements import assessed_region
from renalct.learning.store import REPEAT, LabelStore, Version
from renalct.metrics.agreement import reader_pairs
from renalct.metrics.overlap import dice

KITS19_DICE = {Region.KIDNEY_AND_MASS: 0.983, Region.TUMOR: 0.923}
"""Between annotators of KiTS19 (Heller et al., The KiTS19 Challenge Data, 2019): what human readers reach."""


@dataclass(frozen=True)
class StructureDice:
    """The Dice of one structure between two readings, at least one of which has a voxel of it."""

    structure: Structure
    dice: float


@dataclass(frozen=True)
class RegionAgreement:
    """Dice and surface Dice of a region between two readings, at least one of which has a voxel of it."""

    region: Region
    dice: float
    surface_dice: float


@dataclass(frozen=True)
class PairAgreement:
    """Two readings of a case and how far they agree; `first` and `second` are authors, the same one for a repeat.

    A region or structure that neither has is left out: two readers who see nothing prove no skill.
    """

    image_id: str
    first: str
    second: str
    regions: tuple[RegionAgreement, ...]
    structures: tuple[StructureDice, ...]

    @property
    def is_repeat(self) -> bool:
        """Whether one author read the case twice."""
        return self.first == self.second

    @property
    def lowest(self) -> float:
        """The lowest Dice of a structure; 1 when neither reading has a voxel."""
        return min((each.dice for each in self.structures), default=1.0)

    @property
    def lowest_structure(self) -> Structure | None:
        """The structure on which the readings differ most."""
        worst = min(self.structures, key=lambda each: each.dice, default=None)
        return None if worst is None else worst.structure


@dataclass(frozen=True)
class RegionSummary:
    """A region over all pairs that have it: means, the number of pairs and cases, and KiTS19's Dice (nan: none)."""

    region: Region
    dice: float
    surface_dice: float
    lowest_dice: float
    pairs: int
    cases: int
    kits19_dice: float


def independent_readings(store: LabelStore, image_id: str) -> tuple[Version, ...]:
    """The newest independent reading of each author of a case, by number."""
    versions = {version.number: version for version in store.versions(image_id)}
    newest: dict[str, Version] = {}
    for version in versions.values():
        authors = {each.note.author for each in _line(version, versions)}
        if authors == {version.note.author}:
            newest[version.note.author] = version
    return tuple(sorted(newest.values(), key=lambda version: version.number))


def agreements(store: LabelStore) -> Iterator[PairAgreement]:
    """The agreement of every pair of independent readings of every case, and of every repeat with the first reading.

    One case is in memory at a time. Raises `InputError` for a file that is damaged, `GeometryError` for labels of one
    case on two grids.
    """
    for image in store.images():
        readings = independent_readings(store, image.image_id)
        repeats = store.versions(image.image_id, tag=REPEAT)
        own = {version.note.author: version for version in readings}
        for first, second in itertools.combinations(readings, 2):
            yield _agreement(store, first, second)
        for repeat in {version.note.author: version for version in repeats}.values():
            if repeat.note.author in own:
                yield _agreement(store, own[repeat.note.author], repeat)


def disagreement_queue(pairs: Sequence[PairAgreement], *, below: float = 1.01) -> tuple[PairAgreement, ...]:
    """The pairs of different readers by their lowest Dice, lowest first; only those under a limit."""
    different = [pair for pair in pairs if not pair.is_repeat and pair.lowest < below]
    return tuple(sorted(different, key=lambda pair: (pair.lowest, pair.image_id, pair.first, pair.second)))


def summarize(pairs: Sequence[PairAgreement]) -> tuple[RegionSummary, ...]:
    """The mean agreement on each region; one without a pair is left out."""
    found = []
    for region in Region:
        scores = [(pair, each) for pair in pairs for each in pair.regions if each.region is region]
        if scores:
            found.append(
                RegionSummary(
                    region,
                    math.fsum(each.dice for _, each in scores) / len(scores),
                    math.fsum(each.surface_dice for _, each in scores) / len(scores),
                    min(each.dice for _, each in scores),
                    len(scores),
                    len({pair.image_id for pair, _ in scores}),
                    KITS19_DICE.get(region, math.nan),
                )
            )
    return tuple(found)


def _line(version: Version, versions: dict[int, Version]) -> Iterator[Version]:
    """A version and those that it was made from."""
    while True:
        yield version
        if version.parent is None or version.parent not in versions:
            return
        version = versions[version.parent]


def _agreement(store: LabelStore, first: Version, second: Version) -> PairAgreement:
    """Both readings where both were done."""
    maps = [nifti.read_label_map(store.label_path(version)) for version in (first, second)]
    for boxes in (assessed_region(version) for version in (first, second)):
        maps = [_within(label_map, boxes) for label_map in maps] if boxes else maps
    (pair,) = reader_pairs(maps, case=first.image_id, patient=first.image_id)
    regions = tuple(
        RegionAgreement(score.region, score.dice, score.surface_dice)
        for score in pair.scores.regions
        if score.reference_ml or score.prediction_ml
    )
    structures = []
    for structure in (s for s in Structure if s):
        one, other = (label_map.values == structure for label_map in maps)
        sizes = int(np.count_nonzero(one)), int(np.count_nonzero(other))
        if any(sizes):
            structures.append(StructureDice(structure, dice(int(np.count_nonzero(one & other)), *sizes)))
    return PairAgreement(first.image_id, first.note.author, second.note.author, regions, tuple(structures))


def _within(label_map: LabelMap, boxes: Sequence[Box]) -> LabelMap:
    values = np.zeros_like(label_map.values)
    for box in boxes:
        values[box.slices] = label_map.values[box.slices]
    return LabelMap(values, label_map.grid)

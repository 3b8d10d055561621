"""Marks of a release from outside the loop: its Dice on made patients that no store and no training has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalct.cascade import Cascade
from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from renalct.metrics.overlap import dice
from renalct.models.cases import Case
from renalct.models.release import load_release

REGIONS = (Region.KIDNEY_AND_MASS, Region.MASS)


@dataclass(frozen=True)
class Mark:
    """The mean Dice of a region over `n` patients, with the lowest and the highest of them."""

    region: Region
    mean: float
    lowest: float
    highest: float
    n: int


def marks_of(release: Path, cases: Sequence[Case]) -> tuple[Mark, ...]:
    """The marks of a release on cases whose truth is known."""
    cascade = Cascade(load_release(release), explained=False)
    answers = [cascade.run(case.volume).label_map for case in cases]
    return tuple(
        mark(region, [overlap(answer, case.label_map, region) for answer, case in zip(answers, cases, strict=True)])
        for region in REGIONS
    )


def mark(region: Region, values: Sequence[float]) -> Mark:
    """The mark that these Dice values are."""
    return Mark(region, float(np.mean(values)), min(values), max(values), len(values))


def overlap(one: LabelMap, other: LabelMap, region: Region) -> float:
    """The Dice of a region in two label maps of one grid; 1 where neither has it."""
    a, b = one.region(region), other.region(region)
    return dice(float((a & b).sum()), float(a.sum()), float(b.sum())) if a.any() or b.any() else 1.0

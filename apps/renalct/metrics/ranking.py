"""The order of several systems on the same cases, by the rules of KiTS23."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from renalct.core.labels import Region
from renalct.metrics.scores import CaseScores


@dataclass(frozen=True)
class RankedSystem:
    """One system in a ranking: its means over cases and regions, the ranks by each (1 is best), and its place.

    `rank` is the mean of both ranks; `place` follows it, and the Dice of tumors where it is equal.
    """

    name: str
    place: int
    rank: float
    dice: float
    surface_dice: float
    dice_rank: float
    surface_dice_rank: float
    tumor_dice: float
    cases: int


def rank_systems(systems: Mapping[str, Sequence[CaseScores]]) -> tuple[RankedSystem, ...]:
    """The systems from the best to the last; systems that are equal in everything share a place.

    Each is ranked by the mean over cases of Dice, averaged over the three regions, and by that of surface Dice. Raises
    `ValueError` when the systems were not scored on the same cases.
    """
    names = list(systems)
    if not names:
        return ()
    cases = {name: sorted(score.case for score in scores) for name, scores in systems.items()}
    if any(cases[name] != cases[names[0]] for name in names) or not cases[names[0]]:
        raise ValueError("systems are ranked on the same cases, at least one; score all of them on all cases first")
    dice, surface = (
        [math.fsum(_mean(systems[name], region, metric) for region in Region) / len(Region) for name in names]
        for metric in ("dice", "surface_dice")
    )
    tumors = [_mean(systems[name], Region.TUMOR, "dice") for name in names]
    by_dice, by_surface = (stats.rankdata([-value for value in values], method="min") for values in (dice, surface))
    ranks = [float(a + b) / 2 for a, b in zip(by_dice, by_surface, strict=True)]
    keys = [(rank, -tumor) for rank, tumor in zip(ranks, tumors, strict=True)]
    found = [
        RankedSystem(
            name=name,
            place=1 + sum(key < keys[n] for key in keys),
            rank=ranks[n],
            dice=dice[n],
            surface_dice=surface[n],
            dice_rank=float(by_dice[n]),
            surface_dice_rank=float(by_surface[n]),
            tumor_dice=tumors[n],
            cases=len(systems[name]),
        )
        for n, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda system: system.place))


def _mean(scores: Sequence[CaseScores], region: Region, metric: str) -> float:
    return math.fsum(getattr(score.region(region), metric) for score in scores) / len(scores)

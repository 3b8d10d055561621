"""The gate: whether a candidate may replace what is published, by paired differences on the same frozen cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import InputError
from renalct.learning.loop.gate_scores import CLASSES, FALSE_MASSES, MASS, SENSITIVITY, WHOLE, CaseScore, mean_numbers
from renalct.metrics.significance import bootstrap_interval


class Verdict(Enum):
    """What a difference means, by its interval and the margin that is allowed."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    UNCLEAR = "unclear, a loss beyond the margin cannot be excluded"
    WORSE = "worse"


@dataclass(frozen=True)
class GateSettings:
    """What counts as better, as not worse, and as harm.

    Intervals of 90 % put 5 % on the side that matters. The margins are smaller than two readers differ (Dice of KiTS19
    readers: kidney 0.983, tumor 0.923). `least_gain` keeps noise in the third digit from being an improvement. A class
    in fewer patients than `least_patients` has no interval worth the name: its plain difference must keep the margin,
    and it is never the one that is better. No case may lose more than the harm limits.
    """

    level: float = 0.90
    kidney_margin: float = 0.02
    mass_margin: float = 0.05
    sensitivity_margin: float = 0.10
    false_masses_margin: float = 0.5
    least_gain: float = 0.005
    least_patients: int = 3
    kidney_harm: float = 0.10
    mass_harm: float = 0.40
    floors: tuple[tuple[str, float], ...] = ()
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise InputError(f"the level of the gate is {self.level}; give a share from 0.5 to below 1, such as 0.9")
        for name in ("kidney_margin", "mass_margin", "sensitivity_margin", "false_masses_margin", "least_gain"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; 0 or more is needed")
        known = [*(name for name, _ in CLASSES), SENSITIVITY]
        for name, value in self.floors:
            if name not in known or not 0 <= value <= 1:
                raise InputError(f"{name}={value:g} is no floor; give one of {', '.join(known)}, from 0 to 1")


@dataclass(frozen=True)
class Comparison:
    """One class, or the masses found, or the false ones: before, after, and the interval of the difference.

    `n` are the cases that show it. The ends are those of the plain difference where there are too few patients.
    """

    name: str
    before: float
    after: float
    low: float
    high: float
    margin: float
    n: int
    patients: int
    verdict: Verdict

    def __str__(self) -> str:
        """A sentence.

        >>> str(Comparison("tumor", 0.61, 0.55, -0.12, -0.01, 0.05, 12, 12, Verdict.WORSE))
        'tumor: 0.61 -> 0.55 [-0.12 to -0.01], n = 12: worse'
        """
        interval = f"[{self.low:+.2f} to {self.high:+.2f}]"
        return f"{self.name}: {self.before:.2f} -> {self.after:.2f} {interval}, n = {self.n}: {self.verdict.value}"


@dataclass(frozen=True)
class Harm:
    """A case that loses more than any case may."""

    image_id: str
    what: str
    before: float
    after: float
    limit: float

    def __str__(self) -> str:
        return (
            f"{self.image_id}: {self.what} {self.before:.2f} -> {self.after:.2f}; no case may lose more than "
            f"{self.limit:.2f}"
        )


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is accepted, and every number behind it.

    `against` says in words what it was compared with, `against_digest` is that release's ("" for a floor).
    `numbers` are the candidate's means on the frozen set.
    """

    accepted: bool
    reason: str
    candidate: str
    against: str
    against_digest: str
    frozen_sha256: str
    comparisons: tuple[Comparison, ...]
    harms: tuple[Harm, ...]
    numbers: tuple[tuple[str, float], ...]
    before: tuple[tuple[str, float], ...]
    settings: GateSettings


@dataclass(frozen=True)
class Compared:
    """A release in a comparison: its digest ("" for a floor), what to call it, and its scores."""

    digest: str
    words: str
    scores: tuple[CaseScore, ...] = ()


def decide(candidate: Compared, before: Compared, *, frozen_sha256: str, settings: GateSettings) -> Decision:
    """Accept the candidate when it is not worse in any class, better in at least one, and harms no case.

    Without scores of `before` there is nothing to compare with, and the candidate must reach the floors of the
    settings. Raises `InputError` when both were not scored on the same cases, and when there is no floor either.
    """
    harms: tuple[Harm, ...] = ()
    if before.scores:
        if [score.image_id for score in candidate.scores] != [score.image_id for score in before.scores]:
            raise InputError("the candidate and the published release were scored on different cases; score both again")
        comparisons = _comparisons(before.scores, candidate.scores, settings)
        harms = _harms(before.scores, candidate.scores, settings)
        reason = _reason(comparisons, harms)
    else:
        comparisons = _against_floors(candidate.scores, settings)
        bad = [str(each) for each in comparisons if each.verdict is Verdict.WORSE]
        reason = f"below the floor: {bad[0]}" if bad else ""
    numbers = mean_numbers(candidate.scores)
    return Decision(
        accepted=not reason,
        reason=reason or _praise(comparisons),
        candidate=candidate.digest,
        against=before.words,
        against_digest=before.digest,
        frozen_sha256=frozen_sha256,
        comparisons=comparisons,
        harms=harms,
        numbers=numbers,
        before=mean_numbers(before.scores),
        settings=settings,
    )


def _reason(comparisons: Sequence[Comparison], harms: Sequence[Harm]) -> str:
    """Why a candidate is refused; "" when it is not."""
    for verdict in (Verdict.WORSE, Verdict.UNCLEAR):
        bad = [str(each) for each in comparisons if each.verdict is verdict]
        if bad:
            return "; ".join(bad)
    if harms:
        return f"{len(harms)} times a case is harmed, the first {harms[0]}"
    if not any(each.verdict is Verdict.BETTER for each in comparisons):
        return "it is not better in any class"
    return ""


def _praise(comparisons: Sequence[Comparison]) -> str:
    better = [str(each) for each in comparisons if each.verdict is Verdict.BETTER]
    return "; ".join(better)


def _comparisons(
    before: Sequence[CaseScore], after: Sequence[CaseScore], settings: GateSettings
) -> tuple[Comparison, ...]:
    found = []
    for name, _ in CLASSES:
        pairs = [
            (dict(old.classes)[name], dict(new.classes)[name], new.patient)
            for old, new in zip(before, after, strict=True)
            if name in dict(old.classes) and name in dict(new.classes)
        ]
        margin = settings.kidney_margin if name == "kidney" else settings.mass_margin
        rows = np.asarray([(new - old, 1.0, old, new) for old, new, _ in pairs])
        found.append(_compared(name, rows, [p for *_, p in pairs], settings, margin=margin))
    counted = [(old, new) for old, new in zip(before, after, strict=True) if old.counted and new.counted]
    patients = [new.patient for _, new in counted]
    masses = np.asarray([(new.found - old.found, new.masses, old.found, new.found) for old, new in counted], float)
    found.append(_compared(SENSITIVITY, masses, patients, settings, margin=settings.sensitivity_margin))
    false = np.asarray(
        [(new.false_masses - old.false_masses, 1, old.false_masses, new.false_masses) for old, new in counted], float
    )
    margin = settings.false_masses_margin
    found.append(_compared(FALSE_MASSES, false, patients, settings, margin=margin, lower_is_better=True))
    return tuple(each for each in found if each is not None)


def _share(column: int) -> Callable[[NDArray[np.float64]], float]:
    """The sum of a column over that of the second, which counts what it is shared among."""

    def statistic(rows: NDArray[np.float64]) -> float:
        total = float(rows[:, 1].sum())
        return float(rows[:, column].sum()) / total if total else math.nan

    return statistic


def _compared(
    name: str,
    rows: NDArray[np.float64],
    patients: Sequence[str],
    settings: GateSettings,
    *,
    margin: float,
    lower_is_better: bool = False,
) -> Comparison | None:
    """Rows of difference, weight, before and after, one per case; None where no case shows it."""
    if not len(rows) or not rows[:, 1].sum():
        return None
    before, after = _share(2)(rows), _share(3)(rows)
    change = after - before
    low = high = change
    seen = len({patient for patient, row in zip(patients, rows, strict=True) if row[1]})
    if seen >= max(2, settings.least_patients):
        interval = bootstrap_interval(
            rows, patients, _share(0), seed=settings.seed, resamples=settings.resamples, level=settings.level
        )
        low, high = interval.low, interval.high
    worst, best, gain = (-high, -low, -change) if lower_is_better else (low, high, change)
    verdict = Verdict.UNCLEAR
    if worst >= -margin:
        proven = worst > 0 and gain >= settings.least_gain and seen >= settings.least_patients
        verdict = Verdict.BETTER if proven else Verdict.NOT_WORSE
    elif best < 0:
        verdict = Verdict.WORSE
    n = int(np.count_nonzero(rows[:, 1]))
    return Comparison(name, before, after, low, high, margin, n, seen, verdict)


def _harms(before: Sequence[CaseScore], after: Sequence[CaseScore], settings: GateSettings) -> tuple[Harm, ...]:
    found = []
    for old, new in zip(before, after, strict=True):
        for what, limit in ((WHOLE, settings.kidney_harm), (MASS, settings.mass_harm)):
            was, now = dict(old.regions).get(what), dict(new.regions).get(what)
            if was is not None and now is not None and was - now > limit:
                found.append(Harm(new.image_id, what, was, now, limit))
    return tuple(found)


def _against_floors(scores: Sequence[CaseScore], settings: GateSettings) -> tuple[Comparison, ...]:
    if not settings.floors:
        raise InputError(
            "nothing is published yet, and no floor says what a first version must reach; state a floor, or compare "
            "it with the starter"
        )
    means, found = dict(mean_numbers(scores)), []
    for name, floor in settings.floors:
        value = means.get(name if name == SENSITIVITY else f"{name} Dice")
        if value is None:
            raise InputError(f"no case of the frozen set shows the {name} that a floor is stated for; leave it out")
        n = sum(name in dict(score.classes) for score in scores) if name != SENSITIVITY else len(scores)
        patients = len({score.patient for score in scores})
        verdict = Verdict.BETTER if value >= floor else Verdict.WORSE
        found.append(Comparison(name, floor, value, value - floor, value - floor, 0.0, n, patients, verdict))
    return tuple(found)

"""The series that is read: by UID, by rules, and by score; with the reason why every other one is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renalct.core.errors import ErrorCode, InputError
from renalct.core.phase import Phase
from renalct.formats.dicom.geometry import stack_slices
from renalct.formats.dicom.headers import SeriesHeaders
from renalct.formats.dicom.hounsfield import refuse_mixed_rescale
from renalct.formats.dicom.pixels import refuse_unreadable
from renalct.formats.dicom.rules import Condition, Rules, Selection
from renalct.formats.dicom.scan import StudyScan
from renalct.formats.dicom.scoring import Score, score_series

DEFAULT = Rules()
"""Every CT series may be chosen; the score decides."""

_SAME_SCAN_S = 2.0
_PARALLEL = 0.97
_MOMENTS = ("acquisition", "temporal", "contrast", "instance number")
_LISTED_AT_MOST = 10


@dataclass(frozen=True, eq=False)
class Refusal:
    """A series that was not chosen, and why; the reason finishes the sentence "series 1.2.3 ..."."""

    series: SeriesHeaders
    reason: str


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen series, in words why, all others with the reason, and the other phases of the same study.

    `notices` are what a reader of the result must know about the choice, for example that there were two studies.
    """

    chosen: SeriesHeaders
    reason: str
    refused: tuple[Refusal, ...] = ()
    other_phases: tuple[SeriesHeaders, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Candidate:
    series: SeriesHeaders
    score: Score
    failure: InputError | None

    @property
    def rank(self) -> tuple[float, int, str, int]:
        """Sorts best first: points, then the later study, then UID and part, so that ties always break alike."""
        day = self.series.text("StudyDate")
        return -self.score.points, -int(day) if day.isdigit() else 0, self.series.series_instance_uid, self.series.part


def choose_series(scan: StudyScan, *, series_instance_uid: str | None = None, rules: Rules = DEFAULT) -> Choice:
    """The best series for finding kidneys and masses, over all studies of a scan.

    A series is refused when its slices are no volume or no CT numbers; when another was asked for by UID, which goes
    before the rules; when it does not meet the rules; and else when another scores higher (`score_series`). Equal
    scores are decided by study date, the later first, then by UID.

    Raises `InputError` when no series has that UID or meets the rules, and what is wrong with the best series that
    does (often a `GeometryError`) when none of them can be used.
    """
    ranked = sorted((_Candidate(s, score_series(s), _failure(s)) for s in scan.series), key=lambda c: c.rank)
    if series_instance_uid is not None:
        eligible = _with_uid(ranked, series_instance_uid)
        unfit = {id(c): "was not asked for" for c in ranked if c not in eligible}
    else:
        eligible, unfit = _meeting(ranked, rules)
    usable = [c for c in eligible if c.failure is None]
    if not usable:
        raise eligible[0].failure or InputError("no series can be used")
    best = usable[0]
    refused = [
        Refusal(c.series, unfit.get(id(c)) or (f"cannot be used: {c.failure}" if c.failure else _why_not(c, best)))
        for c in ranked
        if c is not best
    ]
    return Choice(
        best.series,
        _why(best, len(usable)),
        tuple(sorted(refused, key=lambda r: (r.series.series_instance_uid, r.series.part))),
        _other_phases(best, [c for c in ranked if c is not best and c.failure is None]),
        _notices(scan, best),
    )


def _failure(series: SeriesHeaders) -> InputError | None:
    """What makes a series unusable as far as headers tell, None when nothing does."""
    try:
        stack_slices(series)
        for header in series.slices:
            refuse_unreadable(header)
        refuse_mixed_rescale(series.slices)
    except InputError as error:
        return error
    return None


def _with_uid(ranked: list[_Candidate], uid: str) -> list[_Candidate]:
    found = [c for c in ranked if c.series.series_instance_uid == uid]
    if not found:
        known = sorted({c.series.series_instance_uid for c in ranked})
        more = f" and {len(known) - _LISTED_AT_MOST} more" if len(known) > _LISTED_AT_MOST else ""
        raise InputError(
            f"there is no CT series {uid}; the study has {', '.join(known[:_LISTED_AT_MOST])}{more}",
            code=ErrorCode.NO_SUCH_SERIES,
        )
    return found


def _meeting(ranked: list[_Candidate], rules: Rules) -> tuple[list[_Candidate], dict[int, str]]:
    """The candidates of the first selection that a usable series meets (else any series), and why the others fail."""
    if not rules.selections:
        return ranked, {}
    met = [(s, [c for c in ranked if _broken(c, s) is None]) for s in rules.selections]
    usable = [(s, found) for s, found in met if any(c.failure is None for c in found)]
    some = usable or [(s, found) for s, found in met if found]
    if not some:
        reasons = "; ".join(f"{c.series.name}: {_against(c, rules.selections[0])}" for c in ranked[:_LISTED_AT_MOST])
        raise InputError(
            f"none of the {len(ranked)} CT series meets the series rules ({reasons}); change the rules",
            code=ErrorCode.UNMET_RULES,
        )
    selection, found = some[0]
    return found, {id(c): _against(c, selection) for c in ranked if c not in found}


def _broken(candidate: _Candidate, selection: Selection) -> Condition | None:
    return next((c for c in selection.conditions if not c.holds(candidate.series)), None)


def _against(candidate: _Candidate, selection: Selection) -> str:
    broken = _broken(candidate, selection)
    wanted = list(broken.wanted) if broken and isinstance(broken.wanted, tuple) else broken and broken.wanted
    return f"does not meet the rule {selection.name!r}: {broken.keyword if broken else ''} is not {wanted!r}"


def _why(best: _Candidate, usable: int) -> str:
    words = ", ".join(words for _, words in best.score.aspects)
    return f"{'the only usable series' if usable == 1 else f'the best of {usable} usable series'}: {words}"


def _why_not(candidate: _Candidate, best: _Candidate) -> str:
    lost = candidate.score.lost_against(best.score)
    points = f"scores {candidate.score.points:.1f}, the chosen one {best.score.points:.1f}"
    return f"{points}: {lost}" if lost else f"{points}; decided by study date and UID"


def _other_phases(best: _Candidate, pool: list[_Candidate]) -> tuple[SeriesHeaders, ...]:
    """The best series of every other scan of the same study that shares the frame of reference and lies over `best`."""
    found: list[_Candidate] = []
    for other in pool:
        same_place = (
            other.series.study_instance_uid == best.series.study_instance_uid
            and other.series.frame_of_reference_uid == best.series.frame_of_reference_uid != ""
            and _overlap(other.series, best.series)
        )
        if same_place and not any(_same_scan(other, known) for known in (best, *found)):
            found.append(other)
    return tuple(c.series for c in found)


def _overlap(a: SeriesHeaders, b: SeriesHeaders) -> bool:
    """Whether both have one orientation and share at least half of the shorter extent."""
    if float(np.dot(a.slices[0].normal, b.slices[0].normal)) < _PARALLEL:
        return False
    (a_low, a_high), (b_low, b_high) = a.extent_mm, b.extent_mm
    return min(a_high, b_high) - max(a_low, b_low) >= min(a_high - a_low, b_high - b_low) / 2


def _same_scan(a: _Candidate, b: _Candidate) -> bool:
    """Whether two series show the same moment: one phase, or overlapping acquisition times; if unknown, they do."""
    phases = {a.score.phase.phase, b.score.phase.phase}
    if Phase.UNKNOWN not in phases:
        return len(phases) == 1
    a_times, b_times = a.series.times_s, b.series.times_s
    if a_times and b_times:
        return a_times[0] <= b_times[1] + _SAME_SCAN_S and b_times[0] <= a_times[1] + _SAME_SCAN_S
    same_series = a.series.series_instance_uid == b.series.series_instance_uid
    return not (same_series and any(word in a.series.split_by for word in _MOMENTS))


def _notices(scan: StudyScan, best: _Candidate) -> tuple[str, ...]:
    chosen, notices = best.series, []
    studies = {s.study_instance_uid for s in scan.series}
    if len({s.text("PatientID") for s in scan.series}) > 1:
        notices.append(
            f"The input holds images of more than one patient; only study {chosen.study_instance_uid} was read."
        )
    if len(studies) > 1:
        notices.append(
            f"The input holds {len(studies)} studies; {chosen.name} of study {chosen.study_instance_uid} was chosen as "
            "the best series of all. To read another study, name one of its series by UID."
        )
    if chosen.parts > 1:
        notices.append(
            f"Series {chosen.series_instance_uid} holds {chosen.parts} volumes, told apart by {chosen.split_by}; "
            f"volume {chosen.part} was read."
        )
    if best.score.aspects[0][1] != "axial":
        notices.append(f"No usable axial series was found; a {best.score.aspects[0][1]} one was read.")
    return tuple(notices)

"""How well a CT series suits a search for kidneys and renal masses, in points, with the reason in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from renalct.core.phase import Phase, PhaseEstimate
from renalct.formats.dicom.contrast import estimate_phase
from renalct.formats.dicom.headers import SeriesHeaders

_AXIAL_WITHIN_DEGREES = 15.0
_FULL_COVERAGE_MM = 250.0
"""Both kidneys with a margin, wherever the scan begins."""
_THIN_MM, _THICK_MM = 3.0, 10.0
_MANY_SLICES = 100
_PHASE_WORTH = {
    Phase.NEPHROGRAPHIC: 1.0,
    Phase.CORTICOMEDULLARY: 0.8,
    Phase.UNKNOWN: 0.5,
    Phase.EXCRETORY: 0.45,
    Phase.NON_CONTRAST: 0.0,
}
_SHARP_WORDS = re.compile(r"bone|lung|edge|sharp|detail|knochen|os\b|pulm|poumon|osseo|hueso|hr\b|hrct|ultra|骨|肺")
_SOFT_WORDS = re.compile(r"soft|stand|std|smooth|weich|mou|blando|abd|body|软组织|軟部")
_KERNEL_NUMBER = re.compile(r"^[a-z]{1,2}(\d{2})[a-z]?")
_MAKERS_KERNEL = re.compile(
    r"[a-z]{1,2}\d{2,3}[a-z]{0,2}|[a-e]|l|y[abc]|(standard|std|soft|smooth|bone|lung|detail|edge|chest|ultra|brain)(\+|plus)?"
)
"""Kernels that messages may repeat; what else stands there may be anything."""
_CANON_KERNEL = re.compile(r"^fc(\d{2})")
_SOFT_UP_TO, _SHARP_FROM = 45, 55
_CANON_SHARP = ((30, 39), (50, 60), (80, 92))
_REFORMATTED = frozenset({"MPR", "MIP", "MINIP", "CPR", "AVERAGE", "VRT", "SUBTRACTION", "REFORMATTED", "CURVED"})
_BODY_WORTH = (
    (
        re.compile(
            r"abd|kidney|\bnier|\brein|renal|liver|leber|bauch|urin|uro|\btap\b|\bcap\b|腹|腎|肾|복부|живот|брюш"
        ),
        1.0,
    ),
    (re.compile(r"pelv|becken|bassin|骨盆|골반|таз"), 0.6),
    (re.compile(r"chest|thora|lung|heart|cardi|coronar|torax|tórax|胸|肺|груд"), 0.3),
    (
        re.compile(r"\bhead|brain|skull|neck|sch[aä]del|\bt[eê]te|cabeza|\bleg|foot|\barm|hand|knee|ankle|wrist|spine"),
        0.0,
    ),
)
"""How likely the kidneys are in the images, by the first of these words that a description holds."""


@dataclass(frozen=True)
class Score:
    """Points of a series, 0 to about 20: one entry per aspect, with its words ("5 mm slices") for a comparison."""

    phase: PhaseEstimate
    aspects: tuple[tuple[float, str], ...]

    @property
    def points(self) -> float:
        """The sum over all aspects, rounded so that order of addition never decides."""
        return round(sum(points for points, _ in self.aspects), 6)

    def lost_against(self, better: Score) -> str:
        """Where this score is lower than a better one, largest difference first, in words."""
        pairs = zip(self.aspects, better.aspects, strict=True)
        worse = sorted(((theirs[0] - ours[0], ours[1], theirs[1]) for ours, theirs in pairs), reverse=True)
        named = [f"{ours} (chosen: {theirs})" for difference, ours, theirs in worse if difference > 0.05]
        return ", ".join(named[:3])


def score_series(series: SeriesHeaders) -> Score:
    """The points of a series: axial, original, coverage, thickness, kernel, phase, body part and slice count."""
    phase = estimate_phase(series)
    return Score(
        phase,
        (_orientation(series), _origin(series), _coverage(series), _thickness(series), _kernel(series), _phase(phase),
         _body_part(series), _count(series)),
    )  # fmt: skip


def _orientation(series: SeriesHeaders) -> tuple[float, str]:
    normal = np.abs(series.slices[0].normal)
    angle = float(np.degrees(np.arccos(min(1.0, normal[2]))))
    if angle <= _AXIAL_WITHIN_DEGREES:
        return 5.0, "axial"
    return 0.0, ("sagittal", "coronal", "oblique axial")[int(np.argmax(normal))]


def _origin(series: SeriesHeaders) -> tuple[float, str]:
    words = set(series.slices[0].acquisition.image_type)
    if words & _REFORMATTED:
        return 0.0, f"reformatted ({'/'.join(sorted(words & _REFORMATTED))})"
    if "SECONDARY" in words:
        return 0.5, "secondary images"
    return (2.0, "original images") if "ORIGINAL" in words else (1.0, "derived images")


def _coverage(series: SeriesHeaders) -> tuple[float, str]:
    low, high = series.extent_mm
    return 4.0 * min(1.0, (high - low) / _FULL_COVERAGE_MM), f"{high - low:.0f} mm covered"


def _thickness(series: SeriesHeaders) -> tuple[float, str]:
    low, high = series.extent_mm
    spacing = (high - low) / max(1, len(series.slices) - 1)
    thickness = max(spacing, series.slices[0].acquisition.thickness_mm or 0.0)
    worth = np.clip((_THICK_MM - thickness) / (_THICK_MM - _THIN_MM), 0.0, 1.0)
    return 2.0 * float(worth), f"{thickness:.3g} mm slices"


def _kernel(series: SeriesHeaders) -> tuple[float, str]:
    kernel = series.slices[0].acquisition.kernel.split("\\")[0].strip()
    text = f"{kernel} {series.description}".lower()
    worth = _kernel_worth(kernel.lower(), text)
    name = "sharp" if worth < 0.3 else "soft" if worth > 0.7 else "medium" if kernel else "unknown"
    return 2.0 * worth, f"{name} kernel{f' {kernel}' if _MAKERS_KERNEL.fullmatch(kernel.lower()) else ''}"


def _kernel_worth(kernel: str, text: str) -> float:
    """1 for soft-tissue kernels, 0 for lung and bone, by the makers' names (Siemens, GE, Philips, Canon) and words."""
    canon = _CANON_KERNEL.match(kernel)
    if canon:
        return 0.0 if any(a <= int(canon.group(1)) <= b for a, b in _CANON_SHARP) else 1.0
    number = _KERNEL_NUMBER.match(kernel)
    if number:
        return float(np.clip((_SHARP_FROM - int(number.group(1))) / (_SHARP_FROM - _SOFT_UP_TO), 0.0, 1.0))
    if _SHARP_WORDS.search(text):
        return 0.0
    if kernel in ("a", "b", "c") or _SOFT_WORDS.search(text):
        return 1.0
    return 0.0 if kernel in ("d", "e", "l", "ya", "yb", "yc", "yd") else 0.6


def _phase(phase: PhaseEstimate) -> tuple[float, str]:
    unsure = _PHASE_WORTH[Phase.UNKNOWN]
    worth = phase.probability * _PHASE_WORTH[phase.phase] + (1 - phase.probability) * unsure
    return 4.0 * worth, f"{phase.phase.value} phase"


def _body_part(series: SeriesHeaders) -> tuple[float, str]:
    for keyword in ("SeriesDescription", "BodyPartExamined", "ProtocolName", "StudyDescription"):
        text = series.text(keyword).lower()
        for words, worth in _BODY_WORTH:
            if words.search(text):
                return 2.0 * worth, f"{'abdomen' if worth == 1 else 'another body part'} by {keyword}"
    return 1.4, "body part unknown"


def _count(series: SeriesHeaders) -> tuple[float, str]:
    return 0.5 * min(1.0, len(series.slices) / _MANY_SLICES), f"{len(series.slices)} slices"

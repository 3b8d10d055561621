"""The contrast phase as far as headers tell it: words in descriptions, contrast attributes and delays."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom import Dataset

from renalct.core.phase import Phase, PhaseEstimate
from renalct.formats.dicom.headers import SeriesHeaders
from renalct.formats.dicom.instances import clock_seconds

_PHASES = (Phase.NON_CONTRAST, Phase.CORTICOMEDULLARY, Phase.NEPHROGRAPHIC, Phase.EXCRETORY)

_WORDS: dict[Phase, str] = {
    Phase.NON_CONTRAST: (
        r"non?[ -]?con|non[ -]?enh|unenhanced|without|\bw ?/ ?o\b|\bwo\b|pre[ -]?contrast|\bplain\b|\bnativ|\bnk\b"
        r"|\bohne (km|kontr|i ?v)|leerserie|\bsans (iv|inj|contr|prod)|\bsin (c|iv)|\bsenza|\bsem (c|iv)|\bbasal\b"
        r"|\bblanco\b|\bzonder (c|k|iv)|\bbez (k|ś)|\but?an k|\buden k|без контр|нативн|平扫|平掃|単純|非造影|조영 ?전"
        r"|\bpre\b(?!.?(op|surg))|(^| )c ?-( |$)|(^| )-c\b"
    ),
    Phase.CORTICOMEDULLARY: (
        r"art[eé]ri|\bart\b|cortico|kortiko|\bcortical|\bcmp\b|артери|кортико|动脉|動脈|皮质|皮髓|皮質|皮髄|동맥|피질"
    ),
    Phase.NEPHROGRAPHIC: (
        r"nephro|nefro|néphro|\bneph\b|\bngp?\b|portal|porto|\bpv[pi]?\b|ven[oö]us|ven[oö]s|veno[sz]|\bv[eé]ineu|\bven\b"
        r"|parench|венозн|портальн|нефрогр|паренхим|静脉|靜脈|门脉|門脈|实质|實質|実質|문맥|신실질"
    ),
    Phase.EXCRETORY: (
        r"excret|urogra|delay|\blate\b|tard[iíy]|\bsp[aä]t|aussch|élimin|elimina|escret|выделит|экскрет|отсроч"
        r"|排泄|延迟|延遲|遅延|平衡|배설|지연|equilib|\b(3|4|5|7|8|10|12|15|20) ?min"
    ),
}
"""Words for each phase in descriptions: English, German, French, Spanish, Italian, Portuguese, Dutch, Polish,
Swedish, Danish, Russian, Chinese, Japanese, Korean. Matched after lower-casing, separators turned into spaces."""
_PATTERNS = {phase: re.compile(words) for phase, words in _WORDS.items()}
_WITH_AND_WITHOUT = re.compile(
    r"\bw(ith)? ?(and|&|/|\+)? ?(wo|w/o|without)\b|\b(wo|w/o|without) ?(and|&|/|\+)? ?w(ith)?\b"
)
_LATE_ARTERIAL = re.compile(r"(late|sp[aä]t\w*|tard\w*) ?art[eé]r\w*|art[eé]r\w* (late|tard\w*)")
_PRECISE = re.compile(r"nephro|nefro|néphro|cortico|excret|urogra|non[ -]?con|unenhanced|nativ")
_DELAYS_S: tuple[tuple[float, Phase, float], ...] = (
    (0.0, Phase.NON_CONTRAST, 0.9),
    (55.0, Phase.CORTICOMEDULLARY, 0.85),
    (80.0, Phase.NEPHROGRAPHIC, 0.65),  # portal venous: the medulla is only about to fill
    (150.0, Phase.NEPHROGRAPHIC, 0.9),
    (180.0, Phase.NEPHROGRAPHIC, 0.55),
    (3600.0, Phase.EXCRETORY, 0.9),
)
"""Delay after the start of the injection below which a phase is likely, and how likely."""
_CODED: dict[str, tuple[Phase, float]] = {
    "PRE_CONTRAST": (Phase.NON_CONTRAST, 0.97),
    "ARTERIAL": (Phase.CORTICOMEDULLARY, 0.9),
    "CAPILLARY": (Phase.CORTICOMEDULLARY, 0.6),
    "PORTAL_VENOUS": (Phase.NEPHROGRAPHIC, 0.8),
    "VENOUS": (Phase.NEPHROGRAPHIC, 0.8),
    "DELAYED": (Phase.EXCRETORY, 0.85),
}
"""ContrastBolusAgentPhase (PS3.3 C.7.6.16.2.11)."""
_SURE_ENOUGH = 0.5
_Likelihood = tuple[float, ...]


def estimate_phase(series: SeriesHeaders) -> PhaseEstimate:
    """The most probable phase of a series by its headers, with what it was estimated from.

    Independent pieces of evidence are multiplied; a phase under one half is unknown, and its evidence is still told.
    """
    clues = [clue for clue in (_by_words(series), _by_code(series), _by_delay(series), _by_agent(series)) if clue]
    if not clues:
        return PhaseEstimate()
    joint = [1.0] * len(_PHASES)
    for likelihood, _ in clues:
        joint = [a * b for a, b in zip(joint, likelihood, strict=True)]
    total = sum(joint)
    best = max(range(len(_PHASES)), key=lambda n: joint[n])
    probability = round(joint[best] / total, 3)
    evidence = "; ".join(words for _, words in clues)
    if probability < _SURE_ENOUGH:
        return PhaseEstimate(Phase.UNKNOWN, 0.0, evidence)
    return PhaseEstimate(_PHASES[best], probability, evidence)


def _favouring(phases: Iterable[Phase], probability: float) -> _Likelihood:
    named = set(phases)
    other = (1.0 - probability) / (len(_PHASES) - len(named)) if len(named) < len(_PHASES) else 0.0
    return tuple(probability / len(named) if phase in named else other for phase in _PHASES)


def _by_words(series: SeriesHeaders) -> tuple[_Likelihood, str] | None:
    for keyword in ("SeriesDescription", "ProtocolName", "ImageComments"):
        text = re.sub(r"[_.,;:()\[\]\\]+", " ", series.text(keyword).lower())
        text = _WITH_AND_WITHOUT.sub(" ", text)
        arterial = bool(_LATE_ARTERIAL.search(text))
        text = _LATE_ARTERIAL.sub(" arterial ", text)
        found = {phase: match.group() for phase, pattern in _PATTERNS.items() if (match := pattern.search(text))}
        if arterial:
            found.setdefault(Phase.CORTICOMEDULLARY, "late arterial")
        if found:
            words = " and ".join(repr(word.strip()) for word in found.values())
            sure = 0.95 if len(found) == 1 and _PRECISE.search(text) else 0.85
            return _favouring(found, sure), f"{keyword} says {words}"
    return None


def _by_code(series: SeriesHeaders) -> tuple[_Likelihood, str] | None:
    code = series.slices[0].acquisition.contrast_phase
    if code not in _CODED:
        return None
    phase, probability = _CODED[code]
    return _favouring([phase], probability), f"ContrastBolusAgentPhase is {code}"


def _by_delay(series: SeriesHeaders) -> tuple[_Likelihood, str] | None:
    start = clock_seconds(_contrast_text(series, "ContrastBolusStartTime"))
    times = [s.acquisition.time_s for s in series.slices if s.acquisition.time_s is not None]
    if start is None or not times:
        return None
    delay = sorted(times)[len(times) // 2] % 86400.0 - start
    if delay < -43200.0:  # past midnight
        delay += 86400.0
    for limit, phase, probability in _DELAYS_S:
        if delay < limit:
            return _favouring([phase], probability), f"scanned {delay:.0f} s after the start of the injection"
    return None


def _by_agent(series: SeriesHeaders) -> tuple[_Likelihood, str] | None:
    agent = _contrast_text(series, "ContrastBolusAgent") or _contrast_text(series, "CodeMeaning")
    route = series.text("ContrastBolusRoute").lower()
    if not agent or "oral" in (agent + route).lower() or agent.strip().lower() in ("no", "none", "n", "nein"):
        return None
    return (0.1, 0.3, 0.3, 0.3), "a contrast agent is named"


def _contrast_text(series: SeriesHeaders, keyword: str) -> str:
    """A contrast attribute of the header, or of its ContrastBolusAgentSequence (enhanced CT)."""
    for source in _contrast_items(series.example):
        value = source.get(keyword)
        if value:
            return str(value)
    return ""


def _contrast_items(header: Dataset) -> list[Dataset]:
    agents = list(header.get("ContrastBolusAgentSequence") or [])
    doses = [dose for agent in agents for dose in agent.get("ContrastAdministrationProfileSequence") or []]
    return [header, *agents, *doses]

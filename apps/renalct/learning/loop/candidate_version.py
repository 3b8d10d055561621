"""The end of a training: the candidate with its lineage, judged on the frozen set, kept, and perhaps published."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalct.core.errors import OutputError
from renalct.learning.loop.gate import Compared, Decision, GateSettings, decide
from renalct.learning.loop.gate_scores import CaseScore, Tell, score_release
from renalct.learning.loop.gate_words import decision_text
from renalct.learning.loop.labelled_cases import LabelledCase
from renalct.learning.loop.registry import DECISION, DECISION_TEXT, INPUTS, Registry, RegistryVersion
from renalct.learning.loop.run_inputs import STARTER_NAME, RunInputs, inputs_text, parent_folder
from renalct.metrics.significance import bootstrap_interval
from renalct.models.cases import CaseFile
from renalct.models.release import STARTER, Metric, Release, load_release, release_folder, save_release
from renalct.models.run_folder import CANDIDATE, read_run
from renalct.models.trained import is_trained, lineage_of, trained_on, trained_release
from renalct.models.values import to_json

SCORES = "scores"
_BEGAN = " Its weights began as those of a release with this card: "
_FROZEN = "patients of the frozen validation set"

Validated = Sequence[tuple[LabelledCase, CaseFile]]


def _silent(done: int, of: int) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Retrained:
    """What a training led to: a version in the registry, the decision on it, and whether it is published."""

    version: RegistryVersion
    decision: Decision
    published: bool


@dataclass(frozen=True, eq=False)
class Judge:
    """What decides on candidates: the frozen cases with their files, the settings of the gate, and the registry."""

    registry: Registry
    frozen_sha256: str
    validated: Validated
    settings: GateSettings
    device: str = "cpu"
    tell: Tell = _silent


def finish(judge: Judge, run: Path, inputs: RunInputs, *, processes: int = 1, by: str = "") -> Retrained:
    """The version that a run became, judged on the frozen cases; published `by` somebody ("" for not at all) when it is
    accepted. After a stop at any moment it can be done again.

    Raises `RecipeError` when a network has no checkpoint, and `OutputError`.
    """
    candidate = candidate_of(judge.registry, run, inputs, device=judge.device, processes=processes)
    scores = _scored(judge, candidate)
    decision = _decided(judge, candidate, scores)
    _write_metrics(run, candidate, scores, decision)
    version = next((v for v in judge.registry.versions() if v.run == run.name), None)
    if version is None:
        texts = {INPUTS: inputs_text(inputs)}
        version = _added(judge, run / CANDIDATE, decision, run.name, parent=inputs.parent_digest, texts=texts)
    return _published(judge, version, decision, by)


def judge_release(judge: Judge, folder: Path, *, name: str, by: str = "") -> Retrained:
    """The version that a release from elsewhere became, judged like any other.

    Whoever brings it answers for that it was not trained on frozen patients: nothing here can tell.
    """
    candidate = load_release(folder)
    decision = _decided(judge, candidate, _scored(judge, candidate))
    version = _added(judge, release_folder(folder), decision, name, parent=candidate.card.parent, texts={})
    return _published(judge, version, decision, by)


def _scored(judge: Judge, candidate: Release) -> tuple[CaseScore, ...]:
    return score_release(
        candidate,
        judge.validated,
        kept=judge.registry.folder / SCORES,
        device=judge.device,
        tell=lambda done, of: judge.tell(done, 2 * of),
    )


def _decided(judge: Judge, candidate: Release, scores: tuple[CaseScore, ...]) -> Decision:
    """The candidate against what is published; before there is anything, the stated floors, or else the starter."""
    now, count = judge.registry.current(), len(judge.validated)
    before = Compared("", "the stated floor")
    if now is not None or not judge.settings.floors:
        release = load_release(judge.registry.release_of(now.version) if now else STARTER)
        words = f"{now.version}, which is published" if now else f"the {STARTER_NAME} {release.card.version}"
        before_scores = score_release(
            release,
            judge.validated,
            kept=judge.registry.folder / SCORES,
            device=judge.device,
            tell=lambda done, of: judge.tell(count + done, 2 * of),
        )
        before = Compared(release.digest, words, before_scores)
    own = Compared(candidate.digest, "the candidate", scores)
    return decide(own, before, frozen_sha256=judge.frozen_sha256, settings=judge.settings)


def _added(
    judge: Judge, folder: Path, decision: Decision, run: str, *, parent: str, texts: dict[str, str]
) -> RegistryVersion:
    return judge.registry.add(
        folder,
        run=run,
        accepted=decision.accepted,
        compared_with=decision.against_digest,
        reason=decision.reason,
        parent=parent,
        texts={
            DECISION: json.dumps(to_json(decision), indent=1) + "\n",
            DECISION_TEXT: decision_text(decision, candidate=run),
            **texts,
        },
    )


def _published(judge: Judge, version: RegistryVersion, decision: Decision, by: str) -> Retrained:
    now = judge.registry.current()
    in_time = now is None or now.digest == version.compared_with or now.version == version.name
    published = bool(by) and version.accepted and in_time
    if published:
        judge.registry.publish(version.name, by=by)
    return Retrained(version, decision, published)


def candidate_of(
    registry: Registry, run: Path, inputs: RunInputs, *, device: str = "cpu", processes: int = 1
) -> Release:
    """The release of a run, with where it comes from, in the run's folder."""
    folder = parent_folder(registry, inputs)
    parent = load_release(folder) if folder else None
    stages = tuple(name for name, _ in inputs.recipe.stages if is_trained(run, name))
    release = trained_release(run, version=run.name, others=parent)
    lineage = replace(
        lineage_of(run, device=device, processes=processes, stages=stages),
        labels=tuple(sorted(case.sha256 for case in inputs.cases)),
        frozen_sha256=inputs.frozen_sha256,
    )
    licence = inputs.settings.licence or (parent.card.licence if parent else release.card.licence)
    card = replace(release.card, licence=licence, parent=inputs.parent_digest, lineage=lineage)
    if parent:
        first = parent.card.trained_on.split(_BEGAN)[-1]
        card = replace(card, trained_on=card.trained_on + _BEGAN + first)
    try:
        return save_release(replace(release, card=card), run / CANDIDATE)
    except OSError as error:
        raise OutputError(f"the release cannot be written to {run / CANDIDATE} ({error.strerror})") from error


def _write_metrics(run: Path, candidate: Release, scores: Sequence[CaseScore], decision: Decision) -> None:
    """Put what the candidate measures on the frozen set onto its card."""
    metrics = tuple(_metric(name, value, scores) for name, value in decision.numbers if "Dice" in name)
    record, _ = read_run(run)
    began = candidate.card.trained_on.partition(_BEGAN)[2]
    words = trained_on(replace(record, licence=candidate.card.licence), metrics) + (_BEGAN + began if began else "")
    card = replace(candidate.card, metrics=metrics, trained_on=words)
    try:
        save_release(replace(candidate, card=card), run / CANDIDATE)
    except OSError as error:
        raise OutputError(f"the release cannot be written to {run / CANDIDATE} ({error.strerror})") from error


def _metric(name: str, value: float, scores: Sequence[CaseScore]) -> Metric:
    """A mean over the frozen cases with its 95 % interval over patients; the plain value twice under two patients."""
    rows = []
    for score in scores:
        known = dict(score.regions) | {f"{each} Dice": dice for each, dice in score.classes}
        if name in known:
            rows.append((known[name], score.patient))
    patients = [patient for _, patient in rows]
    interval = bootstrap_interval([row for row, _ in rows], patients, lambda v: float(v.mean()), seed=0)
    low, high = (value if math.isnan(end) else end for end in (interval.low, interval.high))
    return Metric(name, _FROZEN, len(set(patients)), round(value, 4), round(low, 4), round(high, 4))

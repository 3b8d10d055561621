"""When to retrain by itself: enough new labels, and nobody labelling just now. A training that runs is never ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from renalct.core.errors import InputError, OutputError
from renalct.learning.loop.candidate_version import Retrained
from renalct.learning.loop.frozen import read_frozen, without_frozen
from renalct.learning.loop.labelled_cases import labelled_cases
from renalct.learning.loop.loop_status import LoopState, LoopStatus, read_status
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.retrain import Loop, Unfinished, is_training, last_run, retrain, unfinished
from renalct.learning.loop.run_inputs import RetrainSettings, read_inputs
from renalct.learning.store import LabelStore

_FAILED_SECONDS = 3600.0


@dataclass(frozen=True)
class AutoSettings:
    """Retrain after so many new labels since the last training began, once nobody has saved one for `quiet_seconds`;
    at the latest when the first of them has waited for `longest_wait_seconds`, for some teams are never quiet."""

    new_labels: int = 10
    quiet_seconds: float = 300.0
    longest_wait_seconds: float = 4 * 3600.0

    def __post_init__(self) -> None:
        if self.new_labels < 1 or self.quiet_seconds < 0 or self.longest_wait_seconds < 0:
            raise InputError("an automatic training needs 1 new label or more, and times of 0 seconds or more")


@dataclass(frozen=True)
class Due:
    """Whether it is time to retrain, why or why not, and how many labels are new."""

    due: bool
    why: str
    new: int = 0


_USUAL = AutoSettings()


def due(
    store: LabelStore, registry: Registry, settings: RetrainSettings, auto: AutoSettings = _USUAL, *, now: float
) -> Due:
    """Whether to retrain at the time `now`. A label counts as new when the last training did not have that version."""
    if is_training(registry):
        return Due(False, "a training runs already")
    open_run = unfinished(registry)
    if open_run is not None:
        status = read_status(registry.folder)
        if status.state is LoopState.FAILED and now - status.beat_at < _FAILED_SECONDS:
            return Due(False, f"the training {open_run.name} failed and is tried again later: {status.message}")
        return Due(True, f"the training {open_run.name} was not finished")
    cases = labelled_cases(store, settings.states)
    frozen = read_frozen(registry.folder)
    if frozen is not None:
        cases = without_frozen(cases, frozen)
    run = last_run(registry)
    seen = {(case.image_id, case.sha256) for case in read_inputs(run).cases} if run else set()
    new = [case.committed_at for case in cases if (case.image_id, case.sha256) not in seen]
    if len(new) < auto.new_labels:
        return Due(False, f"{len(new)} of {auto.new_labels} new labels", len(new))
    if now - min(new) >= auto.longest_wait_seconds:
        return Due(True, f"the first of {len(new)} new labels has waited long enough", len(new))
    if now - max(new) < auto.quiet_seconds:
        return Due(False, f"{len(new)} new labels, and somebody is still labelling", len(new))
    return Due(True, f"{len(new)} new labels", len(new))


def update_if_due(
    loop: Loop,
    auto: AutoSettings = _USUAL,
    *,
    clock: Callable[[], float] = time.time,
    stop: Callable[[], bool] = bool,
    tell: Callable[[LoopStatus], None] | None = None,
) -> tuple[Due, Retrained | None]:
    """Retrain when it is time; of several processes that ask at once, one does.

    An unfinished training goes on with its own settings and labels, whatever those of the loop are now.
    """
    found = due(loop.store, loop.registry, loop.settings, auto, now=clock())
    if not found.due:
        return found, None
    try:
        return found, retrain(loop, stop=stop, tell=tell or _silent, about=Unfinished.ANY)
    except OutputError:
        if is_training(loop.registry):
            return Due(False, "a training runs already", found.new), None
        raise


def _silent(status: LoopStatus) -> None:
    """Nobody listens."""

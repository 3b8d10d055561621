"""When to retrain by itself: enough new labels, and nobody labelling just now. A training that runs is never ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from renalct.core.errors import InputError, OutputError
from renalct.learning.loop.candidate_version import Retrained
from renalct.learning.loop.frozen import freeze, read_frozen, without_frozen
from renalct.learning.loop.labelled_cases import labelled_cases
from renalct.learning.loop.loop_status import LoopState, LoopStatus, read_status
from renalct.learning.loop.retrain import Loop, Unfinished, is_training, last_run, retrain, unfinished
from renalct.learning.loop.run_inputs import read_inputs

_FAILED_SECONDS = 3600.0
_MOST_SELDOM_S = 30.0


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

    @property
    def look_every_seconds(self) -> float:
        """How often to look whether it is time: often enough for the quiet that is asked for."""
        return min(_MOST_SELDOM_S, max(1.0, self.quiet_seconds / 4))


@dataclass(frozen=True)
class Due:
    """Whether it is time to retrain, why or why not, and how many labels are new."""

    due: bool
    why: str
    new: int = 0


_USUAL = AutoSettings()


def due(loop: Loop, auto: AutoSettings = _USUAL, *, now: float) -> Due:
    """Whether to retrain at the time `now`. A label counts as new when the last training did not have that version."""
    store, registry = loop.store, loop.registry
    if is_training(registry):
        return Due(False, "a training runs already")
    open_run, status = unfinished(registry), read_status(registry.folder)
    if status.state is LoopState.FAILED and now - status.beat_at < _FAILED_SECONDS:
        which = f"the training {open_run.name}" if open_run else "the last training"
        return Due(False, f"{which} failed and is tried again later: {status.message}")
    if open_run is not None:
        return Due(True, f"the training {open_run.name} was not finished")
    cases = labelled_cases(store, loop.settings.states)
    frozen = read_frozen(registry.folder)
    if frozen is not None:
        cases = without_frozen(cases, frozen)
    run = last_run(registry)
    seen = {(case.image_id, case.sha256) for case in read_inputs(run).cases} if run else set()
    new = [case.committed_at for case in cases if (case.image_id, case.sha256) not in seen]
    if len(new) < auto.new_labels:
        return Due(False, f"{len(new)} of {auto.new_labels} new labels", len(new))
    if now - min(new) < auto.longest_wait_seconds and now - max(new) < auto.quiet_seconds:
        return Due(False, f"{len(new)} new labels, and somebody is still labelling", len(new))
    if frozen is None:
        try:
            freeze(labelled_cases(store, loop.frozen_states), loop.freezing)
        except InputError as error:
            return Due(False, str(error), len(new))
    if now - min(new) >= auto.longest_wait_seconds:
        return Due(True, f"the first of {len(new)} new labels has waited long enough", len(new))
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
    found = due(loop, auto, now=clock())
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

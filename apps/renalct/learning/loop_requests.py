"""What viewers ask of a training and are told of it, as plain values to and from those of the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from renalct.core.errors import InputError
from renalct.learning.loop.labelled_cases import REVIEWED, TRAINABLE
from renalct.learning.loop.loop_status import LoopState, LoopStatus
from renalct.learning.loop.retrain import Unfinished
from renalct.learning.loop.run_inputs import RetrainSettings, Start

LABELS = {"submitted, approved and gold": TRAINABLE, "approved and gold": REVIEWED}
UNFINISHED = {"go on": Unfinished.ANY, "begin anew": Unfinished.LEAVE}


def training_options() -> dict[str, Any]:
    """The options of a training as viewers show them: lists of strings are drop-downs, the first is the default."""
    return {
        "start": [start.value for start in Start],
        "steps": 0,
        "labels": list(LABELS),
        "replay_share": "",
        "unfinished": list(UNFINISHED),
        "seed": 0,
    }


def settings_of(request: Mapping[str, Any]) -> RetrainSettings:
    """What to train, from options that a viewer sent; steps of 0 mean the usual number. Raises `InputError`."""
    steps = _number(request, "steps", int)
    share = _number(request, "replay_share", float)
    return RetrainSettings(
        start=Start(_choice(request, "start", [start.value for start in Start])),
        states=LABELS[_choice(request, "labels", list(LABELS))],
        replay_share=share,
        steps=steps or None,
        seed=_number(request, "seed", int) or 0,
    )


def about_unfinished(request: Mapping[str, Any]) -> Unfinished:
    """What to do about a training that was not finished."""
    return UNFINISHED[_choice(request, "unfinished", list(UNFINISHED))]


def training_record(status: LoopStatus) -> dict[str, Any]:
    """What viewers show of the loop: never a null, and `total_time` only when nothing runs."""
    record: dict[str, Any] = {
        "epoch": status.epoch,
        "total_epochs": max(1, status.total_epochs),
        "best_metric": status.best_metric,
        "state": status.state.value,
        "message": status.message,
        "version": status.version,
        "numbers": dict(status.numbers),
    }
    if not status.state.running and status.state is not LoopState.IDLE:
        record["total_time"] = str(timedelta(seconds=round(status.seconds)))
    return record


def status_line(status: LoopStatus) -> str:
    """One line for the log of a training, of which viewers show the last few."""
    progress = f" {status.epoch}/{status.total_epochs}" if status.total_epochs else ""
    return f"{status.state.value}{progress} {status.message}".rstrip()


class SpokenStatus:
    """Says a status when its state changes, and every other second between: MONAI Label, which reads the log of a task
    line by line, drops what it has not read when the task ends."""

    def __init__(self, say: Callable[[str], None], *, every_s: float = 2.0) -> None:
        self._say, self._every_s = say, every_s
        self._state, self._at = LoopState.IDLE, 0.0

    def __call__(self, status: LoopStatus) -> None:
        """Say it, unless something was said just now."""
        now = time.monotonic()
        if status.state is not self._state or now - self._at >= self._every_s:
            self._say(status_line(status))
            self._state, self._at = status.state, now


def _choice(request: Mapping[str, Any], key: str, known: list[str]) -> str:
    told = request.get(key)
    if isinstance(told, list):
        told = told[0] if told else None
    if told in (None, ""):
        return known[0]
    if told not in known:
        raise InputError(f"{key} is {told!r}; it is one of {', '.join(known)}")
    return str(told)


def _number(request: Mapping[str, Any], key: str, kind: type[int] | type[float]) -> Any:
    told = request.get(key)
    if told in (None, ""):
        return None
    try:
        return kind(told)
    except (TypeError, ValueError) as error:
        raise InputError(f"{key} is {told!r}; a number is needed, or nothing") from error

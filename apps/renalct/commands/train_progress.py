"""Lines that say how far a training is."""

from __future__ import annotations

import math
import time

from renalct.models.run_plan import Told

_SAY_EVERY_SECONDS = 15.0


class TrainingLines:
    """Prints a line now and then: step, loss, time left, and the share of time spent waiting for samples."""

    def __init__(self) -> None:
        self._said = 0.0
        self._where = ("", 0)
        self._best = -math.inf

    def __call__(self, told: Told) -> None:
        """Print what is told, unless something was printed just now."""
        name = told.stage if told.member == 0 else f"{told.stage} {told.member}"
        if told.note:
            print(f"{name}: {told.note}", flush=True)
            return
        now, status, where = time.monotonic(), told.status, (told.stage, told.member)
        if where != self._where:
            self._best = -math.inf
        better = status.best > self._best
        recent = where == self._where and now - self._said < _SAY_EVERY_SECONDS
        if recent and status.step != status.steps and not better:
            return
        self._said, self._where, self._best = now, where, status.best
        if told.stage == "cases":
            print(f"cases: {status.step} of {status.steps} prepared", flush=True)
            return
        words = [
            f"{name}: step {status.step} of {status.steps}",
            f"loss {status.loss:.3f}",
            f"{status.seconds_per_step:.2f} s a step",
            f"{status.waiting:.0%} of it waiting for samples",
            f"{_duration(status.seconds_left)} left",
        ]
        if math.isfinite(status.best):
            words.append(f"best validation {status.best:.4f}")
        print(", ".join(words), flush=True)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"

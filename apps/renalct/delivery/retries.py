"""When a failed transfer is tried again, and the clock, the pauses and the chance that decide it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from renalct.core.errors import InputError

_MOST_DOUBLINGS = 30


@dataclass(frozen=True)
class RetryPolicy:
    """Pauses that double from `first_pause_s` to `longest_pause_s`, each shortened by chance by up to `jitter` of it.

    What could not be delivered within `give_up_after_s` of its queueing becomes a dead letter. An object that was
    accepted and is then not found is sent again after `checks` looks.
    """

    first_pause_s: float = 2.0
    longest_pause_s: float = 900.0
    jitter: float = 0.5
    give_up_after_s: float = 7 * 24 * 3600.0
    checks: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.first_pause_s <= self.longest_pause_s:
            raise InputError("the first pause between tries is more than 0 seconds, and no longer than the longest")
        if not 0 <= self.jitter < 1:
            raise InputError(f"the jitter of pauses is {self.jitter}; it is a share from 0 to less than 1")
        if self.give_up_after_s <= 0 or self.checks < 1:
            raise InputError("the time after which sending is given up is more than 0, and there is 1 check or more")

    def pause_s(self, failures: int, *, chance: float) -> float:
        """The seconds to wait after so many failures in a row (1 or more); `chance` is a number from 0 to 1."""
        doublings = min(max(failures, 1) - 1, _MOST_DOUBLINGS)
        return min(self.longest_pause_s, self.first_pause_s * 2.0**doublings) * (1.0 - self.jitter * chance)


USUAL_RETRIES = RetryPolicy()


@dataclass(frozen=True)
class Timing:
    """The time in seconds since 1970, what waits, and a number from 0 to 1 by chance."""

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep
    chance: Callable[[], float] = random.random


USUAL_TIMING = Timing()

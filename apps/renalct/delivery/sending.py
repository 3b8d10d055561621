"""What is in the queue, sent: until all is delivered, or the time is over; and a thread that does so for a service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from renalct.core.errors import RenalctError
from renalct.delivery.commitment import commitment_listeners
from renalct.delivery.destinations import Destination
from renalct.delivery.instances import read_instance
from renalct.delivery.outbox import Outbox
from renalct.delivery.queue_records import Queued, State
from renalct.delivery.quiet import quiet_libraries
from renalct.delivery.retries import USUAL_RETRIES, USUAL_TIMING, RetryPolicy, Timing
from renalct.delivery.rounds import Round

__all__ = ["RetryPolicy", "SendSummary", "Sender", "Timing", "deliver", "send_pending"]

log = logging.getLogger(__name__)

_POLL_S = 1.0
_AFTER_A_FAILURE_S = 30.0
_TIDY_EVERY_S = 3600.0


@dataclass(frozen=True)
class SendSummary:
    """What became of the queue: how many objects were delivered now, and which were not.

    `undelivered` are still on their way, `dead` were given up meanwhile; each says why in its `reason`. `problems` are
    the destinations that cannot be spoken to, and why not: the reason finishes the sentence "<destination> ...".
    `delivered_before` counts those of the files given now that had been delivered earlier.
    """

    delivered: int
    undelivered: tuple[Queued, ...] = ()
    dead: tuple[Queued, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    delivered_before: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether everything that was in the queue for these destinations has been delivered."""
        return not self.undelivered and not self.dead

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why what is left is left, each reason once, with the name of its destination."""
        problems = [f"{name} {reason}" for name, reason in self.problems]
        own = [f"{each.destination}: {each.reason}" for each in (*self.undelivered, *self.dead) if each.reason]
        return tuple(dict.fromkeys([*problems, *own]))


def deliver(
    outbox: Outbox,
    files: Sequence[Path],
    destinations: Sequence[Destination],
    *,
    study: str = "",
    again: bool = False,
    wait_s: float = 0.0,
    policy: RetryPolicy = USUAL_RETRIES,
    timing: Timing = USUAL_TIMING,
    stop: Callable[[], bool] = lambda: False,
) -> SendSummary:
    """What became of files that are queued and sent with all that was waiting: `Outbox.put`, then `send_pending`.

    Unlike the summary of `send_pending` alone, this one has among the `dead` also those of the files that had been
    given up before: they are not sent again by themselves.
    """
    names = [destination.name for destination in destinations]
    uids = {read_instance(file).sop_instance_uid for file in files}
    before = [each for each in outbox.find(names, uids) if each.state is State.DELIVERED]
    outbox.put(files, destinations, study=study, again=again)
    summary = send_pending(outbox, destinations, wait_s=wait_s, policy=policy, timing=timing, stop=stop)
    given = [each for each in outbox.find(names, uids) if each.state is State.DEAD]
    dead = {each.number: each for each in (*summary.dead, *given)}
    return replace(summary, dead=tuple(dead.values()), delivered_before=0 if again else len(before))


def send_pending(
    outbox: Outbox,
    destinations: Sequence[Destination],
    *,
    wait_s: float = 0.0,
    policy: RetryPolicy = USUAL_RETRIES,
    timing: Timing = USUAL_TIMING,
    stop: Callable[[], bool] = lambda: False,
) -> SendSummary:
    """What became of what was waiting for these destinations, after it was sent: to all of them at the same time.

    What fails for now is tried again, after growing pauses, until `wait_s` seconds are over; what is left stays in the
    queue for the next time. Waiting ends before its time when nothing is left, when `stop()`, or when a destination
    needs somebody who puts it right (a wrong password, an unknown AE title). Raises `OutputError` when the queue
    cannot be written, and `InputError` when a port for storage commitments is in use.
    """
    quiet_libraries()
    rounds = [Round(outbox, destination, policy=policy, timing=timing) for destination in destinations]
    names = [destination.name for destination in destinations]
    dead_before = {each.number for each in outbox.dead_letters()}
    deadline = timing.clock() + wait_s
    with commitment_listeners(outbox, destinations):
        if len(rounds) == 1:
            _work(rounds[0], deadline, timing, stop)
        elif rounds:
            with ThreadPoolExecutor(len(rounds), "renalct-send") as pool:
                for done in [pool.submit(_work, each, deadline, timing, stop) for each in rounds]:
                    done.result()
    outbox.tidy()
    return SendSummary(
        sum(each.delivered for each in rounds),
        outbox.on_their_way(names),
        tuple(each for each in outbox.dead_letters() if each.destination in names and each.number not in dead_before),
        tuple((name, pause.reason) for name in names if (pause := outbox.pause_of(name)).failures),
    )


def _work(round_: Round, deadline: float, timing: Timing, stop: Callable[[], bool]) -> None:
    """One round after the other, with pauses, until nothing is left or the time is over."""
    while True:
        hopeless = round_.run(stop=stop)
        due_at = round_.next_at()
        now = timing.clock()
        if due_at is None or hopeless or stop() or now >= deadline:
            return
        # what is due and was not dealt with is somebody else's just now
        timing.sleep(min(due_at - now if due_at > now else _POLL_S, deadline - now, _POLL_S))


class Sender:
    """Threads that deliver what is in a queue as it comes, one for each destination; for services. Used in a ``with``.

    They find what other processes put in as well, within a second; `wake()` makes them look at once.
    """

    def __init__(
        self,
        outbox: Outbox,
        destinations: Sequence[Destination],
        *,
        policy: RetryPolicy = USUAL_RETRIES,
        timing: Timing = USUAL_TIMING,
    ) -> None:
        self._outbox = outbox
        self._destinations = tuple(destinations)
        self._policy = policy
        self._timing = timing
        self._stopping = threading.Event()
        self._wakes = [threading.Event() for _ in self._destinations]
        self._threads: list[threading.Thread] = []
        self._closing = ExitStack()

    def start(self) -> None:
        """Begin. Raises `InputError` when a port for storage commitments is in use."""
        quiet_libraries()
        self._closing.enter_context(commitment_listeners(self._outbox, self._destinations))
        for destination, wake in zip(self._destinations, self._wakes, strict=True):
            name = f"renalct-send-{destination.name}"
            thread = threading.Thread(target=self._run, args=(destination, wake), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """Look into the queue now."""
        for wake in self._wakes:
            wake.set()

    def stop(self) -> None:
        """End, when the objects that are on their way have had their answer; what is left waits in the queue."""
        self._stopping.set()
        self.wake()
        while self._threads:
            self._threads.pop().join()
        self._closing.close()

    def __enter__(self) -> Sender:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, destination: Destination, wake: threading.Event) -> None:
        round_ = Round(self._outbox, destination, policy=self._policy, timing=self._timing)
        tidied_at = self._timing.clock()
        while not self._stopping.is_set():
            wake.clear()
            pause_s = _POLL_S
            try:
                round_.run(stop=self._stopping.is_set)
                if self._timing.clock() - tidied_at > _TIDY_EVERY_S:
                    self._outbox.tidy()
                    tidied_at = self._timing.clock()
            except RenalctError as error:
                log.error("sending to %s: %s", destination.name, error)
                pause_s = _AFTER_A_FAILURE_S
            except Exception as error:  # a service goes on; the words of a foreign error may hold anything
                log.error("sending to %s failed: a bug in renalct (%s)", destination.name, type(error).__name__)
                pause_s = _AFTER_A_FAILURE_S
            wake.wait(pause_s)

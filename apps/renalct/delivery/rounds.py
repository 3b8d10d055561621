"""One round of sending to one destination: what is due is sent, what was accepted is confirmed, the rest waits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from renalct.delivery.c_store import MOST_AT_ONCE, store_by_dimse
from renalct.delivery.commitment import ask_commitment
from renalct.delivery.destinations import Commitment, Destination, DimseDestination, WebDestination
from renalct.delivery.outbox import Outbox
from renalct.delivery.queue_records import Pause, Queued, State
from renalct.delivery.retries import RetryPolicy, Timing
from renalct.delivery.statuses import Outcome, PeerUnavailable, Verdict
from renalct.delivery.stow import store_by_web
from renalct.delivery.verification import found_at, is_checked, web_client

log = logging.getLogger(__name__)

MOST_CONFIRMED_AT_ONCE = 500
_NOT_COMMITTED = "the archive has not yet committed to keep it"


class Round:
    """The rounds of one destination; `delivered` counts what reached it."""

    def __init__(self, outbox: Outbox, destination: Destination, *, policy: RetryPolicy, timing: Timing) -> None:
        self._outbox = outbox
        self._destination = destination
        self._policy = policy
        self._timing = timing
        self.delivered = 0

    def run(self, *, stop: Callable[[], bool]) -> bool:
        """Send and confirm what is due; whether waiting will not help, because somebody has to put something right.

        Nothing happens while somebody else sends to this destination, or while it is left alone after a failure.
        """
        name = self._destination.name
        with self._outbox.sender_of(name) as is_ours:
            if not is_ours or self._left_alone_until() > self._timing.clock():
                return False
            try:
                self._send(stop)
                self._confirm()
                return False
            except PeerUnavailable as problem:
                self._leave_alone(problem)
                return problem.needs_a_person
            finally:
                before = self._timing.clock() - self._policy.give_up_after_s
                for dead in self._outbox.give_up(name, queued_before=before, reason="it was not delivered in time"):
                    log.error("%s was given up for %s: %s", dead.label, name, dead.reason)

    def next_at(self) -> float | None:
        """When there is something to do again; None when nothing is on its way."""
        due_at = self._outbox.next_due(self._destination.name)
        return None if due_at is None else max(due_at, self._left_alone_until())

    def _left_alone_until(self) -> float:
        """The end of a pause; of one that is too far ahead to have been written under this clock, now."""
        until = self._outbox.pause_of(self._destination.name).until
        return until if until <= self._timing.clock() + self._policy.longest_pause_s else 0.0

    def _leave_alone(self, problem: PeerUnavailable) -> None:
        failures = self._outbox.pause_of(self._destination.name).failures + 1
        pause_s = self._policy.pause_s(failures, chance=self._timing.chance())
        self._outbox.set_pause(self._destination.name, Pause(failures, self._timing.clock() + pause_s, problem.reason))
        log.warning("%s %s; it is tried again in %.0f s", self._destination.name, problem.reason, pause_s)

    # ---- sending --------------------------------------------------------------------------------------------------

    def _send(self, stop: Callable[[], bool]) -> None:
        while not stop() and (due := self._due(State.WAITING, MOST_AT_ONCE)):
            for queued, outcome in self._stored(due):
                again_at = self._again_at(queued.attempts)
                self._keep(after_sending(queued, outcome, self._destination.is_confirmed, again_at))
                if outcome.verdict is not Verdict.TRY_AGAIN:
                    self._answers()
                if stop():
                    return

    def _stored(self, due: Sequence[Queued]) -> Iterator[tuple[Queued, Outcome]]:
        if isinstance(self._destination, WebDestination):
            client = web_client(self._destination.web, self._destination)
            return store_by_web(client, due, content=self._outbox.content)
        return store_by_dimse(self._destination, due, content=self._outbox.content)

    # ---- confirming -----------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        while due := self._due(State.ACCEPTED, MOST_CONFIRMED_AT_ONCE):
            uncommitted = [each for each in due if self._commitment is not None and not each.committed]
            committed = [each for each in due if each not in uncommitted]
            if uncommitted:
                self._ask(uncommitted)
            if committed:
                there = found_at(self._destination, committed) if is_checked(self._destination) else None
                for queued in committed:
                    is_there = there is None or queued.instance.sop_instance_uid in there
                    again_at = self._again_at(queued.checks)
                    self._keep(after_check(queued, is_there, again_at, most_checks=self._policy.checks))
            self._answers()

    def _ask(self, uncommitted: Sequence[Queued]) -> None:
        assert isinstance(self._destination, DimseDestination) and self._commitment is not None
        ask_commitment(self._outbox, self._destination, uncommitted)
        again_at = self._timing.clock() + self._commitment.patience_s
        for queued in uncommitted:  # the answer may have come meanwhile: then this changes nothing
            waiting = replace(queued, not_before=again_at, checks=queued.checks + 1, reason=_NOT_COMMITTED)
            self._outbox.change(waiting)

    # ---- both -----------------------------------------------------------------------------------------------------

    @property
    def _commitment(self) -> Commitment | None:
        return self._destination.commitment if isinstance(self._destination, DimseDestination) else None

    def _due(self, state: State, limit: int) -> tuple[Queued, ...]:
        patience_s = self._commitment.patience_s if self._commitment is not None else 0.0
        far_s = max(self._policy.longest_pause_s, patience_s)
        return self._outbox.due(self._destination.name, state, limit=limit, far_s=far_s)

    def _again_at(self, failures: int) -> float:
        return self._timing.clock() + self._policy.pause_s(failures + 1, chance=self._timing.chance())

    def _answers(self) -> None:
        """The destination can be spoken to: a pause after earlier failures is over."""
        if self._outbox.pause_of(self._destination.name).failures:
            self._outbox.set_pause(self._destination.name, Pause())

    def _keep(self, after: Queued) -> None:
        if not self._outbox.change(after):
            return
        name = self._destination.name
        if after.state is State.DELIVERED:
            self.delivered += 1
            log.info("%s is delivered to %s", after.label, name)
        elif after.state is State.DEAD:
            log.error("%s is a dead letter for %s: %s", after.label, name, after.reason)
        elif after.reason:
            log.warning("%s is not delivered to %s yet: %s", after.label, name, after.reason)


def after_sending(queued: Queued, outcome: Outcome, is_confirmed: bool, again_at: float) -> Queued:
    """The object after the destination has answered; `is_confirmed` when it is asked later whether it is there."""
    tried = replace(queued, attempts=queued.attempts + 1, status=outcome.status)
    if outcome.verdict is Verdict.STORED:
        state = State.ACCEPTED if is_confirmed else State.DELIVERED
        return replace(tried, state=state, not_before=0.0, checks=0, committed=False, reason="", note=outcome.words)
    if outcome.verdict is Verdict.REFUSED:
        return replace(tried, state=State.DEAD, reason=outcome.words)
    return replace(tried, not_before=again_at, reason=outcome.words)


def after_check(queued: Queued, is_there: bool, again_at: float, *, most_checks: int) -> Queued:
    """The object after the archive was asked for it: delivered, or looked for again, or after some looks sent again."""
    if is_there:
        return replace(queued, state=State.DELIVERED, reason="")
    checks, reason = queued.checks + 1, "it was accepted, and the archive does not have it"
    if checks < most_checks:
        return replace(queued, checks=checks, not_before=again_at, reason=reason)
    anew = replace(queued, state=State.WAITING, checks=0, committed=False)
    return replace(anew, not_before=again_at, reason=f"{reason}; it is sent again")

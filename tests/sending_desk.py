"""A queue with a made clock, for tests of sending."""

import time

from renalct.delivery.outbox import Outbox, State
from renalct.delivery.retries import RetryPolicy, Timing
from renalct.delivery.sending import send_pending

POLICY = RetryPolicy(first_pause_s=10.0, longest_pause_s=60.0, jitter=0.0)
HOUR = 3600.0


class Desk:
    """A queue, and a clock that sleeping moves on."""

    def __init__(self, folder):
        self.now, self.slept = 1_000_000.0, 0.0
        self.outbox = Outbox(folder, clock=lambda: self.now)
        self.timing = Timing(lambda: self.now, self.sleep, lambda: 0.0)

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds

    def send(self, *destinations, wait_s=0.0, policy=POLICY):
        return send_pending(self.outbox, destinations, wait_s=wait_s, policy=policy, timing=self.timing)

    def put(self, files, *destinations):
        return self.outbox.put(files, destinations)

    def states(self):
        """The state of each object, in the order of its queueing."""
        found = [each for state in State for each in self.outbox.objects(state)]
        return [each.state for each in sorted(found, key=lambda each: each.number)]


def wait_until(is_so, seconds=20.0):
    """Look again and again until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)

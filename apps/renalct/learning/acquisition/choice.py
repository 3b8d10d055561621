"""The order of a round, made once and handed out case by case: what a strategy promises of a query holds for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock

Make = Callable[[Sequence[str]], Sequence[str]]
"""From the cases that are free to their order."""

_MOST_ROUNDS = 16


class RoundOrders:
    """Orders that stand for a round. Were the order made anew for every case that is handed out, the turns of classes
    and the guaranteed shares would begin anew with it, and no more than their first case would ever be seen.

    Safe for several threads. What is not in an order (a new image) waits for the next round, or comes last.
    """

    def __init__(self) -> None:
        self._orders: OrderedDict[Hashable, tuple[str, ...]] = OrderedDict()
        self._lock = Lock()

    def of(self, round_key: Hashable, free: Sequence[str], make: Make) -> tuple[str, ...]:
        """The free cases in the order of the round, which `make` gives the first time the key is asked for.

        The key names all that the order depends on: strategy, release, number of the round.
        """
        with self._lock:
            order = self._orders.get(round_key)
            if order is None:
                order = tuple(make(free))
                self._orders[round_key] = order
                if len(self._orders) > _MOST_ROUNDS:
                    self._orders.popitem(last=False)
        left = set(free)
        known = [name for name in order if name in left]
        left.difference_update(known)
        return (*known, *(name for name in free if name in left))

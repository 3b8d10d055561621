"""Strategies as MONAI Label knows them: a name, options, and the next case for a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy
from renalct.learning.acquisition.choice import RoundOrders
from renalct.learning.acquisition.strategies import Strategy as Chosen
from renalct.learning.case_order import order_by
from renalct.learning.case_words import Back, Given

from lib.parts import Parts
from lib.who import asking

Next = Callable[[str, dict[str, Any]], Given | None]
"""From the client and the request: the case that it is given."""


class DeskStrategy(Strategy):
    """A way to choose the next case. `options` are shown by viewers, and come back in the request."""

    def __init__(self, description: str, give: Next, *, options: dict[str, Any] | None = None) -> None:
        super().__init__(description)
        self._give, self._options = give, options or {}

    def info(self) -> dict[str, Any]:
        return super().info() | {"config": self._options}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """The id of the case, until when it is reserved, and why it was chosen; None when nothing is left."""
        given = self._give(asking(request), request)
        if given is None:
            return None
        return {"id": given.image.image_id, "reserved_until": given.lease.expires_at, "why": dict(given.why)}


def strategies_of(parts: Parts) -> dict[str, Strategy]:
    """Every strategy by name. `random` comes first: it is the one that viewers begin with, and OHIF's only one."""
    configured, rounds = parts.settings.strategy, RoundOrders()
    found = {"random": _by_scores(parts, configured, rounds, f"The server's own strategy: {configured.value}.")}
    for each in Chosen:
        found[each.value] = _by_scores(parts, each, rounds, f"Cases that nobody labelled yet, by {each.value}.")
    for way in Back:
        found[way.value] = DeskStrategy(
            f"Go back: {way.value}.", _going_back(parts, way), options={"case": ""} if way is Back.CASE else None
        )
    return found


def _by_scores(parts: Parts, strategy: Chosen, rounds: RoundOrders, description: str) -> DeskStrategy:
    def give(client: str, request: dict[str, Any]) -> Given | None:
        digest = parts.models.digest if parts.settings.has_models else None
        order = order_by(strategy, parts.desk.store, digest, rounds=rounds)
        if strategy is Chosen.SUSPECTED_ERROR:
            return parts.desk.next_suspect(client, order)
        return parts.desk.next_fresh(client, order)

    return DeskStrategy(description, give)


def _going_back(parts: Parts, way: Back) -> Next:
    return lambda client, request: parts.desk.next_back(client, way, image_id=str(request.get("case") or ""))

"""The order in which a strategy hands out cases, from the scores that the store keeps; with the why of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from renalct.learning.acquisition.candidates import SCORER_OF, candidate_of, compares_with_labelled, features_of
from renalct.learning.acquisition.choice import RoundOrders
from renalct.learning.acquisition.scoring import Scorer, kept_scores
from renalct.learning.acquisition.strategies import Query, Strategy, ordered
from renalct.learning.acquisition.why import ImageScore, Why
from renalct.learning.case_words import Order, Ranked
from renalct.learning.store import LabelStore, StoredImage

ROUND = 20
"""Cases of a round: so many are ordered at once, and handed to whoever asks, before the order is made anew."""
ROUNDS = 5


def order_by(strategy: Strategy, store: LabelStore, digest: str | None, *, rounds: RoundOrders | None = None) -> Order:
    """The order of a strategy by a release's scores (None: there is no release).

    Cases that are not scored yet come after those that are, at random: a case is never left out. With `rounds` the
    order of a round is kept until the round ends, or more cases are scored.
    """
    kept = rounds or RoundOrders()

    def order(images: Sequence[StoredImage], client: str) -> Sequence[Ranked]:
        scorer = SCORER_OF[strategy]
        known: Mapping[str, ImageScore] = kept_scores(store, scorer, digest) if scorer else {}
        names = {image.image_id: None for image in images}
        number, seed = _round_of(store)
        others = {name: score for name, score in known.items() if name not in names}
        compared = features_of(scorer, others) if scorer and compares_with_labelled(strategy) else ()
        query = Query(ROUND, min(number, ROUNDS - 1), ROUNDS, seed, compared)
        may_do_without = strategy in (Strategy.RANDOM, Strategy.FG_RANDOM)

        def make(free: Sequence[str]) -> Sequence[str]:
            scored = [name for name in free if may_do_without or name in known]
            left = [] if may_do_without else [name for name in free if name not in known]
            first = ordered(strategy, [candidate_of(name, scorer, known.get(name)) for name in scored], query)
            rest = ordered(Strategy.RANDOM, [candidate_of(name, None, None) for name in left], query)
            return [*first, *rest]

        in_order = kept.of((strategy, digest, number, len(known)), list(names), make)
        return [Ranked(name, _why(strategy, scorer, known.get(name))) for name in in_order]

    return order


def _round_of(store: LabelStore) -> tuple[int, int]:
    """The number of the round, and the seed of its order."""
    number = store.counts().labelled // ROUND
    return number, number


def _why(strategy: Strategy, scorer: Scorer | None, score: ImageScore | None) -> Mapping[str, Any]:
    """Plain values for a viewer: score, class, box (i0, i1, j0, j1, k0, k1, the upper ends excluded), a sentence."""
    if scorer is None or score is None:
        return {"strategy": strategy.value, "sentence": "chosen at random"}
    return {"strategy": strategy.value, **_told(score.why)}


@lru_cache(maxsize=1 << 15)
def _told(why: Why) -> Mapping[str, Any]:
    told: dict[str, Any] = {"score": why.score, "class": why.structure, "sentence": why.sentence}
    if why.place is not None:
        bounds = zip(why.place.start, why.place.stop, strict=True)
        told |= {"box": [v for pair in bounds for v in pair], "center_mm": list(why.place.center_mm)}
    return told

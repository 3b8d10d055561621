"""From scores to candidates: which scorers a strategy needs, and what they say of a case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from renalct.learning.acquisition.scoring import Scorer
from renalct.learning.acquisition.strategies import Candidate, Strategy
from renalct.learning.acquisition.why import ImageScore

SCORER_OF: dict[Strategy, Scorer | None] = {
    Strategy.RANDOM: None,
    Strategy.FG_RANDOM: Scorer.ENTROPY,
    Strategy.ENTROPY: Scorer.ENTROPY,
    Strategy.BALD: Scorer.BALD,
    Strategy.POWER_ENTROPY: Scorer.ENTROPY,
    Strategy.POWER_BALD: Scorer.BALD,
    Strategy.CLASPE: Scorer.ENTROPY,
    Strategy.DISAGREEMENT: Scorer.DISAGREEMENT,
    Strategy.KMEANS: Scorer.FEATURES,
    Strategy.CORESET: Scorer.FEATURES,
    Strategy.COLD_START: Scorer.DESCRIPTOR,
    Strategy.SUSPECTED_ERROR: Scorer.AGREEMENT,
}
"""The scorer whose scores a strategy reads; foreground-aware random is plain random where there are none."""


def compares_with_labelled(strategy: Strategy) -> bool:
    """Whether a strategy needs the scores of labelled cases too."""
    return strategy in (Strategy.KMEANS, Strategy.CORESET, Strategy.COLD_START)


def candidate_of(name: str, scorer: Scorer | None, score: ImageScore | None) -> Candidate:
    """What a score of a scorer says of a case; nothing where there is none."""
    if scorer is None or score is None:
        return Candidate(name)
    value = score.value
    return Candidate(
        name,
        entropy=value if scorer in (Scorer.ENTROPY, Scorer.FEATURES) else math.nan,
        by_class=score.by_class,
        ml_by_class=score.ml_by_class,
        disagreement=value if scorer is Scorer.DISAGREEMENT else math.nan,
        bald=value if scorer is Scorer.BALD else math.nan,
        features=score.features if scorer is Scorer.FEATURES else (),
        descriptor=score.features if scorer is Scorer.DESCRIPTOR else (),
        agreement=value if scorer is Scorer.AGREEMENT else math.nan,
    )


def joined(scores: Sequence[ImageScore]) -> ImageScore:
    """The score of a patient from those of its images: the most unsure one's, their volumes added, the mean of their
    features."""
    worst = max(scores, key=lambda score: score.value)
    by_class = [score.by_class for score in scores if score.by_class]
    ml = [score.ml_by_class for score in scores if score.ml_by_class]
    features = [score.features for score in scores if score.features]
    return ImageScore(
        worst.value,
        tuple(max(column) for column in zip(*by_class, strict=True)),
        tuple(sum(column) for column in zip(*ml, strict=True)),
        worst.whys,
        tuple(float(v) for v in np.mean(features, axis=0)) if features else (),
    )


def features_of(scorer: Scorer, scores: Mapping[str, ImageScore]) -> tuple[tuple[float, ...], ...]:
    """The features (or descriptors) among scores, by the name of the case."""
    if scorer not in (Scorer.FEATURES, Scorer.DESCRIPTOR):
        return ()
    return tuple(scores[name].features for name in sorted(scores) if scores[name].features)

"""Probabilities of classes that come true: a temperature and an offset per class, fitted after the training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import RecipeError

Probabilities = NDArray[np.float64]
_LEAST = 1e-6  # of a probability, whose logarithm is taken


@dataclass(frozen=True)
class ClassCalibration:
    """log p / temperature + offset, normalised again (Guo et al., ICML 2017: bias-corrected temperature scaling).

    Without `offsets` and at a temperature of 1, probabilities stay as they are.
    """

    temperature: float = 1.0
    offsets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0 and all(map(math.isfinite, self.offsets))):
            raise RecipeError("a calibration needs a temperature above 0 and offsets that are finite numbers")

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.temperature != 1.0 or any(self.offsets)

    def of(self, probabilities: Probabilities) -> Probabilities:
        """The calibrated probabilities of n masses, (n, classes)."""
        if not self.changes:
            return probabilities
        logits = np.log(np.maximum(probabilities, _LEAST)) / self.temperature
        if self.offsets:
            logits = logits + np.asarray(self.offsets)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        calibrated: Probabilities = odds / odds.sum(axis=1, keepdims=True)
        return calibrated
